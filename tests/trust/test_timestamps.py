"""Signed timestamps (RFC 3161) of signatures, as bundles of logs without times of their own have
them. openssl is the authority; it and cosign are the judges."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compos.cli.main import main
from compos.image.reference import Reference
from compos.trust.attachments import push_bundle
from compos.trust.certificates import authority_of
from compos.trust.dsse import PREDICATES, SIGN, Statement, Subject
from compos.trust.evidence import from_annotations
from compos.trust.timestamps import TimestampAuthority, stamped
from tests.machine import leave_out
from tests.trust.cosign import Cosign
from tests.trust.sigstore import ISSUER, SUBJECT, Instance
from tests.trust.team import Team
from tests.trust.test_keyless import rules, signed_statement
from tests.trust.timestamps import StampingAuthority

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _client() -> None:
    if find_spec("rfc3161_client") is None:
        leave_out("tools: the Python package rfc3161-client is not installed")


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """One whose certificates are valid now: openssl signs today's times only."""
    return Instance(tmp_path, age=MINUTE)


@pytest.fixture
def tsa(tmp_path: Path) -> StampingAuthority:
    return StampingAuthority(tmp_path / "tsa")


def known(tsa: StampingAuthority, **times: datetime) -> TimestampAuthority:
    certificates = (tsa.signer, tsa.root)
    return TimestampAuthority(certificates, authority_of(certificates), **times)


def publish(
    team: Team,
    instance: Instance,
    tokens: Sequence[StampingAuthority],
    *,
    of: bytes | None = None,
    **bundle: Any,
) -> None:
    """An image with a bundle of Rekor's version 2, whose signature, or something else, has
    timestamps of authorities."""
    team.push("team/app")
    reference = Reference.parse(team.name("team/app"))
    root, _ = team.registry.manifest(reference)
    certificate = instance.certificate()
    subject = Subject(f"{team.host}/team/app", root.digest.removeprefix("sha256:"))
    envelope = signed_statement(certificate, Statement((subject,), SIGN, {}))
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    stamps = [one.stamp(signature if of is None else of) for one in tokens]
    made = instance.bundle(certificate, envelope, version=2, timestamps=stamps, **bundle)
    push_bundle(team.registry, team.store, reference, root.digest, made, SIGN)


def judged(team: Team, instance: Instance, *authorities: dict[str, Any]) -> str:
    """What a build says that requires the identity, and knows these timestamp authorities."""
    more = rules(team, instance)
    instance.trusted_root(*authorities)
    team.system(team.name("team/app"), more=more)
    return team.build()


def test_a_log_without_times(team: Team, instance: Instance, tsa: StampingAuthority) -> None:
    publish(team, instance, [tsa])
    assert "Create outputs" in judged(team, instance, tsa.described())


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("missing", "has no signed time, and it has no signed timestamp"),
        ("no authority", "the trusted root names no timestamp authority"),
        ("another imprint", "not one of the authority's: Mismatch"),
        ("a stranger", "its timestamp is not one of the authority's"),
        ("an expired certificate", "its timestamp is not one of the authority's"),
        ("an authority of the past", "is not of the authority's time"),
        ("a signer's certificate that had expired", "was valid from"),
    ],
)
def test_what_proves_no_time(
    team: Team, tmp_path: Path, tsa: StampingAuthority, case: str, reason: str
) -> None:
    long_ago = case == "a signer's certificate that had expired"
    instance = Instance(tmp_path, age=timedelta(days=30) if long_ago else MINUTE)
    now = datetime.now(UTC)
    by = tsa
    if case == "a stranger":
        by = StampingAuthority(tmp_path / "stranger")
    elif case == "an expired certificate":
        by = tsa = StampingAuthority(tmp_path / "expired", ends=now - MINUTE)
    other = b"another signature" if case == "another imprint" else None
    publish(team, instance, [] if case == "missing" else [by], of=other)
    valid = {"end": now - timedelta(days=1)} if case == "an authority of the past" else {}
    authorities = [] if case == "no authority" else [tsa.described(**valid)]
    error = judged(team, instance, *authorities)
    assert "error[image-signature]" in error
    assert reason in error
    if case in ("another imprint", "a stranger", "an expired certificate"):
        data = b"a signature"
        assert not tsa.accepts(by.stamp(other or data), data)


