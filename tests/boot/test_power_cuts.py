"""Disks whose power is cut while `format`, `extend` and `dm-crypt` work on them.

A guest runs the bricks on disks that record each write and each flush. Of that, the disk is made as
a power cut leaves it at any moment, and given to the brick again: on this machine, and in guests,
many disks at a time. A sample is part of every run, with guests of `make wide`; `make power-cuts` takes every moment.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.boot.power.cuts import BLOCKS, Cut, Recorded, copy
from tests.boot.power.guests import Disk, Result, run_script, system
from tests.boot.power.host import attached, brick, digest, hide_links, mounted, run
from tests.boot.power.judges import (
    check_extended,
    check_formatted,
    judge_extension,
    judge_format,
)
from tests.boot.power.recording import SECTOR, Recording
from tests.boot.power.scenarios import (
    ENCRYPTIONS,
    EXTENSIONS,
    FORMATS,
    Scenario,
    blank,
    with_data,
)
from tests.boot.power.torn import SUPERBLOCKS, is_torn

SEEDS = int(os.environ.get("COMPOS_POWER_CUTS", "0"))
"""How many random fates each moment has; 0: a sample of moments."""

pytestmark = [pytest.mark.boot, pytest.mark.root]
if not SEEDS:
    pytestmark.append(pytest.mark.xdist_group("boot"))
    FORMATS = FORMATS[1:3]
    EXTENSIONS = (EXTENSIONS[2], EXTENSIONS[4])
    ENCRYPTIONS = ENCRYPTIONS[1:3]

IN_GUESTS = (
    {"format": 60, "extend": 60, "crypt": 50} if SEEDS else {"format": 3, "extend": 4, "crypt": 2}
)
"""How many disks guests judge, of each brick."""

ENCRYPTIONS_IN_GUESTS = (*ENCRYPTIONS, *(one for one in ENCRYPTIONS if not one.options))
"""LUKS derives a key each time, which takes seconds under emulation."""

PER_GUEST = 60

SECONDS = 3000 if SEEDS else 900
"""Of a guest without hardware acceleration: with every disk, and other work on the machine."""

KEPT = "written at the boot after the power cut"


class Recordings(NamedTuple):
    """By the names of scenarios; `kept` are the digests of files on what is extended."""

    disks: dict[str, Recorded]
    kept: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hide_links()
    return tmp_path_factory.mktemp("power")


@pytest.fixture(scope="module")
def guest(built: Callable[[str], Path]) -> Path:
    return built(system())


@pytest.fixture(scope="module")
def recorded(guest: Path, folder: Path) -> Recordings:
    """All scenarios, in one boot."""
    scenarios = [*FORMATS, *EXTENSIONS, *ENCRYPTIONS]
    kept, disks, script = {}, [], ""
    for number, scenario in enumerate(scenarios):
        before = folder / f"{scenario.name}.before"
        if scenario.grown:
            kept[scenario.name] = with_data(scenario, before, folder / "point")
        else:
            blank(before, scenario.size)
            if scenario.unused:
                assert run("mke2fs", "-q", "-t", "ext4", before).status == 0
        image = folder / f"{scenario.name}.img"
        copy(before, image)
        disks.append(Disk(image))
        script += f"unit {number}\n{scenario.script}"
    result = run_script(guest, folder, disks, script, seconds=SECONDS)
    for (_, program), answers in result.answers.items():
        assert [answer.status for answer in answers] == [0], (program, answers)
    found = {
        scenario.name: Recorded(folder / f"{scenario.name}.before", server.recording)
        for scenario, server in zip(scenarios, result.servers, strict=True)
    }
    assert all(len(one.recording.moments()) > 15 for one in found.values())
    return Recordings(found, kept)


def test_what_a_flush_makes_durable() -> None:
    """A flush covers what was answered before it came, and does so once it is answered."""
    recording = Recording()
    written = [recording.begin("write", 512 * n, 512, b"x" * 512, forced=n == 3) for n in range(5)]
    recording.end(written[0])
    flush = recording.begin("flush", 0, 0, None, forced=False)
    recording.end(written[1])
    before = recording.moment
    recording.end(flush)
    after = recording.moment
    recording.end(written[3])
    assert recording.durable_at(before) == set()
    assert recording.durable_at(after) == {0}
    assert recording.durable_at(recording.moment) == {0, 2}, "a forced write needs no flush"
    assert recording.pending_at(after) == [1, 2]
    assert recording.moments() == [0, 6, 8, 9, 10]


def test_what_is_torn_beyond_mending(folder: Path) -> None:
    """Both superblocks of Btrfs; one is restored. Of XFS, nothing that mounts."""
    image = folder / "torn.img"
    for kind, size in (("btrfs", 160), ("xfs", 320)):
        with attached(blank(image, size)) as disk:
            assert brick("format", "-type", kind, disk).status == 0
        assert not is_torn(kind, image, {})
        for number, place in enumerate(SUPERBLOCKS if kind == "btrfs" else ()):
            with image.open("r+b") as stream:
                stream.seek((1 << 20) + place + 3 * SECTOR)
                stream.write(b"torn" * (SECTOR // 4))
            assert is_torn(kind, image, {}) == (number == 1)
        image.unlink()


def test_a_table_before_its_file_system_is_noticed(recorded: Recordings, folder: Path) -> None:
    """The judge sees what a format in the wrong order, or without flushes, would leave."""
    disk, image = recorded.disks[FORMATS[0].name], folder / "wrong.img"
    last = disk.recording.moments()[-1]
    tables = [one for one in disk.recording.requests if one.offset < 1 << 20]
    Recorded(disk.before, Recording(tables, last)).make(Cut(last), image)
    with pytest.raises(AssertionError):
        judge_format(FORMATS[0], image)


def test_a_journal_is_replayed_before_the_kernel_mounts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux counts the groups of an ext4 before it replays a journal that may have more of them,
    and stops at a BUG when it grows further."""
    image, cut, log = folder / "replayed.img", folder / "replayed-cut.img", folder / "e2fsck.log"
    with attached(blank(image, 128)) as disk:
        assert brick("format", "-type", "ext4", disk).status == 0
        with mounted(f"{disk}p1", folder / "point"):
            (folder / "point/file").write_text(KEPT)
            os.sync()
            copy(image, cut)
    with cut.open("r+b") as stream:
        stream.truncate(256 << 20)
    fake = folder / "bin/e2fsck"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec /usr/sbin/e2fsck "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with attached(cut) as disk:
        brick("extend", disk)
        assert log.read_text().splitlines()[0] == f"-p {disk}p1"
        with mounted(f"{disk}p1", folder / "point"):
            assert (folder / "point/file").read_text() == KEPT


