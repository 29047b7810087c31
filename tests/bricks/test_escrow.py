"""The escrow of recovery keys: what the data partition's program encrypts is what OpenSSL and
`compos keys recover` read, and the program that sends it goes on until a server has taken it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from compos.cli.main import main
from compos.errors import ComposError
from compos.trust.escrow import open_envelope, require_escrow_key
from tests.bricks.compiler import BRICKS, DRIVERS, compile_brick, compile_sources
from tests.bricks.data_partition import FOLDERS
from tests.escrow import Escrow, openssl, pair

ROOT = Path(__file__).resolve().parents[2]
RECOVERY = "-".join(["cbdefghi"] * 7 + ["jklnrtuv"])
PARTS = ("seal/base64", "escrow", "seal/rsa2048", "seal/signers", "token")
OTHERS = (
    *("disk/src/disk/bytes", "disk/src/disk/report", "disk/src/disk/sha256", "disk/src/disk/tool"),
    *("init/src/base/failure", "init/src/base/files", "init/src/base/keep"),
    *("metadata/src/json/json", "metadata/src/json/utf8"),
)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A LUKS2 volume in a file."""
    image = tmp_path / "volume.img"
    image.write_bytes(bytes(20 << 20))
    recovery = tmp_path / "recovery"
    recovery.write_text(RECOVERY)
    quick = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-")
    luks("luksFormat", "--type", "luks2", *quick, image)
    luks("luksAddKey", "--key-slot", "1", *quick, image, recovery)
    return image


def luks(*arguments: str | Path) -> bytes:
    line = ["cryptsetup", "--batch-mode", *map(str, arguments)]
    return subprocess.run(line, input=b"secret", capture_output=True, check=True).stdout


