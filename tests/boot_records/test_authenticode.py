"""Signatures of UEFI programs and of updates of variables: sbverify and OpenSSL judge what is
signed, and that nothing else passes."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compos.api.keys import KeyOptions, new_keys
from compos.boot.authenticode import signature, signed
from compos.boot.der import identifier, integer, octets, sequence, set_of
from compos.boot.efi_signatures import DB, signature_list, signed_update
from compos.boot.pkcs7 import content_info
from compos.boot.uki import unified_kernel_image
from compos.errors import OutputError
from compos.tree.node import Piece
from compos.trust.key_set import KeySet
from tests.boot_records.stub import ADDED, PE, stub

TABLE = PE + 24 + 144
"""The optional header's entry of the certificate table."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeySet:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder, KeyOptions("Test"))
    return KeySet(folder)


def chunks(pieces: Sequence[Piece]) -> Iterable[bytes]:
    for piece in pieces:
        assert isinstance(piece, bytes)
        yield piece


def program(keys: KeySet, role: str = "db") -> bytes:
    uki = unified_kernel_image(stub(machine=0x8664), ADDED)
    made = signed(uki, [signature(uki, keys.certified(role), chunks)])
    return b"".join(chunks(made.pieces))


def passes(data: bytes, certificate: Path, path: Path) -> bool:
    path.write_bytes(data)
    line = ["sbverify", "--cert", str(certificate), str(path)]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_what_is_signed_passes_and_nothing_else(keys: KeySet, tmp_path: Path) -> None:
    data, path = program(keys), tmp_path / "program.efi"
    certificate = keys.folder / "db.crt"
    assert passes(data, certificate, path)
    assert not passes(data, keys.folder / "KEK.crt", path)
    start, size = struct.unpack_from("<II", data, TABLE)
    assert (start % 8, start + size) == (0, len(data))
    # The stub, headers, each section, what fills the last page of one, the certificates themselves.
    for at in (
        3,
        PE + 8,
        0x210,
        0x900,
        0x1003,
        0x1800,
        0x2100,
        start - 1,
        start + 300,
        len(data) - 40,
    ):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert not passes(bytes(damaged), certificate, path), hex(at)
    unsigned = bytearray(data[:start])
    struct.pack_into("<II", unsigned, TABLE, 0, 0)
    assert not passes(bytes(unsigned), certificate, path)


@pytest.mark.slow
def test_the_checksum_is_not_signed(keys: KeySet, tmp_path: Path) -> None:
    """Other tools fill it in afterwards."""
    data = bytearray(program(keys))
    struct.pack_into("<I", data, PE + 24 + 64, 0x1234)
    assert passes(bytes(data), keys.folder / "db.crt", tmp_path / "program.efi")


@pytest.mark.slow
def test_the_same_key_signs_the_same_bytes(keys: KeySet) -> None:
    assert program(keys) == program(keys)


@pytest.mark.slow
def test_another_tool_adds_its_signature(keys: KeySet, tmp_path: Path) -> None:
    path, twice = tmp_path / "program.efi", tmp_path / "twice.efi"
    path.write_bytes(program(keys))
    other = [f"--key={keys.folder}/KEK.key", f"--cert={keys.folder}/KEK.crt"]
    subprocess.run(["sbsign", *other, f"--output={twice}", path], check=True, capture_output=True)
    for role in ("db", "KEK"):
        assert passes(twice.read_bytes(), keys.folder / f"{role}.crt", tmp_path / "again.efi"), role


@pytest.mark.slow
def test_a_stub_without_data_directories(keys: KeySet) -> None:
    uki = unified_kernel_image(stub(directories=0), ADDED)
    with pytest.raises(OutputError) as caught:
        signature(uki, keys.certified("db"), chunks)
    assert caught.value.id == "uki-stub"


@pytest.mark.slow
def test_an_update_of_a_variable(keys: KeySet, tmp_path: Path) -> None:
    """What OpenSSL takes for signed is what the specification says firmware checks."""
    time = datetime(2026, 11, 28, 23, 59, 58, tzinfo=UTC)
    signer = keys.certified("KEK")
    data = signature_list(keys.certified("db").certificate, keys.owner())
    update = signed_update(DB, data, time, signer)
    assert update[:16] == bytes.fromhex("ea070b1c173b3a00" + "00" * 8)
    length, revision, kind = struct.unpack_from("<IHH", update, 16)
    assert (revision, kind) == (0x0200, 0x0EF1)
    assert update[16 + length :] == data
    signature_file, content = tmp_path / "signature.der", tmp_path / "content"
    signature_file.write_bytes(content_info(update[16 + 24 : 16 + length]))
    vendor = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
    signed_bytes = b"d\0b\0" + vendor + b"\x27\0\0\0" + update[:16] + data
    certificate = str(keys.folder / "KEK.crt")
    line = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(signature_file)]
    line += ["-content", str(content), "-certfile", certificate, "-CAfile", certificate]
    line += ["-purpose", "any", "-out", "/dev/null"]
    for changed, good in ((signed_bytes, True), (signed_bytes[:-1] + b"x", False)):
        content.write_bytes(changed)
        done = subprocess.run(line, capture_output=True, check=False)
        assert (done.returncode == 0) is good, done.stderr


def test_der_as_openssl_reads_it(tmp_path: Path) -> None:
    long = bytes(70_000)
    made = sequence(
        identifier("1.3.6.1.4.1.311.2.1.15"), integer(0), integer(128), integer(1 << 64),
        set_of([octets(b"b"), octets(b"a")]), octets(long),
    )  # fmt: skip
    path = tmp_path / "value.der"
    path.write_bytes(made)
    line = ["openssl", "asn1parse", "-inform", "DER", "-in", str(path)]
    seen = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "1.3.6.1.4.1.311.2.1.15" in seen or "SPC_PE_IMAGE_DATA" in seen
    assert [text.split(":")[-1] for text in seen.splitlines() if "INTEGER" in text] == [
        "00", "80", "010000000000000000"
    ]  # fmt: skip
    assert "l=70000" in seen
    assert made.index(octets(b"a")) < made.index(octets(b"b"))
