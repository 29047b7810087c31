"""Machines that are asked what they have started, one boot a case: `make sealed-boots`.

One machine is enrolled; each case gets a copy of its TPM and its firmware's variables, and starts
something else.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from compos.api.keys import new_keys
from compos.api.quote import EnrolOptions, enrol, verify_machine
from compos.boot.appraisal import Appraisal
from compos.cli.main import main
from compos.cli.quote import quote
from compos.errors import AttestationError, NetworkError
from tests.boot.conftest import ROOT
from tests.boot.sealed import Machine
from tests.guest import COMPOS, Guest, free_port

Answer = TypeVar("Answer")

SYSTEM = """
kernel: {{image: compos/kernel:v1, cmdline: "console=ttyS0 quiet {cmdline}", modules: auto}}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]
services:
  - {{name: attest, image: compos/attest:v1}}
"""


def build(folder: Path, keys: Path, cmdline: str = "") -> Path:
    """A disk; beside it, what is expected of it."""
    source, image = folder / "os.yml", folder / "os-efi.img"
    source.write_text(SYSTEM.format(cmdline=cmdline))
    options = ["-f", "raw-efi", "--keys", str(keys), "--root", "erofs-verity"]
    assert main(["build", *options, "--dir", str(folder), str(source)]) == 0
    measured = subprocess.run(
        [*COMPOS, "measure", "--json", image], capture_output=True, check=True
    )
    image.with_suffix(".json").write_bytes(measured.stdout)
    return image


@contextmanager
def answering(machine: Machine, image: Path, log: Path, *options: str) -> Iterator[str]:
    """The URL of a guest's agent."""
    port = free_port()
    with machine.boot(image, log, "--publish", f"{port}:8440", *options) as guest:
        yield url_of(guest, port)


def url_of(guest: Guest, port: int) -> str:
    """When the agent answers, all services have been started."""
    guest.expect("services started", 300)
    return f"http://127.0.0.1:{port}"


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The address comes a moment after the services."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except NetworkError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def verified(url: str, file: Path, expected: list[Path]) -> Appraisal:
    return patiently(lambda: verify_machine(url, file, expected))


class Enrolled:
    def __init__(self, folder: Path, keys: Path, image: Path) -> None:
        self.folder = folder
        self.keys = keys
        self.image = image
        self.expected = image.with_suffix(".json")
        self.file = folder / "machine.json"

    def copy(self, folder: Path) -> Machine:
        ignored = shutil.ignore_patterns("*.sock", "*.pid", "*.qmp", "qmp*", "server")
        shutil.copytree(self.folder / "state", folder / "state", ignore=ignored)
        return Machine(folder / "state", self.keys)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    folder = tmp_path_factory.mktemp("enrolled")
    new_keys(folder / "keys")
    made = Enrolled(folder, folder / "keys", build(folder, folder / "keys"))
    with answering(Machine(folder / "state", made.keys), made.image, folder / "log") as url:
        patiently(lambda: enrol(url, made.file, EnrolOptions([made.expected])))
    return made


def test_the_unchanged_machine(enrolled: Enrolled, tmp_path: Path) -> None:
    with answering(enrolled.copy(tmp_path), enrolled.image, tmp_path / "log") as url:
        found = verified(url, enrolled.file, [enrolled.expected])
    assert found == Appraisal((), "ready")
    assert json.loads(enrolled.file.read_text())["firmware"][3]["pcr"] == 7


def test_another_version(enrolled: Enrolled, tmp_path: Path) -> None:
    """Signed with the same keys."""
    image = build(tmp_path, enrolled.keys, cmdline="init=/bin/sh")
    with answering(enrolled.copy(tmp_path), image, tmp_path / "log") as url:
        both = [enrolled.expected, image.with_suffix(".json")]
        assert verified(url, enrolled.file, both).differences == ()
        found = verified(url, enrolled.file, both[:1]).differences
    assert [one for one in found if one.startswith("PCR 4: the firmware has not started the unif")]
    assert [one for one in found if one.startswith("PCR 9: the command line is not the one")]
    assert "PCR 11: section .cmdline of the unified kernel image is not the expected one" in found
    assert not [one for one in found if one.startswith(("PCR 7", "PCR 12"))]


def test_a_command_line_from_outside(enrolled: Enrolled, tmp_path: Path) -> None:
    """The hypervisor gives it to systemd's stub, which takes it."""
    wrapper = tmp_path / "qemu"
    given = "type=11,value=io.systemd.stub.kernel-cmdline-extra=evil=1"
    wrapper.write_text(f'#!/bin/sh\nexec qemu-system-x86_64 "$@" -smbios {given}\n')
    wrapper.chmod(0o755)
    machine = enrolled.copy(tmp_path)
    with answering(machine, enrolled.image, tmp_path / "log", "--qemu", str(wrapper)) as url:
        found = verified(url, enrolled.file, [enrolled.expected]).differences
    assert "PCR 12: the machine was given the command line 'evil=1'" in found


def test_without_secure_boot(enrolled: Enrolled, tmp_path: Path) -> None:
    enrolled.copy(tmp_path)
    port = free_port()
    options = ["--uefi", "--tpm", "--state", str(tmp_path / "state")]
    options += ["--publish", f"{port}:8440"]
    with Guest(enrolled.image, *options, log=tmp_path / "log") as guest:
        found = verified(url_of(guest, port), enrolled.file, [enrolled.expected]).differences
        guest.process.terminate()
    assert "PCR 7: new: variable SecureBoot: off" in found
    assert "PCR 7: gone: variable SecureBoot: on" in found
    assert [one for one in found if re.match("PCR 7: gone: key that has signed", one)]


def test_another_tpm(enrolled: Enrolled, tmp_path: Path) -> None:
    machine = enrolled.copy(tmp_path)
    shutil.rmtree(machine.state / "tpm")
    with (
        answering(machine, enrolled.image, tmp_path / "log") as url,
        pytest.raises(AttestationError, match="has not signed it"),
    ):
        verified(url, enrolled.file, [enrolled.expected])


def test_the_commands_of_the_page() -> None:
    """They are those of this machine's life; their flags exist."""
    page = (ROOT / "docs/attestation.md").read_text()
    lines = [line.split()[1:] for line in re.findall(r"^compos .*$", page, re.MULTILINE)]
    assert [line[0] for line in lines] == ["build", "measure", "run", "quote", "quote", "quote"]
    for name, *arguments in [line[1:] for line in lines if line[0] == "quote"]:
        command = quote.commands[name]
        assert command.make_context(name, arguments).params["expected"]
