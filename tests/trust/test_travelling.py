"""Signatures in archives: `cache export --signatures` and `cache import`, with cosign's layouts."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from compos.cli.main import main
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import Digest
from compos.image.reference import Reference
from compos.image.removal import clean_to, remove
from compos.image.store import Store
from compos.trust.attachments import Attached
from compos.trust.kept import keep, kept
from compos.trust.keys import PrivateKey
from compos.trust.sign import Repository, sign_image
from tests.image.conftest import started_registries
from tests.images import Member, make_image
from tests.trust.cosign import Cosign
from tests.trust.pairs import require_cryptography
from tests.trust.team import Team

pytestmark = pytest.mark.slow

UNSIGNED = "error[image-signature]"


class Mortal(NamedTuple):
    """Somebody with a registry that ends when it is told to."""

    team: Team
    die: Callable[[], None]


@pytest.fixture
def mortal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Mortal]:
    require_cryptography()
    (tmp_path / "registry").mkdir()
    starts = started_registries(tmp_path / "registry")
    team = Team(tmp_path, f"{next(starts)()}/team", capsys)

    def die() -> None:
        assert next(starts, None) is None

    yield Mortal(team, die)
    die()


def sign(team: Team, image: str, *, bundle: bool = False, recursive: bool = False) -> None:
    private = PrivateKey.read(team.key()[0])
    name = Reference.parse(team.name(image))
    repository = Repository(team.registry, team.store)
    sign_image(repository, name, private, bundle=bundle, recursive=recursive)


def cache(team: Team, store: str, verb: str, *arguments: str) -> int:
    return main(["cache", verb, "--cache", str(team.folder / store), *arguments])


def export(team: Team, image: str, store: str = "publisher", *flags: str) -> Path:
    path = team.folder / f"{store}.tar"
    arguments = ("--signatures", "--outfile", str(path), *flags, team.name(image))
    assert cache(team, store, "export", *arguments) == 0, team.printed().err
    return path


def offline(team: Team, image: str, store: str, key: str = "team") -> str:
    """What a build says whose policy requires the key."""
    team.system(team.name(image))
    return team.build("--policy", str(team.policy(team.signed_by(key))), store=store)


def unpacked(path: Path) -> Path:
    folder = path.with_suffix("")
    with tarfile.open(path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("bundle", [False, True], ids=["tag", "bundle"])
@pytest.mark.parametrize("index", [False, True], ids=["image", "index"])
def test_they_travel_with_the_image(mortal: Mortal, *, bundle: bool, index: bool) -> None:
    """From the registry into an archive, into a store without a network, and on from there."""
    team, die = mortal
    (team.push_index if index else team.push)("team/app")
    sign(team, "team/app", bundle=bundle)
    first = export(team, "team/app")
    die()
    assert cache(team, "second", "import", str(first)) == 0
    printed = team.printed()
    assert (printed.out, printed.err.count("signatures: 1")) == (f"{team.name('team/app')}\n", 1)
    assert "Create outputs" in offline(team, "team/app", "second")
    assert "error[network-connect]" in offline(team, "team/app", "second", "stranger")
    second = export(team, "team/app", "second")
    assert second.read_bytes() == first.read_bytes()
    assert cache(team, "third", "import", str(second)) == 0
    assert "Create outputs" in offline(team, "team/app", "third")
    # And as a layout, which others read.
    policy = {"oci-archive": {"": [team.signed_by(signedIdentity=repository(team, "team/app"))]}}
    team.system(f"oci-archive:{second}")
    assert "Create outputs" in team.build(
        "--policy", str(team.policy(transports=policy)), store="fourth"
    )
    public = str(team.key()[1])
    verify = ["verify", "--cache", str(team.folder / "fourth")]
    verify += ["--signed-name", "any", "--key"]
    assert main([*verify, public, f"oci-archive:{second}"]) == 0
    assert main([*verify, str(team.key("stranger")[1]), f"oci-archive:{second}"]) == 1


def test_what_is_kept_stays_until_its_image_goes(tmp_path: Path) -> None:
    """Nobody else may have it: making room does not remove it."""
    root = tmp_path / "store"
    image = make_image(Store(root), "xy:1", [[Member("a", content="a")]])
    one = Attached("application/vnd.dev.cosign.simplesigning.v1+json", b"{}", {"a": "b"})
    keep(Store(root), Digest(image.digest), [one])
    with Store(root).derive(DerivedKind.SBOM, "a" * 64) as path:
        path.write_text("{}")
    assert clean_to(Store(root), 0) == 2
    assert [*kept(Store(root), Digest(image.digest))] == [one]
    assert remove(Store(root), image.name) > 0
    assert [*kept(Store(root), Digest(image.digest))] == []


def repository(team: Team, image: str) -> dict[str, str]:
    return {"type": "exactRepository", "dockerRepository": f"{team.host}/{image}"}


@pytest.mark.parametrize("bundle", [False, True], ids=["tag", "bundle"])
def test_they_go_on_to_another_registry(team: Team, tmp_path: Path, *, bundle: bool) -> None:
    """From an archive to a registry that never saw the image, where cosign finds them."""
    team.push("team/app")
    sign(team, "team/app", bundle=bundle)
    assert cache(team, "second", "import", str(export(team, "team/app"))) == 0
    inside = team.name("inside/app")
    push = ("--signatures", "--remote-name", inside, team.name("team/app"))
    for count in (1, 0):
        team.printed()
        assert cache(team, "second", "push", *push) == 0
        assert f"signatures: {count}\n" in team.printed().err
    verify = ["verify", "--cache", str(team.folder / "third"), "--signed-name", "any", "--key"]
    assert main([*verify, str(team.key()[1]), inside]) == 0
    assert main([*verify, str(team.key("stranger")[1]), inside]) == 1
    # Signed as another image: a policy that does not say so refuses it.
    assert main([*verify[:3], "--key", str(team.key()[1]), inside]) == 1
    assert "under another name" in team.printed().err
    if not bundle:
        cosign = Cosign(tmp_path)
        cosign.registry("verify", "--private-infrastructure", "--key", str(team.key()[1]), inside)


def test_a_signature_of_the_platforms_manifest(team: Team) -> None:
    """As skopeo wants it: the manifest is then what is exported."""
    team.push_index("team/app")
    sign(team, "team/app", recursive=True)
    name = Reference.parse(team.name("team/app"))
    root = team.registry.digest(name)
    found = team.registry.digest(name._replace(tag=f"{root}.sig".replace(":", "-")))
    assert found
    # The index's own goes.
    subprocess.run(
        [
            "skopeo",
            "delete",
            "--tls-verify=false",
            f"docker://{name._replace(tag='', digest=found)}",
        ],
        check=False,
        capture_output=True,
    )
    path = export(team, "team/app")
    assert cache(team, "second", "import", str(path)) == 0
    assert "Create outputs" in offline(team, "team/app", "second")


def test_none_is_an_error(team: Team) -> None:
    team.push("team/app")
    flags = ("--signatures", "--outfile", str(team.folder / "x.tar"), team.name("team/app"))
    assert cache(team, "publisher", "export", *flags) == 1
    assert "error[export-signatures]" in team.printed().err
    assert cache(team, "publisher", "export", "--format", "docker", *flags) == 1
    assert "--signatures needs --format oci" in team.printed().err
    assert not (team.folder / "x.tar").exists()


def layouts(team: Team) -> Iterator[tuple[str, Path]]:
    """Archives with signatures that prove nothing."""
    team.push("team/app")
    sign(team, "team/app")
    team.push("team/other", "other")
    good = unpacked(export(team, "team/app"))
    index = json.loads((good / "index.json").read_text())
    image, beside = index["manifests"]
    manifest = good / "blobs/sha256" / beside["digest"].removeprefix("sha256:")
    payload = json.loads(manifest.read_text())["layers"][0]["digest"]

    def changed(name: str, path: Path, data: bytes) -> tuple[str, Path]:
        kept = path.read_bytes()
        path.write_bytes(data)
        target = team.folder / f"{name}.tar"
        with tarfile.open(target, "w") as archive:
            archive.add(good, ".")
        path.write_bytes(kept)
        return name, target

    yield changed("damaged", manifest, manifest.read_bytes().replace(b"cosign", b"cosigx"))
    blob = good / "blobs/sha256" / payload.removeprefix("sha256:")
    yield changed("payload", blob, blob.read_bytes().replace(b"team", b"meat"))
    yield changed("nonsense", manifest, b"{}")
    # The other image with the signature of this one.
    there = team.registry.digest(Reference.parse(team.name("team/other")))
    assert there
    _, data = team.registry.manifest(Reference.parse(team.name("team/other")))
    (good / "blobs/sha256" / there.removeprefix("sha256:")).write_bytes(data)
    for part in (json.loads(data)["config"], *json.loads(data)["layers"]):
        one = Store(team.store.root).read(part["digest"])
        (good / "blobs/sha256" / part["digest"].removeprefix("sha256:")).write_bytes(one)
    moved = {**image, "digest": there, "size": len(data)}
    document = json.dumps({**index, "manifests": [moved, beside]}).encode()
    yield changed("replayed", good / "index.json", document)
    many = [{**beside, "annotations": {"n": str(one)}} for one in range(2000)]
    document = json.dumps({**index, "manifests": [image, *many]}).encode()
    yield changed("many", good / "index.json", document)


def test_signatures_that_prove_nothing(mortal: Mortal) -> None:
    """The image comes in, and is refused by the policy; many copies of one are one."""
    team, die = mortal
    found = [*layouts(team)]
    die()
    for name, path in found:
        team.printed()
        assert cache(team, name, "import", str(path)) == 0, name
        said = team.printed().err
        assert ("signatures: 1\n" in said) == (name == "many"), said
        expected = "Create outputs" if name == "many" else "error[network-connect]"
        assert expected in offline(team, "team/app", name), name


def test_cosign_reads_and_writes_the_same(team: Team, tmp_path: Path) -> None:
    """`cosign verify --local-image` of what is exported; `cosign save` is imported."""
    cosign = Cosign(tmp_path)
    private, public = cosign.key_pair()
    for image in ("team/app", "team/many"):
        (team.push if image == "team/app" else team.push_index)(image)
        name = team.name(image)
        cosign.registry("sign", "-y", "--tlog-upload=false", "--key", str(private), name)
        folder = unpacked(export(team, image, "publisher"))
        check = ("--local-image", "--private-infrastructure", "--key")
        cosign.files("verify", *check, str(public), str(folder))
        stranger = str(team.key("stranger")[1])
        with pytest.raises(subprocess.CalledProcessError):
            cosign.files("verify", *check, stranger, str(folder))
        subprocess.run(["rm", "-r", folder], check=True)
    layout = team.folder / "saved"
    name = team.name("team/app")
    cosign.registry("save", "--dir", str(layout), name)
    index = json.loads((layout / "index.json").read_text())
    for one in index["manifests"]:
        if one["annotations"]["kind"].endswith("/image"):
            one["annotations"].setdefault("org.opencontainers.image.ref.name", name)
    (layout / "index.json").write_text(json.dumps(index))
    assert cache(team, "imported", "import", str(layout)) == 0
    assert "signatures: 1" in team.printed().err
    team.key("cosign")[1].write_bytes(public.read_bytes())
    assert "Create outputs" in offline(team, "team/app", "imported", "cosign")
