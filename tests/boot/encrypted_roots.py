"""Slots whose roots are encrypted: an installer out of the box makes them, the machine opens them by
itself, updates are written through them; elsewhere, or changed, they stay closed: `make
encrypted-roots`. One machine is installed; each case gets a copy of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from compos.api.keys import exchange_pcr_key, new_keys
from compos.cli.main import main
from compos.run.firmware import SECURE, SHARE
from tests.boot.power.cuts import copy
from tests.boot.sealed import RECOVERY, STARTED, Machine
from tests.boot.sealed_boots import ignored
from tests.boot.test_installer import disk
from tests.guest import Guest
from tests.output.test_verified_disks import part, partitions

pytestmark = pytest.mark.boot

MIB = 1 << 20
BOOT, SYSTEM = 64, 48
"""Sizes of a slot's partitions, in MiB."""
CLOSED = "the TPM does not open it"
ASKED = "Recovery key of the root: "
YAML = """
secure: true
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 quiet no_timer_check"
  modules: auto
init: [compos/init:v1, compos/crun:v1]
slots: {{boot: 64m, system: 48m, timeout: 240s, encrypt: tpm{slots}}}
install: {{disk: smallest, unattended: true, then: poweroff{install}}}
files:
  - {{path: etc/compos/version, contents: "{version}\\n"}}
  - {{path: etc/secret, contents: "the software is nobody's business\\n"}}
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
    devices: [{{path: all, type: a}}]
"""


def build(
    folder: Path,
    keys: Path,
    form: str,
    *,
    version: str = "1.0",
    slots: str = "",
    install: str = "",
) -> Path:
    """What `form` makes of the system."""
    folder.mkdir(exist_ok=True)
    source = folder / "os.yml"
    source.write_text(YAML.format(version=version, slots=slots, install=install))
    size = ["--size", "320M"] if form == "raw-efi" else []
    command = ["build", "-f", form, *size, "--keys", str(keys), "--dir", str(folder), str(source)]
    assert main(command) == 0
    return folder / ("os-efi.img" if form == "raw-efi" else "os-installer.iso")


