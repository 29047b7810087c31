"""What the next boot does to a disk that has lost its power, and whether that is right."""

from __future__ import annotations

import os
from pathlib import Path

from tests.boot.power.host import (
    attached,
    brick,
    check_filesystem,
    check_table,
    digest,
    mounted,
    run,
    trees,
)
from tests.boot.power.scenarios import Scenario
from tests.boot.power.torn import is_torn

__all__ = ["check_extended", "check_formatted", "judge_extension", "judge_format", "may_grow"]

STATES = {
    "no partition table": "still blank",
    "its format has not come to its end": "formatted anew",
    "there is no room behind its file system": "complete",
}
"""What `extend` says of a disk that `format` has worked on."""

NOT_PERMITTED = "the kernel does not grow the file system: Operation not permitted"


def judge_format(scenario: Scenario, image: Path) -> str:
    """Formatting it again is all it takes; what is complete is left as it is."""
    before = digest(image)
    with attached(image) as disk:
        said = brick("extend", disk)
        assert said.status == 0, said.text
        state = next(name for text, name in STATES.items() if text in said.text)
        assert digest(image) == before, said.text
        if state == "complete":
            check_filesystem(f"{disk}p1", scenario.kind)
        said = brick("format", *scenario.options, disk)
        assert said.status == 0, said.text
        assert ("is formatted already" in said.text) == (state == "complete"), said.text
        if state == "complete":
            assert digest(image) == before
    check_formatted(scenario, image)
    return state


def check_formatted(scenario: Scenario, image: Path) -> None:
    """As other people's tools see it."""
    with attached(image) as disk:
        check_table(disk, scenario.table)
        check_filesystem(f"{disk}p1", scenario.kind)
        label = run("blkid", "-p", "-o", "value", "-s", "LABEL", f"{disk}p1")
        assert label.text == "data", label.text


def judge_extension(
    scenario: Scenario, image: Path, kept: dict[str, str], *, sectors: bool = False
) -> str:
    """Nobody takes it for blank; extending it again is all it takes, and the files are there.

    `sectors`: the disk writes each by itself.
    """
    try:
        return _extended(scenario, image, kept)
    except AssertionError:
        if sectors and is_torn(scenario.kind, image, kept):
            return "torn beyond mending, and reported"
        raise


def _extended(scenario: Scenario, image: Path, kept: dict[str, str]) -> str:
    before = digest(image)
    with attached(image) as disk:
        said = brick("format", "-type", scenario.kind, "-partition", scenario.table, disk)
        assert said.status == 0, said.text
        assert "is formatted already" in said.text
        assert digest(image) == before
        said = brick("extend", disk)
    grown = may_grow() or NOT_PERMITTED not in said.text
    assert said.status == 0 or not grown, said.text
    mended = check_extended(scenario, image, kept, grown=grown) or "repaired" in said.text
    if not grown:
        return "only mounted here" + ", repaired" * mended
    state = "complete" if "there is no room" in said.text else "extended further"
    return state + ", repaired" * mended


def may_grow() -> bool:
    """Growing ext4 takes CAP_SYS_RESOURCE, which root of a container may lack: a guest has it."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> 24 & 1)


def check_extended(
    scenario: Scenario, image: Path, kept: dict[str, str], *, grown: bool = True
) -> bool:
    """As other people's tools see it, once it has been mounted: what has not come to its place is
    in the journal. Whether the brick `mount` had to repair it."""
    point = image.with_suffix(".point")
    with attached(image) as disk:
        check_table(disk, scenario.table)
        with mounted(f"{disk}p1", point) as said:
            found = trees(point)
        mended = "repaired" in said.text
        if mended:
            # What has been repaired may be as it was before it grew: the boot after that goes on.
            again = brick("extend", disk)
            assert again.status == 0 or not grown, again.text
        check_filesystem(f"{disk}p1", scenario.kind)
        with mounted(f"{disk}p1", point):
            room = os.statvfs(point)
    assert {name: found.get(name) for name in kept} == kept
    assert not grown or room.f_blocks * room.f_frsize > 0.8 * (scenario.grown << 20), room
    return mended
