"""Installers in guests: alone, by a rule that has three disks to choose from, under UEFI; and by
hand at the console of a BIOS. What they have installed is started and serves its page. With Secure
Boot: `make installs`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-disks")]

MIB = 1 << 20
YAML = """
kernel:
  image: compos/kernel:v1
  cmdline: console=ttyS0 quiet cryptomgr.notests=1
  modules: [auto]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: web
    image: compos/nginx:v1
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
"""
UNATTENDED = """slots: {}
install: {disk: smallest, min_size: 300m, unattended: true, then: poweroff}
"""


def build(folder: Path, yaml: str, *options: str) -> Path:
    (folder / "os.yml").write_text(yaml)
    assert main(["build", "--dir", str(folder), *options, str(folder / "os.yml")]) == 0
    return folder / "os"


def disk(path: Path, size: int) -> Path:
    """A blank one of `size` MiB."""
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), size * MIB)
    return path


def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_page(image: Path, folder: Path, *options: str) -> None:
    """The installed disk, alone in the machine, starts and serves."""
    port = free_port()
    publish = ("--publish", f"{port}:80")
    with Guest(image, *options, *publish, log=folder / "installed.log"):
        assert "nginx" in fetch(port, 900)


@pytest.mark.wide
def test_a_rule_takes_the_right_disk(tmp_path: Path) -> None:
    """The smallest one is too small, and the next one has data on it."""
    root = ("--root", "erofs-verity-appended")
    iso = build(tmp_path, YAML + UNATTENDED, "-f", "installer", *root)
    disks = [disk(tmp_path / f"{size}.img", size) for size in (600, 64, 301, 400)]
    with disks[2].open("r+b") as stream:
        stream.seek(301 * MIB - 4096)
        stream.write(b"a database")
    before = [digest(one) for one in disks]
    drives = [word for one in disks for word in ("--disk", f"file={one},format=raw")]
    log = tmp_path / "console.log"
    image = iso.with_name("os-installer.iso")
    with Guest(image, "--uefi", "--iso", *drives, log=log) as guest:
        guest.expect("301 MiB", 900)
        guest.expect("holds data of an unknown kind")
        guest.expect("is chosen .smallest.: .* 400 MiB; it holds nothing")
        guest.expect("os is installed on /dev/sd", 900)
        assert guest.process.wait(300) == 0
    assert [digest(one) for one in disks[:3]] == before[:3]
    build(tmp_path, YAML + UNATTENDED, "-f", "raw", "--size", "400M", *root)
    same = subprocess.run(["cmp", disks[3], tmp_path / "os.img"], check=False)
    assert same.returncode == 0
    require_page(disks[3], tmp_path, "--uefi", "--state", str(tmp_path / "state"))
    shutil.rmtree(tmp_path)


def test_by_hand(tmp_path: Path) -> None:
    """Under a BIOS: a disk with data is taken by whoever types its name."""
    iso = build(tmp_path, YAML, "-f", "installer").with_name("os-installer.iso")
    target = disk(tmp_path / "disk.img", 200)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "mine", target], check=True)
    drive = ("--disk", f"file={target},format=raw")
    with Guest(iso, "--iso", *drive, log=tmp_path / "console.log") as guest:
        guest.expect(
            "1  /dev/sda: QEMU HARDDISK, serial \\w+, 200 MiB\\s+installer: +holds an ext4 "
            'file system labelled "mine"',
            240,
        )
        guest.expect("number of the disk")
        guest.type("7\n")
        guest.expect("7 is not the number of a disk")
        guest.expect("number of the disk")
        guest.type("1\n")
        guest.expect("ALL DATA ON /dev/sda WILL BE LOST")
        guest.expect("type sda to install")
        guest.type("yes\n")
        guest.expect("nothing is changed")
        guest.expect("number of the disk")
        guest.type("1\n")
        guest.expect("type sda to install")
        guest.type("sda\n")
        guest.expect("os is installed on /dev/sda", 900)
        guest.expect("not from the installer; it starts again when you press Enter")
    require_page(target, tmp_path)
    shutil.rmtree(tmp_path)