def test_one_of_several_will_do(
    team: Team, instance: Instance, tsa: StampingAuthority, tmp_path: Path
) -> None:
    stranger = StampingAuthority(tmp_path / "stranger")
    publish(team, instance, [stranger, tsa])
    past = stranger.described(end=datetime.now(UTC) - MINUTE)
    assert "Create outputs" in judged(team, instance, past, tsa.described())


def test_a_log_entry_is_needed_all_the_same(
    team: Team, instance: Instance, tsa: StampingAuthority
) -> None:
    publish(team, instance, [tsa], without="inclusionProof")
    assert "not signed by the log" in judged(team, instance, tsa.described())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("certificates", [True, False])
def test_what_openssl_accepts(tsa: StampingAuthority, algorithm: str, certificates: bool) -> None:
    before = int(datetime.now(UTC).timestamp())
    token = tsa.stamp(b"signature", algorithm, certificates=certificates)
    after = int(datetime.now(UTC).timestamp())
    assert tsa.accepts(token, b"signature")
    (time,) = stamped([token], b"signature", [known(tsa)]).times
    assert before <= time <= after
    assert not tsa.accepts(token, b"signaturf")
    assert not stamped([token], b"signaturf", [known(tsa)]).times


def test_a_tag_beside_the_image_has_its_timestamp_as_an_annotation(
    tsa: StampingAuthority,
) -> None:
    token = tsa.stamp(b"made")
    annotations = {
        "dev.cosignproject.cosign/signature": base64.b64encode(b"made").decode(),
        "dev.sigstore.cosign/rfc3161timestamp": json.dumps(
            {"SignedRFC3161Timestamp": base64.b64encode(token).decode()}
        ),
    }
    found = from_annotations(b"payload", annotations)
    assert stamped(found.timestamps, found.signature, [known(tsa)]).times
    for wrong in ("{", "[]", '{"SignedRFC3161Timestamp": 5}', '{"SignedRFC3161Timestamp": "#"}'):
        annotations["dev.sigstore.cosign/rfc3161timestamp"] = wrong
        assert from_annotations(b"payload", annotations).timestamps == ()


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_token_that_was_tampered_with(tsa: StampingAuthority, data: st.DataObject) -> None:
    """Whatever it has become, it is not a time of another signature, and no traceback."""
    if not hasattr(tsa, "token"):
        tsa.token = tsa.stamp(b"signature")  # type: ignore[attr-defined]
    token = bytearray(tsa.token)  # type: ignore[attr-defined]
    place = data.draw(st.integers(0, len(token) - 1))
    token[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(token)))
    (time,) = stamped([tsa.token], b"signature", [known(tsa)]).times  # type: ignore[attr-defined]
    for wrong in (bytes(token), bytes(token[:cut]), bytes(token) + b"x" * (64 << 10)):
        found = stamped([wrong], b"signature", [known(tsa)])
        assert found.times in ((), (time,))
        assert not stamped([wrong], b"another", [known(tsa)]).times


@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
def test_cosign_agrees(team: Team, instance: Instance, tsa: StampingAuthority) -> None:
    """About a bundle whose log promises no time, with a timestamp and with one of something
    else. cosign 2.5 takes no log without times: it is asked for the timestamp alone."""
    cosign = Cosign(team.folder)
    root = instance.trusted_root(tsa.described())
    output = team.folder / "os.tar"
    output.write_bytes(b"an output")
    digest = hashlib.sha256(b"an output").hexdigest()
    kind = PREDICATES["slsaprovenance1"]
    certificate = instance.certificate()
    statement = Statement((Subject("os.tar", digest),), kind, {"buildDefinition": {}})
    envelope = signed_statement(certificate, statement)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    who = ("--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER)
    flags = ["--new-bundle-format", "--insecure-ignore-sct", "--trusted-root", str(root)]
    flags += ["--use-signed-timestamps", "--insecure-ignore-tlog", "--type", "slsaprovenance1"]
    path = team.folder / "os.tar.slsaprovenance1.sigstore.json"
    ours = ("--identity", SUBJECT, "--issuer", ISSUER, "--trusted-root", str(root))
    for data, status in ((signature, 0), (b"something else", 1)):
        made = instance.bundle(
            certificate, envelope, without="inclusionPromise", timestamps=[tsa.stamp(data)]
        )
        path.write_bytes(made)
        assert main(["verify", *ours, "--type", "slsaprovenance1", str(output)]) == status
        verify = ("verify-blob-attestation", *who, *flags, "--bundle", str(path), str(output))
        if status:
            with pytest.raises(subprocess.CalledProcessError):
                cosign.files(*verify)
        else:
            cosign.files(*verify)
