"""Identities instead of keys: certificates for minutes, and the log's entries. The instance is the
test's own; cosign says whether what it makes is right."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from compos.cli.main import main
from compos.image.model import Descriptor
from compos.image.reference import Reference
from compos.trust.attachments import SIMPLE_SIGNING, push_beside, push_bundle
from compos.trust.dsse import PREDICATES, SIGN, Statement, Subject, envelope_of
from compos.trust.evidence import from_bundle
from compos.trust.keys import PublicKey
from compos.trust.simple_signing import payload_of
from compos.trust.transparency import LogEntry
from tests.trust.cosign import Cosign
from tests.trust.sigstore import ISSUER, SUBJECT, Certificate, Instance
from tests.trust.team import Team

pytestmark = pytest.mark.slow


@pytest.fixture
def instance(team: Team) -> Instance:
    return Instance(team.folder)


def sign(
    team: Team,
    instance: Instance,
    certificate: Certificate,
    image: str = "team/app",
    *,
    without: str = "",
    **entry: Any,
) -> None:
    """Sign an image with the key of a certificate, as cosign does it without a key."""
    reference = Reference.parse(team.name(image))
    digest = team.registry.digest(reference)
    assert digest
    payload = payload_of(reference, digest)
    signature = certificate.key.sign(payload, ec.ECDSA(hashes.SHA256()))
    annotations = {
        "dev.cosignproject.cosign/signature": base64.b64encode(signature).decode(),
        "dev.sigstore.cosign/certificate": certificate.pem,
        "dev.sigstore.cosign/chain": certificate.chain_pem,
        "dev.sigstore.cosign/bundle": json.dumps(
            instance.entry(signature, payload, certificate.pem, **entry)
        ),
    }
    annotations.pop(without, None)
    blob = team.store.put(payload, SIMPLE_SIGNING)
    layer = Descriptor(SIMPLE_SIGNING, blob.digest, blob.size, annotations)
    push_beside(team.registry, team.store, reference, digest, "sig", layer)


def rules(team: Team, instance: Instance, **identity: str) -> str:
    who = {"issuer": ISSUER, **(identity or {"subject": SUBJECT})}
    trust = {
        "trustedRoot": str(instance.trusted_root()),
        "images": [{"match": team.host, "identities": [who]}],
    }
    return f"trust: {json.dumps(trust)}\n"


def test_an_identity(team: Team, instance: Instance) -> None:
    team.push("team/app")
    sign(team, instance, instance.certificate())
    team.system(team.name("team/app"), more=rules(team, instance))
    assert "Create outputs" in team.build()
    for wrong in ({"subject": "other@team.example"}, {"subject": SUBJECT, "issuer": "https://x.example"}):  # fmt: skip
        team.system(team.name("team/app"), more=rules(team, instance, **wrong))
        assert f"it is signed by {SUBJECT} ({ISSUER}), not by whom" in team.build()


def test_an_identity_by_a_pattern(team: Team, instance: Instance) -> None:
    workflow = "https://forge.example/team/app/release.yml@refs/tags/v1"
    team.push("team/app")
    sign(team, instance, instance.certificate(subject=workflow))
    pattern = r"https://forge\.example/team/app/release\.yml@refs/tags/.*"
    team.system(team.name("team/app"), more=rules(team, instance, subjectPattern=pattern))
    assert "Create outputs" in team.build()
    team.system(team.name("team/app"), more=rules(team, instance, subjectPattern=pattern[:-3]))
    assert "not by whom the policy names" in team.build()


ATTACKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an expired certificate": ({}, {"after": timedelta(minutes=11)}, "was valid from"),
    "used before it was valid": ({}, {"after": timedelta(minutes=-1)}, "was valid from"),
    "no entry of the log": ({}, {"without": "dev.sigstore.cosign/bundle"}, "has no entry of a"),
    "no certificate": ({}, {"without": "dev.sigstore.cosign/certificate"}, "certificate"),
    "a certificate for servers": (
        {"usage": ExtendedKeyUsageOID.SERVER_AUTH},
        {},
        "not one for signing code",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(team: Team, instance: Instance, attack: str) -> None:
    certified, signed, reason = ATTACKS[attack]
    team.push("team/app")
    sign(team, instance, instance.certificate(**certified), **signed)
    team.system(team.name("team/app"), more=rules(team, instance))
    error = team.build()
    assert "error[image-signature]" in error
    assert reason in error


def test_strangers(team: Team, instance: Instance) -> None:
    """Another authority, another log; a signer who plays the authority; an entry about another
    signature."""
    stranger = Instance(team.folder)
    team.push("team/app")
    team.system(team.name("team/app"), more=rules(team, instance))
    sign(team, instance, stranger.certificate())
    assert "not issued by the authority" in team.build()
    sign(team, stranger, stranger.certificate())
    assert "not issued by the authority" in team.build()
    mine = instance.certificate()
    sign(team, instance, instance.certificate(by=(mine.leaf, mine.key)))
    assert "not issued by the authority" in team.build()
    team.push("team/two")
    sign(team, stranger, instance.certificate(), "team/two")
    team.system(team.name("team/two"), more=rules(team, instance))
    assert "not signed by the log that is required" in team.build()


def test_an_entry_about_another_signature(team: Team, instance: Instance) -> None:
    team.push("team/app")
    certificate, other = instance.certificate(), instance.certificate()
    reference = Reference.parse(team.name("team/app"))
    digest = team.registry.digest(reference)
    assert digest
    payload = payload_of(reference, digest)
    made = [one.key.sign(payload, ec.ECDSA(hashes.SHA256())) for one in (certificate, other)]
    entry = instance.entry(made[1], payload, other.pem)
    annotations = {
        "dev.cosignproject.cosign/signature": base64.b64encode(made[0]).decode(),
        "dev.sigstore.cosign/certificate": certificate.pem,
        "dev.sigstore.cosign/chain": certificate.chain_pem,
        "dev.sigstore.cosign/bundle": json.dumps(entry),
    }
    blob = team.store.put(payload, SIMPLE_SIGNING)
    layer = Descriptor(SIMPLE_SIGNING, blob.digest, blob.size, annotations)
    push_beside(team.registry, team.store, reference, digest, "sig", layer)
    team.system(team.name("team/app"), more=rules(team, instance))
    assert "entry is about another signature" in team.build()


def test_containers_policy(team: Team, instance: Instance) -> None:
    """`fulcio`, as podman has it."""
    team.push("team/app")
    sign(team, instance, instance.certificate())
    team.system(team.name("team/app"))
    fulcio = {
        "caData": base64.b64encode(instance.authority_pem).decode(),
        "oidcIssuer": ISSUER,
        "subjectEmail": SUBJECT,
    }
    requirement = {
        "type": "sigstoreSigned",
        "fulcio": fulcio,
        "rekorPublicKeyData": base64.b64encode(instance.log_pem).decode(),
        "signedIdentity": {"type": "matchRepository"},
    }
    assert "Create outputs" in team.build("--policy", str(team.policy(requirement)))
    fulcio["subjectEmail"] = "other@team.example"
    assert "error[image-signature]" in team.build("--policy", str(team.policy(requirement)))


def signed_statement(certificate: Certificate, statement: Statement) -> dict[str, Any]:
    return envelope_of(
        statement.to_json(),
        lambda signed: certificate.key.sign(signed, ec.ECDSA(hashes.SHA256())),
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, ""),
        ({"without": "inclusionProof"}, ""),
        ({"without": "inclusionPromise"}, "nobody says when it was signed"),
        ({"without": "canonicalizedBody"}, "has no entry"),
        ({"after": timedelta(minutes=11)}, "was valid from"),
    ],
)
def test_a_bundle_that_refers_to_the_image(
    team: Team, instance: Instance, options: dict[str, Any], reason: str
) -> None:
    """A sigstore bundle with certificate and log entry: all that is needed, without a network."""
    team.push("team/app")
    reference = Reference.parse(team.name("team/app"))
    root, _ = team.registry.manifest(reference)
    certificate = instance.certificate()
    subject = Subject(f"{team.host}/team/app", root.digest.removeprefix("sha256:"))
    envelope = signed_statement(certificate, Statement((subject,), SIGN, {}))
    bundle = instance.bundle(certificate, envelope, **options)
    push_bundle(team.registry, team.store, reference, root.digest, bundle, SIGN)
    team.system(team.name("team/app"), more=rules(team, instance))
    assert (reason or "Create outputs") in team.build()


def test_proofs_of_inclusion(team: Team, instance: Instance) -> None:
    """Where no time is needed, a proof does as well as a promise: with a key and a log."""
    certificate = instance.certificate()
    statement = Statement((Subject("x", "00" * 32),), SIGN, {})
    envelope = signed_statement(certificate, statement)
    log = [PublicKey(instance.log_pem, "log")]

    def entry(data: bytes) -> LogEntry:
        (signature,) = from_bundle(data)
        assert signature.entry
        return signature.entry

    whole = entry(instance.bundle(certificate, envelope))
    assert whole.is_included(log)
    assert not whole.is_included([PublicKey(Instance(team.folder).log_pem, "another")])
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert not entry(instance.bundle(certificate, envelope, checkpoint_by=stranger)).is_included(
        log
    )
    assert whole.proof
    proof = whole.proof
    for wrong in (
        proof._replace(number=3),
        proof._replace(number=5),
        proof._replace(number=-1),
        proof._replace(size=4),
        proof._replace(size=1 << 62),
        proof._replace(hashes=proof.hashes[:2]),
        proof._replace(hashes=(*proof.hashes, proof.hashes[0])),
        proof._replace(hashes=proof.hashes[::-1]),
        proof._replace(checkpoint=""),
        proof._replace(checkpoint=proof.checkpoint.replace("\n5\n", "\n6\n")),
    ):
        assert not whole._replace(proof=wrong).is_included(log)
    assert not whole._replace(body=whole.body + b" ").is_included(log)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
def test_cosign_agrees(team: Team, instance: Instance) -> None:
    """It accepts what the instance makes, and refuses what compos refuses."""
    cosign = Cosign(team.folder)
    root, log = team.folder / "authority.pem", team.folder / "log.pem"
    root.write_bytes(instance.authority_pem)
    log.write_bytes(instance.log_pem)

    def verify(image: str, subject: str = SUBJECT) -> str:
        identity = ("--certificate-identity", subject, "--certificate-oidc-issuer", ISSUER)
        offline = ("--offline", "--insecure-ignore-sct")
        return cosign.registry(
            "verify",
            *identity,
            *offline,
            team.name(image),
            SIGSTORE_ROOT_FILE=str(root),
            SIGSTORE_REKOR_PUBLIC_KEY=str(log),
        )

    team.push("team/app")
    sign(team, instance, instance.certificate())
    assert SUBJECT in verify("team/app")
    with pytest.raises(subprocess.CalledProcessError):
        verify("team/app", "other@team.example")
    team.push("team/late", "late")
    sign(team, instance, instance.certificate(), "team/late", after=timedelta(minutes=11))
    team.push("team/unlogged", "unlogged")
    without = "dev.sigstore.cosign/bundle"
    sign(team, instance, instance.certificate(), "team/unlogged", without=without)
    for image, words in (
        ("team/late", "expired"),
        ("team/unlogged", "offline verification failed"),
    ):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            verify(image)
        assert words in caught.value.stderr
    # Bundles of files, with the proof of inclusion that newer logs have.
    output = team.folder / "os.tar"
    output.write_bytes(b"an output")
    certificate = instance.certificate()
    subject = Subject("os.tar", hashlib.sha256(b"an output").hexdigest())
    kind = PREDICATES["slsaprovenance1"]
    envelope = signed_statement(certificate, Statement((subject,), kind, {"buildDefinition": {}}))
    path = team.folder / "os.tar.slsaprovenance1.sigstore.json"
    path.write_bytes(instance.bundle(certificate, envelope))
    who = ("--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER)
    trusted = str(instance.trusted_root())
    flags = ("--new-bundle-format", "--insecure-ignore-sct", "--trusted-root", trusted)
    beside = ("--bundle", str(path), "--type", "slsaprovenance1")
    cosign.files("verify-blob-attestation", *who, *flags, *beside, str(output))
    ours = ("--identity", SUBJECT, "--issuer", ISSUER, "--trusted-root", trusted)
    assert main(["verify", *ours, "--type", "slsaprovenance1", str(output)]) == 0
