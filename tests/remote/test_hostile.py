"""A cache whose registry is hostile or broken: the same outputs as without it, and one warning."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from compos.http import retry
from compos.image.model import MANIFEST
from compos.remote.listing import MAX_AGE, signed, verified
from compos.trust.keys import PrivateKey, PublicKey
from tests.image.conftest import StartRegistry, docker_registry
from tests.registry import FakeRegistry, Fault
from tests.remote.site import Machine, Site
from tests.trust.pairs import key_pair, require_cryptography

__all__ = ["docker_registry"]

REPOSITORY, TAG = "team/cache", "os-amd64"


class Filled(NamedTuple):
    """A site with its outputs' digests, and what its cache consists of."""

    site: Site
    outputs: dict[str, str]
    listing: bytes
    blobs: dict[str, bytes]


@pytest.fixture
def filled(tmp_path: Path, docker_registry: StartRegistry) -> Filled:
    require_cryptography()
    site = Site(tmp_path, docker_registry())
    outputs = Machine(site, "first").build(cache_to=site.cache, key=site.private)
    url = f"http://{site.host}/v2/{REPOSITORY}"
    listing = fetch(f"{url}/manifests/{TAG}")
    digests = [layer["digest"] for layer in json.loads(listing)["layers"]]
    return Filled(site, outputs, listing, {one: fetch(f"{url}/blobs/{one}") for one in digests})


def fetch(url: str) -> bytes:
    with urlopen(Request(url, headers={"Accept": MANIFEST}), timeout=10) as answer:
        data: bytes = answer.read()
        return data


@pytest.fixture
def cache(filled: Filled) -> Iterator[FakeRegistry]:
    """The cache at a registry that does as it is told."""
    with FakeRegistry() as registry:
        registry.documents[REPOSITORY, TAG] = (MANIFEST, filled.listing)
        registry.blobs.update(filled.blobs)
        yield registry


def layers_with(listing: bytes, kind: str) -> list[dict[str, Any]]:
    return [
        layer
        for layer in json.loads(listing)["layers"]
        if f"/{kind}/" in layer["annotations"]["org.compos.cache.name"]
    ]


def serve(cache: FakeRegistry, listing: bytes) -> None:
    cache.documents[REPOSITORY, TAG] = (MANIFEST, listing)


def nothing(cache: FakeRegistry, filled: Filled) -> None:
    pass


def wrong_blobs(cache: FakeRegistry, filled: Filled) -> None:
    for digest, data in cache.blobs.items():
        cache.blobs[digest] = bytes([data[0] ^ 1]) + data[1:]


def swapped_blobs(cache: FakeRegistry, filled: Filled) -> None:
    digests = [*cache.blobs]
    cache.blobs.update(zip(digests, [*[*cache.blobs.values()][1:], b"x"], strict=True))


def huge_blobs(cache: FakeRegistry, filled: Filled) -> None:
    for digest in cache.blobs:
        cache.blobs[digest] += bytes(1 << 20)


def no_segments(cache: FakeRegistry, filled: Filled) -> None:
    for layer in layers_with(filled.listing, "segment"):
        cache.blobs.pop(layer["digest"], None)


def no_parts(cache: FakeRegistry, filled: Filled) -> None:
    for layer in layers_with(filled.listing, "partial"):
        cache.blobs.pop(layer["digest"], None)


def no_blobs(cache: FakeRegistry, filled: Filled) -> None:
    cache.blobs.clear()


def huge_list(cache: FakeRegistry, filled: Filled) -> None:
    serve(cache, filled.listing + b" " * (5 << 20))


def no_json(cache: FakeRegistry, filled: Filled) -> None:
    serve(cache, b"[" * 100_000)


def unsigned(cache: FakeRegistry, filled: Filled) -> None:
    document = json.loads(filled.listing)
    document["annotations"] = {}
    serve(cache, json.dumps(document).encode())


def other_key(cache: FakeRegistry, filled: Filled) -> None:
    entries = verified(filled.listing, PublicKey.read(filled.site.public), int(time.time()))
    folder = filled.site.folder / "other"
    folder.mkdir()
    serve(cache, signed(entries.values(), PrivateKey.read(key_pair(folder, "ED25519")[0])))


def renamed(cache: FakeRegistry, filled: Filled) -> None:
    """Two results have changed their names: what is valid for one system is served for another."""
    document = json.loads(filled.listing)
    one, other = (layer["annotations"] for layer in document["layers"][:2])
    key = "org.compos.cache.name"
    one[key], other[key] = other[key], one[key]
    serve(cache, json.dumps(document).encode())


def replayed(cache: FakeRegistry, filled: Filled) -> None:
    """What the owner signed once, too long ago."""
    entries = verified(filled.listing, PublicKey.read(filled.site.public), int(time.time()))
    old = int(time.time()) - MAX_AGE - 1
    key = PrivateKey.read(filled.site.private)
    serve(cache, signed([entry._replace(used=old) for entry in entries.values()], key))


def refusing(cache: FakeRegistry, filled: Filled) -> None:
    cache.misbehave(Fault("status", times=1000, value=403))


def hanging_up(cache: FakeRegistry, filled: Filled) -> None:
    cache.misbehave(Fault("truncate", on="/blobs/", times=1000, value=10))


CASES: list[tuple[Callable[[FakeRegistry, Filled], None], str]] = [
    (nothing, ""),
    (wrong_blobs, "digest-mismatch"),
    (swapped_blobs, "download-"),
    (huge_blobs, "download-oversized"),
    (no_segments, "image-not-found"),
    (no_parts, "image-not-found"),
    (no_blobs, "image-not-found"),
    (huge_list, "registry-error"),
    (no_json, "image-malformed"),
    (unsigned, "cache-signature"),
    (other_key, "cache-signature"),
    (renamed, "cache-signature"),
    (replayed, ""),
    (refusing, "registry-denied"),
    (hanging_up, "download-truncated"),
]


@pytest.mark.slow
def test_the_outputs_are_right_and_one_warning_says_why(
    filled: Filled, cache: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0)
    for harm, error in CASES:
        serve(cache, filled.listing)
        cache.blobs = dict(filled.blobs)
        cache._faults.clear()
        harm(cache, filled)
        machine = Machine(filled.site, harm.__name__)
        name = f"{cache.host}/{REPOSITORY}"
        made = machine.build(cache_from=(name,), key=filled.site.public)
        assert made == filled.outputs, harm.__name__
        warnings = machine.notices.warnings()
        assert len(warnings) == bool(error), (harm.__name__, machine.notices.texts)
        assert all(error in text and name in text for text in warnings), (harm.__name__, warnings)
