"""Policies at the door: whatever the way in, nothing is built of an image that nobody signed as the
policy says; each attack has its error."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compos.api.access import Access
from compos.api.options import ImageOptions
from compos.cli.main import main
from compos.errors import ImageError
from compos.image.digest import Digest
from compos.image.names import RECIPE
from compos.image.offer import Offer
from compos.image.reference import Reference
from compos.image.registries.credentials import Credentials
from compos.image.registries.mirrors import Endpoint
from compos.image.registries.push import push_root
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.trust.guard import Guard
from compos.trust.policy import read_policy
from tests.image.conftest import HTPASSWD, started_registries
from tests.image.engine import Engine, archive
from tests.images import AMD64, Member, make_image
from tests.trust.team import Team

pytestmark = pytest.mark.slow

UNSIGNED = "error[image-signature]: the image is not trusted: it is not signed"


def policy(team: Team, *requirements: dict[str, Any], **others: Any) -> tuple[str, str]:
    return "--policy", str(team.policy(*(requirements or (team.signed_by(),)), **others))


def copied_signature(team: Team, source: str, target: str) -> None:
    """Let the signatures of what is tagged `source` stand beside `target`."""
    tags = [
        f"{team.registry.digest(Reference.parse(team.name(one)))}".replace(":", "-") + ".sig"
        for one in (source, target)
    ]
    source_name, target_name = (
        Reference.parse(f"{team.host}/{one}:{tag}")
        for one, tag in zip((source, target), tags, strict=True)
    )
    root, data = team.registry.manifest(source_name)
    team.store.put(data, root.media_type)
    for layer in json.loads(data)["layers"] + [json.loads(data)["config"]]:
        assert team.store.has(layer["digest"])
    push_root(team.store, root, registry=team.registry, target=str(target_name))


def test_the_right_key(team: Team) -> None:
    team.push("team/app")
    team.sign("team/app")
    team.system(team.name("team/app"))
    assert "Create outputs" in team.build(*policy(team))


def test_the_signature_stays_with_the_image(team: Team) -> None:
    """What was signed once needs no network; the registry is gone."""
    team.push("team/app")
    team.sign("team/app")
    team.system(team.name("team/app"))
    team.build(*policy(team))
    (kept,) = (team.folder / "builder" / "derived" / "signatures").iterdir()
    gone = team.name("team/app").replace(team.host, "127.0.0.1:1")
    store = Store(team.folder / "builder")
    store.tag(gone, store.named(team.name("team/app")).plain)
    team.system(gone)
    rule = team.signed_by(
        signedIdentity={"type": "exactRepository", "dockerRepository": f"{team.host}/team/app"}
    )
    assert "Create outputs" in team.build(*policy(team, rule, scope="127.0.0.1:1"))
    kept.write_text('[["application/vnd.dev.cosign.simplesigning.v1+json", "e30=", {}]]')
    assert "error[network-connect]" in team.build(*policy(team, rule, scope="127.0.0.1:1"))


def test_a_wrong_key(team: Team) -> None:
    team.push("team/app")
    team.sign("team/app", "stranger")
    team.system(team.name("team/app"))
    assert "no signature was made with a key that the policy names" in team.build(*policy(team))


def test_another_digest(team: Team) -> None:
    """The signature of one image beside another one."""
    team.push("team/app", "signed")
    team.sign("team/app")
    team.push("team/evil", "evil")
    copied_signature(team, "team/app", "team/evil")
    team.system(team.name("team/evil"))
    assert "error[image-signature]" in (error := team.build(*policy(team)))
    assert "the signer signed another digest, sha256:" in error


def test_another_images_signature_is_replayed(team: Team) -> None:
    """What the team signed as one image, under the name of another one."""
    team.push("team/old", "the same bytes")
    team.sign("team/old")
    team.push("team/app", "the same bytes")
    copied_signature(team, "team/old", "team/app")
    team.system(team.name("team/app"))
    error = team.build(*policy(team))
    assert f"the signer signed this image under another name, {team.host}/team/old" in error


def test_a_key_that_the_policy_names_no_longer(team: Team) -> None:
    """Even for what the store has, and was used yesterday."""
    team.push("team/app")
    team.sign("team/app", "old")
    team.system(team.name("team/app"))
    team.build(*policy(team, team.signed_by("old")))
    error = team.build(*policy(team, team.signed_by("new")))
    assert "no signature was made with a key that the policy names" in error
    team.sign("team/app", "new")
    assert "Create outputs" in team.build(*policy(team, team.signed_by("new")))


def test_an_image_that_is_revoked(team: Team) -> None:
    """An older image whose signature is as good as ever."""
    digest = team.push("team/app", "with a hole")
    team.sign("team/app")
    key = team.key()[1]
    rules = f"trust:\n  keys: [{key}]\n  images: [{{match: '{team.host}/team'}}]\n"
    team.system(team.name("team/app"), more=rules)
    team.build()
    team.system(team.name("team/app"), more=f"{rules}  revoked: ['{digest}']\n")
    assert "error[image-revoked]" in (error := team.build())
    assert digest in error


def test_every_requirement_of_a_scope_counts(team: Team) -> None:
    team.push("team/app")
    team.sign("team/app", "one")
    team.system(team.name("team/app"))
    both = policy(team, team.signed_by("one"), team.signed_by("two"))
    assert "error[image-signature]" in team.build(*both)
    team.sign("team/app", "two")
    assert "Create outputs" in team.build(*both)


def test_a_registry_with_a_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who may fetch an image may fetch its signatures."""

    def credentials(_: Endpoint) -> Credentials:
        return Credentials("tester", "secret")

    passwords = tmp_path / "htpasswd"
    passwords.write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(passwords)}}
    for start in started_registries(tmp_path):
        team = Team(tmp_path, start(auth=auth), capsys)
        team.registry = Registry(credentials=credentials)
        digest = team.push("team/app")
        team.sign("team/app")
        path = str(team.policy(team.signed_by()))
        access = Access(ImageOptions(cache=tmp_path / "builder", policy=path))
        images = access.images(credentials=credentials)
        assert images.image(team.name("team/app"), AMD64).digest == digest


