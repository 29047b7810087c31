"""The one door for images: whatever a source brings, what is wrong with it gets no name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from compos.errors import ComposError, ConnectError
from compos.image.attestation import put_attestation
from compos.image.door import admit, admit_layout
from compos.image.model import Descriptor, Image
from compos.image.names import ORIGIN, Origin
from compos.image.offer import Offer
from compos.image.store import Store
from tests.images import AMD64, ARM64, Member, as_json, make_image, make_index, put_image

NAME = "x.example/team/app:1"
FILES = [Member("etc", "dir", 0o755), Member("etc/x", content="x")]


class Carrier:
    """Brings blobs of `source`, after `change` had its way with them; None leaves one out."""

    def __init__(
        self,
        source: Store,
        target: Store,
        change: Callable[[Descriptor, bytes], bytes | None] = lambda blob, data: data,
    ) -> None:
        self._source = source
        self._target = target
        self._change = change
        self.brought: list[str] = []

    def document(self, blob: Descriptor) -> bytes:
        self.brought.append(blob.digest)
        return self._change(blob, self._source.read(blob.digest)) or b""

    def fetch(self, blobs: Sequence[Descriptor]) -> None:
        for blob in blobs:
            self.brought.append(blob.digest)
            data = self._change(blob, self._source.read(blob.digest))
            if data is not None:
                self._target.put(data, blob.media_type)


@pytest.fixture
def image(source: Store) -> Image:
    return make_image(source, NAME, [FILES, [Member("etc/y", content="y")]])


def offer(source: Store, carrier: Carrier, asked: str = NAME, title: str = "") -> Offer:
    root = source.named(NAME).plain
    return Offer(asked, root, Origin("test", "place"), carrier, title=title)


def test_what_is_right_is_complete_and_named(source: Store, store: Store, image: Image) -> None:
    carrier = Carrier(source, store)
    assert admit(store, offer(source, carrier), AMD64) == image
    (entry,) = store.entries()
    assert entry.annotations[ORIGIN] == "test place"
    assert len(carrier.brought) == len(set(carrier.brought)) == 4, "each blob once"
    assert admit(store, Offer(NAME, entry), AMD64) == image, "without a carrier"


@pytest.mark.parametrize("which", ["manifest", "config", "first layer", "last layer"])
@pytest.mark.parametrize("how", ["other bytes", "cut", "nothing"])
def test_blobs_that_are_not_what_they_should_be(
    source: Store, store: Store, image: Image, which: str, how: str
) -> None:
    digests = [image.digest, image.config_digest, image.layers[0].digest, image.layers[-1].digest]
    wrong = digests[["manifest", "config", "first layer", "last layer"].index(which)]

    def change(blob: Descriptor, data: bytes) -> bytes | None:
        if blob.digest != wrong:
            return data
        return {"other bytes": b"x" + data[1:], "cut": data[:-1], "nothing": None}[how]

    for take in (
        lambda offered: admit(store, offered, AMD64),
        lambda offered: admit_layout(store, offered, None, AMD64),
    ):
        with pytest.raises(ComposError) as caught:
            take(offer(source, Carrier(source, store, change)))
        assert caught.value.id == ("digest-mismatch" if which == "manifest" else "store-missing")
        assert caught.value.hint
        assert NAME in str(caught.value.place) or wrong in str(caught.value.place)
        assert store.entries() == []


@pytest.mark.parametrize(
    ("asked", "title", "error"),
    [
        ("docker.io/compos/init:v1", "", "name-reserved"),
        ("oci:/tmp/x", "compos/init:v1", None),
        (NAME, "", None),
    ],
)
def test_names(
    source: Store, store: Store, image: Image, asked: str, title: str, error: str | None
) -> None:
    """An image of this machine may call itself what it wants: nothing else finds it by that."""
    carrier = Carrier(source, store)
    if error is None:
        found = admit(store, offer(source, carrier, asked, title), AMD64)
        assert found.name == (f"{title}@{image.digest}" if title else asked)
        assert [entry.annotations["org.opencontainers.image.ref.name"]
                for entry in store.entries()] == [asked]  # fmt: skip
        return
    with pytest.raises(ComposError) as caught:
        admit(store, offer(source, carrier, asked, title), AMD64)
    assert caught.value.id == error
    assert carrier.brought == [], "nothing is fetched for it"
    assert store.entries() == []


def test_another_platform(source: Store, store: Store) -> None:
    make_image(source, NAME, [FILES], platform=ARM64)
    carrier = Carrier(source, store)
    with pytest.raises(ComposError) as caught:
        admit(store, offer(source, carrier), AMD64)
    assert (caught.value.id, caught.value.place) == ("image-platform", NAME)
    assert len(carrier.brought) == 2, "manifest and config tell"
    assert store.entries() == []


def attested_offer(
    source: Store, store: Store, change: Callable[[Descriptor, bytes], bytes | None]
) -> tuple[Offer, Descriptor]:
    """An image with an attestation, whose blobs `change` has its way with."""
    manifest = put_image(source, layers=[FILES])[0]
    statement = put_attestation(source, NAME, manifest, AMD64, {"spdxVersion": "SPDX-2.3"})
    make_index(source, NAME, {AMD64: manifest}, attestation=statement)
    return offer(source, Carrier(source, store, change)), statement


def test_an_attestation_comes_along(source: Store, store: Store) -> None:
    admitted, statement = attested_offer(source, store, lambda blob, data: data)
    image = admit(store, admitted, AMD64)
    assert [one.digest for one in image.attestations] == [statement.digest]
    assert store.has(statement.digest)


def test_an_image_does_without_an_attestation(
    source: Store, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(blob: Descriptor, data: bytes) -> bytes:
        if blob.digest == statement.digest:
            raise ConnectError("network-connect", "nobody answers")
        return data

    admitted, statement = attested_offer(source, store, unreachable)
    assert admit(store, admitted, AMD64).attestations
    assert not store.has(statement.digest)
    assert store.resolve(NAME) is not None


def test_but_not_with_a_wrong_one(source: Store, store: Store) -> None:
    admitted, statement = attested_offer(
        source, store,
        lambda blob, data: as_json({"a": 1}) if blob.digest == statement.digest else data,
    )  # fmt: skip
    with pytest.raises(ComposError) as caught:
        admit(store, admitted, AMD64)
    assert caught.value.id == "digest-mismatch"
    assert store.entries() == []
