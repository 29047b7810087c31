"""`compos sign`, `attest` and `verify`: images and files, by each kind of key. cosign is the judge, in
both directions."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from compos.api.options import ImageOptions
from compos.api.provenance import ProvenanceOptions, system_provenance
from compos.cli.main import main
from tests.package.debian.archive_of import serve
from tests.pushable import PushableRegistry
from tests.trust.cosign import Cosign
from tests.trust.pairs import KINDS
from tests.trust.sigstore import Instance
from tests.trust.team import Team

pytestmark = pytest.mark.slow

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


def run(team: Team, verb: str, *arguments: str, code: int = 0) -> str:
    """What a verb prints; with an exit status other than 0, its error."""
    assert main([verb, "--cache", str(team.folder / "signer"), *arguments]) == code
    printed = team.printed()
    return printed.err if code else printed.out


@pytest.mark.parametrize("way", [(), ("--bundle",)], ids=["tag", "bundle"])
def test_an_image(team: Team, way: tuple[str, ...]) -> None:
    private, public = map(str, team.key())
    digest = team.push("team/app")
    name = team.name("team/app")
    assert "error[image-signature]" in run(team, "verify", "--key", public, name, code=1)
    said = run(team, "sign", *way, "--key", private, name)
    assert said == f"{name} {digest} signed\n"
    assert f"{digest} key " in run(team, "verify", "--key", public, name)
    stranger = str(team.key("stranger")[1])
    assert "error[image-signature]" in run(team, "verify", "--key", stranger, name, code=1)
    team.system(name)
    assert "Create outputs" in team.build("--policy", str(team.policy(team.signed_by())))
    assert f"{digest} key " in run(team, "verify", "--policy", str(team.folder / "policy.json"), name)  # fmt: skip
    assert run(team, "sign", *way, "--key", private, name).endswith("up to date\n")


def test_a_registry_with_a_list_of_referrers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle is listed there, and no tag is made."""
    with PushableRegistry() as registry:
        team = Team(tmp_path, registry.host, capsys)
        private, public = map(str, team.key())
        digest = team.push("team/app")
        name = team.name("team/app")
        run(team, "sign", "--bundle", "--key", private, name)
        assert len(registry.referring("team/app", digest)) == 1
        run(team, "verify", "--key", public, name)
        stranger = str(team.key("stranger")[1])
        assert "error[image-signature]" in run(team, "verify", "--key", stranger, name, code=1)
        assert [path for path in registry.asked("PUT") if "manifests/sha256-" in path] == []


