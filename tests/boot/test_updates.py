"""A machine that updates itself: it streams version 1.1.0 from a registry into its slot B, starts
it, and stays with it. What a stranger has signed and what is older it refuses. `make updates` tries
the other sources, and what goes wrong on the way (update_sources.py).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.boot.conftest import ROOT
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
slots: {{boot: 32m, system: 128m}}
update:
  compatible: gateway
  version: {version}
  keyring: {keys}/update.crt
  source: oci+http://10.0.2.2:{registry}/acme/gateway:stable
  every: 1m
  restart: true
"""


@pytest.mark.wide
def test_a_machine_updates_itself(tmp_path: Path, docker_registry: Callable[[], str]) -> None:
    registry = docker_registry()
    workshop = Workshop(tmp_path, YAML, "--size", "512M", registry=registry.rpartition(":")[2])
    disk = workshop.build("1.0.0", "raw-efi,update")
    new = workshop.build("1.1.0", "update")
    name = f"{registry}/acme/gateway:stable"
    assert main(["push", "registry", "--img-name", name, str(new)]) == 0
    with (
        serving() as (server, port),
        Updating(disk, tmp_path / "state", log=tmp_path / "console") as guest,
    ):
        server.files["/old"] = (tmp_path / "keys" / "v1.0.0.raucb").read_bytes()
        stranger = workshop.build("1.2.0", "update", workshop.stranger())
        server.files["/stranger"] = stranger.read_bytes()
        guest.expect("slots: slot A is good", 900)
        guest.expect("slots: slot B is on trial", 900)
        guest.expect("slots: slot B is good", 900)
        assert "version 1.1.0" in guest.update("status")[1]
        for path, reason in (("old", "the update is older: 1.0.0"), ("stranger", "signature")):
            status, said = guest.update("now", f"http://10.0.2.2:{port}/{path}")
            assert status == 1
            assert reason in said
        # The second one replaces what firmware has kept since the machine was started.
        server.files["/same"] = new.read_bytes()
        status, said = guest.update("now", f"http://10.0.2.2:{port}/same")
        assert status == 0, said


def test_the_example(tmp_path: Path) -> None:
    """`make appliance`: a page of one version, and after a while that of the next one."""
    program = ROOT / "examples" / "appliance" / "appliance.py"
    line = [sys.executable, str(program), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "console.log").read_text()
    assert "the machine serves version 1.1.0" in done.stdout
