"""A data partition that a TPM 1.2 opens: the first boot takes ownership and seals, the second opens
by itself, and the TPM refuses root in the running system. In `make wide`; `make sealed-boots` has
what else may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.api.keys import new_keys
from tests.boot.sealed import OPENED, RECOVERY, STARTED, Machine, build, in_root

pytestmark = pytest.mark.xdist_group("boot-disks")

AGAIN = """
  - name: late
    image: compos/data-partition:v1
    net: host
    capabilities: [all]
    binds: ["/dev:/dev", "/var:/var", "/run/systemd:/run/systemd", "/sys/firmware:/firmware"]
    devices: [{path: all, type: a}]
    command: [/usr/bin/data-partition, -encrypt, -tpm, "1.2", /var/lib/late]
"""
"""Root in the running system, with what the data partition was opened by."""


@pytest.mark.wide
def test_a_life(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, disk='tpm: "1.2"', more=AGAIN)
    machine = Machine(tmp_path / "state", keys, tpm="--tpm12")
    with machine.boot(image, tmp_path / "console") as guest:
        guest.expect("sealing a new key to this machine", 240)
        guest.expect("the TPM 1.2 has no owner: taking ownership")
        recovery = guest.expect(RECOVERY)[1]
        guest.expect(OPENED)
        guest.expect(STARTED)
        guest.prompt()
        guest.run(in_root("sh -c 'echo kept > /var/lib/data/file; sync'"))
        guest.type("reboot\n")

        guest.expect(OPENED, 240)
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        late = guest.run(in_root("sh -c 'sleep 5; cat /var/log/late.log /var/log/late.out.log'"))
        assert "PCRs are not what they were when the key was sealed" in late
        assert "PCR 11 is not what it was" in late
        assert guest.power_off() == 0
    assert guest.text().count(recovery) == 1, "shown once"
    assert ": TPM: error" not in guest.text()
