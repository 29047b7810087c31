"""Which manifest an index means: variants, entries without a platform, indexes inside of indexes,
bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compos.errors import ImageError, NotStored
from compos.image.digest import digest_of
from compos.image.model import CONFIG, INDEX, MANIFEST, Descriptor
from compos.image.platform import Platform
from compos.image.selection import (
    MAX_DOCUMENT,
    Selected,
    all_manifests,
    image_config,
    select_manifest,
)

AMD64 = Platform("linux", "amd64")


class Shelf:
    """Documents by their digests; counts what is read."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.read: list[str] = []

    def document(self, blob: Descriptor) -> bytes:
        self.read.append(blob.digest)
        if blob.digest not in self.blobs:
            raise NotStored("store-missing", "not there", place=blob.digest)
        return self.blobs[blob.digest]

    config = document

    def put(self, document: dict[str, Any], media_type: str = "") -> dict[str, Any]:
        data = json.dumps(document).encode()
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def image(self, word: str, **config: str) -> dict[str, Any]:
        """An entry for an image; `word` makes it different from others."""
        made = self.put({"config": {"Cmd": [word]}, **config}, CONFIG)
        return self.put(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": made, "layers": []}, MANIFEST
        )

    def index(self, *entries: dict[str, Any]) -> dict[str, Any]:
        return self.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries]}, INDEX)

    def select(self, root: dict[str, Any], platform: Platform = AMD64) -> Selected:
        return select_manifest("name", Descriptor.from_json(root), platform, self)

    def word(self, root: dict[str, Any], platform: Platform = AMD64) -> str:
        """What the selected image's command is."""
        return image_config("name", self.select(root, platform), platform, self).cmd[0]


def on(platform: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "platform": Platform.parse(platform).to_json()}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


VARIANTS = [
    # what is wanted, what there is in this order, which is right
    ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
    ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v2"),
    ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
    ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v3"], "linux/amd64/v3"),
    ("linux/arm64", ["linux/arm64/v9", "linux/arm64/v8"], "linux/arm64/v8"),
    ("linux/arm64", ["linux/arm64/v8.2", "linux/arm64"], "linux/arm64"),
    ("linux/arm64", ["linux/arm64/v9"], "linux/arm64/v9"),
    ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
    ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], "linux/arm/v6"),
    ("linux/riscv64", ["linux/riscv64/rva22u64", "linux/riscv64"], "linux/riscv64"),
]


@pytest.mark.parametrize(("wanted", "there", "right"), VARIANTS)
def test_what_the_wanted_machine_surely_runs(
    shelf: Shelf, wanted: str, there: list[str], right: str
) -> None:
    platform = Platform.parse(wanted)
    parts = {"os": platform.os, "architecture": platform.architecture}
    root = shelf.index(*(on(one, shelf.image(one, **parts)) for one in there))
    assert shelf.word(root, platform) == right


def test_what_no_wanted_machine_runs(shelf: Shelf) -> None:
    root = shelf.index(on("linux/arm/v7", shelf.image("x")), on("windows/amd64", shelf.image("y")))
    for wanted in ("linux/arm/v6", "linux/amd64"):
        with pytest.raises(ImageError, match="only for linux/arm/v7, windows/amd64") as caught:
            shelf.select(root, Platform.parse(wanted))
        assert caught.value.id == "image-platform"


