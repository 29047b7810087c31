"""A system without slots, all of it in memory: the next version is loaded into the kernel, and the
restart goes on with it, without firmware. After the restart that follows, it is what the disk has
again. Part of `make updates`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.updating import Updating, Workshop, serving

pytestmark = pytest.mark.xdist_group("boot-disks")

YAML = """
kernel:
  image: compos/kernel:v1
  cmdline: console=ttyS0 quiet cryptomgr.notests=1 compos.exec
  modules: [auto]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: shell
    image: compos/busybox:v1
    command: [/bin/sleep, "1000000"]
    pid: host
    capabilities: [all]
update:
  compatible: diskless
  version: {version}
  keyring: {keys}/update.crt
"""
FIRMWARE = "BdsDxe: starting"


def test_the_next_version_by_kexec(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, YAML, "--root", "initrd")
    disk = shop.build("1.0.0", "raw-efi,update")
    bundles = {"old": tmp_path / "keys" / "v1.0.0.raucb", "new": shop.build("1.1.0", "update")}
    bundles["stranger"] = shop.build("9.0.0", "update", shop.stranger())
    options = ("--mem", "2048")
    with (
        serving() as (server, port),
        Updating(disk, tmp_path / "state", *options, log=tmp_path / "console") as guest,
    ):
        for name, path in bundles.items():
            server.files[f"/{name}"] = path.read_bytes()
        guest.expect("services started", 900)
        assert guest.update("status")[1].startswith("version 1.0.0\nthe next restart starts this")
        for name, reason in (("stranger", "signature"), ("old", "installed")):
            assert reason in guest.update("now", f"http://10.0.2.2:{port}/{name}")[1]
        # What is taken last counts.
        status, said = guest.update("now", f"http://10.0.2.2:{port}/new")
        assert status == 0, said
        assert "goes on with version 1.1.0" in guest.update("status")[1]
        assert guest.update("back")[0] == 1
        starts = guest.text().count(FIRMWARE)
        guest.shell("kill -TERM 1")
        guest.expect("reboot: shutting down", 300)
        guest.expect("services started", 900)
        assert guest.text().count(FIRMWARE) == starts
        assert guest.update("status")[1].startswith("version 1.1.0\n")
        assert "is older" in guest.update("now", f"http://10.0.2.2:{port}/old")[1]
        guest.shell("kill -TERM 1")
        guest.expect(FIRMWARE, 300)
        guest.expect("services started", 900)
        assert guest.update("status")[1].startswith("version 1.0.0\n")
