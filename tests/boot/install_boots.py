"""Installers that enrol keys and seal, those that come over the network, and what they install under
a BIOS taking an update, in guests: part of `make installs`. `make test` has those on a CD (test_installer.py)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.run.firmware import SECURE, SHARE
from tests.boot.conftest import ROOT
from tests.boot.sealed import OPENED, RECOVERY, SYSTEM
from tests.boot.slot_versions import TRIAL, Versions, boot
from tests.boot.slot_versions import YAML as SLOTS
from tests.boot.test_installer import YAML, build, disk, require_page
from tests.guest import COMPOS, Guest, free_port

pytestmark = pytest.mark.boot

UNATTENDED = "install: {disk: smallest, unattended: true, then: poweroff}\n"


@contextmanager
def started(image: Path, state: Path, log: Path, *options: str) -> Iterator[Guest]:
    """A machine with a TPM, switched off at the end."""
    given = ("--tpm", "--state", str(state), *options)
    with Guest(image, *given, log=log) as guest:
        try:
            yield guest
        finally:
            if guest.process.poll() is None:
                os.kill(int((state / "qemu.pid").read_text()), signal.SIGTERM)
                guest.process.wait(30)


def test_keys_are_enrolled_and_data_sealed(tmp_path: Path) -> None:
    """A machine out of the box: its firmware in setup mode, an empty disk, a TPM."""
    keys, state = tmp_path / "keys", tmp_path / "state"
    new_keys(keys)
    state.mkdir(mode=0o700)
    template = next(vars for _, vars in SECURE["x86_64"] if (SHARE / vars).is_file())
    shutil.copy(SHARE / template, state / "efi-vars-secure.fd")
    yaml = "secure: true\n" + SYSTEM.format(disk="", cmdline="", more=UNATTENDED)
    iso = build(tmp_path, yaml, "-f", "installer", "--keys", str(keys))
    target = disk(tmp_path / "disk.img", 512)
    secure = ("--secure-boot", str(keys))
    drive = ("--disk", f"file={target},format=raw")
    image = iso.with_name("os-installer.iso")
    with started(image, state, tmp_path / "installer.log", *secure, "--iso", *drive) as guest:
        guest.expect("firmware is in setup mode: the keys of this system are enrolled", 600)
        for name in ("db", "KEK", "PK"):
            guest.expect(f"firmware: {name} is enrolled", 120)
        guest.expect("enforces them from its next start")
        guest.expect("installing os on /dev/sd", 60)
        guest.expect("os is installed on /dev/sd", 900)
        assert guest.process.wait(300) == 0
    with started(target, state, tmp_path / "first.log", *secure) as guest:
        shown = guest.expect(RECOVERY, 900)
        guest.expect(OPENED, 300)
        guest.prompt()
        found = guest.run("od -An -tu1 /proc/1/root/sys/firmware/efi/efivars/SecureBoot-*")
        assert re.search(r"6 +0 +0 +0 +1", found)
        assert guest.power_off() == 0
        assert guest.text().count(shown[1]) == 1
    with started(target, state, tmp_path / "second.log", *secure) as guest:
        guest.expect(OPENED, 600)
        guest.prompt()
        assert guest.power_off() == 0
        assert not re.search(RECOVERY, guest.text())
    # The machine has the keys now: the installer has nothing to do to its firmware, and leaves a
    # disk with a system alone.
    with started(image, state, tmp_path / "again.log", *secure, "--iso", *drive) as guest:
        guest.expect("firmware has the key of this system, and enforces Secure Boot", 600)
        guest.expect("none of 1 disks can be taken by the rule smallest", 120)
    shutil.rmtree(tmp_path)


@contextmanager
def served(prefix: Path, log: Path) -> Iterator[str]:
    """The address of a server that machines boot from."""
    port = free_port()
    command = [*COMPOS, "serve", "--port", f"127.0.0.1:{port}", "--boot", str(prefix)]
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stderr=stream, cwd=ROOT)
    try:
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize("firmware", ["boot.efi", "boot.ipxe"])
def test_from_the_network(firmware: str, tmp_path: Path) -> None:
    """UEFI HTTP boot, and iPXE under a BIOS: an empty disk becomes the system."""
    prefix = build(tmp_path, YAML + UNATTENDED, "-f", "installer-netboot")
    target = disk(tmp_path / "disk.img", 200)
    drive = ("--disk", f"file={target},format=raw", "--state", str(tmp_path / "boot"))
    with (
        served(prefix.with_name("os-installer"), tmp_path / "requests") as url,
        Guest(f"{url}/{firmware}", *drive, log=tmp_path / "console.log") as guest,
    ):
        guest.expect("is chosen .smallest.: .* 200 MiB; it holds nothing", 600)
        guest.expect("os is installed on /dev/sda", 900)
        assert guest.process.wait(300) == 0
    uefi = ("--uefi",) if firmware == "boot.efi" else ()
    require_page(target, tmp_path, *uefi, "--state", str(tmp_path / "state"))
    shutil.rmtree(tmp_path)


def test_from_the_network_under_secure_boot(tmp_path: Path) -> None:
    """The signed program, in a machine that has the keys."""
    keys = tmp_path / "keys"
    new_keys(keys)
    yaml = "secure: true\n" + YAML + UNATTENDED
    prefix = build(tmp_path, yaml, "-f", "installer-netboot", "--keys", str(keys))
    target = disk(tmp_path / "disk.img", 200)
    drive = ("--disk", f"file={target},format=raw", "--state", str(tmp_path / "boot"))
    enforced = ("--secure-boot", str(keys))
    with (
        served(prefix.with_name("os-installer"), tmp_path / "requests") as url,
        Guest(f"{url}/boot.efi", *drive, *enforced, log=tmp_path / "console.log") as guest,
    ):
        guest.expect("firmware has the key of this system, and enforces Secure Boot", 600)
        guest.expect("os is installed on /dev/sda", 900)
        assert guest.process.wait(300) == 0
    require_page(target, tmp_path, *enforced, "--state", str(tmp_path / "state"))
    shutil.rmtree(tmp_path)


def test_what_a_bios_has_installed_takes_an_update(tmp_path: Path) -> None:
    """Version 2.0 is written into slot B, tried and kept."""
    versions = Versions(tmp_path, {"2.0": ""}, form="raw")
    yaml = SLOTS.format(seconds=TRIAL, version="1.0", more=UNATTENDED)
    iso = build(tmp_path, yaml, "-f", "installer", "--root", "erofs-verity-appended")
    target = disk(tmp_path / "disk.img", 320)
    drive = ("--disk", f"file={target},format=raw", "--state", str(tmp_path / "installer"))
    image = iso.with_name("os-installer.iso")
    with Guest(image, "--iso", *drive, log=tmp_path / "installer.log") as guest:
        guest.expect("os is installed on /dev/sda", 900)
        assert guest.process.wait(300) == 0
    versions.disk, versions.form = target, "raw-bios"
    with boot(versions) as running:
        running.expect("slots: slot A is good", 300)
        versions.write(running, "2.0")
        running.type("reboot\n")
        running.expect("slots: slot B is on trial", 300)
        running.expect("slots: slot B is good", 300)
        running.prompt()
        assert "B" in running.run("slot get-primary").split()
        assert "2.0" in running.run("cat /proc/1/root/etc/compos/version").split()
        assert running.power_off() == 0
    with boot(versions) as running:
        running.expect("services started", 300)
        running.prompt()
        assert "B" in running.run("slot get-current").split()
        assert running.power_off() == 0
    shutil.rmtree(tmp_path)
