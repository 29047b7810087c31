"""Images as they were published, for volumes of the format oci: which blobs, in which store, and
what is refused."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import ImageError
from compos.image.digest import Digest
from compos.image.door import stored_image
from compos.image.model import INDEX, Descriptor
from compos.image.platform import Platform
from compos.image.registries.mirrors import Mirrors
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from tests.images import AMD64, ARM64, Member, as_json, make_image, make_index, put_image
from tests.registry import FakeRegistry
from tests.sources import Maker

ARM_V7 = Platform("linux", "arm", "v7")
MEMBERS = [Member("etc", "dir", 0o755), Member("etc/x", content="x")]


@pytest.fixture
def published(tmp_path: Path) -> Store:
    store = Store(tmp_path / "published")
    children: dict[Platform, Descriptor] = {}
    for platform in (AMD64, ARM64, ARM_V7):
        children[platform] = put_image(
            store, layers=[[*MEMBERS, Member("arch", content=str(platform))]], platform=platform
        )[0]
    attestation = put_image(
        store, layers=[[Member("statement", content="{}")]], platform=Platform("unknown", "unknown")
    )[0]
    make_index(store, "many:1", children, attestation=attestation)
    make_image(store, "single:1", [MEMBERS], platform=ARM64)
    return store


def serve(registry: FakeRegistry, store: Store, name: str) -> str:
    return registry.load(store, f"docker.io/library/{name}:1", name, "1")


def test_all_platforms_and_attestations_without_a_filter(published: Store, tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        name = serve(registry, published, "many")
        layout = Images(Store(tmp_path / "store")).layout(name, None, AMD64)
    assert layout.name == name
    # Four images of three blobs each; the index last, as LinuxKit has it.
    assert len(layout.blobs) == 13
    assert layout.blobs[-1] == layout.root


def test_only_what_was_asked_for_is_downloaded(published: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with FakeRegistry() as registry:
        name = serve(registry, published, "many")
        layout = Images(store).layout(
            name, [Platform.parse("linux/arm64"), Platform.parse("linux/arm/v7")], AMD64
        )
        fetched = len(registry.requests)
        assert Images(store).layout(name, [ARM64], AMD64).root == layout.root
        assert len(registry.requests) == fetched
    assert len(layout.blobs) == 7
    assert all(store.has(blob.digest, blob.size) for blob in layout.blobs)
    assert len(list((store.root / "blobs/sha256").iterdir())) == 7


@pytest.mark.parametrize(
    ("image", "platform"), [("many", "linux/riscv64"), ("single", "linux/amd64")]
)
def test_platforms_that_are_not_there(
    published: Store, tmp_path: Path, image: str, platform: str
) -> None:
    with FakeRegistry() as registry, pytest.raises(ImageError) as caught:
        Images(Store(tmp_path / "store")).layout(
            serve(registry, published, image), [Platform.parse(platform)], AMD64
        )
    assert caught.value.id == "image-platform"


def test_a_layer_that_was_lost_is_fetched_again(published: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with FakeRegistry() as registry:
        name = serve(registry, published, "many")
        layout = Images(store).layout(name, [ARM64], AMD64)
        for blob in layout.blobs:
            store.path(blob.digest).unlink()
        assert Images(store).layout(name, [ARM64], AMD64) == layout
    assert all(store.has(blob.digest, blob.size) for blob in layout.blobs)


@pytest.mark.parametrize(
    ("image", "platforms", "architectures"),
    [
        ("many", "", ["amd64", "arm64", "arm"]),
        ("many", "platforms: [linux/arm64]", ["arm64"]),
        ("single", "", ["arm64"]),
    ],
)
def test_other_tools_read_the_volume(
    published: Store, tmp_path: Path, image: str, platforms: str, architectures: list[str]
) -> None:
    yaml, out = tmp_path / "os.yml", tmp_path / "os.tar"
    with FakeRegistry() as registry:
        name = serve(registry, published, image)
        yaml.write_text(f"volumes: [{{name: v, image: '{name}', format: oci, {platforms}}}]")
        assert (
            main(
                [
                    "build",
                    "--cache",
                    str(tmp_path / "store"),
                    "--no-sbom",
                    "--o",
                    str(out),
                    str(yaml),
                ]
            )
            == 0
        )
    with tarfile.open(out) as archive:
        members = {member.name: member for member in archive}
        prefix = "containers/volumes/v/lower/"
        assert {
            name
            for name in members
            if name.startswith("containers/volumes/v/") and name.count("/") == 3
        } == {f"containers/volumes/v/{name}" for name in ("lower", "tmp", "merged")}
        for path, member in members.items():
            if path.startswith(prefix):
                assert (member.mtime, member.uid, member.mode) == (
                    0,
                    0,
                    0o755 if member.isdir() else 0o644,
                ), path
        assert members[f"{prefix}oci-layout"].pax_headers["LINUXKIT.source"] == name
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path / "out")
    folder = tmp_path / "out" / prefix
    for architecture in architectures:
        copied = tmp_path / architecture
        command = [
            "skopeo",
            "--override-os=linux",
            f"--override-arch={architecture}",
            "copy",
            f"oci:{folder}",
            f"dir:{copied}",
        ]
        subprocess.run(command, check=True, capture_output=True)
        assert (copied / "manifest.json").is_file()
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{folder}:{name}"], check=True, capture_output=True
    )
    root = published.resolve(f"docker.io/library/{image}:1")
    assert root is not None
    assert raw.stdout == published.read(root.digest)


@pytest.mark.parametrize("pull", [False, True])
def test_bricks_are_built_and_never_fetched(tmp_path: Path, pull: bool) -> None:
    """`--pull` asks the registry for images; a brick's name is ours there, too."""
    store = Store(tmp_path / "store")
    if pull:
        make_image(store, "compos/data:v1", [MEMBERS])
    with FakeRegistry() as registry:
        source = Images(
            store,
            registry=Registry(Mirrors.parse((f"docker.io=http://{registry.host}",), {})),
            pull=pull,
            makers=[
                Maker(
                    store, lambda text: make_image(store, text, [[Member("made", content="now")]])
                )
            ],
        )
        layout = source.layout("compos/data:v1", None, AMD64)
        assert registry.requests == []
    assert (
        layout.root.digest
        == make_image(Store(tmp_path / "same"), "x:1", [[Member("made", content="now")]]).digest
    )


