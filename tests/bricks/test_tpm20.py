"""Sealing to a TPM 2.0: what the data partition's program makes is what tpm2-tools read, and it
opens what systemd-cryptenroll has made. Its ciphers and curves are compared with OpenSSL's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from compos.api.keys import new_keys
from tests.bricks.compiler import DRIVERS
from tests.bricks.data_partition import OTHERS, SEAL, Driver

SYSTEMD = json.loads((DRIVERS / "data-partition" / "systemd.json").read_text())
PIN = "13579"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DRIVER = Driver("tpm20", (*(f"data-partition/src/seal/{part}" for part in SEAL), *OTHERS))
ask, told, refusal = DRIVER.ask, DRIVER.told, DRIVER.refusal

pytestmark = pytest.mark.slow


def serve(folder: Path) -> Iterator[Path]:
    """swtpm with the state in `folder`; its socket, beside which is that of its control."""
    server = folder / "tpm"
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}"]
    command += ["--flags", "startup-clear", "--server", f"type=unixio,path={server}"]
    process = subprocess.Popen([*command, "--ctrl", f"type=unixio,path={server}.ctrl"])
    try:
        deadline = time.monotonic() + 30
        while not server.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Path]:
    yield from serve(tmp_path)


@pytest.fixture
def systemds_tpm(tmp_path: Path) -> Iterator[Path]:
    """The one that systemd-cryptenroll has sealed to."""
    state = zlib.decompress(base64.b64decode("".join(SYSTEMD["state"])))
    (tmp_path / "tpm2-00.permall").write_bytes(state)
    yield from serve(tmp_path)


def tool(tpm: Path, line: str) -> bytes:
    """A program of tpm2-tools and its arguments."""
    environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={tpm}"}
    done = subprocess.run(
        line.split(), env=environment, cwd=tpm.parent, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def sealed(tpm: Path, pcrs: str, key: Path | str = "-", pin: str = "-") -> tuple[str, Path]:
    """A passphrase, and the file with its token."""
    passphrase, token = told("seal", tpm, pcrs, key, pin)
    (tpm.parent / "token").write_text(token)
    return passphrase, tpm.parent / "token"


def number(value: int) -> str:
    return value.to_bytes(32, "big").hex()


def point(key: ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key().public_numbers()
    return number(public.x) + number(public.y)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 100])
def test_the_cipher(size: int) -> None:
    key, vector, text = os.urandom(16), os.urandom(16), os.urandom(size)
    line = ["openssl", "enc", "-aes-128-cfb", "-K", key.hex(), "-iv", vector.hex()]
    expected = subprocess.run(line, input=text, capture_output=True, check=True).stdout
    assert told("cipher", key.hex(), vector.hex(), text.hex()) == [expected.hex(), text.hex()]


@pytest.mark.parametrize("size", [1, 32, 64, 65, 200])
def test_keyed_hashes(size: int) -> None:
    key = os.urandom(size)
    assert told("code", key.hex(), b"text".hex()) == [hmac.new(key, b"text", "sha256").hexdigest()]
    pin = "1" * size
    expected = hashlib.pbkdf2_hmac("sha256", pin.encode(), key, 50)
    assert told("stretch", pin, key.hex(), "50") == [expected.hex()]


@pytest.mark.parametrize("value", [0, 1, 2, 3, ORDER // 2, ORDER - 2, ORDER - 1])
def test_the_curve(value: int) -> None:
    """Public keys and shared secrets, of chosen numbers and of a random one."""
    key = ec.derive_private_key(value, ec.SECP256R1()) if value else None
    own = key or ec.generate_private_key(ec.SECP256R1())
    secret = number(own.private_numbers().private_value)
    other = ec.generate_private_key(ec.SECP256R1())
    assert told("multiply", secret) == [point(own)]
    (product,) = told("multiply", secret, point(other))
    assert product[:64] == own.exchange(ec.ECDH(), other.public_key()).hex()


def test_what_is_no_point_or_number() -> None:
    generator = point(ec.derive_private_key(1, ec.SECP256R1()))
    for bad in (0, ORDER, ORDER + 1, (1 << 256) - 1):
        assert refusal("multiply", number(bad))
    for other in (number(0) * 2, generator[:-2] + "00", "ff" * 64):
        assert refusal("multiply", number(5), other)


def test_secrets_for_a_key_of_rsa() -> None:
    key = rsa.generate_private_key(65537, 2048)
    secret = os.urandom(32)
    modulus = key.public_key().public_numbers().n.to_bytes(256, "big")
    (block,) = told("encrypt", modulus.hex(), secret.hex())
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"SECRET\0")
    assert key.decrypt(bytes.fromhex(block), scheme) == secret


def test_recovery_keys() -> None:
    one, other = told("recovery") + told("recovery")
    assert re.fullmatch("([cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}", one)
    assert one != other


def test_tpm2_tools_read_it(tpm: Path) -> None:
    passphrase, file = sealed(tpm, "7+11+12")
    blob = base64.b64decode(json.loads(file.read_text())["tpm2-blob"])
    size = 2 + int.from_bytes(blob[:2], "big")
    (tpm.parent / "private").write_bytes(blob[:size])
    (tpm.parent / "public").write_bytes(blob[size:])
    tool(tpm, "tpm2_load -Q -C 0x81000001 -u public -r private -c loaded")
    tool(tpm, "tpm2_startauthsession --policy-session -S session")
    tool(tpm, "tpm2_policypcr -Q -S session -l sha256:7,11,12")
    secret = tool(tpm, "tpm2_unseal -c loaded -p session:session")
    assert base64.b64encode(secret).decode() == passphrase


def test_it_reads_what_systemd_has_sealed(systemds_tpm: Path) -> None:
    """By PCR 7 and 12, a signature of PCR 11, and a PIN."""
    token, signatures = systemds_tpm.parent / "token", systemds_tpm.parent / "signatures"
    token.write_text(json.dumps(SYSTEMD["token"]))
    signatures.write_text(json.dumps(SYSTEMD["signatures"]))
    assert told("open", systemds_tpm, token, signatures, PIN) == [SYSTEMD["passphrase"]]
    wrong = refusal("open", systemds_tpm, token, signatures, "2468")
    assert wrong == "the PIN is not the right one"
    tool(systemds_tpm, f"tpm2_pcrextend 12:sha256={'ab' * 32}")
    assert refusal("open", systemds_tpm, token, signatures, PIN) == (
        "PCRs are not what they were when the key was sealed"
    )
    tool(systemds_tpm, f"tpm2_pcrextend 11:sha256={'ab' * 32}")
    assert "PCR 11 is not signed" in refusal("open", systemds_tpm, token, signatures, PIN)


def test_it_writes_what_systemd_writes(systemds_tpm: Path) -> None:
    """But for what is random."""
    key = systemds_tpm.parent / "key"
    key.write_bytes(base64.b64decode(SYSTEMD["token"]["tpm2_pubkey"]))
    passphrase, file = sealed(systemds_tpm, "7+12", key, PIN)
    token: dict[str, Any] = json.loads(file.read_text())
    random = {"tpm2-blob", "tpm2_salt", "keyslots"}
    assert set(token) == set(SYSTEMD["token"])
    for name in set(token) - random:
        assert token[name] == SYSTEMD["token"][name], name
    for name in random - {"keyslots"}:
        assert len(token[name]) == len(SYSTEMD["token"][name])
    signatures = systemds_tpm.parent / "signatures"
    signatures.write_text(json.dumps(SYSTEMD["signatures"]))
    assert told("open", systemds_tpm, file, signatures, PIN) == [passphrase]


def test_who_else_signs(systemds_tpm: Path, tmp_path: Path) -> None:
    """Signatures of another key, or damaged ones, open nothing."""
    token, signatures = tmp_path / "token", tmp_path / "signatures"
    new_keys(tmp_path / "keys")
    token.write_text(json.dumps(SYSTEMD["token"]))
    document = json.loads(json.dumps(SYSTEMD["signatures"]))
    entry = document["sha256"][0]
    for member, value in (
        ("pkfp", "00" * 32),
        ("pol", "00" * 32),
        ("sig", base64.b64encode(bytes(256)).decode()),
        ("sig", ""),
        ("sig", base64.b64encode(bytes(5000)).decode()),
    ):
        document["sha256"] = [{**entry, member: value}]
        signatures.write_text(json.dumps(document))
        assert refusal("open", systemds_tpm, token, signatures, PIN)
    for text in ("", "{}", "[]", '{"sha256":{}}', '{"sha256":[1]}'):
        signatures.write_text(text)
        assert "PCR 11 is not signed" in refusal("open", systemds_tpm, token, signatures, PIN)


def test_another_tpm(tpm: Path) -> None:
    token = tpm.parent / "token"
    token.write_text(json.dumps(SYSTEMD["token"]))
    assert "this is another TPM" in refusal("open", tpm, token, "/dev/null", PIN)


def test_a_storage_root_key_of_rsa(tpm: Path) -> None:
    """As other systems leave one in the TPM."""
    kind = "-C o -G rsa2048:aes128cfb -g sha256 -c root"
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
    tool(tpm, f"tpm2_createprimary -Q {kind} -a {attributes}")
    tool(tpm, "tpm2_evictcontrol -Q -C o -c root 0x81000001")
    tool(tpm, "tpm2_flushcontext -t")
    passphrase, token = sealed(tpm, "7+12", "-", "x" * 100)
    assert json.loads(token.read_text())["tpm2-primary-alg"] == "rsa"
    assert told("open", tpm, token, "/dev/null", "x" * 100) == [passphrase]


@pytest.mark.parametrize(
    "damage",
    [
        {"tpm2-blob": ""},
        {"tpm2-blob": "AAAA"},
        {"tpm2-blob": base64.b64encode(bytes(4096)).decode()},
        {"tpm2_srk": ""},
        {"tpm2_srk": base64.b64encode(bytes(4096)).decode()},
        {"tpm2_salt": "AAAA"},
        {"tpm2_pubkey": "AAAA"},
        {"tpm2_pubkey": base64.b64encode(b"-----BEGIN PUBLIC KEY-----\nMIIB").decode()},
        {"tpm2_pubkey_pcrs": "11"},
        {"tpm2-pcrs": [99, -1, "7"]},
        {"tpm2-pcr-bank": "sha1"},
    ],
    ids=lambda damage: "-".join(damage),
)
def test_damaged_tokens(damage: dict[str, Any], systemds_tpm: Path) -> None:
    token, signatures = systemds_tpm.parent / "token", systemds_tpm.parent / "signatures"
    token.write_text(json.dumps({**SYSTEMD["token"], **damage}))
    signatures.write_text(json.dumps(SYSTEMD["signatures"]))
    assert refusal("open", systemds_tpm, token, signatures, PIN)
