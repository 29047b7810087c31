"""The brick attest, compiled with sanitizers, on a TPM of swtpm's: enrolled and verified; judged by
tpm2-tools. The TPM is fresh, and so the log that belongs to it: what it has measured, the test has.
"""

from __future__ import annotations

import base64
import json
import random
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from compos.api.quote import FIRMWARE, EnrolOptions, enrol, evidence_of, verify_machine
from compos.boot.tpm_quote import QuoteKey, read_endorsement_key, read_key
from compos.cli.main import main
from compos.errors import AttestationError
from tests.attestation.logs import Entry, expected_json, log, usual
from tests.bricks.compiler import compile_brick
from tests.guest import free_port

PCR_EXTEND = 0x182
PLATFORM, ECC_CERTIFICATE = 0x4000000C, 0x01C0000A
SUCCESS = bytes.fromhex("00000000")
NONCE = bytes(range(32))


def connected(server: Path) -> socket.socket:
    """To a TPM that may just be starting."""
    deadline = time.monotonic() + 30
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(server))
        except OSError:
            client.close()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return client


def extend(server: Path, pcr: int, digest: bytes) -> None:
    """TPM 2.0 Library, part 3, 22.2."""
    body = struct.pack(">II", pcr, 9) + bytes.fromhex("40000009 0000 00 0000")
    body += struct.pack(">IH", 1, 0xB) + digest
    with connected(server) as client:
        client.send(struct.pack(">HII", 0x8002, 10 + len(body), PCR_EXTEND) + body)
        assert client.recv(4096)[6:10] == SUCCESS


