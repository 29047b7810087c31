"""Documents: what is read from manifests, indexes and configs, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.errors import ComposError, ImageError
from compos.image.digest import Digest
from compos.image.model import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    ImageConfig,
    ImageIndex,
    Manifest,
    parse_document,
)
from compos.image.platform import Platform

DIGEST = Digest("sha256:" + "ab" * 32)
CHILD = {"mediaType": MANIFEST, "digest": DIGEST, "size": 3}


def test_descriptor_round_trip() -> None:
    descriptor = Descriptor(
        MANIFEST, DIGEST, 3, {"b": "1", "a": "2"}, Platform("linux", "arm", "v7")
    )
    assert Descriptor.from_json(json.loads(json.dumps(descriptor.to_json()))) == descriptor
    assert list(descriptor.to_json()) == ["mediaType", "digest", "size", "platform", "annotations"]
    assert len({descriptor, descriptor}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:xy"},
        {"digest": None},
        {"digest": "sha256:/../../../etc/passwd"},
        {"size": -1},
        {"size": "3"},
        {"size": True},
        {"mediaType": 1},
        {"annotations": []},
        {"annotations": {"a": 1}},
        {"platform": "linux/amd64"},
    ],
)
def test_descriptor_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(ImageError) as caught:
        Descriptor.from_json({**CHILD, **change})
    assert caught.value.id == "image-malformed"


def test_config() -> None:
    config = ImageConfig.from_bytes(
        json.dumps(
            {
                "architecture": "arm",
                "os": "linux",
                "variant": "v7",
                "config": {
                    "Entrypoint": ["/e"],
                    "Cmd": None,
                    "Env": ["A=b"],
                    "WorkingDir": "/w",
                    "StopSignal": "SIGQUIT",
                    "Labels": {"l": "v"},
                    "User": "u",
                },
                "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
            }
        ).encode()
    )
    assert config == ImageConfig(
        "arm", "linux", "v7", ("/e",), (), ("A=b",), "/w", "SIGQUIT", {"l": "v"}, (DIGEST,), "u"
    )
    assert str(config.platform) == "linux/arm/v7"


def test_empty_config_has_defaults() -> None:
    assert ImageConfig.from_bytes(b'{"config": null}') == ImageConfig("", "")


@pytest.mark.parametrize(
    "text", ['{"config": {"Cmd": 5}}', '{"config": {"Env": [1]}}', '{"config": [1]}', "x", "[]"]
)
def test_config_refuses(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        ImageConfig.from_bytes(text.encode())
    assert caught.value.id == "image-malformed"


def test_what_docker_takes_too() -> None:
    config = ImageConfig.from_bytes(
        b'{"config": {"Cmd": "sh", "Entrypoint": null, "Labels": {"a": null}}}'
    )
    assert (config.cmd, config.entrypoint, config.labels) == (("sh",), (), {"a": ""})


def document(**keys: object) -> bytes:
    return json.dumps(keys).encode()


def test_kinds_are_told_by_media_type_and_by_shape() -> None:
    config = {**CHILD, "mediaType": CONFIG}
    layer = {**CHILD, "mediaType": LAYER_GZIP}
    kind, manifest = parse_document(document(schemaVersion=2, config=config, layers=[layer]))
    assert kind == MANIFEST
    assert isinstance(manifest, Manifest)
    assert len(manifest.blobs) == 1, "one digest, one download"
    kind, index = parse_document(
        document(schemaVersion=2, manifests=[CHILD]), media_type="text/plain"
    )
    assert (kind, index) == (INDEX, ImageIndex((Descriptor(MANIFEST, DIGEST, 3),)))
    docker = "application/vnd.docker.distribution.manifest.list.v2+json"
    assert (
        parse_document(document(mediaType=docker, manifests=[CHILD]), media_type=INDEX)[0] == docker
    )


def test_foreign_layers_are_refused() -> None:
    layer = {
        **CHILD,
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "urls": ["http://x"],
    }
    _, manifest = parse_document(document(config={**CHILD, "mediaType": CONFIG}, layers=[layer]))
    assert isinstance(manifest, Manifest)
    with pytest.raises(ImageError) as caught:
        manifest.require_usable("name")
    assert caught.value.id == "image-media-type"


def child(platform: str | None, letter: str, media_type: str = MANIFEST) -> Descriptor:
    return Descriptor(
        media_type,
        Digest(f"sha256:{letter * 64}"),
        1,
        platform=Platform.parse(platform) if platform else None,
    )


INDEX_WITH_ALL = ImageIndex(
    (
        child(None, "0"),
        child("unknown/unknown", "1"),
        child("linux/amd64", "2", "application/vnd.x"),
        child("linux/amd64", "3"),
        child("linux/arm/v6", "4"),
        child("linux/arm/v7", "5"),
        child("linux/amd64", "6"),
    )
)


@pytest.mark.parametrize(
    ("wanted", "letter"),
    [("linux/amd64", "3"), ("linux/arm", "5"), ("linux/arm/v7", "5"), ("linux/arm/v6", "4")],
)
def test_the_best_entry(wanted: str, letter: str) -> None:
    found = INDEX_WITH_ALL.best(Platform.parse(wanted))
    assert found is not None
    assert found.digest == f"sha256:{letter * 64}"


def test_entries_by_what_they_are() -> None:
    assert INDEX_WITH_ALL.best(Platform.parse("linux/riscv64")) is None
    assert [one.digest[7] for one in INDEX_WITH_ALL.unnamed()] == ["0"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(DIGEST),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "mediaType",
                    "digest",
                    "size",
                    "config",
                    "layers",
                    "manifests",
                    "platform",
                    "schemaVersion",
                    "os",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON)
def test_no_document_gives_a_traceback(value: object) -> None:
    for read in (parse_document, ImageConfig.from_bytes):
        try:
            read(json.dumps(value).encode())
        except ComposError as error:
            assert error.id.startswith("image-")  # noqa: PT017
