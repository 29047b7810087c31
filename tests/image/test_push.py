"""Uploads to Debian's docker-registry: what is sent, what is not, what is verified first."""

from __future__ import annotations

import os

import pytest

from compos.errors import ComposError, ImageError
from compos.image.reference import HUB, Reference
from compos.image.registries.push import push, push_target
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from tests.image.conftest import StartRegistry
from tests.images import AMD64, ARM64, make_image, make_index, put_image

FILE = [("a", "file", 0o644, "content")]


@pytest.mark.slow
def test_push_round_trip(docker_registry: StartRegistry, source: Store, store: Store) -> None:
    host = docker_registry()
    big = [("big", "file", 0o644, os.urandom(5 << 20))]
    image = make_image(source, "h.example/x/y:1", [FILE, big, []], {"Labels": {"k": "v"}})
    root = push(source, "h.example/x/y:1", registry=Registry(), target=f"{host}/p/q:2")
    assert root.digest == image.digest
    pulled = Images(store).image(f"{host}/p/q:2", AMD64)
    assert (pulled.digest, pulled.layers, pulled.config) == (
        image.digest,
        image.layers,
        image.config,
    )
    # Again under another tag and under its digest: what the registry has is not even read.
    source.path(image.layers[1].digest).unlink()
    push(source, "h.example/x/y:1", registry=Registry(), target=f"{host}/p/q:3")
    push(source, "h.example/x/y:1", registry=Registry(), target=f"{host}/p/q@{image.digest}")
    assert Registry().digest(Reference.parse(f"{host}/p/q:3")) == image.digest


def test_what_is_not_in_the_store(source: Store) -> None:
    with pytest.raises(ComposError) as caught:
        push(source, "none:1", registry=Registry())
    assert caught.value.id == "image-not-found"


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_damaged_blob_is_not_sent(
    docker_registry: StartRegistry, source: Store, harm: str
) -> None:
    host = docker_registry()
    image = make_image(source, "x/y:1", [FILE])
    path = source.path(image.layers[0].digest)
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(image.layers[0].size))
    with pytest.raises(ComposError) as caught:
        push(source, "x/y:1", registry=Registry(), target=f"{host}/x/y:1")
    assert caught.value.id == ("store-missing" if harm == "gone" else "store-corrupt")
    assert Registry().digest(Reference.parse(f"{host}/x/y:1")) is None


def test_an_index_of_which_a_platform_is_missing(
    docker_registry: StartRegistry, source: Store
) -> None:
    host = docker_registry()
    manifests = {
        platform: put_image(source, layers=[FILE], platform=platform)[0]
        for platform in (AMD64, ARM64)
    }
    make_index(source, "x/y:1", manifests)
    source.path(manifests[ARM64].digest).unlink()
    with pytest.raises(ComposError) as caught:
        push(source, "x/y:1", registry=Registry(), target=f"{host}/x/y:1")
    assert caught.value.id == "store-missing"
    assert Registry().digest(Reference.parse(f"{host}/x/y:1")) is None


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("h.example/x/y:1", "h.example/x/y:1"),
        ("h.example:5000/xy", "h.example:5000/xy:latest"),
        ("localhost/xy", "localhost/xy:latest"),
        ("user/app:1", f"{HUB}/user/app:1"),
    ],
)
def test_what_can_be_pushed_to(name: str, target: str) -> None:
    assert str(push_target(name)) == target


@pytest.mark.parametrize(
    "name",
    [
        "system", "system:1", f"{HUB}/system", f"{HUB}/library/system", "", "h.example/", "https://h.example/x",
        "h.example/X:1",
        f"h.example/x@sha256:{'0' * 64}", "h.example/x:1:2", "oci:folder", "oci-archive:file.tar", "a b/c", "../x/y",
    ],
)  # fmt: skip
def test_what_can_not(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        push_target(name)
    assert caught.value.id == "image-reference"