def test_bundles_do_not_drive_each_other_out(team: Team) -> None:
    """docker-registry has no list of referrers: an index stands for it."""
    team.push("team/app")
    name = team.name("team/app")
    for key in ("one", "two"):
        run(team, "sign", "--bundle", "--key", str(team.key(key)[0]), name)
    for key in ("one", "two"):
        run(team, "verify", "--key", str(team.key(key)[1]), name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file(team: Team, kind: str) -> None:
    private, public = map(str, team.key(kind, kind))
    output = team.folder / "os.img"
    output.write_bytes(b"an output" * 1000)
    bundle = Path(f"{output}.sigstore.json")
    assert run(team, "sign", "--key", private, str(output)) == f"{bundle}\n"
    assert " key " in run(team, "verify", "--key", public, str(output))
    stranger = str(team.key("stranger")[1])
    assert "error[image-signature]" in run(team, "verify", "--key", stranger, str(output), code=1)
    output.write_bytes(b"another output")
    assert "error[image-signature]" in run(team, "verify", "--key", public, str(output), code=1)
    bundle.write_text("{")
    assert "error[image-signature]" in run(team, "verify", "--key", public, str(output), code=1)
    bundle.unlink()
    assert "error[signature-bundle]" in run(team, "verify", "--key", public, str(output), code=1)


def test_an_attestation_of_an_image(team: Team) -> None:
    private, public = map(str, team.key())
    team.push("team/app")
    name = team.name("team/app")
    sbom = team.folder / "sbom.json"
    sbom.write_text('{"spdxVersion": "SPDX-2.3", "packages": []}')
    for way in ((), ("--bundle",)):
        run(team, "attest", *way, "--key", private, "--predicate", str(sbom), name)
    attested = ("verify", "--key", public, "--json", "--type")
    found = json.loads(run(team, *attested, "spdxjson", name))
    assert found["predicate"] == json.loads(sbom.read_text())
    assert "signed something else" in run(team, *attested, "cyclonedx", name, code=1)
    # What is attested of an image does not sign it.
    assert "it is not signed" in run(team, "verify", "--key", public, name, code=1)


def test_the_provenance_of_outputs(team: Team) -> None:
    private, public = map(str, team.key())
    digest = team.push("team/app")
    system = team.system(team.name("team/app"))
    team.build()
    tar = str(team.folder / "os.tar")
    made = run(team, "attest", "--key", private, "--provenance", str(system), tar)
    assert made == f"{tar}.slsaprovenance1.sigstore.json\n"
    verified = ("verify", "--key", public, "--type", "slsaprovenance1", "--json", tar)
    predicate = json.loads(run(team, *verified))["predicate"]
    materials = predicate["buildDefinition"]["resolvedDependencies"]
    assert [one["uri"] for one in materials] == ["os.yml", f"oci:{team.name('team/app')}"]
    assert f"sha256:{materials[1]['digest']['sha256']}" == digest
    first = Path(made.strip()).read_bytes()
    Path(tar).write_bytes(b"something else")
    assert "error[image-signature]" in run(team, *verified, code=1)
    assert b"secret" not in first


def test_the_provenance_names_every_input(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by the SHA-256 that sha256sum prints: the YAML with what it includes, from files and
    URLs, the files that it copies, the lock, and images."""
    digest = team.push("team/app")
    for name, text in {
        "common/base.yml": "include: [more.yml]\n",
        "common/more.yml": "files: [{path: etc/issue, source: issue}]\n",
        "sub/extra.yml": "files: [{path: etc/empty, contents: ''}]\n",
        "issue": "welcome\n",
    }.items():
        (team.folder / name).parent.mkdir(exist_ok=True)
        (team.folder / name).write_text(text)
    (team.folder / "srv").mkdir()
    (team.folder / "srv/net.yml").write_text("files: [{path: etc/net, contents: x}]\n")
    monkeypatch.chdir(team.folder)
    with serve(team.folder / "srv") as server:
        url = f"{server.url}/net.yml"
        secret = url.replace("//", "//user:hunter2@")
        team.system(team.name("team/app"), more=f"include: [common/base.yml, '{secret}']\n")
        assert (
            main(["lock", "--cache", str(team.folder / "signer"), "os.yml", "sub/extra.yml"]) == 0
        )
        # Both are locked where they were, whatever they are now.
        (team.folder / "srv/net.yml").write_text("files: []\n")
        team.push("team/app", "newer")
        options = ProvenanceOptions(
            images=ImageOptions(cache=team.folder / "signer"), lock=Path("sub/extra.lock")
        )
        predicate = system_provenance(["os.yml", "sub/extra.yml"], options)
    definition = predicate["buildDefinition"]
    assert definition["externalParameters"]["sources"] == ["os.yml", "extra.yml"]
    materials = {one["uri"]: one["digest"]["sha256"] for one in definition["resolvedDependencies"]}
    files = ("os.yml", "common/base.yml", "common/more.yml", "sub/extra.yml", "issue")
    printed = subprocess.run(
        ["sha256sum", *files, "sub/extra.lock"], capture_output=True, text=True, check=True
    )
    sums = dict(line.split()[::-1] for line in printed.stdout.splitlines())
    net = b"files: [{path: etc/net, contents: x}]\n"
    assert materials == {
        **{name: sums[name] for name in files if "/extra" not in name},
        "extra.yml": sums["sub/extra.yml"],
        "extra.lock": sums["sub/extra.lock"],
        url: hashlib.sha256(net).hexdigest(),
        f"oci:{team.name('team/app')}": digest.removeprefix("sha256:"),
    }
    assert "hunter2" not in json.dumps(predicate)


def test_keys_in_the_environment(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = team.key()
    team.push("team/app")
    name = team.name("team/app")
    assert "error[signature-key]" in run(team, "sign", "--key", "env://NONE", name, code=1)
    monkeypatch.setenv("TEAM_KEY", private.read_text().replace("\n", "\\n"))
    monkeypatch.setenv("TEAM_PUBLIC", public.read_text())
    run(team, "sign", "--key", "env://TEAM_KEY", name)
    run(team, "verify", "--key", "env://TEAM_PUBLIC", name)


@pytest.mark.parametrize("kind", ["EC:prime256v1", "rsa:2048"])
def test_keys_in_a_token(team: Team, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SoftHSM's; the PIN is in the environment, and in no argument and message."""
    tokens = team.folder / "tokens"
    tokens.mkdir()
    configuration = team.folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    make = ["softhsm2-util", "--init-token", "--free", "--label", "team"]
    subprocess.run([*make, "--pin", "246810", "--so-pin", "1357"], check=True, capture_output=True)
    generate = ["pkcs11-tool", "--module", MODULE, "--token-label", "team", "--login"]
    pair = ["--keypairgen", "--key-type", kind, "--label", "app", "--id", "0a"]
    subprocess.run([*generate, "--pin", "246810", *pair], check=True, capture_output=True)
    uri = f"pkcs11:token=team;object=app?module-path={MODULE}"
    team.push("team/app")
    name = team.name("team/app")
    assert "set COMPOS_PKCS11_PIN" in run(team, "sign", "--key", uri, name, code=1)
    monkeypatch.setenv("COMPOS_PKCS11_PIN", "999999")
    assert "CKR_PIN_INCORRECT" in (wrong := run(team, "sign", "--key", uri, name, code=1))
    assert "999999" not in wrong
    monkeypatch.setenv("COMPOS_PKCS11_PIN", "246810")
    run(team, "sign", "--key", uri, name)
    run(team, "verify", "--key", uri, name)
    with_id = uri.replace("object=app", "id=%0a")
    assert run(team, "sign", "--key", with_id, name).endswith("up to date\n")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pkcs11:token=team;object=app;pin-value=1234", "pin-value"),
        ("pkcs11:token=team;object=app?pin-value=1234", "pin-value"),
        ("pkcs11:token=team", "no object or id"),
        ("pkcs11:object=app?module-path=/nowhere.so", "token's key cannot be used"),
    ],
)
def test_uris_of_tokens(team: Team, uri: str, reason: str) -> None:
    error = run(team, "sign", "--key", uri, "r.example/app", code=1)
    assert "error[signature-key]" in error
    assert reason in error
    assert "1234" not in error


