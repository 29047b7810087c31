"""The bricks `format`, `mount` and `extend` on real tables and file systems, over two boots."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-disks")]

HEAD = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 panic=-1"
  modules: [auto, ext4, xfs, btrfs]
init: [compos/init:v1, compos/crun:v1]
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
"""

# The kernel names disks in the order in which they answer: several are told apart by what they hold.
LABELS = f"""{HEAD}
onboot:
  - {{name: format-words, image: "compos/format:v1", command: [/usr/bin/format, -label, words]}}
  - name: format-xfs
    image: compos/format:v1
    command: [/usr/bin/format, -type, xfs, -label, xdata]
  - name: format-btrfs
    image: compos/format:v1
    command: [/usr/bin/format, -type, btrfs, -partition, gpt, -label, bdata]
  - name: format-gpt
    image: compos/format:v1
    command: [/usr/bin/format, -partition, gpt, -label, gdata]
  - {{name: format-none, image: "compos/format:v1", command: [/usr/bin/format, -label, none]}}
  - {{name: mount-words, image: "compos/mount:v1", command: [/usr/bin/mountie, -label, words, /var/words]}}
  - {{name: mount-xfs, image: "compos/mount:v1", command: [/usr/bin/mountie, -label, xdata, /var/xdata]}}
  - {{name: mount-btrfs, image: "compos/mount:v1", command: [/usr/bin/mountie, --label=bdata, /var/bdata]}}
  - {{name: extend, image: "compos/extend:v1", command: [/usr/bin/extend, -stop-on-error=false]}}
  - {{name: mount-first, image: "compos/mount:v1", command: [/usr/bin/mountie, /var/gdata]}}
"""

NAMES = f"""{HEAD}
onboot:
  - {{name: format, image: "compos/format:v1", command: [/usr/bin/format, /dev/sda]}}
  - {{name: occupied, image: "compos/format:v1", command: [/usr/bin/format, -type, xfs, /dev/sda]}}
  - {{name: mount, image: "compos/mount:v1", command: [/usr/bin/mountie, /dev/sda1, /var/ext4]}}
  - name: busy
    image: compos/format:v1
    command: [/usr/bin/format, -type, xfs, -force, /dev/sda]
  - name: unmount
    image: compos/busybox:v1
    command: [/bin/umount, /var/ext4]
    binds: ["/var:/var:rw,rshared"]
    capabilities: [all]
    rootfsPropagation: shared
  - name: force
    image: compos/format:v1
    command: [/usr/bin/format, -type, xfs, -partition, gpt, -force, /dev/sda]
  - name: mount-again
    image: compos/mount:v1
    command: [/usr/bin/mountie, -device, /dev/sda1, /var/xfs]
"""

GROWN = 640
"""MiB of a disk at its second boot."""

POINTS = {"words": "ext4", "xdata": "xfs", "bdata": "btrfs", "gdata": "ext4"}


def blank(path: Path, mib: int) -> Path:
    with path.open("wb") as image:
        image.truncate(mib << 20)
    return path


def disks(paths: list[Path]) -> list[str]:
    return [word for path in paths for word in ("--disk", f"file={path},format=raw")]


