"""A system that makes a bootable disk of another one, which then boots from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-disks")]

SYSTEM = """
kernel: {image: "compos/kernel:v1", cmdline: "console=ttyS0 panic=-1", modules: auto}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - ENTRY
  - {name: poweroff, image: "compos/poweroff:v1", command: [/bin/sh, /poweroff.sh, "0"]}
"""
MAKER = SYSTEM.replace(
    "ENTRY",
    "{name: mkimage, image: compos/mkimage:v1}\n  - {name: again, image: compos/mkimage:v1}",
)
MADE = SYSTEM.replace(
    "ENTRY", '{name: hello, image: "compos/busybox:v1", command: [/bin/echo, made inside]}'
)


@pytest.mark.wide
def test_a_disk_made_in_a_guest_boots(tmp_path: Path) -> None:
    for name, text in (("maker", MAKER), ("made", MADE)):
        source = tmp_path / f"{name}.yml"
        source.write_text(text)
        kind = "kernel+initrd" if name == "maker" else "tar-kernel-initrd"
        assert main(["build", "-q", "-f", kind, "--dir", str(tmp_path), str(source)]) == 0
    disk = tmp_path / "disk.qcow2"
    disks = ["--disk", f"{disk},size=512M,format=qcow2"]
    disks += ["--disk", f"file={tmp_path}/made-initrd.tar,format=raw"]
    state = ["--state", str(tmp_path / "state")]
    with Guest(tmp_path / "maker", *disks, *state, log=tmp_path / "maker.log") as guest:
        assert guest.process.wait(120) == 0
        assert "boots what /dev/sd" in guest.text()
        assert "holds a vfat file system" in guest.text()
        assert "mkimage: no disk is blank" in guest.text(), "what is made stays"
    with Guest(disk, *state, log=tmp_path / "made.log") as guest:
        assert guest.process.wait(120) == 0
        assert "compos: loading " in guest.text()
        assert "made inside" in guest.text()
