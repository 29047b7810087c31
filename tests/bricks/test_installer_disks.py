"""Which disk an installer takes: bricks/installer/src/candidate.c on tables of disks. What it finds
out of real ones: tests/boot/test_installer.py."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

import pytest

from tests.bricks.compiler import compile_brick


class Disk(NamedTuple):
    """`size` in bytes; `holds` is empty for a blank one, `obstacle` where it can be taken."""

    name: str
    size: int = 8 << 30
    serial: str = ""
    wwid: str = ""
    holds: str = ""
    obstacle: str = ""
    removable: str = ""


def choose(
    disks: list[Disk], rule: str, *, erase: str = "", removable: bool = False
) -> tuple[bool, str]:
    """Whether a disk is chosen; its name, or why there is none."""
    driver = compile_brick("installer", driver="candidate")
    done = subprocess.run(
        [str(driver), rule, erase, "yes" if removable else ""],
        input="".join("\t".join(map(str, one)) + "\n" for one in disks),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, done.stdout.rstrip("\n")


SMALL, LARGE = Disk("sda", 100), Disk("sdb", 1 << 62)
FULL = Disk("sdc", 50, serial="C 17", holds="an ext4 file system")
STICK = Disk("sdd", 10, removable="removable")
MEDIUM = Disk("sde", 5, obstacle="the installer runs from it")
EVERY = [LARGE, FULL, SMALL, STICK, MEDIUM]


@pytest.mark.parametrize(
    ("rule", "options", "name"),
    [
        ("smallest", {}, "sda"),
        ("largest", {}, "sdb"),
        ("smallest", {"removable": True}, "sdd"),
        ("largest", {"removable": True}, "sdb"),
        # A disk that may be erased counts like a blank one.
        ("smallest", {"erase": "serial:C 17"}, "sdc"),
        ("largest", {"erase": "serial:C 17"}, "sdb"),
        ("smallest", {"erase": "serial:C 1"}, "sda"),
    ],
)
def test_by_size(rule: str, options: dict[str, str | bool], name: str) -> None:
    for disks in (EVERY, EVERY[::-1]):
        assert choose(disks, rule, **options) == (True, name)  # type: ignore[arg-type]


def test_of_equal_ones_the_first() -> None:
    """The list is sorted by name: the same machine gets the same answer."""
    equal = [Disk("nvme0n1"), Disk("sda")]
    assert choose(equal, "smallest") == choose(equal, "largest") == (True, "nvme0n1")


@pytest.mark.parametrize(
    "disks",
    [[], [FULL], [MEDIUM], [STICK], [FULL, MEDIUM, STICK]],
    ids=["none", "full", "medium", "stick", "all"],
)
def test_no_disk_fits(disks: list[Disk]) -> None:
    chosen, why = choose(disks, "smallest")
    assert not chosen
    assert why == f"none of {len(disks)} disks can be taken by the rule smallest"


def test_what_erase_names_is_no_rule_for_what_cannot_be_taken() -> None:
    """The medium is never taken, nor a disk in use."""
    medium = MEDIUM._replace(serial="M", holds="an iso9660 file system")
    chosen, why = choose([medium], "serial:M", erase="serial:M")
    assert (chosen, why) == (False, "/dev/sde cannot be taken: the installer runs from it")
    assert choose([medium, LARGE], "smallest", erase="serial:M") == (True, "sdb")


NAMED = Disk("sda", serial="WD-17 X", wwid="naa.5000c500a1b2c3d4")
NVME = Disk("nvme0n1", serial="S3Z", wwid="eui.0025385b71b00c3f")
ANONYMOUS = Disk("vda")


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("serial:WD-17 X", "sda"),
        ("serial:S3Z", "nvme0n1"),
        ("/dev/disk/by-id/ata-WDC_1234_WD-17 X", "sda"),
        ("/dev/disk/by-id/nvme-Samsung_S3Z", "nvme0n1"),
        ("/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", "sda"),
        ("/dev/disk/by-id/nvme-eui.0025385b71b00c3f", "nvme0n1"),
    ],
)
def test_by_name(rule: str, name: str) -> None:
    assert choose([NAMED, NVME, ANONYMOUS], rule) == (True, name)


@pytest.mark.parametrize(
    "rule",
    [
        "serial:",
        "serial:WD-17",
        "serial:17 X",
        "serial:wd-17 x",
        # A name ends with the whole serial number, behind a mark.
        "/dev/disk/by-id/nvme-SamsungS3Z",
        "/dev/disk/by-id/S3Z",
        "/dev/disk/by-id/wwn-0x5000c500a1b2c3d",
        "/dev/disk/by-id/nvme-eui.0025385b71b00c3",
        "/dev/disk/by-id/",
        "/dev/null",
        "/dev/no-such-disk",
        "/etc/passwd",
        "sda",
    ],
)
def test_names_of_no_disk(rule: str) -> None:
    assert choose([NAMED, NVME, ANONYMOUS], rule) == (False, f"there is no disk {rule}")


def test_a_name_of_two_disks() -> None:
    """Two paths to one disk, or two copies of a virtual one: neither is taken."""
    twins = [Disk("sda", serial="7"), Disk("sdb", serial="7")]
    assert choose(twins, "serial:7") == (False, "serial:7 is both sda and sdb")


def test_what_is_named_by_a_rule_is_not_named_to_be_erased() -> None:
    chosen, why = choose([FULL], "serial:C 17")
    assert (chosen, why) == (False, "/dev/sdc cannot be taken: it holds an ext4 file system")
    assert choose([FULL], "serial:C 17", erase="serial:C 18")[0] is False
    assert choose([FULL], "serial:C 17", erase="serial:C 17") == (True, "sdc")
    # Removable or not counts for rules by size alone.
    assert choose([STICK._replace(serial="S")], "serial:S") == (True, "sdd")