def digest(path: Path) -> str:
    command = ["sha256sum", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


def verify_table(path: Path) -> None:
    command = ["sfdisk", "--verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "No errors detected" in done.stdout + done.stderr


def test_files_stay_over_two_boots(built: Callable[[str], Path], tmp_path: Path) -> None:
    ours = [blank(tmp_path / f"blank{number}.img", 320) for number in range(4)]
    others = [blank(tmp_path / "mine.img", 64), blank(tmp_path / "unknown.img", 64)]
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "mine", others[0]], check=True)
    with others[1].open("r+b") as image:
        image.write(b"somebody's database" * 1000)
    before = [digest(path) for path in others]
    prefix = built(LABELS)
    options = ("--state", str(tmp_path / "state"), *disks(ours + others))
    with Guest(prefix, *options, log=tmp_path / "first.log") as guest:
        guest.prompt()
        text = guest.text()
        for held in ('an ext4 file system labelled "mine"', "data of an unknown kind"):
            assert re.search(rf"format: /dev/sd. holds {held}; nothing is changed", text)
        assert "format: No eligible disks found" in text
        mounts = guest.run("cat /proc/1/mounts")
        for point, kind in POINTS.items():
            assert re.search(rf"/dev/sd.1 /var/{point} {kind} rw", mounts), mounts
            guest.run(f"echo kept in {point} > /proc/1/root/var/{point}/file")
        assert (
            len(re.findall(r"-> ../../sd.1\s", guest.run("ls -l /proc/1/root/dev/disk/by-uuid")))
            == 4
        )
        assert guest.power_off() == 0
    for path in ours:
        verify_table(path)
        os.truncate(path, GROWN << 20)
    with Guest(prefix, *options, log=tmp_path / "second.log") as guest:
        guest.prompt()
        for point in POINTS:
            assert f"kept in {point}" in guest.run(f"cat /proc/1/root/var/{point}/file")
            answer = guest.run(f"stat -f -c 'blocks %b %S' /proc/1/root/var/{point}")
            size = re.search(r"blocks (\d+) (\d+)\s", answer)
            assert size, answer
            assert int(size[1]) * int(size[2]) > 0.85 * GROWN * (1 << 20), point
        text = guest.text()
        assert text.count("is formatted already") == 4
        assert text.index("mounted on /var/bdata") < text.index("MiB, it had"), "it grew mounted"
        assert guest.power_off() == 0
    for path in ours:
        verify_table(path)
    assert [digest(path) for path in others] == before