def every_cut(recorded: Recorded) -> Iterator[Cut]:
    """All of them; of a sample, about five moments, the last among them."""
    if SEEDS:
        return recorded.cuts(SEEDS)
    return recorded.cuts(1, stride=max(1, len(recorded.recording.moments()) // 5))


def judge_all(recorded: Recorded, image: Path, judge: Callable[[Path, Cut], str]) -> Counter[str]:
    """What the next boot made of each disk. One after the other: they have the same UUID."""
    seen: Counter[str] = Counter()
    for cut in every_cut(recorded):
        recorded.make(cut, image)
        try:
            seen[judge(image, cut)] += 1
        except AssertionError as error:
            raise AssertionError(f"{cut}: {error}") from error
        image.unlink()
    return seen


@pytest.mark.parametrize("scenario", FORMATS, ids=lambda one: one.name)
def test_format(recorded: Recordings, folder: Path, scenario: Scenario) -> None:
    seen = judge_all(
        recorded.disks[scenario.name],
        folder / "cut.img",
        lambda image, _: judge_format(scenario, image),
    )
    print(scenario.name, dict(seen))
    assert seen["formatted anew"] > sum(seen.values()) / 2


@pytest.mark.parametrize("scenario", EXTENSIONS, ids=lambda one: one.name)
def test_extension(recorded: Recordings, folder: Path, scenario: Scenario) -> None:
    seen = judge_all(
        recorded.disks[scenario.name],
        folder / "cut.img",
        lambda image, cut: judge_extension(
            scenario, image, recorded.kept[scenario.name], sectors=cut.block == SECTOR
        ),
    )
    print(scenario.name, dict(seen))
    unfinished = sum(count for name, count in seen.items() if not name.startswith("complete"))
    # A sample meets few moments.
    assert unfinished > (1 if SEEDS else 0)


class Chosen(NamedTuple):
    """A disk for a guest to judge."""

    scenario: Scenario
    image: Path


def choose(
    recorded: Recordings, scenarios: tuple[Scenario, ...], count: int, folder: Path
) -> list[Chosen]:
    """Disks cut at random moments."""
    draw = random.Random(14)
    chosen = []
    for number in range(count):
        scenario = scenarios[number % len(scenarios)]
        disk = recorded.disks[scenario.name]
        moment = draw.choice(disk.recording.moments()[1:])
        seed = draw.choice([None, draw.randrange(1 << 30)])
        image = folder / f"chosen{number}.img"
        disk.make(Cut(moment, seed, draw.choice(BLOCKS)), image)
        chosen.append(Chosen(scenario, image))
    return chosen


def foreign(folder: Path) -> list[Path]:
    """Disks that are somebody's: nobody says so, but for what is on them."""
    disks = [blank(folder / f"foreign{number}.img", 64) for number in range(3)]
    assert run("mke2fs", "-q", "-t", "ext4", "-L", "mine", disks[0]).status == 0
    with disks[1].open("r+b") as image:
        image.write(b"somebody's database" * 1000)
    table = ("sh", "-c", f"echo ',,L' | sfdisk -q {disks[2]}")
    assert run(*table).status == 0
    return disks


def run_in_guest(guest: Path, folder: Path, chosen: list[Chosen], script: str) -> Result:
    """Runs the script for each disk. `format` finds none of them blank afterwards, nor any of those
    that are somebody's."""
    others = foreign(folder)
    before = [digest(path) for path in others]
    lines = [f"kept='{KEPT}'\n"]
    for number, one in enumerate(chosen):
        words = " ".join(one.scenario.options)
        lines.append(f"unit {number}; options='{words}' type={one.scenario.kind}\n{script}")
    disks = [Disk(path) for path in (*(one.image for one in chosen), *others)]
    last = f"brick {len(chosen)} format -label none\n"
    result = run_script(guest, folder, disks, "".join(lines) + last, seconds=SECONDS)
    (said,) = result.answers[len(chosen), "format"]
    assert "No eligible disks found" in said.text
    assert [digest(path) for path in others] == before
    return result


def batches(
    recorded: Recordings, scenarios: tuple[Scenario, ...], count: int, folder: Path
) -> Iterator[list[Chosen]]:
    """As many disks as one guest takes."""
    chosen = choose(recorded, scenarios, count, folder)
    for first in range(0, count, PER_GUEST):
        yield chosen[first : first + PER_GUEST]


FORMATTED = """
[ -b ${disk}1 ] && brick $n mountie -device ${disk}1 /mnt/$n && umount $mountie/mnt/$n
brick $n format $options $disk
brick $n mountie -device ${disk}1 /mnt/$n
echo $kept > $mountie/mnt/$n/file
umount $mountie/mnt/$n
"""


@pytest.mark.wide
def test_format_in_a_guest(recorded: Recordings, guest: Path, folder: Path) -> None:
    """What is not complete is mounted by nobody; then it is made, mounted and written to."""
    seen: Counter[str] = Counter()
    for chosen in batches(recorded, FORMATS, IN_GUESTS["format"], folder):
        result = run_in_guest(guest, folder, chosen, FORMATTED)
        for number, (scenario, image) in enumerate(chosen):
            (made,) = result.answers[number, "format"]
            *first, last = result.answers[number, "mountie"]
            assert (made.status, last.status) == (0, 0), (scenario, made, last)
            complete = "is formatted already" in made.text
            assert complete == any(one.status == 0 for one in first), (scenario, first)
            seen["complete" if complete else "formatted anew"] += 1
            check_formatted(scenario, image)
            with attached(image) as disk, mounted(f"{disk}p1", folder / "point"):
                assert (folder / "point/file").read_text().strip() == KEPT
            image.unlink()
    print(dict(seen))
    assert seen["formatted anew"]


EXTENDED = """
brick $n format -type $type $disk
brick $n extend $disk
brick $n mountie -device ${disk}1 /mnt/$n
umount $mountie/mnt/$n
"""


@pytest.mark.wide
def test_extension_in_a_guest(recorded: Recordings, guest: Path, folder: Path) -> None:
    seen: Counter[str] = Counter()
    for chosen in batches(recorded, EXTENSIONS, IN_GUESTS["extend"], folder):
        result = run_in_guest(guest, folder, chosen, EXTENDED)
        for number, (scenario, image) in enumerate(chosen):
            (made,) = result.answers[number, "format"]
            (grown,) = result.answers[number, "extend"]
            (mount,) = result.answers[number, "mountie"]
            assert "is formatted already" in made.text, (scenario, made)
            assert (grown.status, mount.status) == (0, 0), (scenario, grown, mount)
            state = "complete" if "there is no room" in grown.text else "extended further"
            mended = "repaired" in grown.text + mount.text
            seen[state + ", repaired" * mended] += 1
            check_extended(scenario, image, recorded.kept[scenario.name])
            image.unlink()
    print(dict(seen))
    assert seen["extended further"]


ENCRYPTED = """
judge() {
    chroot /host/judge /usr/sbin/e2fsck -f -n /dev/mapper/c$n > /dev/null 2>&1
    echo "@ $n e2fsck $?"
}
mkdir -p /host/judge/dev
[ -e /host/judge/dev/null ] || mount --rbind /dev /host/judge/dev
brick $n crypto $options c$n $disk
judge
brick $n mountie -device /dev/mapper/c$n /mnt/$n
echo $kept > $mountie/mnt/$n/file
umount $mountie/mnt/$n
chroot $crypto cryptsetup close c$n
brick $n crypto $options c$n $disk
judge
brick $n mountie -device /dev/mapper/c$n /mnt/$n
echo "@ $n cat 0 $(cat $mountie/mnt/$n/file)"
umount $mountie/mnt/$n
chroot $crypto cryptsetup close c$n
"""


@pytest.mark.wide
def test_encryption_in_a_guest(recorded: Recordings, guest: Path, folder: Path) -> None:
    """It is made and opened, and opened with what was written at the boot after that."""
    for chosen in batches(recorded, ENCRYPTIONS_IN_GUESTS, IN_GUESTS["crypt"], folder):
        result = run_in_guest(guest, folder, chosen, ENCRYPTED)
        for number, (scenario, image) in enumerate(chosen):
            for program in ("crypto", "e2fsck", "mountie"):
                answers = result.answers[number, program]
                assert [one.status for one in answers] == [0, 0], (scenario, answers)
            assert result.answers[number, "cat"][0].text == KEPT
            if "-l" in scenario.options:
                assert run("cryptsetup", "isLuks", "--type", "luks2", image).status == 0
                key = folder / "key"
                key.write_text("0123456789abcdef0123456789abcdef")
                opened = run(*("cryptsetup", "open", "--test-passphrase", "--key-file"), key, image)
                assert opened.status == 0, opened.text
            image.unlink()
