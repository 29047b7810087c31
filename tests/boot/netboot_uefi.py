"""UEFI HTTP boot from `compos serve`, with an empty disk and a config drive; `make matrix` runs it.
`make test` boots the same way by iPXE under a BIOS (docs/tutorials/netboot.md)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.boot.conftest import ROOT
from tests.docs.tutorial import TUTORIALS, File, steps
from tests.guest import COMPOS, Guest, free_port

pytestmark = pytest.mark.boot


@pytest.mark.parametrize("keys", [False, True], ids=["any", "secure-boot"])
def test_uefi_http_boot(tmp_path: Path, keys: bool) -> None:
    page = steps((TUTORIALS / "netboot.md").read_text())
    (system,) = (step for step in page if isinstance(step, File) and step.path == "netboot.yml")
    (tmp_path / "netboot.yml").write_text(system.contents)
    signed, enforced = [], []
    if keys:
        assert main(["keys", "new", str(tmp_path / "keys")]) == 0
        signed = ["--keys", str(tmp_path / "keys")]
        enforced = ["--secure-boot", str(tmp_path / "keys")]
    flags = ["-f", "uki", "--dir", str(tmp_path), *signed]
    assert main(["build", *flags, str(tmp_path / "netboot.yml")]) == 0
    drive = tmp_path / "drive.img"
    flags = ["--format", "fat", "--hostname", "by-openstack.example"]
    assert main(["metadata", "config-drive", str(drive), *flags]) == 0
    port = free_port()
    command = [*COMPOS, "serve", "--port", f"127.0.0.1:{port}", "--boot", str(tmp_path / "netboot")]
    options = ["--state", str(tmp_path / "state"), "--disk", "size=64M", *enforced]
    options += ["--disk", f"file={drive},format=raw"]
    url = f"http://localhost:{port}/boot.efi"
    with (tmp_path / "requests").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, cwd=ROOT)
    try:
        with Guest(url, *options, log=tmp_path / "console.log") as guest:
            guest.expect(r"services started \(1 of 1\)", 300)
            guest.prompt()
            assert "by-openstack" in guest.run("hostname")
            assert guest.power_off() == 0
    finally:
        server.terminate()
        server.wait()
    requests = (tmp_path / "requests").read_text().splitlines()[1:]
    assert set(requests) == {"HEAD /boot.efi", "GET /boot.efi"}