@contextmanager
def tpm(folder: Path, *, certificate: bool = False) -> Iterator[Path]:
    """A TPM, by the socket of its commands."""
    state, server = folder / "tpm", folder / "server"
    state.mkdir(exist_ok=True)
    if certificate:
        command = ["swtpm_setup", "--tpm2", "--tpmstate", str(state), "--create-ek-cert"]
        command += ["--pcr-banks", "sha256", "--config", str(authority(folder))]
        subprocess.run(command, check=True, capture_output=True)
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    command += ["--server", f"type=unixio,path={server}", "--flags", "startup-clear"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        connected(server).close()
        yield server
    finally:
        process.terminate()
        process.wait()
        server.unlink(missing_ok=True)


def authority(folder: Path) -> Path:
    """swtpm's settings, for a local authority below `folder`."""
    ca = folder / "authority"
    ca.mkdir()
    (folder / "ca.conf").write_text(
        f"statedir = {ca}\nsigningkey = {ca}/key.pem\nissuercert = {ca}/cert.pem\n"
        f"certserial = {ca}/serial\n"
    )
    (folder / "ca.options").write_text(
        "--platform-manufacturer test\n--platform-version 1\n--platform-model test\n"
    )
    (folder / "setup.conf").write_text(
        "create_certs_tool = /usr/bin/swtpm_localca\n"
        f"create_certs_tool_config = {folder}/ca.conf\n"
        f"create_certs_tool_options = {folder}/ca.options\n"
    )
    return folder / "setup.conf"


@contextmanager
def agent(folder: Path, server: Path, entries: list[Entry], *options: str) -> Iterator[str]:
    (folder / "log").write_bytes(log(entries))
    port = free_port()
    command = [str(compile_brick("attest")), "-port", str(port), "-listen_ip", "127.0.0.1"]
    command += ["-device", str(server), "-log", str(folder / "log"), *options]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def machine(folder: Path, *, certificate: bool = False) -> Iterator[str]:
    """One that has started what was expected."""
    with tpm(folder, certificate=certificate) as server:
        for entry in usual():
            extend(server, entry.pcr, entry.measured)
        with agent(folder, server, usual()) as url:
            yield url


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    path = tmp_path / "expected.json"
    path.write_bytes(expected_json())
    return path


@pytest.mark.slow
def test_tpm2_tools_believe_it(tmp_path: Path) -> None:
    with machine(tmp_path) as url:
        found = get(f"{url}/quote?nonce={NONCE.hex()}")
    assert isinstance(found, dict)
    for name in ("quote", "signature"):
        (tmp_path / name).write_bytes(base64.b64decode(found[name]))
    area = base64.b64decode(found["attestation_key"])
    (tmp_path / "key.pub").write_bytes(struct.pack(">H", len(area)) + area)
    assert evidence_of(found, read_key(area), NONCE).events
    command = ["tpm2_checkquote", "-u", "key.pub", "-m", "quote", "-s", "signature"]
    command += ["-g", "sha256", "-q", NONCE.hex()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    command[-1] = bytes(32).hex()
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode


@pytest.mark.slow
def test_enrolled_and_verified(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "machine.json"
    with machine(tmp_path) as url:
        assert main(["quote", "enrol", url, str(file), "--expected", str(expected)]) == 0
        verify = ["quote", "verify", url, str(file), "--expected", str(expected)]
        assert main(verify) == 0
        assert "as expected, in phase before the first" in capsys.readouterr().out
        # Something else is measured, and the log does not say so.
        extend(tmp_path / "server", 4, bytes(32))
        assert main([*verify, "--json"]) == 1
        (difference,) = json.loads(capsys.readouterr().out)["differences"]
        assert difference.startswith("PCR 4: the log does not explain the signed value")
    assert "private" not in file.read_text()


@pytest.mark.slow
def test_a_certificate_of_the_tpm(tmp_path: Path, expected: Path) -> None:
    file, issuer = tmp_path / "machine.json", tmp_path / "authority" / "cert.pem"
    with machine(tmp_path, certificate=True) as url:
        record = enrol(url, file, EnrolOptions([expected], FIRMWARE, [issuer]))
        assert record.certificate
        # swtpm's root has issued the issuer, not the certificate.
        root = tmp_path / "authority" / "swtpm-localca-rootca-cert.pem"
        with pytest.raises(AttestationError, match="quote-certificate"):
            enrol(url, file, EnrolOptions([expected], FIRMWARE, [root]))


def test_a_tpm_whose_maker_has_certified_an_ecc_key(tmp_path: Path, expected: Path) -> None:
    """swtpm_setup certifies P-384 only: the certificate of P-256 is ours."""
    file, issuer = tmp_path / "machine.json", tmp_path / "issuer.pem"
    with machine(tmp_path) as url:
        store_certificate(tmp_path / "server", bytes(600))
        area = base64.b64decode(str(as_dict(get(f"{url}/identity"))["endorsement_key"]))
        public = read_endorsement_key(area).public
        assert isinstance(public, EllipticCurvePublicKey)
        certificate, authority = issued(public)
        issuer.write_bytes(authority)
        store_certificate(tmp_path / "server", certificate)
        record = enrol(url, file, EnrolOptions([expected], FIRMWARE, [issuer]))
        assert record.certificate == certificate
        assert verify_machine(url, file, [expected]).differences == ()


def issued(public: EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    """A certificate, and that of who has issued it."""
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "maker")])
    made = []
    for one in (public, key.public_key()):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(one)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
        made.append(builder.not_valid_after(now + timedelta(days=1)).sign(key, SHA256()))
    return made[0].public_bytes(Encoding.DER), made[1].public_bytes(Encoding.PEM)


def store_certificate(server: Path, data: bytes) -> None:
    """As the maker does: TPM 2.0 Library, part 3, 31 (NV memory), by the platform."""
    password = bytes.fromhex("00000009 40000009 0000 00 0000")
    public = struct.pack(">IHIHH", ECC_CERTIFICATE, 0xB, 0x42070001, 0, len(data))
    define = b"\0\0" + struct.pack(">H", len(public)) + public
    both = struct.pack(">II", PLATFORM, ECC_CERTIFICATE)
    write = struct.pack(">H", len(data)) + data + b"\0\0"
    commands = [(0x122, both, b""), (0x12A, both[:4], define), (0x137, both, write)]
    with connected(server) as client:
        for code, handles, parameters in commands:
            body = handles + password + parameters
            client.send(struct.pack(">HII", 0x8002, 10 + len(body), code) + body)
            assert client.recv(4096)[6:10] == SUCCESS or code == commands[0][0]


def test_without_a_certificate_none_is_believed(tmp_path: Path, expected: Path) -> None:
    with machine(tmp_path) as url, pytest.raises(AttestationError, match="quote-certificate"):
        enrol(url, tmp_path / "file", EnrolOptions([expected], FIRMWARE, [expected]))
    assert not (tmp_path / "file").exists()


def test_another_machine(tmp_path: Path, expected: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with machine(tmp_path) as url:
        enrol(url, tmp_path / "machine.json", EnrolOptions([expected]))
    with machine(other) as url, pytest.raises(AttestationError, match="has not signed it"):
        verify_machine(url, tmp_path / "machine.json", [expected])


@pytest.mark.slow
def test_a_key_of_another_tpm_is_not_enrolled(tmp_path: Path, expected: Path) -> None:
    """Its endorsement key is shown beside the attestation key of another TPM: whoever is between
    passes everything on."""
    other = tmp_path / "other"
    other.mkdir()
    with machine(tmp_path) as one, machine(other) as two:
        mixed = {**as_dict(get(f"{two}/identity"))}
        mixed["endorsement_key"] = as_dict(get(f"{one}/identity"))["endorsement_key"]
        with between(two, mixed) as url, pytest.raises(AttestationError, match="quote-agent"):
            enrol(url, tmp_path / "file", EnrolOptions([expected]))


def as_dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


@contextmanager
def between(url: str, identity: dict[str, object]) -> Iterator[str]:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer = identity if self.path == "/identity" else get(url + self.path)
                status, body = 200, json.dumps(answer).encode()
            except urllib.error.HTTPError as error:
                status, body = error.code, error.read()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("quote", 400),
        ("quote?nonce=", 400),
        ("quote?nonce=00", 400),
        (f"quote?nonce={'0' * 66}", 400),
        (f"quote?nonce={'g' * 32}", 400),
        (f"quote?nonce={'0' * 33}", 400),
        pytest.param(f"quote?{'&' * 3000}nonce", 400, id="many fields"),
        ("activate?credential=00&secret=", 400),
        ("activate?credential=00&secret=00", 503),
        (f"activate?credential={'00' * 200}&secret={'00' * 400}", 503),
        ("", 404),
        ("identity/", 404),
    ],
)
def test_hostile_requests(tmp_path: Path, path: str, status: int) -> None:
    with machine(tmp_path) as url:
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{url}/{path}")
        assert caught.value.code == status
        assert as_dict(get(f"{url}/quote?nonce={NONCE.hex()}"))["version"] == 1


