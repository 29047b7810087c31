"""Sets of keys: what is in the folder, who may read it, and who signs in place of its keys."""

from __future__ import annotations

import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from compos.api.keys import KeyOptions, exchange_pcr_key, new_keys
from compos.cli.main import main
from compos.errors import ComposError, OutputError
from compos.trust.key_set import KeySet

pytestmark = pytest.mark.slow

ROLES = ("PK", "KEK", "db", "update")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder, KeyOptions("Acme", days=10))
    return folder


def openssl(*words: object) -> str:
    return subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, check=True
    ).stdout


def test_what_is_in_it(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *(f"{role}.{kind}" for role in ROLES for kind in ("key", "crt")),
        *("PK.auth", "KEK.auth", "db.auth", "pcr.key", "pcr.pub", "owner.guid"),
    }
    for role in ROLES:
        certificate = folder / f"{role}.crt"
        openssl("verify", "-CAfile", certificate, certificate)
        assert openssl("x509", "-in", certificate, "-noout", "-pubkey") == openssl(
            "pkey", "-in", folder / f"{role}.key", "-pubout"
        )
        assert "Acme" in openssl("x509", "-in", certificate, "-noout", "-subject")
        openssl("x509", "-in", certificate, "-noout", "-checkend", 9 * 86400)
    assert (folder / "pcr.pub").read_text() == openssl("pkey", "-in", folder / "pcr.key", "-pubout")


