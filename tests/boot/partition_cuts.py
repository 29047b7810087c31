"""The power is cut at random moments of a first boot, while the data partition is made, sealed and
formatted: the next boot makes it anew or finds it complete, and the boot after that opens it. Part
of `make power-cuts`.

The guest's TPM is swtpm; that systemd's stub has measured the system, and that Secure Boot is on,
are files which the guest puts in the places of EFI's variables. What the key is sealed to is here
the value of PCR 11.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.run.tpm import find_swtpm, start_tpm, tpm_socket
from tests.boot.power.cuts import BLOCKS, Cut, Recorded, copy
from tests.boot.power.guests import Disk, Result, run_script, system
from tests.boot.power.host import check_table, run
from tests.boot.test_data_partition import SPACIOUS, SYSTEM, system_disk

pytestmark = [pytest.mark.boot, pytest.mark.root]

CUTS = 30
"""Of each of the two disks."""

BRICK = '  - {name: partition, image: "compos/data-partition:v1"}\n'

SCRIPT = r"""
variables=$partition/firmware/efi/efivars
mkdir -p $variables
printf '\006\0\0\0\061' > $variables/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
printf '\006\0\0\0\001' > $variables/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
start() {
    unit $1
    said=$(chroot $partition /usr/bin/data-partition -encrypt -recovery -device $disk /mnt 2>&1)
    echo "@ $1 partition $?" $said
}
end() {
    sync
    umount $partition/mnt
    chroot $partition /usr/sbin/cryptsetup close data
}
"""


@pytest.fixture(scope="module")
def guest(built: Callable[[str], Path]) -> Path:
    return built(system(BRICK))


def boot(guest: Path, folder: Path, disks: list[Disk], lines: str) -> Result:
    """A guest on the same machine, with its TPM."""
    daemon = start_tpm(find_swtpm("x86_64"), folder)
    try:
        script = SCRIPT + lines
        tpm = tpm_socket(folder)
        return run_script(guest, folder, disks, script, seconds=3000, memory=640, tpm=tpm)
    finally:
        daemon.wait(30)


def record(guest: Path, folder: Path) -> list[Recorded]:
    """The first boot of a disk with room for two tables, and of one without."""
    disks: list[Disk] = []
    before: list[Path] = []
    for number, table in enumerate((SYSTEM, SPACIOUS)):
        place = folder / f"before{number}"
        place.mkdir()
        before.append(system_disk(place, 72, table))
        copy(before[-1], folder / f"{number}.img")
        disks.append(Disk(folder / f"{number}.img"))
    lines = "".join(f"start {number}; end; sleep 6\n" for number in range(len(disks)))
    result = boot(guest, folder, disks, lines)
    for answers in result.answers.values():
        assert [answer.status for answer in answers] == [0], answers
    pairs = zip(before, result.servers, strict=True)
    return [Recorded(image, server.recording) for image, server in pairs]


def cut_disks(recorded: list[Recorded], folder: Path) -> list[Disk]:
    """As the power cut leaves them: what no flush covers is there, lost, or torn."""
    choice = random.Random(17)
    disks: list[Disk] = []
    for number, one in enumerate(recorded):
        moments = one.recording.moments()
        print(f"disk {number}: {len(moments)} moments")
        # The last one is behind everything: whatever the others find, that one is complete.
        for moment in (*sorted(choice.sample(moments[:-1], CUTS - 1)), moments[-1]):
            image = folder / f"cut{len(disks)}"
            one.make(Cut(moment, choice.randrange(1 << 30), choice.choice(BLOCKS)), image)
            disks.append(Disk(image))
    return disks


def test_the_next_boot_makes_or_finds_it(guest: Path, tmp_path: Path) -> None:
    disks = cut_disks(record(guest, tmp_path), tmp_path)
    counts: Counter[str] = Counter()
    for begin in range(0, len(disks), CUTS):
        some = disks[begin : begin + CUTS]
        numbers = range(len(some))
        lines = "".join(f"start {n} && echo kept > $partition/mnt/file; end\n" for n in numbers)
        result = boot(guest, tmp_path, some, lines)
        for (number, _), (answer,) in sorted(result.answers.items()):
            assert answer.status == 0, (number, answer)
            counts["made" if "file system made" in answer.text else "complete"] += 1
        assert len(result.answers) == len(some)
        lines = "".join(
            f'start {n}; echo "file {n}" $(cat $partition/mnt/file); end\n' for n in numbers
        )
        again = boot(guest, tmp_path, some, lines)
        for (number, _), (answer,) in sorted(again.answers.items()):
            assert answer.status == 0, (number, answer)
            assert "made" not in answer.text
        assert len(re.findall(r"^file \d+ kept", again.console, re.M)) == len(some)
        for disk in some:
            check_table(str(disk.image), "gpt")
            assert run("cryptsetup", "isLuks", "--type", "luks2", disk.image).status != 127
    print(f"power cuts of first boots: {dict(counts)}")
    assert counts["made"] > counts["complete"] > 0
