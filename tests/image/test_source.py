"""What a build asks for: store first, then bricks, then the registry; only what is needed; repaired
when damaged."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from compos.errors import CombinedError, ComposError
from compos.image.door import stored_image
from compos.image.model import INDEX, Descriptor, Image
from compos.image.platform import Platform
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from tests.images import AMD64, ARM64, as_json, make_image, make_index, put_image
from tests.registry import FakeRegistry, Fault
from tests.sources import Maker

ONE = [("a", "file", 0o644, "one")]
TWO = [("b", "file", 0o644, "two")]
RISCV = Platform("linux", "riscv64")


@pytest.fixture
def images(store: Store, registry: Registry) -> Images:
    return Images(store, registry=registry)


def both(source: Store, fake: FakeRegistry) -> str:
    """An index for two platforms with an attestation, in the registry; its reference."""
    manifests = {
        AMD64: put_image(source, layers=[ONE])[0],
        ARM64: put_image(source, layers=[TWO], platform=ARM64)[0],
    }
    attestation = put_image(
        source, layers=[[("sbom", "file", 0o644, "x")]], platform=Platform("unknown", "unknown")
    )[0]
    make_index(source, "xx:1", manifests, attestation=attestation)
    return fake.load(source, "docker.io/library/xx:1", "xx", "1")


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs" / "sha256").iterdir()}


def test_only_the_wanted_platform_is_fetched(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    name = both(source, fake)
    image = images.image(name, ARM64)
    root = store.resolve(name)
    assert root is not None
    wanted = [
        root.digest,
        image.digest,
        image.config_digest,
        *(layer.digest for layer in image.layers),
    ]
    assert blobs(store) == {digest.removeprefix("sha256:") for digest in wanted}
    assert image.config.architecture == "arm64"


def test_the_second_build_asks_nobody(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    name = both(source, fake)
    first = images.image(name, AMD64)
    fake.requests.clear()
    assert Images(store).image(name, AMD64) == first
    assert Images(store).images([(name, AMD64)]) == {(name, AMD64): first}
    assert fake.requests == []


def test_another_platform_comes_from_the_same_index(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    """A tag that has moved on since does not mix two builds of an image; --pull follows it."""
    name = both(source, fake)
    images.image(name, AMD64)
    newer = make_image(source, "xx:2", [TWO])
    fake.documents["xx", "1"] = fake.documents["xx", newer.digest] = (
        "application/vnd.oci.image.manifest.v1+json", source.read(newer.digest),
    )  # fmt: skip
    fake.load(source, newer.name, "xx", "2")
    assert images.image(name, ARM64).config.architecture == "arm64"
    assert Images(store).image(name, AMD64).digest != newer.digest
    assert Images(store, pull=True).image(name, AMD64).digest == newer.digest


def test_pull_asks_once_a_build(fake: FakeRegistry, source: Store, store: Store) -> None:
    name = both(source, fake)
    images = Images(store, pull=True)
    for _ in range(3):
        images.image(name, AMD64)
    assert len(fake.asked("/manifests/1")) == 1


Harm = Callable[[Store, Image], None]


def shorten(digest: str, store: Store) -> None:
    store.path(digest).write_bytes(b"x")


def flip(digest: str, store: Store) -> None:
    path = store.path(digest)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


HARMS: dict[str, Harm] = {
    "layer gone": lambda store, image: store.path(image.layers[0].digest).unlink(),
    "layer shorter": lambda store, image: shorten(image.layers[0].digest, store),
    "config gone": lambda store, image: store.path(image.config_digest).unlink(),
    "config damaged": lambda store, image: flip(image.config_digest, store),
    "manifest gone": lambda store, image: store.path(image.digest).unlink(),
    "manifest damaged": lambda store, image: flip(image.digest, store),
}


@pytest.mark.parametrize("harm", HARMS)
def test_damage_is_repaired(
    fake: FakeRegistry, source: Store, store: Store, images: Images, harm: str
) -> None:
    name = both(source, fake)
    image = images.image(name, AMD64)
    HARMS[harm](store, image)
    fake.requests.clear()
    assert Images(store).image(name, AMD64) == image
    assert 1 <= len(fake.asked("sha256:")) <= 2, "only what is missing is fetched again"
    assert not fake.asked("/manifests/1"), "what the tag stood for is completed"
    for digest in (image.digest, image.config_digest, image.layers[0].digest):
        assert store.read(digest) == source.read(digest)


@pytest.mark.parametrize("harm", HARMS)
def test_damage_without_a_network(
    source: Store, store: Store, registry: Registry, harm: str
) -> None:
    with FakeRegistry() as fake:
        name = both(source, fake)
        image = Images(store, registry=registry).image(name, AMD64)
    HARMS[harm](store, image)
    with pytest.raises(ComposError) as caught:
        Images(store, registry=registry).image(name, AMD64)
    assert caught.value.id in ("store-missing", "store-corrupt")
    assert name in str(caught.value.place)
    assert caught.value.hint


def test_a_damaged_layer_is_repaired_by_the_next_run(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    """A layer's content is checked when it is read: that run fails, the next one has it again."""
    name = both(source, fake)
    image = images.image(name, AMD64)
    flip(image.layers[0].digest, store)
    with pytest.raises(ComposError) as caught, store.open(image.layers[0]) as stream:
        stream.read()
    assert caught.value.id == "store-corrupt"
    Images(store).image(name, AMD64)
    assert store.read(image.layers[0].digest) == source.read(image.layers[0].digest)