def store(volume: Path, key: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    sources = [DRIVERS / "data-partition" / "escrow_driver.c"]
    sources += [BRICKS / f"data-partition/src/{part}.c" for part in PARTS]
    sources += [BRICKS / f"{name}.c" for name in OTHERS]
    program = compile_sources("escrow", sources, [f"-I{BRICKS / name}" for name in FOLDERS])
    line = [str(program), str(volume), str(key), RECOVERY, str(folder)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.root
def test_what_is_stored_is_what_its_owner_reads(
    volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = pair(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    done = store(volume, public, folder)
    assert done.returncode == 0, done.stderr
    token = json.loads(luks("token", "export", "--token-id", "29", volume))
    shown = json.loads((folder / ".compos-escrow").read_text())
    assert shown == token
    uuid = luks("luksUUID", volume).decode().strip()
    assert (token["type"], token["keyslots"], token["volume"]) == ("compos-escrow", ["1"], uuid)
    block = base64.b64decode(token["envelope"])
    oaep = ("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256")
    read = openssl("pkeyutl", "-decrypt", "-inkey", private, *oaep, data=block)
    assert read.decode() == f"{RECOVERY} {uuid}\n"
    der = openssl("rsa", "-pubin", "-in", public, "-outform", "DER")
    digest = openssl("dgst", "-sha256", "-r", data=der).decode().split()[0]
    assert token["key"] == digest
    found = open_envelope(private, folder / ".compos-escrow")
    assert (found.key, found.volume, found.machine) == (RECOVERY, uuid, token["machine"])
    assert main(["keys", "recover", str(private), str(folder / ".compos-escrow")]) == 0
    assert capsys.readouterr().out == f"{uuid} {RECOVERY} {token['machine']}".rstrip() + "\n"
    # Two envelopes of the same key differ, and what is shown stays.
    assert store(volume, public, folder).returncode == 0
    again = json.loads(luks("token", "export", "--token-id", "29", volume))
    assert again["envelope"] != token["envelope"]
    assert json.loads((folder / ".compos-escrow").read_text()) == token


@pytest.mark.root
def test_keys_that_are_none(volume: Path, tmp_path: Path) -> None:
    private, public = pair(tmp_path)
    require_escrow_key(public)
    wrong = [private, tmp_path / "missing", pair(tmp_path, 3072)[1]]
    for name, text in (("empty", ""), ("text", "-----BEGIN PUBLIC KEY-----\nAAAA\n"), ("x", "x")):
        wrong.append(tmp_path / name)
        wrong[-1].write_text(text)
    curve = tmp_path / "curve.pem"
    curve.write_bytes(openssl("ecparam", "-name", "prime256v1", "-genkey"))
    wrong.append(tmp_path / "curve-public.pem")
    wrong[-1].write_bytes(openssl("ec", "-in", curve, "-pubout"))
    three = tmp_path / "three.key"
    openssl("genrsa", "-3", "-out", three, "2048")
    wrong.append(tmp_path / "three.pem")
    wrong[-1].write_bytes(openssl("rsa", "-in", three, "-pubout"))
    for key in wrong:
        with pytest.raises(ComposError) as caught:
            require_escrow_key(key)
        assert caught.value.id == "escrow-key", key
        assert store(volume, key, tmp_path).returncode == 1, key
    assert not (tmp_path / ".compos-escrow").exists()


@pytest.mark.slow
def test_envelopes_that_are_none(tmp_path: Path) -> None:
    private, public = pair(tmp_path)
    envelope = tmp_path / "envelope"

    def sealed(message: bytes) -> str:
        oaep = ("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256")
        made = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public, *oaep, data=message)
        return base64.b64encode(made).decode()

    right = f"{RECOVERY} {UUID(int=7)}\n".encode()
    envelope.write_text(json.dumps({"type": "compos-escrow", "envelope": sealed(right)}))
    assert open_envelope(private, envelope)[1:] == (str(UUID(int=7)), "")
    other = tmp_path / "other"
    other.mkdir()
    stranger = pair(other)[0]
    with pytest.raises(ComposError) as caught:
        open_envelope(stranger, envelope)
    assert caught.value.id == "escrow-envelope"
    with pytest.raises(ComposError) as caught:
        open_envelope(public, envelope)
    assert caught.value.id == "escrow-private-key"
    wrong: list[object] = [7, [], {}, {"type": "x", "envelope": sealed(right)}]
    wrong += [{"type": "compos-escrow", "envelope": one} for one in (7, "", "AAAA", "!")]
    wrong.append({"type": "compos-escrow", "envelope": sealed(right + b"x")})
    wrong.append({"type": "compos-escrow", "envelope": sealed(b"\x1b[2J")})
    for document in wrong:
        envelope.write_text(json.dumps(document))
        with pytest.raises(ComposError) as caught:
            open_envelope(private, envelope)
        assert caught.value.id == "escrow-envelope", document
    envelope.write_text("[" * 60_000)
    with pytest.raises(ComposError):
        open_envelope(private, envelope)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".compos-escrow").write_text('{"type":"compos-escrow"}')
    return tmp_path


def send(folder: Path, url: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    line = [str(compile_brick("escrow")), str(folder), url]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)


@pytest.mark.root
def test_it_is_sent_once(folder: Path) -> None:
    with Escrow() as server:
        url = f"http://{server.host}/keys"
        for _ in range(2):
            done = send(folder, url)
            assert done.returncode == 0, done.stderr
        assert server.taken == [b'{"type":"compos-escrow"}']
        # A partition that was made anew has another one.
        (folder / ".compos-escrow").write_text("{}")
        send(folder, url)
        assert server.taken[1:] == [b"{}"]


@pytest.mark.root
@pytest.mark.slow
def test_it_is_sent_until_a_server_takes_it(folder: Path) -> None:
    with Escrow(403, 302) as server:
        done = send(folder, f"http://{server.host}/keys")
    assert (done.returncode, len(server.taken)) == (0, 1)
    assert done.stderr.count("status") == 2
    assert (folder / ".compos-escrow-sent").read_text() == '{"type":"compos-escrow"}'


@pytest.mark.root
def test_there_is_nothing_to_send(tmp_path: Path) -> None:
    done = send(tmp_path, "http://127.0.0.1:1/")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no envelope" in done.stdout


@pytest.mark.root
def test_the_commands_of_the_page(volume: Path, tmp_path: Path) -> None:
    """docs/secure.md: a pair of keys, and the two ways to read an envelope."""
    page = (ROOT / "docs/secure.md").read_text()
    make, recover, by_hand = re.findall(r"```sh\n([^`]*escrow.key[^`]*)```", page)

    def sh(lines: str) -> str:
        text = re.sub(r"^compos ", f"{sys.executable} -m compos ", lines, flags=re.MULTILINE)
        line = ["sh", "-ec", text]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    sh(make)
    done = store(volume, tmp_path / "escrow.pem", tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "envelope.json").write_bytes(luks("token", "export", "--token-id", "29", volume))
    uuid = luks("luksUUID", volume).decode().strip()
    said = sh(recover)
    assert RECOVERY in said
    assert uuid in said
    assert sh(by_hand) == f"{RECOVERY} {uuid}\n"