def test_a_named_disk_is_kept_unless_forced(built: Callable[[str], Path], tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk.img", 320)
    options = ("--state", str(tmp_path / "state"), *disks([disk]))
    with Guest(built(NAMES), *options, log=tmp_path / "console.log") as guest:
        guest.prompt()
        text = guest.text()
        assert "holds an ext4 file system in an MBR partition; nothing is changed" in text
        assert "format: /dev/sda is in use; nothing is changed" in text
        assert re.search(r"onboot 003-busy failed", text)
        assert re.search(r"/dev/sda1 /var/xfs xfs rw", guest.run("cat /proc/1/mounts"))
        assert guest.power_off() == 0
    verify_table(disk)
    listing = subprocess.run(
        ["sfdisk", "-d", disk], capture_output=True, text=True, check=True
    ).stdout
    assert "label: gpt" in listing
    assert "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4" in listing


KEY = "0123456789abcdef0123456789abcdef"

# The key file is `key`, or below /etc/dm-crypt, or anywhere.
CRYPT = f"""{HEAD}
onboot:
  - name: plain
    image: compos/dm-crypt:v1
    command: [/usr/bin/crypto, plain, /dev/sda1]
    timeout: 100s
  - name: luks
    image: compos/dm-crypt:v1
    command: [/usr/bin/crypto, -l, -k, /keys/other, luks, /dev/sda2]
    binds: ["/dev:/dev", "/etc/keys:/keys"]
    timeout: 100s
  - {{name: table, image: "compos/dm-crypt:v1", command: [/usr/bin/crypto, -l, table, /dev/sda3]}}
  - {{name: plain-table, image: "compos/dm-crypt:v1", command: [/usr/bin/crypto, table, /dev/sda3]}}
  - {{name: used, image: "compos/dm-crypt:v1", command: [/usr/bin/crypto, used, /dev/sda4]}}
  - name: mount-plain
    image: compos/mount:v1
    command: [/usr/bin/mountie, /dev/mapper/plain, /var/plain]
  - name: mount-luks
    image: compos/mount:v1
    command: [/usr/bin/mountie, /dev/mapper/luks, /var/luks]
files:
  - {{path: etc/dm-crypt/key, contents: "{KEY}", mode: "0600"}}
  - {{path: etc/keys/other, contents: "another key", mode: "0600"}}
"""


def encrypted_disk(path: Path) -> Path:
    """Four partitions on one disk (the kernel names several disks in any order): as `format` makes
    it, with a file system that nobody has used; blank; with a partition table over such a file
    system; with one that has a file."""
    table = "label: gpt\n2048,131072\n,131072\n,65536\n,65536\n"
    subprocess.run(["sfdisk", "-q", blank(path, 224)], input=table, text=True, check=True)
    files = path.with_name("files")
    files.mkdir()
    (files / "diary").write_text("kept")
    for mib, size, options in ((1, "64M", ""), (129, "32M", ""), (161, "32M", f"-d {files}")):
        words = [*options.split(), "-E", f"offset={mib << 20}", str(path), size]
        subprocess.run(["mke2fs", "-q", "-t", "ext4", *words], check=True)
    with path.open("r+b") as disk:
        disk.seek((129 << 20) + 446)
        disk.write(struct.pack("<4xB3xII48x", 0x83, 64, 65000) + b"\x55\xaa")
    return path


def foreign(disk: Path) -> bytes:
    """What nobody asked to encrypt."""
    return disk.read_bytes()[129 << 20 : 193 << 20]


def expect_encrypted(guest: Guest) -> None:
    guest.prompt()
    assert "/dev/sda3: holds an unused file system and something else" in guest.text()
    assert "/dev/sda3: holds nothing that this key makes readable" in guest.text()
    assert "/dev/sda4: holds an ext4 file system; nothing is changed" in guest.text()
    mounts = guest.run("cat /proc/1/mounts")
    for point in ("plain", "luks"):
        assert re.search(rf" /var/{point} ext4 rw", mounts), guest.text()[-5000:]


@pytest.mark.wide
def test_encrypted_disks(built: Callable[[str], Path], tmp_path: Path) -> None:
    disk = encrypted_disk(tmp_path / "disk.img")
    others = foreign(disk)
    options = ("--state", str(tmp_path / "state"), *disks([disk]))
    prefix = built(CRYPT)
    with Guest(prefix, *options, log=tmp_path / "first.log") as guest:
        expect_encrypted(guest)
        for point in ("plain", "luks"):
            guest.run(f"echo kept in {point} > /proc/1/root/var/{point}/file")
        assert guest.power_off() == 0
    assert b"kept in" not in disk.read_bytes()
    assert foreign(disk) == others
    with Guest(prefix, *options, log=tmp_path / "second.log") as guest:
        expect_encrypted(guest)
        for point in ("plain", "luks"):
            assert f"kept in {point}" in guest.run(f"cat /proc/1/root/var/{point}/file")
        assert guest.power_off() == 0
    before = digest(disk)
    other = built(CRYPT.replace(KEY, KEY[::-1]).replace("another key", "no such key"))
    with Guest(other, *options, log=tmp_path / "wrong.log") as guest:
        guest.prompt()
        text = guest.text()
        assert "/dev/sda1: holds nothing that this key makes readable; nothing is changed" in text
        assert "/dev/sda2: cryptsetup: exit status 2: No key available" in text
        assert guest.power_off() == 0
    swapped = built(
        CRYPT.replace("plain, /dev/sda1", "plain, /dev/sda2").replace(
            "luks, /dev/sda2]", "luks, /dev/sda1]"
        )
    )
    with Guest(swapped, *options, log=tmp_path / "swapped.log") as guest:
        guest.prompt()
        text = guest.text()
        assert "/dev/sda2: holds a LUKS2 volume; nothing is changed" in text
        assert "/dev/sda1: holds data of an unknown kind; nothing is changed" in text
        assert guest.power_off() == 0
    assert digest(disk) == before