def test_a_platform_that_is_not_there(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    name = both(source, fake)
    for _ in range(2):
        with pytest.raises(ComposError) as caught:
            images.image(name, RISCV)
        assert caught.value.id == "image-platform"
        assert (
            caught.value.message
            == "the image is not available for linux/riscv64, only for linux/amd64, linux/arm64"
        )
        assert caught.value.place == name
        images.image(name, AMD64)
    assert len(store.entries()) == 1


def test_a_single_image_for_another_machine(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    image = make_image(source, "xx:1", [ONE], platform=ARM64)
    name = fake.load(source, image.name, "xx", "1")
    with pytest.raises(ComposError) as caught:
        images.image(name, AMD64)
    assert caught.value.id == "image-platform"
    assert not fake.asked(image.layers[0].digest), "no layer is fetched for it"
    assert store.resolve(name) is None
    make_image(store, "xx:1", [ONE], platform=ARM64)
    with pytest.raises(ComposError) as caught:
        stored_image(store, image.name, store.entries()[0], AMD64)
    assert caught.value.id == "image-platform"


def test_variants_may_be_left_out_of_configs(
    source: Store, store: Store, fake: FakeRegistry, images: Images
) -> None:
    manifest = put_image(source, layers=[ONE], platform=Platform("linux", "arm"))[0]
    make_index(source, "xx:1", {Platform("linux", "arm", "v6"): manifest})
    name = fake.load(source, "docker.io/library/xx:1", "xx", "1")
    assert images.image(name, Platform("linux", "arm", "v6")).digest == manifest.digest


def test_bricks_are_asked_between_store_and_registry(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    name = both(source, fake)
    brick = "docker.io/library/brick:1"
    maker = Maker(store, lambda text: make_image(store, text, [ONE]) if text == brick else None)
    images = Images(store, registry=registry, makers=[maker])
    assert images.image("brick:1", AMD64).name == "docker.io/library/brick:1"
    assert images.image(name, AMD64).name == name
    assert Images(store, registry=registry, makers=[maker]).image("brick:1", AMD64)
    assert maker.asked == [brick, name]


def test_several_at_once(fake: FakeRegistry, source: Store, store: Store, images: Images) -> None:
    base = [("base", "file", 0o644, bytes(300_000))]
    names = []
    for number in range(8):
        image = make_image(
            source, f"x{number}:1", [base, [("n", "file", 0o644, str(number))]], compression="plain"
        )
        names.append(fake.load(source, image.name, f"x{number}", "1"))
    digest = image.layers[0].digest
    fake.misbehave(Fault("slow", on=digest, value=30_000))
    wanted = [(name, AMD64) for name in names]
    found = images.images([*wanted, *wanted])
    assert list(found) == wanted
    assert [found[key].name for key in wanted] == names
    assert len(fake.asked(digest)) == 1, "a shared layer is fetched once"
    assert len(fake.asked("/manifests/1")) == 8


def test_errors_stand_in_the_order_of_the_images(
    fake: FakeRegistry, source: Store, images: Images
) -> None:
    name = both(source, fake)
    fake.misbehave(Fault("slow", on="none1", value=1))
    wanted = [(f"{fake.host}/none1:1", AMD64), (name, AMD64), ("NONSENSE", AMD64), (name, RISCV)]
    with pytest.raises(CombinedError) as caught:
        images.images(wanted)
    assert [error.id for error in caught.value.errors] == [
        "image-not-found",
        "image-reference",
        "image-platform",
    ]
    with pytest.raises(ComposError) as single:
        images.images(wanted[:2])
    assert single.value.id == "image-not-found"
    assert not isinstance(single.value, CombinedError)


@pytest.mark.usefixtures("default_signals")
def test_an_interrupt_does_not_wait_for_downloads(
    fake: FakeRegistry, source: Store, store: Store, images: Images
) -> None:
    image = make_image(
        source, "xx:1", [[("big", "file", 0o644, bytes(1_000_000))]], compression="plain"
    )
    name = fake.load(source, image.name, "xx", "1")
    fake.misbehave(Fault("slow", on=image.layers[0].digest, value=50))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        images.images([(name, AMD64)])
    assert time.monotonic() - started < 60, "the download takes 200 s"
    assert store.resolve(name) is None
    assert list((store.root / "ingest").iterdir()) == []


def test_a_digest_is_asked_for_by_digest(fake: FakeRegistry, source: Store, images: Images) -> None:
    image = make_image(source, "xx:1", [ONE])
    fake.load(source, image.name, "xx", "1")
    name = f"{fake.host}/xx:other@{image.digest}"
    assert images.image(name, AMD64).name == name
    assert fake.asked(f"/manifests/{image.digest}")
    assert not fake.asked("/manifests/other")


def test_documents_that_do_not_fit_together(
    fake: FakeRegistry, source: Store, images: Images
) -> None:
    manifest, config, layers = put_image(source, layers=[ONE])
    document = {"schemaVersion": 2, "mediaType": manifest.media_type, "config": config.to_json(),
                "layers": [layers[0].to_json()] * 2}  # fmt: skip
    fake.blobs.update({blob.digest: source.read(blob.digest) for blob in (config, *layers)})
    fake.documents["xx", "1"] = (manifest.media_type, as_json(document))
    with pytest.raises(ComposError) as caught:
        images.image(f"{fake.host}/xx:1", AMD64)
    assert caught.value.id == "image-malformed"
    assert fake.host in str(caught.value.place)


def test_an_index_in_an_index(fake: FakeRegistry, source: Store, images: Images) -> None:
    inner = make_index(source, "inner:1", {AMD64: put_image(source, layers=[ONE])[0]})
    child = Descriptor("application/vnd.oci.image.manifest.v1+json", inner.digest, inner.size)
    child = Descriptor("application/vnd.oci.image.manifest.v1+json", inner.digest, inner.size)
    make_index(source, "outer:1", {AMD64: child})
    name = fake.load(source, "docker.io/library/outer:1", "xx", "1")
    with pytest.raises(ComposError) as caught:
        images.image(name, AMD64)
    assert caught.value.id == "image-media-type"


def test_an_index_of_indexes(fake: FakeRegistry, source: Store, images: Images) -> None:
    arm, amd = (
        put_image(source, layers=[ONE], platform=platform)[0] for platform in (ARM64, AMD64)
    )
    inner = [
        make_index(source, f"inner:{number}", one)
        for number, one in enumerate(({ARM64: arm}, {AMD64: amd}))
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [one.to_json() for one in inner],
    }
    source.tag("docker.io/library/outer:1", source.put(as_json(document), INDEX))
    name = fake.load(source, "docker.io/library/outer:1", "xx", "1")
    assert images.image(name, AMD64).digest == amd.digest
    with pytest.raises(ComposError) as caught:
        images.image(name, Platform("linux", "riscv64"))
    assert caught.value.id == "image-platform"
