"""What opens a sealed data partition, and what does not, one boot a case: `make sealed-boots`.

One machine seals once; each case gets a copy of its disk, its TPM and its firmware's variables, and
changes one thing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from compos.api.keys import exchange_pcr_key, new_keys, recover_keys
from tests.boot.power.cuts import copy
from tests.boot.sealed import ASKED, OPENED, RECOVERY, STARTED, Machine, build, in_root
from tests.escrow import Escrow, pair
from tests.guest import Guest

MIB = 1 << 20
REFUSED = "the TPM does not open it"
PIN = "13579"


class Sealed:
    """What the first boot left."""

    def __init__(self, folder: Path, keys: Path, image: Path, recovery: str) -> None:
        self.folder = folder
        self.keys = keys
        self.image = image
        self.recovery = recovery

    def copy(self, folder: Path, *, keys: Path | None = None) -> tuple[Machine, Path]:
        """The same machine with the same disk."""
        copy(self.image, folder / "disk-efi.img")
        shutil.copytree(self.folder / "state", folder / "state", ignore=ignored)
        return Machine(folder / "state", keys or self.keys), folder / "disk-efi.img"


def ignored(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket() or name.endswith(".pid")]


def first_boot(machine: Machine, image: Path, log: Path, *, starts: int = 1) -> str:
    """Seals, leaves a file behind, and gives the recovery key."""
    with machine.boot(image, log) as guest:
        if starts == 2:
            guest.expect("starting again, so that it is measured", 300)
        guest.expect("sealing a new key", 300)
        recovery = guest.expect(RECOVERY)[1]
        write(guest)
    return recovery


def write(guest: Guest) -> None:
    guest.expect(OPENED)
    guest.expect(STARTED)
    guest.prompt()
    guest.run(in_root("sh -c 'echo kept > /var/lib/data/file; sync'"))
    assert guest.power_off() == 0


def require_opened(machine: Machine, image: Path, log: Path) -> str:
    """It opens by itself, with what was left there; the console."""
    with machine.boot(image, log) as guest:
        guest.expect(OPENED, 300)
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        print(guest.run(in_root("df -m /var/lib/data")))
        assert guest.power_off() == 0
    assert REFUSED not in guest.text()
    return guest.text()


def require_refused(machine: Machine, image: Path, log: Path) -> str:
    """It does not open, and nothing is started; the console."""
    with machine.boot(image, log) as guest:
        guest.expect(REFUSED, 300)
        guest.expect(ASKED)
    assert STARTED not in guest.text()
    assert OPENED not in guest.text()
    return guest.text()


def install(image: Path, system: Path) -> None:
    """Another system over the one on the disk, table and all."""
    table = json.loads(
        subprocess.run(["sfdisk", "--json", str(image)], capture_output=True, check=True).stdout
    )
    (start,) = [
        one["start"] for one in table["partitiontable"]["partitions"] if one.get("name") == "data"
    ]
    with image.open("r+b") as target, system.open("rb") as source:
        target.write(source.read(start * 512))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    folder = tmp_path_factory.mktemp("sealed")
    keys = folder / "keys"
    new_keys(keys)
    image = build(folder, keys)
    recovery = first_boot(Machine(folder / "state", keys), image, folder / "console")
    return Sealed(folder, keys, image, recovery)


def test_the_unchanged_machine(sealed: Sealed, tmp_path: Path) -> None:
    require_opened(*sealed.copy(tmp_path), tmp_path / "log")


def test_an_update_signed_with_the_same_keys(sealed: Sealed, tmp_path: Path) -> None:
    machine, image = sealed.copy(tmp_path)
    install(image, build(tmp_path, sealed.keys, cmdline="version=2"))
    require_opened(machine, image, tmp_path / "log")


def test_an_update_signed_with_another_pcr_key(sealed: Sealed, tmp_path: Path) -> None:
    """Its Secure Boot key is the same."""
    machine, image = sealed.copy(tmp_path)
    shutil.copytree(sealed.keys, tmp_path / "keys")
    other = tmp_path / "other"
    new_keys(other)
    for name in ("pcr.key", "pcr.pub"):
        shutil.copy(other / name, tmp_path / "keys" / name)
    install(image, build(tmp_path, tmp_path / "keys"))
    console = require_refused(machine, image, tmp_path / "log")
    assert "not signed for this key" in console


def test_versions_that_were_revoked(sealed: Sealed, tmp_path: Path) -> None:
    """The next version changes over from the old key to the new one; the one after knows the new
    one alone; the first, whose Secure Boot key is still good, no longer opens the partition."""
    machine, image = sealed.copy(tmp_path)
    keys = tmp_path / "keys"
    shutil.copytree(sealed.keys, keys)
    exchange_pcr_key(keys)
    install(image, build(tmp_path, keys, cmdline="version=2"))
    moved = require_opened(machine, image, tmp_path / "second")
    assert "sealed to the new key" in moved
    for path in keys.glob("previous.*"):
        path.unlink()
    install(image, build(tmp_path, keys, cmdline="version=3"))
    assert "sealed to the new key" not in require_opened(machine, image, tmp_path / "third")
    (tmp_path / "first").mkdir()
    install(image, build(tmp_path / "first", sealed.keys))
    console = require_refused(machine, image, tmp_path / "fourth")
    assert "not signed for this key" in console


def test_an_update_without_a_signed_policy(sealed: Sealed, tmp_path: Path) -> None:
    machine, image = sealed.copy(tmp_path)
    shutil.copytree(sealed.keys, tmp_path / "keys")
    for name in ("pcr.key", "pcr.pub"):
        (tmp_path / "keys" / name).unlink()
    install(image, build(tmp_path, tmp_path / "keys", cmdline="init=/bin/sh"))
    console = require_refused(machine, image, tmp_path / "log")
    assert "PCR 11 is not what it was" in console


def test_other_keys_in_the_firmware(sealed: Sealed, tmp_path: Path) -> None:
    other = tmp_path / "keys"
    new_keys(other)
    for name in ("pcr.key", "pcr.pub"):
        shutil.copy(sealed.keys / name, other / name)
    machine, image = sealed.copy(tmp_path, keys=other)
    (machine.state / "efi-vars-secure.fd").unlink()
    install(image, build(tmp_path, other))
    console = require_refused(machine, image, tmp_path / "log")
    assert "PCR 7 is not what it was: Secure Boot" in console


def test_the_disk_in_another_machine(sealed: Sealed, tmp_path: Path) -> None:
    """With the same firmware and keys, but another TPM; its owner has the recovery key."""
    _, image = sealed.copy(tmp_path)
    machine = Machine(tmp_path / "other", sealed.keys)
    with machine.boot(image, tmp_path / "log") as guest:
        guest.expect(REFUSED, 300)
        guest.expect("this is another TPM")
        guest.expect(ASKED)
        guest.type(f"{sealed.recovery}\n")
        guest.expect("Seal the key to the machine as it is now")
        guest.type("no\n")
        guest.expect(OPENED)
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0


def test_a_machine_that_halts(sealed: Sealed, tmp_path: Path) -> None:
    _, image = sealed.copy(tmp_path)
    install(image, build(tmp_path, sealed.keys, disk="otherwise: halt"))
    with Machine(tmp_path / "other", sealed.keys).boot(image, tmp_path / "log") as guest:
        guest.expect("the system is not started", 300)
        guest.expect("System halted")
    assert ASKED not in guest.text()
    assert STARTED not in guest.text()


def test_three_wrong_recovery_keys(sealed: Sealed, tmp_path: Path) -> None:
    _, image = sealed.copy(tmp_path)
    with Machine(tmp_path / "other", sealed.keys).boot(image, tmp_path / "log") as guest:
        for number in range(3):
            guest.expect(ASKED, 300)
            guest.type(f"wrong{number}\n")
        guest.expect("System halted", 120)
    assert STARTED not in guest.text()


def test_a_command_line_from_outside(sealed: Sealed, tmp_path: Path) -> None:
    """Whoever can write SMBIOS gives it to systemd's stub, which takes it, signed or not."""
    machine, image = sealed.copy(tmp_path)
    wrapper = tmp_path / "qemu"
    given = "type=11,value=io.systemd.stub.kernel-cmdline-extra=init=/bin/sh"
    wrapper.write_text(f'#!/bin/sh\nexec qemu-system-x86_64 "$@" -smbios {given}\n')
    wrapper.chmod(0o755)
    with machine.boot(image, tmp_path / "log", "--qemu", str(wrapper)) as guest:
        guest.expect(REFUSED, 300)
        guest.expect("PCR 12 is not what it was")
        guest.expect(ASKED)
    assert OPENED not in guest.text()


