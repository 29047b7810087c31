"""A table of policies: skopeo and compos read the same file, and agree. Debian 12's skopeo was built
without sigstore: a newer one is the judge."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from compos.cli.main import main
from compos.image.reference import Reference
from compos.image.store import Store
from tests.trust.sigstore import ISSUER, SUBJECT, Instance
from tests.trust.team import Team
from tests.trust.trixie import program

Requirement = dict[str, Any]
ACCEPT, REJECT = {"type": "insecureAcceptAnything"}, {"type": "reject"}


def table(team: Team) -> dict[str, dict[str, Any]]:
    """Policies by what is particular about them."""
    host, name = team.host, f"{team.host}/team/app"

    def signed(identity: Requirement | None = None, key: str = "team") -> Requirement:
        known = {"signedIdentity": identity} if identity else {}
        return {"type": "sigstoreSigned", "keyPath": str(team.key(key)[1]), **known}

    repository = {"type": "matchRepository"}
    data = base64.b64encode(team.key()[1].read_bytes()).decode()

    paths = [str(team.key(one)[1]) for one in ("stranger", "team")]

    def keys(kind: str, *values: str) -> Requirement:
        return {"type": "sigstoreSigned", kind: [*values], "signedIdentity": repository}

    def fulcio(**others: str) -> Requirement:
        instance = Instance(team.folder)
        authority = base64.b64encode(instance.authority_pem).decode()
        return {
            "type": "sigstoreSigned",
            "fulcio": {"caData": authority, "oidcIssuer": ISSUER, "subjectEmail": SUBJECT},
            "rekorPublicKeyData": base64.b64encode(instance.log_pem).decode(),
            "signedIdentity": repository,
            **others,
        }

    def docker(**scopes: list[Requirement]) -> dict[str, Any]:
        return {"default": [REJECT], "transports": {"docker": scopes}}

    return {
        "default accepts": {"default": [ACCEPT]},
        "default rejects": {"default": [REJECT]},
        "default requires a signature": {"default": [signed(repository)]},
        "the tag": docker(**{f"{name}:v1": [ACCEPT]}),
        "another tag": docker(**{f"{name}:v2": [ACCEPT]}),
        "the repository": docker(**{name: [ACCEPT]}),
        "the namespace": docker(**{f"{host}/team": [ACCEPT]}),
        "another namespace": docker(**{f"{host}/tea": [ACCEPT]}),
        "the registry": docker(**{host: [ACCEPT]}),
        "the registry without its port": docker(**{host.partition(":")[0]: [ACCEPT]}),
        "all below a domain": docker(**{"*.0.0.1": [ACCEPT]}),
        "all below another domain": docker(**{"*.0.0.2": [ACCEPT]}),
        "the transport's default": docker(**{"": [ACCEPT]}),
        "the narrower scope": docker(**{host: [ACCEPT], name: [REJECT]}),
        "the wider scope": docker(**{host: [REJECT], name: [ACCEPT]}),
        "another transport": {"default": [REJECT], "transports": {"oci": {"": [ACCEPT]}}},
        "an unknown transport": {"default": [ACCEPT], "transports": {"x": {"y": [REJECT]}}},
        "two requirements": docker(**{name: [ACCEPT, REJECT]}),
        "a key": docker(**{name: [signed(repository)]}),
        "keyData": docker(**{name: [{"type": "sigstoreSigned", "keyData": data, "signedIdentity": repository}]}),
        "keyPaths": docker(**{name: [keys("keyPaths", *paths)]}),
        "keyDatas": docker(**{name: [keys("keyDatas", data)]}),
        "no keyPaths": docker(**{name: [keys("keyPaths")]}),
        "a log's entry, too": docker(**{name: [{**signed(repository), "rekorPublicKeyPath": paths[0]}]}),
        "an identity": docker(**{name: [fulcio()]}),
        "an identity without a log": docker(**{name: [fulcio(rekorPublicKeyData="")]}),
        "GPG keys that are not there": docker(**{name: [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/nowhere"}]}),
        "another key": docker(**{name: [signed(repository, "stranger")]}),
        "both keys": docker(**{name: [signed(repository), signed(repository, "stranger")]}),
        "no rule for the name": docker(**{name: [signed()]}),
        "matchExact": docker(**{name: [signed({"type": "matchExact"})]}),
        "matchRepoDigestOrExact": docker(**{name: [signed({"type": "matchRepoDigestOrExact"})]}),
        "exactRepository": docker(**{name: [signed({"type": "exactRepository", "dockerRepository": name})]}),
        "another exactRepository": docker(**{name: [signed({"type": "exactRepository", "dockerRepository": f"{host}/x"})]}),
        "exactReference": docker(**{name: [signed({"type": "exactReference", "dockerReference": f"{name}:v1"})]}),
        "remapIdentity": docker(**{name: [signed({"type": "remapIdentity", "prefix": host, "signedPrefix": "r.example"})]}),
        "no default": {"transports": {}},
        "an unknown key": {"default": [ACCEPT], "more": 1},
        "an unknown requirement": {"default": [{"type": "trust"}]},
        "no requirement": {"default": []},
        "a requirement with more": {"default": [{**ACCEPT, "x": 1}]},
        "a signature without a key": docker(**{name: [{"type": "sigstoreSigned"}]}),
        "two places of a key": docker(**{name: [{**signed(), "keyData": data}]}),
        "a key that is not there": docker(**{name: [{"type": "sigstoreSigned", "keyPath": "/nowhere"}]}),
        "an unknown rule for the name": docker(**{name: [signed({"type": "x"})]}),
        "a rule with more": docker(**{name: [signed({**repository, "x": 1})]}),
    }  # fmt: skip


def by_tag(team: Team) -> str:
    return team.name("team/app")


def by_digest(team: Team) -> str:
    digest = team.registry.digest(Reference.parse(team.name("team/app")))
    return f"{team.host}/team/app@{digest}"


CASES = [(by_tag, True)]
if os.environ.get("COMPOS_ALL_POLICIES"):
    # `make policies`: ten seconds each.
    CASES += [(by_tag, False), (by_digest, True), (by_digest, False)]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
@pytest.mark.parametrize(("named", "is_signed"), CASES)
def test_both_agree(team: Team, named: Callable[[Team], str], *, is_signed: bool) -> None:
    team.push("team/app")
    if is_signed:
        team.sign("team/app")
    name = named(team)
    team.system(name)
    verdicts = {}
    accepted = 0
    for case, policy in table(team).items():
        path = team.folder / "policy.json"
        path.write_text(json.dumps(policy))
        ours = "error[" not in team.build("--policy", str(path))
        verdicts[case] = (ours, skopeo(team, name))
        accepted += ours
    assert [case for case, (ours, theirs) in verdicts.items() if ours != theirs] == []
    assert 5 < accepted < len(verdicts) - 5


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
def test_indexes(team: Team) -> None:
    """skopeo checks the image, cosign and compos the index as well: `--recursive` signs both."""
    team.push_index("team/app")
    name = team.name("team/app")
    team.system(name)
    path = team.policy(team.signed_by())

    def verdicts() -> tuple[bool, bool]:
        return "error[" not in team.build("--policy", str(path), "--arch", "amd64"), skopeo(
            team, name
        )

    assert verdicts() == (False, False)
    store = ("--cache", str(team.folder / "signer"), "--key", str(team.key()[0]))
    assert main(["sign", *store, name]) == 0
    assert verdicts() == (True, False)
    assert main(["sign", *store, "--recursive", name]) == 0
    assert verdicts() == (True, True)


@pytest.mark.slow
def test_only_the_image_is_signed(team: Team) -> None:
    """Then nobody signed what the index attests of it, and it is left out."""
    team.push_index("team/app")
    _, root = team.registry.manifest(Reference.parse(team.name("team/app")))
    listed = json.loads(root)["manifests"]
    image = next(one for one in listed if one["platform"]["architecture"] == "amd64")
    attested = next(one for one in listed if one["platform"]["os"] == "unknown")
    where = ("--cache", str(team.folder / "signer"), "--key", str(team.key()[0]))
    assert main(["sign", *where, f"{team.host}/team/app@{image['digest']}"]) == 0
    team.system(team.name("team/app"))
    policy = ("--policy", str(team.policy(team.signed_by())))
    team.build("--arch", "amd64", *policy)
    assert not Store(team.folder / "builder").has(attested["digest"])
    assert "error[image-signature]" in team.build("--arch", "arm64", *policy)
    assert main(["sign", *where, team.name("team/app")]) == 0
    team.build("--arch", "amd64", *policy, store="another")
    assert Store(team.folder / "another").has(attested["digest"])


def skopeo(team: Team, name: str) -> bool:
    """Whether skopeo copies the image by the policy."""
    registries = team.folder / "registries.d"
    registries.mkdir(exist_ok=True)
    (registries / "team.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    command = [*program("skopeo"), "--policy", str(team.folder / "policy.json"), "--registries.d"]
    copy = ["copy", "-q", "--src-tls-verify=false", "--remove-signatures", f"docker://{name}"]
    done = subprocess.run(
        [*command, str(registries), *copy, f"dir:{team.folder}/copied"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