def test_entries_without_a_platform_are_tried_by_their_configs(shelf: Shelf) -> None:
    other = shelf.image("other", os="linux", architecture="arm64")
    mine = shelf.image("mine", os="linux", architecture="amd64")
    artifact = {
        **shelf.image("artifact", os="linux", architecture="amd64"),
        "artifactType": "application/x",
    }
    attestation = {
        **shelf.image("attestation", os="linux", architecture="amd64"),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    assert shelf.word(shelf.index(artifact, attestation, other, mine)) == "mine"
    named = on("linux/amd64", shelf.image("named", os="linux", architecture="amd64"))
    assert shelf.word(shelf.index(mine, named)) == "named", "who says it is asked first"


@pytest.mark.parametrize("config", [{}, {"os": "linux", "architecture": "amd64"}])
def test_a_config_may_leave_the_platform_to_the_index(shelf: Shelf, config: dict[str, str]) -> None:
    image = shelf.image("x", **config)
    assert shelf.word(shelf.index(on("linux/amd64", image))) == "x"
    if not config:
        with pytest.raises(ImageError, match="is not available for linux/amd64"):
            shelf.word(image)


def test_an_index_that_lies_about_the_platform(shelf: Shelf) -> None:
    with pytest.raises(ImageError, match="only for linux/arm64"):
        shelf.word(
            shelf.index(on("linux/amd64", shelf.image("x", os="linux", architecture="arm64")))
        )


UNKNOWN = {"mediaType": "application/vnd.example.thing", "digest": "sha512:" + "a" * 128, "size": 1}


def test_entries_that_nobody_needs_may_be_anything(shelf: Shelf) -> None:
    wide = on("linux/arm64", {"mediaType": MANIFEST, "digest": "sha512:" + "b" * 128, "size": 7})
    made_up = {"mediaType": MANIFEST, "digest": "blake3+x:" + "Ab_-=9", "size": 7}
    root = shelf.index(
        UNKNOWN, wide, on("linux/s390x", made_up), on("linux/amd64", shelf.image("x"))
    )
    assert shelf.word(root) == "x"
    with pytest.raises(ImageError, match="cannot be verified") as caught:
        shelf.select(root, Platform("linux", "arm64"))
    assert caught.value.id == "image-digest"


def test_indexes_inside_of_indexes(shelf: Shelf) -> None:
    arm = shelf.index(on("linux/arm64", shelf.image("arm", os="linux", architecture="arm64")))
    amd = shelf.index(on("linux/amd64", shelf.image("amd", os="linux", architecture="amd64")))
    root = shelf.index(arm, shelf.index(amd))
    assert shelf.word(root) == "amd"
    assert shelf.word(root, Platform("linux", "arm64")) == "arm"
    absent = {"mediaType": INDEX, "digest": "sha256:" + "0" * 64, "size": 5}
    assert shelf.word(shelf.index(absent, amd)) == "amd"
    with pytest.raises(ImageError) as caught:
        shelf.select(shelf.index(absent, arm))
    assert caught.value.id == "store-missing", "it might be there"


def test_each_document_is_looked_at_once(shelf: Shelf) -> None:
    """Forty indexes, each naming the next one forty times: 40 to the power of 4 ways."""
    level = shelf.index()
    for _ in range(4):
        level = shelf.index(*[level] * 40)
    with pytest.raises(ImageError):
        shelf.select(level)
    assert len(shelf.read) == len(set(shelf.read)) == 5
    shelf.read.clear()
    root = shelf.index(level, on("linux/amd64", shelf.image("x")))
    _, *found = all_manifests("name", *_index_and(shelf, root))
    assert found == []


def _index_and(shelf: Shelf, root: dict[str, Any]) -> tuple[Any, Shelf]:
    from compos.image.model import parse_document

    return parse_document(shelf.blobs[root["digest"]])[1], shelf


def many(shelf: Shelf, number: int) -> list[dict[str, Any]]:
    return [
        shelf.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "n": n}, INDEX)
        for n in range(number)
    ]


def test_bounds(shelf: Shelf) -> None:
    with pytest.raises(ImageError, match="more than 256 indexes"):
        shelf.select(shelf.index(*many(shelf, 300)))
    with pytest.raises(ImageError, match="more than 10000 entries"):
        shelf.select(shelf.index(*[on("linux/arm64", shelf.image("x"))] * 10_001))
    large = {"mediaType": MANIFEST, "digest": "sha256:" + "0" * 64, "size": MAX_DOCUMENT + 1}
    with pytest.raises(ImageError, match="larger than 8 MiB"):
        shelf.select(large)


def test_the_error_names_a_few_of_many_platforms(shelf: Shelf) -> None:
    entries = [on(f"linux/x{number}", shelf.image("x")) for number in range(500)]
    entries.append(
        {**shelf.image("x"), "platform": {"os": "o" * 10_000, "architecture": "a" * 10_000}}
    )
    with pytest.raises(ImageError) as caught:
        shelf.select(shelf.index(*entries))
    assert caught.value.id == "image-platform"
    assert caught.value.message.endswith("linux/x11, and 488 others")