def test_a_disk_that_has_grown(sealed: Sealed, tmp_path: Path) -> None:
    machine, image = sealed.copy(tmp_path)
    os.truncate(image, 512 * MIB)
    with machine.boot(image, tmp_path / "log") as guest:
        guest.expect(STARTED, 300)
        guest.prompt()
        found = guest.run(in_root("df -m /var/lib/data"))
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0
    assert int(found.split()[found.split().index("/dev/mapper/data") + 1]) > 380


def test_without_secure_boot(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys)
    options = ("--uefi", "--tpm", "--state", str(tmp_path / "state"))
    with Guest(image, *options, log=tmp_path / "log") as guest:
        guest.expect("Secure Boot is off", 300)
        guest.expect("System halted")


def first_boot_with_pin(machine: Machine, image: Path, log: Path) -> None:
    with machine.boot(image, log) as guest:
        for answer in ("1234", "4321", PIN, PIN):
            guest.expect("New PIN|The same PIN", 300)
            guest.type(f"{answer}\n")
        guest.expect(RECOVERY)
        write(guest)


def require_opened_by_pin(machine: Machine, image: Path, log: Path, *answers: str) -> str:
    """After these answers it opens, with what was left there; the console."""
    with machine.boot(image, log) as guest:
        for answer in answers:
            guest.expect("PIN of the data partition: ", 300)
            guest.type(f"{answer}\n")
        guest.expect(OPENED, 120)
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0
    assert PIN not in guest.text()
    return guest.text()


