"""A data partition that only this machine opens: the first boot seals, the second opens by itself,
nobody unseals once the system runs, and a TPM that was cleared needs the recovery key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from tests.boot.conftest import ROOT
from tests.boot.sealed import (
    ASKED,
    OPENED,
    RECOVERY,
    STARTED,
    Machine,
    build,
    in_root,
)

pytestmark = pytest.mark.xdist_group("boot-disks")

LATE = """
  - name: late
    image: compos/data-partition:v1
    net: host
    capabilities: [all]
    binds: ["/dev:/dev", "/var:/var", "/run/systemd:/run/systemd", "/sys/firmware:/firmware"]
    devices: [{path: all, type: a}]
    command: [/usr/bin/data-partition, -encrypt, /var/lib/late]
"""
"""Root in the running system, with what the data partition was opened by."""


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """docs/secure.md; its virtual machine is the one below."""
    page = (ROOT / "docs/secure.md").read_text()
    system = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    kernel = "kernel: {image: compos/kernel:v1, cmdline: console=ttyS0, modules: auto}\n"
    (tmp_path / "os.yml").write_text(kernel + system)
    make, start, old, *_ = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for line in make.splitlines():
        command = line.replace("compos ", f"{sys.executable} -m compos ", 1)
        subprocess.run(["sh", "-ec", command], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "os-efi.img").stat().st_size == 1 << 30
    assert start == "compos run qemu --secure-boot keys --tpm os-efi.img\n"
    assert old == start.replace("--tpm", "--tpm12")


def test_a_life(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, more=LATE)
    machine = Machine(tmp_path / "state", keys)
    with machine.boot(image, tmp_path / "console") as guest:
        guest.expect("sealing a new key to this machine", 240)
        recovery = guest.expect(RECOVERY)[1]
        guest.expect(OPENED)
        guest.expect(STARTED)
        guest.prompt()
        assert "ext4" in guest.run(in_root("mount | grep /var/lib/data"))
        guest.run(in_root("sh -c 'echo kept > /var/lib/data/file; sync'"))
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        # Nobody unseals now, and no log has the recovery key.
        late = guest.run(in_root("sh -c 'sleep 5; cat /var/log/late.log /var/log/late.out.log'"))
        assert "PCR 11 is not signed by the key that it is sealed to" in late
        found = guest.run(in_root(f"grep -rc {recovery[:8]} /run/log /var/log"))
        assert not [line for line in found.splitlines() if ":" in line and ":0" not in line]
        guest.type("reboot\n")

        guest.expect(OPENED, 240)
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0
    assert guest.text().count(recovery) == 1, "shown once"

    machine.clear_tpm()
    with machine.boot(image, tmp_path / "cleared") as guest:
        guest.expect("the TPM does not open it", 240)
        guest.expect("this is another TPM, or it was cleared")
        for answer in ("password", recovery):
            guest.expect(ASKED)
            guest.type(f"{answer}\n")
        guest.expect("Seal the key to the machine as it is now")
        guest.type("yes\n")
        guest.expect("sealed to the machine as it is now")
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        guest.type("reboot\n")

        guest.expect(OPENED, 240)
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0
    assert recovery not in guest.text(), "what is typed is not shown"