def test_foreign_layers_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "published")
    settings = store.put(
        as_json({"os": "linux", "architecture": "amd64"}),
        "application/vnd.oci.image.config.v1+json",
    )
    foreign = {
        **settings.to_json(),
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
    }
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": settings.to_json(),
        "layers": [foreign],
    }
    store.tag("docker.io/library/foreign:1", store.put(as_json(manifest), media_type))
    with FakeRegistry() as registry, pytest.raises(ImageError) as caught:
        Images(Store(tmp_path / "store")).layout(serve(registry, store, "foreign"), None, AMD64)
    assert caught.value.id == "image-media-type"


def unusable(store: Store, what: str) -> Descriptor:
    """A manifest that no registry can complete, or whose bytes nobody can verify."""
    media_type = "application/vnd.oci.image.manifest.v1+json"
    settings = store.put(
        as_json({"os": "windows", "architecture": "amd64"}),
        "application/vnd.oci.image.config.v1+json",
    )
    layer = {**settings.to_json(), "mediaType": "application/vnd.oci.image.layer.v1.tar"}
    if what == "a foreign layer":
        layer["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        layer["urls"] = ["https://mcr.example/layer"]
    if what == "a layer's sha512":
        layer["digest"] = f"sha512:{'ab' * 64}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": settings.to_json(),
        "layers": [layer],
    }
    made = store.put(as_json(manifest), media_type)
    return made._replace(digest=Digest.parse(f"sha512:{'cd' * 64}")) if what == "sha512" else made


@pytest.mark.parametrize("what", ["a foreign layer", "a layer's sha512", "sha512"])
def test_what_can_be_taken_is_taken(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cache pull` of an image for Windows, too: what it does not take it says."""
    source = Store(tmp_path / "source")
    linux = put_image(source, layers=[MEMBERS])[0]
    bad = unusable(source, what)
    entries = [{**bad.to_json(), "platform": Platform("windows", "amd64").to_json()}]
    entries.append({**linux.to_json(), "platform": AMD64.to_json()})
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    with FakeRegistry() as registry:
        for blob in (source.root / "blobs/sha256").iterdir():
            registry.blobs[f"sha256:{blob.name}"] = blob.read_bytes()
            registry.documents["many", f"sha256:{blob.name}"] = (
                linux.media_type,
                blob.read_bytes(),
            )
        registry.documents["many", "1"] = (INDEX, as_json(document))
        name = f"{registry.host}/many:1"
        assert main(["cache", "pull", "--cache", str(tmp_path / "store"), name]) == 0
    assert "windows/amd64 is skipped" in capsys.readouterr().err
    store = Store(tmp_path / "store")
    root = store.resolve(name)
    assert root is not None
    assert stored_image(store, name, root, AMD64).digest == linux.digest