def test_a_pin(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, disk="pin: true")
    machine = Machine(tmp_path / "state", keys)
    first_boot_with_pin(machine, image, tmp_path / "first")
    console = require_opened_by_pin(machine, image, tmp_path / "second", "1234", PIN)
    assert "the PIN is not the right one" in console


def test_versions_that_were_revoked_with_a_pin(tmp_path: Path) -> None:
    """The PIN stays what it was."""
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, disk="pin: true")
    machine = Machine(tmp_path / "state", keys)
    first_boot_with_pin(machine, image, tmp_path / "first")
    (tmp_path / "new").mkdir()
    exchange_pcr_key(keys)
    install(image, build(tmp_path / "new", keys, disk="pin: true", cmdline="version=2"))
    moved = require_opened_by_pin(machine, image, tmp_path / "second", PIN)
    assert "sealed to the new key" in moved
    for path in keys.glob("previous.*"):
        path.unlink()
    install(image, build(tmp_path / "new", keys, disk="pin: true", cmdline="version=3"))
    last = require_opened_by_pin(machine, image, tmp_path / "third", PIN)
    assert "sealed to the new key" not in last


def test_strict(tmp_path: Path) -> None:
    """Firmware measures its boot order into PCR 1."""
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, disk="strict: true")
    machine = Machine(tmp_path / "state", keys)
    first_boot(machine, image, tmp_path / "first", starts=2)
    variable = "/sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    with machine.boot(image, tmp_path / "second") as guest:
        guest.expect(OPENED, 300)
        guest.expect(STARTED)
        guest.prompt()
        print(guest.run(in_root(f"od -An -tx1 {variable}")))
        words = r"\007\000\000\000\002\000\000\000\001\000"
        guest.run(in_root(f"sh -c \"printf '{words}' > /tmp/order; cat /tmp/order > {variable}\""))
        print(guest.run(in_root(f"od -An -tx1 {variable}")))
        assert guest.power_off() == 0
    console = require_refused(machine, image, tmp_path / "third")
    assert "PCR 1 is not what it was" in console


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_other_file_systems(kind: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, disk=f"filesystem: {kind}", size=768)
    machine = Machine(tmp_path / "state", keys)
    first_boot(machine, image, tmp_path / "first")
    require_opened(machine, image, tmp_path / "second")


def test_a_root_in_memory(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, root="initrd")
    machine = Machine(tmp_path / "state", keys)
    first_boot(machine, image, tmp_path / "first")
    require_opened(machine, image, tmp_path / "second")


NETWORK = """
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
"""


def test_a_recovery_key_in_escrow(tmp_path: Path) -> None:
    """It is not shown; its owner reads what the machine has sent, and opens the disk elsewhere."""
    private, public = pair(tmp_path)
    keys = tmp_path / "keys"
    new_keys(keys)
    with Escrow(403) as server:
        address = f"http://10.0.2.2:{server.port}/keys"
        disk = f"escrow: {{address: '{address}', key: {public}}}"
        image = build(tmp_path, keys, disk=disk, more=NETWORK)
        machine = Machine(tmp_path / "state", keys)
        with machine.boot(image, tmp_path / "log") as guest:
            guest.expect("its recovery key is in the envelope for the escrow", 300)
            deadline = time.monotonic() + 600
            while not server.taken and time.monotonic() < deadline:
                time.sleep(1)
            write(guest)
            console = guest.text()
        assert re.search(RECOVERY, console) is None
        (envelope,) = server.taken
        assert server.asked == 2
        # It is sent once.
        require_opened(machine, image, tmp_path / "again")
        assert server.asked == 2
    sent = tmp_path / "envelope.json"
    sent.write_bytes(envelope)
    (found,) = recover_keys(private, [sent])
    with Machine(tmp_path / "other", keys).boot(image, tmp_path / "elsewhere") as guest:
        guest.expect(ASKED, 300)
        guest.type(f"{found.key}\n")
        guest.expect("Seal the key to the machine as it is now")
        guest.type("no\n")
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0