class Installed:
    """A machine with an installed disk."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self.keys = keys
        self.disk = folder / "disk.img"
        self.recovery = ""

    def copy(self, folder: Path) -> tuple[Machine, Path]:
        """The same machine with the same disk."""
        copy(self.disk, folder / "disk.img")
        shutil.copytree(self.folder / "state", folder / "state", ignore=ignored)
        return Machine(folder / "state", self.keys), folder / "disk.img"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """From a machine out of the box: firmware in setup mode, an empty disk, a TPM."""
    folder = tmp_path_factory.mktemp("installed")
    keys = folder / "keys"
    new_keys(keys)
    made = Installed(folder, keys)
    (folder / "state").mkdir(mode=0o700)
    template = next(vars for _, vars in SECURE["x86_64"] if (SHARE / vars).is_file())
    shutil.copy(SHARE / template, folder / "state" / "efi-vars-secure.fd")
    iso = build(folder, keys, "installer")
    disk(made.disk, 320)
    drive = ("--iso", "--disk", f"file={made.disk},format=raw")
    with Machine(folder / "state", keys).boot(iso, folder / "installer.log", *drive) as guest:
        guest.expect("the installer starts again with Secure Boot on, and encrypts then", 600)
        guest.expect("the firmware has the key of this system, and enforces Secure Boot", 600)
        guest.expect("the roots are encrypted, and their keys sealed to this machine", 120)
        made.recovery = guest.expect(RECOVERY, 900)[1]
        guest.expect("os is installed on /dev/sd", 60)
        assert guest.process.wait(300) == 0
    return made


def require_started(machine: Machine, image: Path, log: Path) -> str:
    """It opens its root by itself; the console."""
    with machine.boot(image, log) as guest:
        guest.expect(STARTED, 600)
        guest.prompt()
        assert guest.power_off() == 0
    assert CLOSED not in guest.text()
    return guest.text()


def opens(volume: Path, secret: str) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(volume)]
    return subprocess.run(command, input=secret.encode(), check=False).returncode == 0


def test_what_is_on_the_disk(installed: Installed, tmp_path: Path) -> None:
    """Two volumes that the recovery key opens, and nothing of the root that can be read."""
    _, found = partitions(installed.disk)
    systems = [one for one in found if one["name"].startswith("system-")]
    assert [one["name"] for one in systems] == ["system-a", "system-b"]
    for one in systems:
        volume = part(installed.disk, one, "volume")
        assert opens(volume, installed.recovery)
        assert not opens(volume, "another")
        assert b"nobody's business" not in volume.read_bytes()
    plain = build(tmp_path / "plain", installed.keys, "raw-efi").read_bytes()
    assert b"nobody's business" in plain


def store(folder: Path, keys: Path, version: str) -> Path:
    """A disk without a table, with what an update of the system is."""
    image = build(folder / "update", keys, "raw-efi", version=version)
    _, found = partitions(image)
    made = disk(folder / "store.img", BOOT + SYSTEM)
    with made.open("r+b") as out:
        for at, size, name in ((0, BOOT, "boot-a"), (BOOT, SYSTEM - 1, "system-a")):
            (one,) = [one for one in found if one["name"] == name]
            out.seek(at * MIB)
            out.write(part(image, one, "part").read_bytes()[: size * MIB])
    return made


def write(guest: Guest) -> None:
    """In the running guest: what is on the other disk, into slot B through its encryption."""
    guest.prompt()
    device = "for d in /dev/sd?; do [ -e ${d}1 ] || break; done"
    copies = "dd bs=1M if=$d of=/dev/disk/by-partlabel"
    said = guest.run(
        f"{device}; {copies}/boot-b count={BOOT} && "
        f"{copies}/system-b skip={BOOT} count={SYSTEM - 1} && sync && "
        "slot set-primary B && echo written-$(slot get-primary)",
        240,
    )
    assert "written-B" in said, said


def with_update(installed: Installed, folder: Path, keys: Path) -> tuple[Machine, Path, list[str]]:
    machine, image = installed.copy(folder)
    made = store(folder, keys, "2.0")
    return machine, image, ["--disk", f"file={made},format=raw"]


def test_an_update_through_the_encryption(installed: Installed, tmp_path: Path) -> None:
    machine, image, more = with_update(installed, tmp_path, installed.keys)
    with machine.boot(image, tmp_path / "log", *more) as guest:
        guest.expect(STARTED, 600)
        guest.prompt()
        key = guest.run("cat /proc/1/root/proc/keys")
        assert "compos:system" not in key
        write(guest)
        guest.type("reboot\n")
        guest.expect("slots: slot B is on trial", 600)
        guest.expect("slots: slot B is good", 600)
        guest.prompt()
        assert "2.0" in guest.run("cat /proc/1/root/etc/compos/version").split()
        assert guest.power_off() == 0
    _, found = partitions(image)
    (one,) = [one for one in found if one["name"] == "system-b"]
    assert b"nobody's business" not in part(image, one, "b").read_bytes()
    require_started(machine, image, tmp_path / "again")


def test_an_update_that_may_not_open_its_root(installed: Installed, tmp_path: Path) -> None:
    """Another key has signed its PCR 11: the old version takes over, without a question."""
    keys, other = tmp_path / "keys", tmp_path / "other"
    shutil.copytree(installed.keys, keys)
    new_keys(other)
    for name in ("pcr.key", "pcr.pub"):
        shutil.copy(other / name, keys / name)
    machine, image, more = with_update(installed, tmp_path, keys)
    with machine.boot(image, tmp_path / "log", *more) as guest:
        guest.expect(STARTED, 600)
        write(guest)
        guest.type("reboot\n")
        guest.expect("PCR 11 is not signed by the key that it is sealed to", 600)
        guest.expect("starting the other slot", 60)
        guest.expect("slot B was tried and failed: it did not find its root", 600)
        guest.prompt()
        assert guest.power_off() == 0
    assert ASKED not in guest.text()


def test_versions_that_were_revoked(installed: Installed, tmp_path: Path) -> None:
    """The new version changes over to the new key when it is good, and not before."""
    keys = tmp_path / "keys"
    shutil.copytree(installed.keys, keys)
    exchange_pcr_key(keys)
    machine, image, more = with_update(installed, tmp_path, keys)
    moved = "sealed to the new key"
    with machine.boot(image, tmp_path / "log", *more) as guest:
        guest.expect(STARTED, 600)
        write(guest)
        guest.type("reboot\n")
        guest.expect("slots: slot B is good", 600)
        guest.prompt()
        assert guest.power_off() == 0
    assert moved not in guest.text()
    assert moved in require_started(machine, image, tmp_path / "second")
    assert moved not in require_started(machine, image, tmp_path / "third")


def test_the_disk_in_another_machine(installed: Installed, tmp_path: Path) -> None:
    """The recovery key opens it, and may seal it to that machine."""
    _, image = installed.copy(tmp_path)
    machine = Machine(tmp_path / "other", installed.keys)
    with machine.boot(image, tmp_path / "first") as guest:
        guest.expect(f"{CLOSED}: this is another TPM", 600)
        for number in range(3):
            guest.expect(ASKED, 60)
            guest.type(f"wrong{number}\n")
        guest.expect("root: it stays closed; the system is not started", 60)
    assert STARTED not in guest.text()
    with machine.boot(image, tmp_path / "second") as guest:
        guest.expect(ASKED, 600)
        guest.type(f"{installed.recovery}\n")
        guest.expect("Seal the key to the machine as it is now", 60)
        guest.type("yes\n")
        guest.expect("the key is sealed to the machine as it is now", 60)
        guest.expect(STARTED, 300)
        guest.prompt()
        assert guest.power_off() == 0
    assert installed.recovery not in guest.text()
    require_started(machine, image, tmp_path / "third")


def test_an_installer_without_secure_boot(installed: Installed, tmp_path: Path) -> None:
    """That of a machine whose owner enrols keys himself: it would seal to one that starts
    anything."""
    target = disk(tmp_path / "disk.img", 320)
    before = target.read_bytes()
    drive = ("--iso", "--disk", f"file={target},format=raw")
    options = ("--uefi", "--tpm", "--state", str(tmp_path / "state"), *drive)
    iso = build(tmp_path, installed.keys, "installer", install=", enrol: false")
    with Guest(iso, *options, log=tmp_path / "log") as guest:
        guest.expect("Secure Boot is off, .* nothing is changed", 600)
    assert target.read_bytes() == before


def test_a_machine_that_halts(tmp_path: Path) -> None:
    """Without a recovery key nobody is asked."""
    keys, state = tmp_path / "keys", tmp_path / "state"
    new_keys(keys)
    iso = build(tmp_path, keys, "installer", slots=", recovery: false")
    target = disk(tmp_path / "disk.img", 320)
    drive = ("--iso", "--disk", f"file={target},format=raw")
    with Machine(state, keys).boot(iso, tmp_path / "installer.log", *drive) as guest:
        guest.expect("os is installed on /dev/sd", 900)
        assert guest.process.wait(300) == 0
    assert "recovery key" not in guest.text()
    with Machine(tmp_path / "other", keys).boot(target, tmp_path / "log") as guest:
        guest.expect("root: it stays closed; the system is not started", 600)
    assert ASKED not in guest.text()
    require_started(Machine(state, keys), target, tmp_path / "again")
