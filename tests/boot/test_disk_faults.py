"""Disks that fail while `format`, `extend` and `dm-crypt` work on them: the brick says which disk it
is and what failed, and a boot with a disk that works again repairs it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.boot.power.guests import Disk, Result, run_script, system
from tests.boot.power.host import hide_links
from tests.boot.power.judges import check_extended, check_formatted
from tests.boot.power.scenarios import (
    ENCRYPTIONS,
    EXTENSIONS,
    FORMATS,
    Scenario,
    blank,
    with_data,
)
from tests.boot.power.server import Fault

ALL = bool(int(os.environ.get("COMPOS_POWER_CUTS", "0")))

pytestmark = [pytest.mark.boot, pytest.mark.root]
if not ALL:
    pytestmark.append(pytest.mark.xdist_group("boot"))

FOREVER = 1 << 30
RETRIES = 6
"""Linux asks a disk this often before it believes that a request has failed."""

WRITES = (1, 2, 5, 9, 14, 20, 30, 60)
FLUSHES = (1, 2, 3, 5, 8, 11)
READS = (30, 50, 100, 130)
"""Linux itself has looked at the disk with the first of them."""


class Case(NamedTuple):
    """A scenario and where its disk fails."""

    scenario: Scenario
    fault: Fault


def cases(scenarios: tuple[Scenario, ...]) -> list[Case]:
    """Each number with a disk that fails for good and one that works again."""
    faults = [
        Fault(kind, number, times)
        for kind, numbers in (("write", WRITES), ("flush", FLUSHES), ("read", READS))
        for number in numbers
        for times in (RETRIES, FOREVER)
    ]
    if not ALL:
        faults = faults[2::7]
    return [Case(scenarios[number % len(scenarios)], fault) for number, fault in enumerate(faults)]


CASES = {
    "format": cases(FORMATS),
    "extend": cases(tuple(one for one in EXTENSIONS if not one.mounted)),
    "crypto": cases(ENCRYPTIONS)[::3],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hide_links()
    return tmp_path_factory.mktemp("faults")


def answer_of(result: Result, number: int, program: str) -> tuple[int, str]:
    (answer,) = result.answers[number, program]
    return answer.status, answer.text


@pytest.mark.parametrize("program", CASES if ALL else ["all"])
@pytest.mark.wide
def test_faults(built: Callable[[str], Path], folder: Path, program: str) -> None:
    chosen = CASES[program] if ALL else [case for one in CASES.values() for case in one]
    images, kept, script = [], [], ""
    for number, case in enumerate(chosen):
        image = folder / f"{number}.img"
        scenario = case.scenario
        if scenario.grown:
            kept.append(with_data(scenario, image, folder / "point"))
        else:
            kept.append({})
            blank(image, scenario.size)
        images.append(image)
        script += f"unit {number}\n{scenario.script.replace('sleep 6', '')}"
    guest = built(system())
    faulty = [Disk(image, case.fault) for image, case in zip(images, chosen, strict=True)]
    first = run_script(guest, folder, faulty, script, seconds=900)
    second = run_script(guest, folder, [Disk(image) for image in images], script, seconds=900)
    seen: Counter[str] = Counter()
    for number, (scenario, fault) in enumerate(chosen):
        name = scenario.name.partition("-")[0]
        name = "crypto" if name == "crypt" else name
        hit = first.servers[number].counts[fault.kind] >= fault.number
        status, text = answer_of(first, number, name)
        if status != 0:
            assert (status, hit) == (1, True), (scenario, fault, text)
            assert re.match(rf"{name}: /dev/sd\w+: .{{10}}", text), (scenario, fault, text)
        seen["reported" if status else "survived" if hit else "not reached"] += 1
        status, again = answer_of(second, number, name)
        assert status == 0, (scenario, fault, text, again)
        if name == "format":
            check_formatted(scenario, images[number])
        elif name == "extend":
            check_extended(scenario, images[number], kept[number])
        images[number].unlink()
    print(program, dict(seen))
    assert seen["reported"] > len(chosen) / 4
