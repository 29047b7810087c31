"""Expected PCRs: systemd-measure computes the same PCR 11, openssl and hand-written events the
others, and what is no UKI is refused. What a real TPM says is in tests/boot/test_measured_boot.py."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.boot.authenticode import image_digest, signature, signed
from compos.boot.measurements import PHASES, measured, sections_of
from compos.boot.uki import unified_kernel_image
from compos.errors import OutputError
from compos.tree.node import Piece
from compos.trust.key_set import KeySet
from tests.boot_records.stub import PE, stub
from tests.boot_records.test_authenticode import chunks

PARTS: list[tuple[str, bytes]] = [
    (".osrel", b'NAME="test"\n'),
    (".cmdline", b"console=ttyS0"),
    (".initrd", b"an initrd of odd length"),
    (".linux", bytes(range(256)) * 30),
]


def program() -> bytes:
    pieces: list[tuple[str, list[Piece]]] = [(name, [data]) for name, data in PARTS]
    return b"".join(chunks(unified_kernel_image(stub(machine=0x8664), pieces).pieces))


def test_pcr_11_is_that_of_systemd_measure(tmp_path: Path) -> None:
    line = ["/lib/systemd/systemd-measure", "calculate", "--bank=sha256", "--json=short"]
    for name, data in PARTS:
        (tmp_path / name).write_bytes(data)
        line.append(f"--{name[1:]}={tmp_path / name}")
    line += [f"--phase={':'.join(PHASES[: number + 1])}" for number in range(len(PHASES))]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    theirs = {one["phase"]: one["hash"] for one in json.loads(done.stdout)["sha256"]}
    pcr = next(one for one in measured(io.BytesIO(program())) if one.pcr == 11)
    ours = {
        ":".join(PHASES[: number + 1]): value.hex() for number, (_, value) in enumerate(pcr.phases)
    }
    assert ours == theirs


@pytest.mark.slow
def test_a_signature_does_not_change_what_is_measured(tmp_path: Path) -> None:
    new_keys(tmp_path / "keys")
    pieces: list[tuple[str, list[Piece]]] = [(name, [data]) for name, data in PARTS]
    uki = unified_kernel_image(stub(machine=0x8664), pieces)
    key = KeySet(tmp_path / "keys").certified("db")
    data = b"".join(chunks(signed(uki, [signature(uki, key, chunks)]).pieces))
    assert image_digest(io.BytesIO(data)) == image_digest(io.BytesIO(program()))
    unsigned, *others = measured(io.BytesIO(program()))
    first, *same = measured(io.BytesIO(data))
    assert same == others
    assert first.attempts == unsigned.attempts
    # It is expected to be started with Secure Boot: the kernel in it is not measured.
    assert first.events == unsigned.events[:-1]


@pytest.mark.slow
def test_the_hash_of_a_program_is_that_of_the_signing_tools(tmp_path: Path) -> None:
    """sbsign puts it into its signature."""
    new_keys(tmp_path / "keys")
    (tmp_path / "program").write_bytes(program())
    keys = [f"--key={tmp_path}/keys/db.key", f"--cert={tmp_path}/keys/db.crt"]
    line = ["sbsign", *keys, f"--output={tmp_path}/signed", str(tmp_path / "program")]
    subprocess.run(line, check=True, capture_output=True)
    assert image_digest(io.BytesIO(program())) in (tmp_path / "signed").read_bytes()


def test_pcrs_of_firmware_and_kernel() -> None:
    found = {one.pcr: one for one in measured(io.BytesIO(program()))}
    value = bytes(32)
    for event in (b"Calling EFI Application from Boot Option", bytes(4)):
        value = hashlib.sha256(value + hashlib.sha256(event).digest()).digest()
    value = hashlib.sha256(value + image_digest(io.BytesIO(program()))).digest()
    # TCG, "PC Client Platform Firmware Profile", 8.2: each further attempt is two more actions.
    value = bytes(32)
    calling, returning = (
        f"{verb} EFI Application from Boot Option".encode()
        for verb in ("Calling", "Returning from")
    )
    for event in (calling, bytes(4), returning, calling, returning, calling):
        value = hashlib.sha256(value + hashlib.sha256(event).digest()).digest()
    value = hashlib.sha256(value + image_digest(io.BytesIO(program()))).digest()
    values = {(number, secure): value for number, secure, value in found[4].attempts}
    assert values[3, True] == value
    assert len(values) == 8
    # Without Secure Boot, the kernel in it is one more event; this one is no program.
    assert values[3, False] == hashlib.sha256(value + bytes(32)).digest()
    assert found[4].value == values[1, False]
    assert (
        found[9].events[0].digest == hashlib.sha256("console=ttyS0\0".encode("utf-16-le")).digest()
    )
    assert (found[12].value, found[12].events) == (bytes(32), ())
    given = {one.pcr: one for one in measured(io.BytesIO(program()), "init=/bin/sh")}
    digest = hashlib.sha256("init=/bin/sh\0".encode("utf-16-le")).digest()
    assert given[12].value == hashlib.sha256(bytes(32) + digest).digest()
    assert given[9].events[0].digest == digest
    assert given[9].events[1:] == found[9].events[1:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "no program"),
        (lambda data: b"MZ" + bytes(200), "no program"),
        (lambda data: data[:100], "no program"),
        (lambda data: data[: len(data) - 4096], "cut off"),
        (lambda data: data.replace(b".initrd", b".nitrid"), "no section .initrd"),
        (lambda data: data[:60] + struct.pack("<I", 0xFFFFFFF0) + data[64:], "no program"),
        (lambda data: data[: PE + 6] + b"\xff\xff" + data[PE + 8 :], "no program"),
    ],
)
def test_what_is_no_uki(change: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(OutputError, match=reason) as caught:
        measured(io.BytesIO(change(program())))
    assert caught.value.id == "measure-image"


def test_sections() -> None:
    data = program()
    found = sections_of(io.BytesIO(data))
    assert {
        name: data[part.start : part.start + part.size]
        for name, part in found.items()
        if name != ".text"
    } == dict(PARTS)
