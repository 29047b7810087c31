"""Microsoft's certificates, and others, in `db`: efitools read what is enrolled, openssl the
certificates; damaged lists and stores."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from compos.api.keys import KeyOptions, new_keys
from compos.boot.efi_signatures import DB, KEK, certificates_of, signature_list
from compos.boot.enrolment import enrolled
from compos.boot.foreign_keys import MICROSOFT, microsoft_certificates, read_certificate
from compos.boot.variable_store import contents_of
from compos.cli.main import main
from compos.errors import OutputError
from compos.trust.key_set import KeySet

pytestmark = pytest.mark.slow

SHARE = Path("/usr/share/OVMF")
UEFI_CA = "CN = Microsoft Corporation UEFI CA 2011"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose db has Microsoft's certificate, and one of somebody else in DER."""
    folder = tmp_path_factory.mktemp("secrets")
    new_keys(folder / "other")
    line = ["openssl", "x509", "-in", str(folder / "other/db.crt"), "-outform", "DER"]
    subprocess.run([*line, "-out", str(folder / "other.der")], check=True)
    more = ["--microsoft-db", "--db-certificate", str(folder / "other.der")]
    assert main(["keys", "new", *more, str(folder / "keys")]) == 0
    return folder / "keys"


def subjects(lists: bytes, folder: Path) -> list[str]:
    """What efitools and openssl read of signature lists."""
    (folder / "db.esl").write_bytes(lists)
    line = ["sig-list-to-certs", "db.esl", "cert"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    found = []
    for path in sorted(folder.glob("cert-*.der")):
        line = ["openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-subject"]
        found.append(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return found


def test_what_is_enrolled(keys: Path, tmp_path: Path) -> None:
    store = enrolled((SHARE / "OVMF_VARS_4M.fd").read_bytes(), KeySet(keys))
    own, microsoft, other = subjects(contents_of(store, DB) or b"", tmp_path)
    assert "compos signature key for boot programs" in own
    assert UEFI_CA in microsoft
    assert "compos signature key for boot programs" in other
    owners = [owner for owner, _ in certificates_of(contents_of(store, DB) or b"")]
    assert owners == [KeySet(keys).owner(), MICROSOFT, UUID(int=0)]
    # Nobody else may change db: KEK has the set's own certificate alone.
    assert len([*certificates_of(contents_of(store, KEK) or b"")]) == 1
    # The update that a machine in setup mode takes ends with the same lists.
    assert (keys / "db.auth").read_bytes().endswith(contents_of(store, DB) or b"?")


def test_windows_is_left_out() -> None:
    store = (SHARE / "OVMF_VARS_4M.ms.fd").read_bytes()
    assert len([*certificates_of(contents_of(store, DB) or b"")]) == 2
    assert len(microsoft_certificates(store)) == 1
    with pytest.raises(ValueError, match="no certificate of Microsoft"):
        microsoft_certificates((SHARE / "OVMF_VARS_4M.fd").read_bytes())


def test_files_that_hold_no_certificate(tmp_path: Path) -> None:
    for content in (b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n", bytes(100_000)):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(OutputError) as caught:
            new_keys(tmp_path / "keys", KeyOptions(db_certificates=(tmp_path / "file",)))
        assert caught.value.id == "signing-certificate"
        assert not (tmp_path / "keys").exists()
    with pytest.raises(OutputError):
        new_keys(tmp_path / "keys", KeyOptions(db_certificates=(tmp_path / "none",)))


def test_forms_of_certificates(keys: Path) -> None:
    pem = (keys / "db.crt").read_bytes()
    assert read_certificate(read_certificate(pem)) == KeySet(keys).certified("db").certificate


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: data[:16] + struct.pack("<I", 0) + data[20:],
        lambda data: data[:16] + struct.pack("<I", 1 << 31) + data[20:],
        lambda data: data[:20] + struct.pack("<I", 1 << 31) + data[24:],
        lambda data: data[:24] + struct.pack("<I", 0) + data[28:],
        lambda data: data[:24] + struct.pack("<I", 15) + data[28:],
        lambda data: data + b"\0",
    ],
)
def test_damaged_lists(change: object) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match="signature list"):
        [*certificates_of(change(signature_list(b"c" * 100, MICROSOFT)))]