def test_what_cannot_be_attested(team: Team) -> None:
    private = str(team.key()[0])
    document = team.folder / "document.json"
    attest = ("attest", "--key", private, "--predicate", str(document))
    document.write_text("{}")
    assert "error[attestation-type]" in run(team, *attest, str(document), code=1)
    assert "error[attestation-type]" in run(team, *attest, "--type", "x", str(document), code=1)
    document.write_text("{")
    assert "error[attestation-predicate]" in run(team, *attest, str(document), code=1)
    assert "belong together" in run(team, "verify", "--identity", "x", str(document), code=1)
    assert "by --key or --identity" in run(team, "verify", str(document), code=1)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
def test_cosign_agrees(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """It verifies what we sign and attest, and we what it does."""
    cosign = Cosign(team.folder)
    key, public = map(str, cosign.key_pair())
    root = str(Instance(team.folder).trusted_root())
    private = ("--key", public, "--private-infrastructure")
    # New bundles are checked with the keys of an instance at hand, even if none is used.
    bundled = ("--key", public, "--new-bundle-format", "--trusted-root", root)
    unlogged = ("--insecure-ignore-tlog",)
    name = team.name("team/app")
    team.push("team/app")
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    assert "the password is wrong" in run(team, "sign", "--key", key, name, code=1)
    monkeypatch.setenv("COSIGN_PASSWORD", "secret")
    # Ours to its.
    run(team, "sign", "--key", key, name)
    cosign.registry("verify", *private, name)
    sbom = team.folder / "sbom.json"
    sbom.write_text('{"spdxVersion": "SPDX-2.3", "packages": []}')
    run(team, "attest", "--key", key, "--predicate", str(sbom), name)
    cosign.registry("verify-attestation", *private, "--type", "spdxjson", name)
    run(team, "attest", "--bundle", "--key", key, "--predicate", str(sbom), name)
    cosign.registry("verify-attestation", *bundled, *unlogged, "--type", "spdxjson", name)
    run(team, "sign", "--key", key, str(sbom))
    beside = ("--bundle", f"{sbom}.sigstore.json")
    cosign.files("verify-blob", *bundled, *unlogged, *beside, str(sbom))
    system = team.system(name)
    run(team, "attest", "--key", key, "--provenance", str(system), str(sbom))
    attested = ("--bundle", f"{sbom}.slsaprovenance1.sigstore.json", "--type", "slsaprovenance1")
    cosign.files("verify-blob-attestation", *bundled, *unlogged, *attested, str(sbom))
    # Its to ours.
    other = team.name("team/other")
    team.push("team/other", "another")
    offline = ("-y", "--tlog-upload=false", "--key", key)
    with pytest.raises(subprocess.CalledProcessError):
        cosign.registry("verify", *private, other)
    referrers = ("--registry-referrers-mode", "oci-1-1")
    cosign.registry("sign", *offline, *referrers, other, COSIGN_EXPERIMENTAL="1")
    run(team, "verify", "--key", public, other)
    predicate = ("--predicate", str(sbom), "--type", "spdxjson")
    for new in ((), ("--new-bundle-format",)):
        third = f"team/third{len(new)}"
        team.push(third, third)
        cosign.registry("attest", *offline, *new, *predicate, team.name(third))
        run(team, "verify", "--key", public, "--type", "spdxjson", team.name(third))
    # Signatures travel with an image in a layout.
    layout = team.folder / "layout"
    identity = {"type": "exactRepository", "dockerRepository": f"{team.host}/team/other"}
    rule = {**team.signed_by(signedIdentity=identity), "keyPath": public}
    run(team, "sign", "--key", key, other)
    cosign.registry("save", "--dir", str(layout), other)
    team.system(f"oci:{layout}")
    policy = team.policy(transports={"oci": {str(layout): [rule]}})
    assert "Create outputs" in team.build("--policy", str(policy))
    rule["keyPath"] = str(team.key("stranger")[1])
    policy = team.policy(transports={"oci": {str(layout): [rule]}})
    assert "error[image-signature]" in team.build("--policy", str(policy))
    cosign.files("sign-blob", *offline, "--new-bundle-format", "--bundle", "b.json", str(sbom))
    run(team, "verify", "--key", public, "--bundle", str(cosign.folder / "b.json"), str(sbom))
