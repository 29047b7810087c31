"""Signatures: which keys serve, what a signature is about, and that hostile ones are none. What
cosign makes of them, and makes itself, is in tests/package/test_publish.py."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compos.errors import ImageError
from compos.image.digest import digest_of
from compos.image.reference import Reference
from compos.trust.brick_key import SignedBy
from compos.trust.evidence import Signature, decoded
from compos.trust.keys import PrivateKey, PublicKey
from compos.trust.simple_signing import payload_of
from tests.trust.pairs import KINDS, key_pair, require_cryptography

pytestmark = pytest.mark.usefixtures("cryptography")

REFERENCE = Reference.parse("r.example/compos/tool:v1")
ASKED = Reference.parse("compos/tool:v1")
DIGEST = digest_of(b"index")


@pytest.fixture
def cryptography() -> None:
    require_cryptography()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_checks_what_its_owner_signed(tmp_path: Path, kind: str) -> None:
    private, public = key_pair(tmp_path, kind)
    key = PrivateKey.read(private)
    made = key.sign(b"payload")
    assert made == key.sign(b"payload"), "published again, nothing has changed"
    checks = PublicKey.read(public)
    assert checks.made(made, b"payload")
    assert not checks.made(made, b"payloae")
    assert not checks.made(b"", b"payload")
    assert checks.fingerprint == key.public.fingerprint


def test_openssl_agrees(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "EC")
    made = PrivateKey.read(private).sign(b"payload")
    (tmp_path / "payload").write_bytes(b"payload")
    (tmp_path / "signature").write_bytes(made)
    command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature"]
    done = subprocess.run(
        [*command, str(tmp_path / "signature"), str(tmp_path / "payload")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "Verified OK\n"


def test_an_encrypted_key(tmp_path: Path) -> None:
    private, _ = key_pair(tmp_path, "EC")
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkey", "-in", str(private), "-aes256", "-passout", "pass:secret"]
    subprocess.run([*command, "-out", str(locked)], check=True)
    fingerprint = PrivateKey.read(private).public.fingerprint
    assert PrivateKey.read(locked, "secret").public.fingerprint == fingerprint
    for password in ("wrong", None):
        with pytest.raises(ImageError) as caught:
            PrivateKey.read(locked, password)
        assert caught.value.id == "signature-key"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "2048 bits"),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "secp256k1"),
        (["-algorithm", "X25519"], "not for ECDSA"),
    ],
)
def test_weak_keys_are_refused(tmp_path: Path, made: list[str], reason: str) -> None:
    private = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", *made, "-out", private], check=True, capture_output=True)
    with pytest.raises(ImageError, match=reason) as caught:
        PrivateKey.read(private)
    assert caught.value.id == "signature-key"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
    ],
)
def test_nonsense_is_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.pem"
    path.write_text(text)
    for read in (PublicKey.read, PrivateKey.read):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert (caught.value.id, caught.value.place) == ("signature-key", str(path))
    with pytest.raises(ImageError, match="cannot be read"):
        PublicKey.read(tmp_path / "none.pem")


def changed(**critical: Any) -> bytes:
    plain = json.loads(payload_of(REFERENCE, DIGEST))
    plain["critical"].update(critical)
    return json.dumps(plain).encode()


PLAIN = json.loads(payload_of(REFERENCE, DIGEST))
PAYLOADS = {
    "ours": (payload_of(REFERENCE, DIGEST), True),
    "another registry": (payload_of(REFERENCE._replace(domain="m.example"), DIGEST), True),
    "a name without a tag": (payload_of(REFERENCE._replace(tag=""), DIGEST), True),
    "a name with its tag": (
        changed(identity={"docker-reference": "r.example:5000/tool:v1"}),
        True,
    ),
    "another digest": (payload_of(REFERENCE, digest_of(b"other")), False),
    "another name": (payload_of(REFERENCE._replace(path="compos/other"), DIGEST), False),
    "another tag": (payload_of(REFERENCE._replace(tag="v2"), DIGEST), False),
    "a tag that is none": (json.dumps({**PLAIN, "optional": {"tag": 1}}).encode(), False),
    "another type": (changed(type="something else"), False),
    "no digest": (changed(image={}), False),
    "no identity": (changed(identity=None), False),
    "no object": (b"[]", False),
    "no JSON": (b"\xff", False),
    "too deep": (b"[" * 50_000, False),
    "too long": (payload_of(REFERENCE, DIGEST) + b" " * (64 << 10), False),
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_what_a_signature_is_about(tmp_path: Path, case: str) -> None:
    payload, accepted = PAYLOADS[case]
    key = PrivateKey.read(key_pair(tmp_path, "ED25519")[0])
    required = SignedBy(
        key.public, lambda: [Signature(b"x", b"y"), Signature(payload, key.sign(payload))]
    )
    if accepted:
        required.require(ASKED, DIGEST)
        return
    with pytest.raises(ImageError, match="another name, tag or digest") as caught:
        required.require(ASKED, DIGEST)
    assert caught.value.id == "image-signature"


def test_nobody_signed_it(tmp_path: Path) -> None:
    key = PrivateKey.read(key_pair(tmp_path, "ED25519")[0])
    forged = Signature(payload_of(REFERENCE, DIGEST), decoded("no base64"))
    for signatures in ([], [forged]):
        with pytest.raises(ImageError, match="not signed with the key"):
            SignedBy(key.public, lambda found=signatures: found).require(ASKED, DIGEST)  # type: ignore[misc]