@pytest.mark.parametrize("where", ["variable", "home", "YAML and file"])
def test_where_the_policy_is(team: Team, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    team.push("team/app")
    team.system(team.name("team/app"))
    path = team.policy(team.signed_by())
    if where == "variable":
        monkeypatch.setenv("COMPOS_POLICY", str(path))
    elif where == "home":
        home = team.folder / "home" / ".config" / "containers"
        home.mkdir(parents=True)
        path.rename(home / "policy.json")
    else:
        monkeypatch.setenv("COMPOS_POLICY", str(path))
        team.system(team.name("team/app"), more="trust: {default: accept}\n")
    assert UNSIGNED in team.build()
    team.sign("team/app")
    assert "Create outputs" in team.build()


def test_a_policy_that_accepts_everything_changes_nothing(team: Team) -> None:
    home = team.folder / "home" / ".config" / "containers"
    home.mkdir(parents=True)
    (home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    team.push("team/app")
    team.system(team.name("team/app"))
    assert "signed" not in team.build()


@pytest.mark.parametrize("transport", ["docker", "default"])
def test_a_policy_of_the_machine_that_rejects(team: Team, transport: str) -> None:
    """Of which nothing requires a signature."""
    home = team.folder / "home" / ".config" / "containers"
    home.mkdir(parents=True)
    rejects = [{"type": "reject"}]
    document: dict[str, Any] = {"default": rejects}
    if transport == "docker":
        document = {
            "default": [{"type": "insecureAcceptAnything"}],
            "transports": {"docker": {team.host: rejects}},
        }
    (home / "policy.json").write_text(json.dumps(document))
    team.push("team/app")
    team.system(team.name("team/app"))
    assert "error[image-untrusted]" in team.build()


def test_what_is_accepted_without_a_signature_is_reported(team: Team) -> None:
    team.push("team/app")
    team.system(team.name("team/app"), more="trust: {default: accept}\n")
    assert f"{team.name('team/app')} need not be signed: {team.folder}/os.yml:2:8: trust" in (
        team.build()
    )


def test_what_no_rule_covers_is_refused(team: Team) -> None:
    team.push("other/app")
    team.sign("other/app")
    team.system(team.name("other/app"))
    error = team.build(*policy(team, scope=f"{team.host}/team"))
    assert "error[image-untrusted]: the image is not trusted: the policy rejects it" in error


@pytest.mark.parametrize(
    ("content", "id", "words"),
    [
        (None, "policy-unreadable", "No such file"),
        ("{", "policy-invalid", "property name"),
        ("{}", "policy-invalid", "it has no default"),
        ('{"default": []}', "policy-invalid", "at least one requirement"),
        ('{"default": [{"type": "reject"}], "default": [{"type": "insecureAcceptAnything"}]}', "policy-invalid", "stands twice"),
        ('{"default": [{"type": "trustMe"}]}', "policy-invalid", "'trustMe' is unknown"),
        ('{"default": [{"type": "reject", "x": 1}]}', "policy-invalid", "'x' is unknown"),
        ('{"default": [{"type": "sigstoreSigned"}]}', "policy-invalid", "exactly one of keyPath"),
        ('{"default": [{"type": "sigstoreSigned", "keyPath": "a", "keyData": "YQ=="}]}', "policy-invalid", "exactly one of"),
        ('{"default": [{"type": "sigstoreSigned", "keyData": "?"}]}', "policy-invalid", "not base64"),
        ('{"default": [{"type": "sigstoreSigned", "keyData": "YQ=="}]}', "signature-key", "no public key"),
        ('{"default": [{"type": "sigstoreSigned", "keyPath": "/nowhere.pub"}]}', "signature-key", "/nowhere.pub"),
        ('{"default": [{"type": "sigstoreSigned", "keyPath": "a", "signedIdentity": {"type": "x"}}]}', "policy-invalid", "its type is unknown"),
        ('{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "a"}]}', "image-untrusted", "GPG"),
        ('{"default": [{"type": "sigstoreSigned", "fulcio": {}}]}', "policy-invalid", "rekorPublicKey"),
        ("[" * 100_000, "policy-invalid", "nested"),
        ('{"default": 1}', "policy-invalid", "a list"),
        ("\xff", "policy-invalid", ""),
    ],
)  # fmt: skip
def test_policies_that_cannot_be_used(team: Team, content: str | None, id: str, words: str) -> None:
    """Nothing is built, and the place is the policy's file."""
    team.push("team/app")
    team.system(team.name("team/app"))
    path = team.folder / "policy.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    error = team.build("--policy", str(path))
    assert f"error[{id}]" in error
    assert words in error
    assert "Traceback" not in error


class TestWaysIn:
    """An unsigned image by each way."""

    def test_registry(self, team: Team) -> None:
        team.push("team/app")
        team.system(team.name("team/app"))
        assert UNSIGNED in team.build(*policy(team))
        assert UNSIGNED in team.build("--pull", *policy(team))

    def test_store(self, team: Team) -> None:
        """It was there before the policy was."""
        team.push("team/app")
        team.system(team.name("team/app"))
        team.build()
        assert UNSIGNED in team.build(*policy(team))

    def test_cache_pull(self, team: Team, capsys: pytest.CaptureFixture[str]) -> None:
        team.push("team/app")
        store = ("--cache", str(team.folder / "puller"))
        assert main(["cache", "pull", *store, *policy(team), team.name("team/app")]) == 1
        assert UNSIGNED in capsys.readouterr().err
        assert not Store(team.folder / "puller").entries()

    def test_archive_that_was_imported(self, team: Team) -> None:
        team.push("team/app")
        saved = team.folder / "saved.tar"
        export = ("--cache", str(team.store.root), "--outfile", str(saved), team.name("team/app"))
        assert main(["cache", "export", *export]) == 0
        assert main(["cache", "import", "--cache", str(team.folder / "builder"), str(saved)]) == 0
        team.system(team.name("team/app"))
        assert UNSIGNED in team.build(*policy(team))

    @pytest.mark.parametrize("scheme", ["oci", "oci-archive", "docker-archive"])
    def test_files(self, team: Team, scheme: str) -> None:
        """In folders and archives; a signature that lies in a layout counts."""
        team.push("team/app")
        path = team.folder / "image"
        target = f"{scheme}:{path}" + (":app:v1" if scheme == "docker-archive" else "")
        command = ["skopeo", "copy", "-q", "--src-tls-verify=false"]
        subprocess.run([*command, f"docker://{team.name('team/app')}", target], check=True)
        team.system(f"{scheme}:{path}")
        required = {scheme: {"": [team.signed_by()]}}
        assert UNSIGNED in team.build(*policy(team, transports=required))
        refused = {scheme: {"": [{"type": "reject"}]}}
        assert "error[image-untrusted]" in team.build(*policy(team, transports=refused))
        accepted = {scheme: {"": [{"type": "insecureAcceptAnything"}]}}
        assert "Create outputs" in team.build(*policy(team, transports=accepted))

    def test_engine(self, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
        name = team.name("team/app")
        engine = Engine(team.folder)
        try:
            engine.images[name] = archive(team.folder, "engine")
            monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
            team.system(name)
            required = {"docker-daemon": {"": [team.signed_by()]}}
            assert UNSIGNED in team.build("--docker", *policy(team, transports=required))
            accepted = {"docker-daemon": {"": [{"type": "insecureAcceptAnything"}]}}
            assert "Create" in team.build("--docker", *policy(team, transports=accepted))
            rules = f"trust: {{keys: ['{team.key()[1]}'], images: [{{match: '{team.host}'}}]}}\n"
            team.system(name, more=rules)
            assert UNSIGNED in team.build("--docker")
        finally:
            engine.server.shutdown()
            engine.server.server_close()

    def test_input_tar(self, team: Team) -> None:
        """A section of an earlier build, of which no image is at hand."""
        team.push("team/app")
        metadata = "files: [{path: etc/os.yml, metadata: yaml}]\n"
        team.system(team.name("team/app"), more=metadata)
        team.build("--no-sbom")
        earlier = team.folder / "earlier.tar"
        (team.folder / "os.tar").rename(earlier)
        copy = ("--no-sbom", "--input-tar", str(earlier))
        assert "Copy init[0]" in team.build(*copy, store="empty")
        error = team.build(*copy, *policy(team), store="none")
        assert "error[image-signature]" in error
        assert "earlier build's tar, which has no signatures" in error

    def test_brick(self, team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """From a registry of bricks; one that is built here has no signature and needs none."""
        from compos.package import bricks

        folder = tmp_path / "bricks" / "one"
        folder.mkdir(parents=True)
        recipe = "image: one\norg: compos\ntag: v1\narches: [amd64, arm64, riscv64]\n"
        (folder / "build.yml").write_text(f"{recipe}files: [{{path: etc/one, contents: one}}]\n")
        registry = f"{team.host}/bricks"
        store = ("--cache", str(team.folder / "publisher"), "--registry", registry)
        assert main(["pkg", "push", *store, str(folder)]) == 0
        team.system("compos/one:v1")
        where = ("--bricks", registry)
        with monkeypatch.context() as patch:
            patch.setattr(bricks, "bricks_folder", lambda: tmp_path / "none")
            assert UNSIGNED in team.build(*where, *policy(team))
            key = str(team.key()[0])
            assert main(["pkg", "push", *store, "--sign-key", key, str(folder)]) == 0
            assert "Create outputs" in team.build(*where, *policy(team))
        monkeypatch.setattr(bricks, "bricks_folder", lambda: tmp_path / "bricks")
        assert "Create outputs" in team.build(*policy(team), store="built")
        # Locked by what came out of the recipe.
        built = ("--cache", str(team.folder / "built"))
        assert main(["lock", *built, *policy(team), str(team.folder / "os.yml")]) == 0
        locked = team.build("--locked", "--force", *policy(team), store="built")
        assert "Create outputs" in locked

    def test_lock(self, team: Team) -> None:
        """What is locked must be signed, too."""
        team.push("team/app")
        system = str(team.system(team.name("team/app")))
        store = ("--cache", str(team.folder / "builder"))
        assert main(["lock", *store, *policy(team), system]) == 1
        assert UNSIGNED in team.printed().err
        assert main(["lock", *store, system]) == 0
        assert UNSIGNED in team.build("--locked", *policy(team))
        assert UNSIGNED in team.build("--locked", *policy(team), store="another")
        team.sign("team/app")
        assert "Create outputs" in team.build("--locked", *policy(team), store="another")

    def test_base_of_a_dockerfile(self, team: Team) -> None:
        """No builder is started: whatever it is, it gets its base images from us."""
        team.push("team/app")
        folder = team.folder / "package"
        folder.mkdir()
        (folder / "build.yml").write_text("image: package\norg: test\narches: [amd64]\n")
        (folder / "Dockerfile").write_text(f"FROM {team.name('team/app')}\nCOPY x /\n")
        (folder / "x").write_text("x")
        store = ("--cache", str(team.folder / "builder"), "--builder", "buildah")
        build = ("pkg", "build", *store, *policy(team), "--tag", "v1", str(folder))
        assert main([*build]) == 1
        assert UNSIGNED in (error := team.printed().err)
        assert "Dockerfile:1" in error

    def test_another_image_under_the_name_of_one_that_was_built(self, team: Team) -> None:
        """It was built here, but is not what is offered."""
        built = make_image(team.store, "compos/one:v1", [[Member("etc/one", content="one")]])
        name, store = "docker.io/compos/one:v1", Store(team.folder / "empty")
        store.tag(name, team.store.named(name), annotations={f"{RECIPE}.amd64": "key"})
        guard = Guard(store, [read_policy(team.policy(team.signed_by()))], Registry)
        entry = store.named(name)
        assert guard.require(Offer(name, entry), AMD64, (Digest(built.digest),)) == built.digest
        other = entry._replace(digest=Digest(f"sha256:{'0' * 64}"))
        with pytest.raises(ImageError, match="the policy rejects it"):
            guard.require(Offer(name, other), AMD64, (other.digest,))