def test_the_tpm_is_not_asked_too_often(tmp_path: Path) -> None:
    """Twenty at once, then one a minute; what is refused anyway does not count."""
    statuses = []
    with tpm(tmp_path) as server, agent(tmp_path, server, usual(), "-rate", "1") as url:
        for path in ["quote?nonce=00"] * 5 + [f"quote?nonce={NONCE.hex()}"] * 22:
            try:
                with urllib.request.urlopen(f"{url}/{path}", timeout=60) as answer:
                    statuses.append(answer.status)
            except urllib.error.HTTPError as error:
                statuses.append(error.code)
    assert statuses == [400] * 5 + [200] * 20 + [429] * 2


def test_answers_that_are_damaged(tmp_path: Path) -> None:
    """Every bit of a quote counts; nothing is raised but ValueError."""
    with machine(tmp_path) as url:
        found = as_dict(get(f"{url}/quote?nonce={NONCE.hex()}"))
        identity = as_dict(get(f"{url}/identity"))
    area = base64.b64decode(str(found["attestation_key"]))
    key, choice = read_key(area), random.Random(3)
    assert evidence_of(found, key, NONCE)
    for name in ("quote", "signature"):
        data = base64.b64decode(str(found[name]))
        for _ in range(150):
            broken = bytearray(data)
            broken[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
            answer = {**found, name: base64.b64encode(broken[: choice.randrange(1, 300)]).decode()}
            require_refused(answer, key)
    nothing: list[object] = [{}, [], None, 7, {**found, "pcrs": []}, {**found, "pcrs": [0]}]
    for other in nothing:
        require_refused(other, key)
    for name, read in (("attestation_key", read_key), ("endorsement_key", read_endorsement_key)):
        data = base64.b64decode(str(identity[name]))
        for _ in range(500):
            broken = bytearray(data)
            broken[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
            try:
                read(bytes(broken[: choice.choice((len(data), choice.randrange(len(data))))]))
            except ValueError:
                continue


def require_refused(answer: object, key: QuoteKey) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        evidence_of(answer, key, NONCE)


def test_keys_that_could_sign_more_are_refused(tmp_path: Path) -> None:
    """Not restricted, not of this TPM alone, imported, or for decryption, too."""
    with machine(tmp_path) as url:
        area = base64.b64decode(str(as_dict(get(f"{url}/identity"))["attestation_key"]))
    (attributes,) = struct.unpack_from(">I", area, 4)
    for bit in (1, 4, 5, 16, 17, 18):
        changed = area[:4] + struct.pack(">I", attributes ^ 1 << bit) + area[8:]
        with pytest.raises(ValueError, match="could leave its TPM"):
            read_key(changed)
