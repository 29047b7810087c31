"""Keys of Secure Boot that an installer enrols: bricks/installer/src/firmware.c on a firmware that
is a folder (installer/firmware_driver.c). A real one: tests/boot/install_boots.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from compos.api.keys import new_keys
from tests.bricks.compiler import BRICKS, DRIVERS, SOURCES, compile_sources

pytestmark = pytest.mark.slow

NAMES = ("db", "KEK", "PK")
PARTS = ("disk/src/disk/bytes", "disk/src/disk/report", "installer/src/firmware")
BASE = ("base/files", "base/failure")


def certificate(keys: Path, role: str) -> bytes:
    """In DER."""
    pem = (keys / f"{role}.crt").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return folder


class Machine:
    """The keys on a medium, and the variables of a firmware, which is in setup mode."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.medium, self.variables = folder / "medium", folder / "variables"
        self.medium.mkdir()
        self.variables.mkdir()
        (self.medium / "db.der").write_bytes(certificate(keys, "db"))
        for name in NAMES:
            shutil.copy(keys / f"{name}.auth", self.medium)

    def install(self, status: int = 0, **environment: str) -> tuple[list[str], str]:
        """What the installer says, line by line, and why it ends."""
        sources = [DRIVERS / "installer/firmware_driver.c"]
        sources += [BRICKS / f"{part}.c" for part in PARTS]
        sources += [SOURCES / f"{part}.c" for part in BASE]
        includes = [f"-I{SOURCES}", f"-I{BRICKS}/disk/src", f"-I{BRICKS}/installer/src"]
        done = subprocess.run(
            [compile_sources("firmware", sources, includes), self.medium, self.variables],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        said = [line.removeprefix("installer: ") for line in done.stderr.splitlines()]
        return said, done.stdout.rstrip("\n")

    def held(self) -> list[str]:
        """Variables that are there."""
        return sorted(path.name for path in self.variables.iterdir())

    def put(self, name: str, data: bytes) -> None:
        (self.variables / name).write_bytes(data)


@pytest.fixture
def machine(tmp_path: Path, keys: Path) -> Machine:
    return Machine(tmp_path, keys)


def test_in_setup_mode(machine: Machine, keys: Path) -> None:
    said, _ = machine.install()
    assert "the firmware is in setup mode: the keys of this system are enrolled" in said[0]
    enrolled = [one for line in said if (one := re.match(r"firmware: (\w+) is enrolled", line))]
    assert tuple(one[1] for one in enrolled) == NAMES
    for name in NAMES:
        update = (machine.medium / f"{name}.auth").read_bytes()
        data = (machine.variables / name).read_bytes()
        assert update.endswith(data)
        assert data.endswith(certificate(keys, name))
        # EFI_SIGNATURE_LIST: one list, as long as the variable.
        assert int.from_bytes(data[16:20], "little") == len(data)
    said, _ = machine.install(SECURE="1")
    assert said == [
        "the firmware has the key of this system, and enforces Secure Boot; it is left as it is"
    ]


@pytest.mark.parametrize("there", [1, 2])
def test_after_a_power_cut(there: int, machine: Machine, tmp_path: Path, keys: Path) -> None:
    """What is there is not written again: it would not be newer."""
    (tmp_path / "whole").mkdir()
    whole = Machine(tmp_path / "whole", keys)
    whole.install()
    for name in NAMES[:there]:
        shutil.copy(whole.variables / name, machine.variables)
    said, _ = machine.install()
    assert sum("is there already" in line for line in said) == there
    assert sum("is enrolled" in line for line in said) == 3 - there
    assert not any("are replaced" in line for line in said)
    assert machine.held() == sorted(NAMES)


def test_other_keys_in_setup_mode_are_told(machine: Machine) -> None:
    machine.put("db", b"Microsoft's")
    said, _ = machine.install()
    assert "other keys in its db (11 bytes) are replaced" in said


def test_firmware_with_other_keys_is_never_written(machine: Machine) -> None:
    for name in NAMES:
        machine.put(name, b"another owner's")
    _, why = machine.install(1, SECURE="1")
    assert "enforces Secure Boot with other keys: it would not start this system" in why
    said, _ = machine.install()
    assert "other keys, and Secure Boot is off; it is left as it is" in said[0]
    assert {(machine.variables / name).read_bytes() for name in NAMES} == {b"another owner's"}


def test_a_certificate_among_others(machine: Machine, keys: Path) -> None:
    for name in NAMES:
        machine.put(name, b"another owner's")
    machine.put("db", b"others" + certificate(keys, "db") + b"others")
    said, _ = machine.install(SECURE="1")
    assert said[0].startswith("the firmware has the key of this system, and enforces Secure Boot")
    said, _ = machine.install()
    assert "Secure Boot is off: turn it on" in said[0]


def test_firmware_without_secure_boot(machine: Machine) -> None:
    machine.variables.rmdir()
    assert machine.install()[0] == [
        "the firmware shows no Secure Boot: it is left as it is, and starts anything"
    ]


def test_a_medium_without_keys(machine: Machine) -> None:
    for name in NAMES:
        (machine.medium / f"{name}.auth").unlink()
    said, _ = machine.install()
    assert "this medium has no keys to enrol" in said[0]
    # One of a system that is not secure does not even look.
    (machine.medium / "db.der").unlink()
    machine.variables.rmdir()
    assert machine.install() == ([], "")


@pytest.mark.parametrize("name", NAMES)
def test_a_medium_without_one_key(name: str, machine: Machine) -> None:
    (machine.medium / f"{name}.auth").unlink()
    assert "it has some keys, but not all" in machine.install(1)[1]
    assert not machine.held()


@pytest.mark.parametrize("name", NAMES)
def test_updates_that_are_cut_off(name: str, machine: Machine) -> None:
    path = machine.medium / f"{name}.auth"
    whole = path.read_bytes()
    for length in (0, 1, 15, 16, 20, 39, 40, 41, 67, 68, 500, len(whole) - 900, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert f"{name}.auth is cut off or no update" in machine.install(1)[1], length
    path.write_bytes(whole + b"\0")
    assert f"{name}.auth is cut off" in machine.install(1)[1]
    path.write_bytes(bytes(70000))
    assert "File too large" in machine.install(1)[1]
    assert not machine.held()


def test_bytes_that_say_how_long_something_is(machine: Machine) -> None:
    """16: the length of the certificate; 20 and 22: what it is; behind it the list's size."""
    path = machine.medium / "PK.auth"
    whole = path.read_bytes()
    contents = 16 + int.from_bytes(whole[16:20], "little")
    for at in (*range(16, 24), *range(contents + 16, contents + 20)):
        for value in {0, 0x7F, 0x80, 0xFF} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes((value,)) + whole[at + 1 :])
            assert "PK.auth is cut off or no update" in machine.install(1)[1], (at, value)
    assert not machine.held()


@pytest.mark.parametrize(
    ("environment", "held", "why"),
    [
        ({"ROOM": "100"}, [], r"no room for db \(\d+ bytes\): its store of variables is full"),
        ({"REFUSE": "db"}, [], "the firmware refuses db: Permission denied"),
        ({"REFUSE": "KEK"}, ["db"], "the firmware refuses KEK: Permission denied"),
        ({"REFUSE": "PK"}, ["KEK", "db"], "the firmware refuses PK: Permission denied"),
        ({"LOSE": "KEK"}, ["db"], "the firmware has taken KEK, but does not have it"),
        ({"STAYS": "1"}, ["KEK", "PK", "db"], "has the keys, but stays in setup mode"),
    ],
)
def test_firmware_that_does_not_take_them(
    environment: dict[str, str], held: list[str], why: str, machine: Machine
) -> None:
    """Nothing follows, and the next try goes on."""
    assert re.search(why, machine.install(2, **environment)[1])
    assert machine.held() == held
    machine.install()
    assert machine.held() == sorted(NAMES)
