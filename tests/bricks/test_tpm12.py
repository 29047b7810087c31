"""Sealing to a TPM 1.2: known hashes, and a life with swtpm's TPM 1.2, step by step."""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bricks.compiler import BRICKS, DRIVERS, compile_sources

SECRET = bytes(range(64)).hex()
NOTHING = ""
PASSWORD = hashlib.sha1(b"24680").hexdigest()
ORD_EXTEND = 0x14
ORD_CLEAR = 0x5D
"""TPM_ForceClear, by physical presence."""
ORD_PRESENCE = 0x4000000A


def driver() -> Path:
    folders = [BRICKS / f"{name}/src" for name in ("data-partition", "attest", "disk", "init")]
    names = [f"data-partition/src/seal/{name}" for name in ("sha1", "tpm12", "rsa2048")]
    names += ["data-partition/src/owner"]
    names += ["attest/src/tpm/tpm", "disk/src/disk/bytes", "disk/src/disk/sha256"]
    names += ["init/src/base/failure"]
    sources = [DRIVERS / "data-partition" / "tpm12_driver.c"]
    sources += [BRICKS / f"{name}.c" for name in names]
    return compile_sources("tpm12", sources, [f"-I{folder}" for folder in folders])


def ask(device: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(driver()), str(device), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(device: Path | str, *arguments: str) -> str:
    done = ask(device, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def refusal(device: Path | str, *arguments: str) -> str:
    done = ask(device, *arguments)
    assert done.returncode == 1
    return done.stderr.strip()


def send(server: Path, ordinal: int, body: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server))
        client.send(struct.pack(">HII", 0xC1, 10 + len(body), ordinal) + body)
        assert client.recv(4096)[6:10] == bytes(4)


pytestmark = pytest.mark.slow


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Path]:
    state, server = tmp_path / "tpm", tmp_path / "server"
    state.mkdir()
    command = ["swtpm", "socket", "--tpmstate", f"dir={state}", "--flags", "startup-clear"]
    process = subprocess.Popen([*command, "--server", f"type=unixio,path={server}"])
    try:
        deadline = time.monotonic() + 30
        while not server.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 119, 200])
def test_hashes(size: int) -> None:
    """Python's are known to be right; all ends of a block."""
    data, key = bytes(range(size)), bytes(range(20))
    expected = [hashlib.sha1(data).hexdigest(), hmac.new(key, data, "sha1").hexdigest()]
    assert told("-", key.hex(), data.hex()).split() == expected


def test_a_life(tpm: Path) -> None:
    assert refusal(tpm, "seal", "7+11", SECRET, NOTHING) == "the TPM has no owner"
    assert told(tpm, "missing") == "1"
    told(tpm, "own")
    assert told(tpm, "missing") == "0"
    blob = told(tpm, "seal", "7+11", SECRET, NOTHING)
    with_pin = told(tpm, "seal", "7+11", SECRET, PASSWORD)
    assert told(tpm, "unseal", blob, NOTHING) == SECRET
    assert told(tpm, "unseal", with_pin, PASSWORD) == SECRET
    assert "the PIN, is not the right one" in refusal(tpm, "unseal", with_pin, NOTHING)
    assert SECRET[:32] not in blob

    send(tpm, ORD_EXTEND, struct.pack(">I", 12) + bytes(20))
    assert told(tpm, "unseal", blob, NOTHING) == SECRET, "PCR 12 is not among those that count"
    send(tpm, ORD_EXTEND, struct.pack(">I", 11) + b"x" * 20)
    assert "PCRs are not what they were" in refusal(tpm, "unseal", blob, NOTHING)
    assert told(tpm, "pcr") == hashlib.sha1(bytes(20) + b"x" * 20).hexdigest()


def test_a_tpm_that_was_cleared(tpm: Path) -> None:
    told(tpm, "own")
    blob = told(tpm, "seal", "7", SECRET, NOTHING)
    for presence in (b"\x00\x20", b"\x00\x08"):
        send(tpm, ORD_PRESENCE, presence)
    send(tpm, ORD_CLEAR, b"")
    assert refusal(tpm, "unseal", blob, NOTHING)


def test_damaged_blobs(tpm: Path) -> None:
    told(tpm, "own")
    blob = told(tpm, "seal", "7", SECRET, NOTHING)
    for damaged in ("", "00", blob[:-2], blob[:40], blob + "00" * 200, "ff" * 312):
        assert refusal(tpm, "unseal", damaged, NOTHING)
    for at in range(0, len(blob), 97):
        assert refusal(tpm, "unseal", blob[:at] + "e" + blob[at + 1 :] + "00", NOTHING)


@pytest.mark.parametrize("pcrs", ["", "+", "7+", "24", "-1", "7,8", "7+99999999999999999999"])
def test_lists_that_are_none(pcrs: str, tpm: Path) -> None:
    assert refusal(tpm, "seal", pcrs, SECRET, NOTHING) == f"-pcrs {pcrs}: not a list of PCRs"
