"""A system with a TPM: after its boot the PCRs are those that `compos measure` expects, with the
root in memory and on the medium."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.api.quote import EnrolOptions, enrol, verify_machine
from compos.cli.main import main
from tests.boot.conftest import ROOT
from tests.guest import Guest, free_port

pytestmark = pytest.mark.xdist_group("boot-disks")

SYSTEM = """
kernel: {image: compos/kernel:v1, cmdline: console=ttyS0 quiet, modules: auto}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: early
    image: compos/busybox:v1
    binds: [/sys:/sys]
    command: [/bin/sh, -c, "echo 11: 0x$(cat /sys/class/tpm/tpm0/pcr-sha256/11)"]
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]
services:
  - {name: attest, image: compos/attest:v1}
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
"""


@pytest.mark.parametrize("root", ["initrd", pytest.param("erofs", marks=pytest.mark.wide)])
def test_pcrs_are_the_expected_ones(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, disk = tmp_path / "measured.yml", tmp_path / "measured-efi.img"
    # In one of them the example, whose tools ask the TPM.
    example = (ROOT / "examples" / "tpm.yml").read_text()
    source.write_text(example if root == "initrd" else SYSTEM)
    keys = tmp_path / "keys"
    new_keys(keys)
    options = ["-f", "raw-efi", "--root", root, "--keys", str(keys), "--dir", str(tmp_path)]
    assert main(["build", *options, str(source)]) == 0
    capsys.readouterr()
    assert main(["measure", "--json", str(disk)]) == 0
    (tmp_path / "expected.json").write_text(capsys.readouterr().out)
    expected = {
        one["pcr"]: one for one in json.loads((tmp_path / "expected.json").read_text())["pcrs"]
    }
    port = free_port()
    phases = expected[11]["phases"]
    options = ["--uefi", "--tpm", "--publish", f"{port}:8440"]
    with Guest(disk, *options, log=tmp_path / "console") as guest:
        early = guest.expect(r"11: ?0x([0-9A-F]{64})", 180)
        assert early[1].lower() == phases["sysinit"]
        guest.prompt()
        script = "for i in 4 9 11 12; do echo $i $(cat /sys/class/tpm/tpm0/pcr-sha256/$i); done"
        seen = {
            int(number): value.lower()
            for number, value in re.findall(r"(\d+) ([0-9A-F]{64})", guest.run(script))
        }
        # Where systemd's programs look for what the image has in its sections.
        policies = guest.run("cat /run/systemd/tpm2-pcr-signature.json; echo")
        key = guest.run("cat /run/systemd/tpm2-pcr-public-key.pem")
        log = guest.run("base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements; echo", 90)
        if root == "erofs":
            require_attested(f"http://127.0.0.1:{port}", tmp_path)
        assert guest.power_off() == 0
    (signed,) = json.loads(re.findall(r"\{.*\}", policies)[-1])["sha256"]
    expected_policy = {"phase": "enter-initrd", "policy": signed["pol"], "key": signed["pkfp"]}
    assert expected[11]["signed"] == [expected_policy]
    lines = (keys / "pcr.pub").read_text().splitlines()
    assert [line.strip() for line in key.splitlines() if line.strip() in lines] == lines
    # Firmware may have tried other boot options before.
    attempts = {one["sha256"] for one in expected[4]["attempts"] if not one["secure_boot"]}
    assert seen.pop(4) in attempts
    program = bytes.fromhex(expected[4]["events"][-1]["sha256"])
    assert program in base64.b64decode(max(re.findall("[A-Za-z0-9+/=]+", log), key=len))
    assert seen == {
        9: expected[9]["sha256"],
        11: phases["ready"],
        12: expected[12]["sha256"],
    }


def require_attested(url: str, folder: Path) -> None:
    """The agent says the same, with the log of a real firmware, which has measured the kernel in
    the image by itself: it does so without Secure Boot, and it is a kernel that is expected."""
    machine, expected = folder / "machine.json", folder / "expected.json"
    enrol(url, machine, EnrolOptions())
    found = verify_machine(url, machine, [expected])
    assert found.phase == "ready"
    assert not found.differences


def test_the_page_names_these_commands() -> None:
    page = (ROOT / "docs/measured-boot.md").read_text()
    commands = re.findall(r"```sh\n(.*?)\n```", page, re.DOTALL)
    assert commands == ["compos measure os-efi.img", "compos run qemu --uefi --tpm os-efi.img"]


def damaged(folder: Path, root: str) -> Path:
    """A disk whose root is of this kind, with a flipped bit of the file system: where nobody would
    notice it, in the name of the volume."""
    (folder / "verified.yml").write_text(SYSTEM)
    options = ["-f", "raw-efi", "--root", root, "--dir", str(folder)]
    assert main(["build", *options, str(folder / "verified.yml")]) == 0
    disk = folder / "verified-efi.img"
    data = bytearray(disk.read_bytes())
    superblock = data.index((0xE0F5E1E2).to_bytes(4, "little"), 2 << 20)
    data[superblock + 64] ^= 1
    disk.write_bytes(data)
    return disk


def test_a_verified_root_that_is_damaged(tmp_path: Path) -> None:
    with Guest(damaged(tmp_path, "erofs-verity"), "--uefi", log=tmp_path / "console") as guest:
        guest.expect("data block 0 is corrupted", 180)
        guest.expect("root: /dev/sda2: erofs: I/O error", 180)
        assert "verified" not in guest.text()


@pytest.mark.wide
def test_a_verified_root_that_is_repaired(tmp_path: Path) -> None:
    with Guest(damaged(tmp_path, "erofs-verity-fec"), "--uefi", log=tmp_path / "console") as guest:
        guest.expect("root: erofs on /dev/sda2, verified", 180)
        guest.prompt()
        assert "/dev/dm-0 " in guest.run("cat /proc/mounts")
        assert re.search("FEC [0-9:]+ corrected", guest.run("dmesg").replace(": c", " c"))
        assert guest.power_off() == 0