def test_nobody_else_reads_what_is_secret(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert "PRIVATE KEY" in path.read_text()
    for path in {*folder.iterdir()} - {*folder.glob("*.key")}:
        assert b"PRIVATE" not in path.read_bytes()


def test_keys_are_never_overwritten(folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for taken in (folder, folder / "db.key", tmp_path / "no" / "parent"):
        with pytest.raises(OutputError) as caught:
            new_keys(taken)
        assert caught.value.id == "keys-folder"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_another_key_for_policies(folder: Path, tmp_path: Path) -> None:
    """The old one stays beside it; a third is not made before the old one is removed."""
    keys = tmp_path / "keys"
    shutil.copytree(folder, keys)
    old = {kind: (keys / f"pcr.{kind}").read_bytes() for kind in ("key", "pub")}
    made = exchange_pcr_key(keys)
    assert [path.name for path in made] == ["pcr.key", "pcr.pub", "previous.key", "previous.pub"]
    for kind, data in old.items():
        assert (keys / f"previous.{kind}").read_bytes() == data
        assert (keys / f"pcr.{kind}").read_bytes() != data
    assert stat.S_IMODE((keys / "pcr.key").stat().st_mode) == 0o600
    with pytest.raises(OutputError) as caught:
        exchange_pcr_key(keys)
    assert caught.value.id == "keys-previous"
    for path in keys.glob("pcr.*"):
        path.unlink()
    with pytest.raises(OutputError) as caught:
        exchange_pcr_key(keys)
    assert caught.value.id == "keys-missing"


def test_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOS_KEYS_PASSWORD", "correct horse")
    assert main(["keys", "new", str(tmp_path / "keys")]) == 0
    assert "ENCRYPTED" in (tmp_path / "keys/db.key").read_text()
    KeySet(tmp_path / "keys").certified("db")
    monkeypatch.setenv("COMPOS_KEYS_PASSWORD", "wrong")
    with pytest.raises(ComposError) as caught:
        KeySet(tmp_path / "keys").certified("db")
    assert caught.value.id == "signature-key"
    assert "wrong" not in f"{caught.value} {caught.value.hint} {caught.value.place}".replace(
        "password is wrong", ""
    )


def test_a_command_signs(folder: Path, tmp_path: Path) -> None:
    only = tmp_path / "certificates"
    only.mkdir()
    (only / "db.crt").write_bytes((folder / "db.crt").read_bytes())

    def signed(command: str) -> bytes:
        return KeySet(only, command).certified("db").sign(b"what is signed")

    key = shlex.quote(str(folder / "db.key"))
    expected = KeySet(folder).certified("db").sign(b"what is signed")
    assert signed(f"openssl dgst -sha256 -sign {key}") == expected
    other = shlex.quote(str(folder / "KEK.key"))
    for command in (f"openssl dgst -sha256 -sign {other}", "false", "true", "yes", "echo nonsense"):
        with pytest.raises(OutputError) as caught:
            signed(command)
        assert caught.value.id == "signing-failed", command


@pytest.mark.parametrize(
    ("name", "content", "id"),
    [
        ("db.crt", None, "keys-missing"),
        ("db.key", None, "keys-missing"),
        ("owner.guid", None, "keys-missing"),
        ("owner.guid", b"\xff" * 40, "keys-missing"),
        ("db.crt", b"nonsense", "signing-certificate"),
        ("db.crt", b"\xff" * 200_000, "signing-certificate"),
        ("db.key", b"nonsense", "signature-key"),
    ],
)
def test_what_is_missing_or_wrong(
    folder: Path, tmp_path: Path, name: str, content: bytes | None, id: str
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    keys = KeySet(tmp_path)
    with pytest.raises(ComposError) as caught:
        _ = (keys.certified("db"), keys.owner())
    assert caught.value.id == id
    assert name in str(caught.value.place)


def test_a_key_that_does_not_belong_to_its_certificate(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "db.crt").write_bytes((folder / "db.crt").read_bytes())
    (tmp_path / "db.key").write_bytes((folder / "KEK.key").read_bytes())
    with pytest.raises(OutputError) as caught:
        KeySet(tmp_path).certified("db").sign(b"x")
    assert caught.value.id == "signing-failed"


def test_keys_in_a_token(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "/usr/lib/softhsm/libsofthsm2.so"
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("COMPOS_PKCS11_PIN", "123456")
    line = ["softhsm2-util", "--init-token", "--free", "--label", "builds", "--so-pin", "1234"]
    subprocess.run([*line, "--pin", "123456"], check=True, capture_output=True)
    only = tmp_path / "certificates"
    only.mkdir()
    for number, (role, public) in enumerate((("db", "db.crt"), ("pcr", "pcr.pub")), 1):
        der = (tmp_path / "private.der", tmp_path / "public.der")
        openssl("pkey", "-in", folder / f"{role}.key", "-outform", "DER", "-out", der[0])
        openssl("pkey", "-in", folder / f"{role}.key", "-pubout", "-outform", "DER", "-out", der[1])
        for kind, path in zip(("privkey", "pubkey"), der, strict=True):
            line = ["pkcs11-tool", "--module", module, "--login", "--pin", "env:COMPOS_PKCS11_PIN"]
            line += ["--write-object", str(path), "--type", kind, "--id", f"0{number}"]
            subprocess.run([*line, "--label", role], check=True, capture_output=True)
            path.unlink()
        (only / public).write_bytes((folder / public).read_bytes())
        uri = f"pkcs11:token=builds;object={role}?module-path={module}\n"
        (only / f"{role}.uri").write_text(uri)
    here, there = KeySet(folder), KeySet(only)
    assert there.certified("db").sign(b"x") == here.certified("db").sign(b"x")
    policy, expected = there.policy_key(), here.policy_key()
    assert policy is not None
    assert expected is not None
    assert policy.sign(b"x") == expected.sign(b"x")
    # Another object than the certificate's, and what is no URI.
    (only / "db.uri").write_text((only / "pcr.uri").read_text())
    with pytest.raises(OutputError) as caught:
        there.certified("db").sign(b"x")
    assert caught.value.id == "signing-failed"
    for text in ("pkcs11:pin-value=secret123", "pkcs11:", "nonsense", "\udcff"):
        (only / "db.uri").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ComposError) as broken:
            there.certified("db").sign(b"x")
        assert broken.value.id == "signature-key", text
        assert "secret123" not in f"{broken.value} {broken.value.hint}"
