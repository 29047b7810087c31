"""Signed PCR policies: systemd-measure of Debian 13 makes the same section, TPMs' own digest of a
policy, and hostile sections. That the guest gets them is in tests/boot/test_measured_boot.py."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from compos.api.keys import exchange_pcr_key, new_keys
from compos.boot.measurements import PHASES, measured, require_phases, sections_measured
from compos.boot.pcr_policy import policy_digest, read_policies, signed_policies
from compos.boot.uki import unified_kernel_image
from compos.errors import ComposError, OutputError
from compos.tree.node import Piece
from compos.trust.key_set import KeySet
from compos.trust.roles import PREVIOUS
from tests.boot_records.stub import stub
from tests.boot_records.test_authenticode import chunks
from tests.boot_records.test_measurements import PARTS
from tests.trixie import loader, unpacked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return folder


def section(folder: Path, *phases: str) -> bytes:
    """`.pcrsig` for a program of `PARTS`."""
    key = KeySet(folder).policy_key()
    assert key is not None
    parts = [*PARTS, (".pcrpkey", key.pem)]
    digests = {name: hashlib.sha256(data).digest() for name, data in parts}
    values = dict(sections_measured(digests).phases)
    return signed_policies([key], [values[phase] for phase in phases])


def test_a_previous_key_signs_besides(folder: Path, tmp_path: Path) -> None:
    """Both sign the same policies; what reads them finds the new key."""
    keys = tmp_path / "keys"
    shutil.copytree(folder, keys)
    exchange_pcr_key(keys)
    new, old = KeySet(keys).policy_key(), KeySet(keys).policy_key(PREVIOUS)
    assert new
    assert old
    found = read_policies(signed_policies([old, new], [bytes(32), b"x" * 32]))
    assert [one.key for one in found] == [old.fingerprint] * 2 + [new.fingerprint] * 2
    assert len({one.policy for one in found}) == 2
    assert len({one.signature for one in found}) == 4


@pytest.mark.network
def test_it_is_systemd_measures(folder: Path, tmp_path: Path) -> None:
    libraries = ["libtss2-esys-3.0.2-0t64", "libtss2-mu-4.0.1-0t64", "libtss2-rc0t64"]
    keep = ["usr/lib/systemd/systemd-measure", "usr/lib/x86_64-linux-gnu/libtss2-*"]
    root = unpacked(tmp_path, "systemd", ["systemd", *libraries], keep)
    line = [*loader(root), str(root / "usr/lib/systemd/systemd-measure"), "sign", "--bank=sha256"]
    line += [f"--private-key={folder / 'pcr.key'}", f"--public-key={folder / 'pcr.pub'}"]
    line.append(f"--pcrpkey={folder / 'pcr.pub'}")
    for name, data in PARTS:
        (tmp_path / name).write_bytes(data)
        line.append(f"--{name[1:]}={tmp_path / name}")
    line += [f"--phase={':'.join(PHASES[: number + 1])}" for number in range(len(PHASES))]
    theirs = subprocess.run(line, capture_output=True, check=True).stdout
    assert json.loads(section(folder, *PHASES)) == json.loads(theirs)
    assert section(folder, *PHASES) == theirs.rstrip(b"\n")


def test_known_bytes() -> None:
    """TPM 2.0 Library, part 3, 23.7: PolicyPCR of a PCR 11 that is zero."""
    selection = bytes.fromhex("00000001000b03000800")
    command = bytes.fromhex("0000017f")
    values = hashlib.sha256(bytes(32)).digest()
    expected = hashlib.sha256(bytes(32) + command + selection + values).digest()
    assert policy_digest(bytes(32)) == expected


def test_measure_tells_what_is_signed(folder: Path) -> None:
    key = (folder / "pcr.pub").read_bytes()
    signed = section(folder, "enter-initrd", "sysinit")
    parts = [*PARTS[:-1], (".pcrpkey", key), (".pcrsig", signed), PARTS[-1]]
    pieces: list[tuple[str, list[Piece]]] = [(name, [data]) for name, data in parts]

    def pcr_11(made: bytes) -> list[str]:
        found = next(one for one in measured(io.BytesIO(made)) if one.pcr == 11)
        return [phase for phase, _ in found.signed]

    program = b"".join(chunks(unified_kernel_image(stub(machine=0x8664), pieces).pieces))
    assert pcr_11(program) == ["enter-initrd", "sysinit"]
    assert pcr_11(program.replace(b"console=", b"consolf=")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"\xff",
        b"[]",
        b'{"sha256": {}}',
        b'{"sha256": [1]}',
        b'{"sha256": [{"pcrs": [11]}]}',
        b'{"sha256": [{"pcrs": [11], "pkfp": "", "pol": "x", "sig": ""}]}',
        b'{"sha256": [{"pcrs": [11], "pkfp": "", "pol": "00", "sig": "%"}]}',
        b"[" * 60_000,
        b" " * 70_000,
    ],
    ids=lambda data: data[:40].decode("latin-1"),
)
def test_what_is_no_section(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  it has no text of its own for each
        read_policies(data)


def test_other_pcrs_and_banks_are_left_out() -> None:
    other = {"pcrs": [7, 11], "pkfp": "", "pol": "00", "sig": ""}
    assert read_policies(json.dumps({"sha256": [other], "sha1": [1]}).encode() + b"\0\0") == []


def test_phases() -> None:
    with pytest.raises(OutputError, match="'enter-inird'") as caught:
        require_phases(["ready", "enter-inird"])
    assert caught.value.id == "phase-unknown"
    assert "enter-initrd" in str(caught.value.hint)


def test_only_rsa(folder: Path, tmp_path: Path) -> None:
    line = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*line, "-out", tmp_path / "pcr.key"], check=True, capture_output=True)
    line = ["openssl", "pkey", "-in", str(tmp_path / "pcr.key"), "-pubout"]
    subprocess.run([*line, "-out", tmp_path / "pcr.pub"], check=True, capture_output=True)
    with pytest.raises(OutputError) as caught:
        KeySet(tmp_path).policy_key()
    assert caught.value.id == "signing-policy-key"
    (tmp_path / "pcr.pub").write_text("nonsense")
    with pytest.raises(ComposError) as broken:
        KeySet(tmp_path).policy_key()
    assert broken.value.id == "signature-key"
    # The public key of another set: nobody could unseal with what is signed.
    (tmp_path / "pcr.pub").write_bytes((folder / "pcr.pub").read_bytes())
    (tmp_path / "pcr.key").write_bytes((folder / "update.key").read_bytes())
    key = KeySet(tmp_path).policy_key()
    assert key is not None
    with pytest.raises(OutputError) as wrong:
        key.sign(b"x")
    assert wrong.value.id == "signing-failed"
    (tmp_path / "pcr.pub").unlink()
    assert KeySet(tmp_path).policy_key() is None
