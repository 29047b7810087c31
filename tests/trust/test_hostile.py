"""What strangers write: whatever stands where a signature, a certificate, a log entry or a policy is
expected, there is a verdict or an error with an id, and never trust."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from compos.errors import ImageError
from compos.image.reference import Reference
from compos.trust.certificates import signer_of
from compos.trust.cosign_key import decrypted
from compos.trust.dsse import SIGN, Statement, Subject, envelope_of
from compos.trust.evidence import (
    Signature,
    from_annotations,
    from_bundle,
    from_envelope,
    from_file_bundle,
)
from compos.trust.identity import ANY_NAME, SignedIdentity
from compos.trust.judge import Found, Judge, Wanted
from compos.trust.policy import Certified, Material, Signed, read_policy
from compos.trust.trusted_root import read_trusted_root
from tests.trust.sigstore import ISSUER, SUBJECT, Instance

DIGEST = f"sha256:{'ab' * 32}"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("YQ=="),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


class World:
    """An instance, what it signed, and who judges it."""

    def __init__(self, folder: Path) -> None:
        instance = Instance(folder)
        certificate = instance.certificate()
        statement = Statement((Subject("", DIGEST[7:]),), SIGN, {})
        envelope = envelope_of(
            statement.to_json(),
            lambda signed: certificate.key.sign(signed, ec.ECDSA(hashes.SHA256())),
        )
        self.bundle: dict[str, Any] = json.loads(instance.bundle(certificate, envelope))
        self.root: dict[str, Any] = json.loads(instance.trusted_root().read_bytes())
        self.certificate = certificate.pem.encode()
        self.required = Signed(
            certified=(
                Certified(
                    issuer=ISSUER,
                    subject=SUBJECT,
                    trusted_root=Material(path=str(folder / "trusted_root.json")),
                ),
            ),
            identity=SignedIdentity(ANY_NAME),
        )
        self.judge = Judge()

    def verdict(self, signatures: Iterator[Signature]) -> Found | str:
        return self.judge.require(self.required, Wanted(None, (DIGEST,)), signatures)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, one in inner:
        yield from paths(one, (*path, key))


def mutated(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def test_the_whole_is_trusted(world: World) -> None:
    found = world.verdict(from_bundle(json.dumps(world.bundle).encode()))
    assert isinstance(found, Found)


@given(data=st.data(), value=VALUES)
def test_a_bundle_with_one_value_changed(world: World, data: st.DataObject, value: Any) -> None:
    path = data.draw(st.sampled_from([*paths(world.bundle)]))
    changed = mutated(world.bundle, path, value)
    found = world.verdict(from_bundle(json.dumps(changed).encode()))
    # What does not go into the verdict may be anything.
    free = ("mediaType", "inclusionProof", "kindVersion")
    if changed != world.bundle and not any(key in path for key in free):
        assert isinstance(found, str), path


@given(st.binary(max_size=200))
def test_bytes_that_are_nothing(data: bytes) -> None:
    text = data.decode("latin-1")
    keys = ("cosign/signature", "cosign/certificate", "cosign/chain", "cosign/bundle")
    annotations = {f"dev.sigstore.{key}": text for key in keys}
    for signature in (
        *from_bundle(data),
        *from_envelope(data, annotations),
        *from_file_bundle(data, b"", b""),
        from_annotations(data, annotations),
    ):
        assert signature.claim() is None
        assert signer_of(signature.certificates) is None
    with pytest.raises(ValueError, match=r"."):
        decrypted(base64.b64encode(data), "")
    with pytest.raises(ValueError, match=r"."):
        read_trusted_root(data)


@given(data=st.data())
def test_certificates_with_one_byte_changed(world: World, data: st.DataObject) -> None:
    pem = bytearray(world.certificate)
    pem[data.draw(st.integers(0, len(pem) - 1))] = data.draw(st.integers(0, 255))
    signer_of(bytes(pem))


@given(data=st.data(), value=VALUES)
def test_trusted_roots_with_one_value_changed(
    world: World, data: st.DataObject, value: Any
) -> None:
    path = data.draw(st.sampled_from([*paths(world.root)]))
    text = json.dumps(mutated(world.root, path, value)).encode()
    try:
        read_trusted_root(text)
    except ValueError:
        return


POLICY = {
    "default": [{"type": "reject"}],
    "transports": {
        "docker": {
            "r.example": [
                {
                    "type": "sigstoreSigned",
                    "keyData": "YQ==",
                    "rekorPublicKeyPath": "x",
                    "signedIdentity": {
                        "type": "remapIdentity",
                        "prefix": "r.example",
                        "signedPrefix": "s.example",
                    },
                }
            ]
        }
    },
}


@given(data=st.data(), value=VALUES)
def test_policies_with_one_value_changed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "policy.json"
    changed = mutated(POLICY, data.draw(st.sampled_from([*paths(POLICY)])), value)
    path.write_text(json.dumps(changed))
    try:
        policy, refusal = read_policy(path), None
    except ImageError as refused:
        policy, refusal = None, refused
    if policy is None:
        assert refusal
        assert refusal.id == "policy-invalid"
        return
    assert policy.requirements("docker", ["r.example"])
    for required in policy.requirements("docker", ["r.example"]):
        if isinstance(required, Signed):
            required.identity.holds(Reference.parse("r.example/app:1"), "s.example/app:1")
