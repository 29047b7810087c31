"""A remote cache for one build: joined to the store before images are looked for, filled after the
outputs are written.

May touch: the store, and the network through `compos.remote`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compos.api.access import Access
from compos.errors import CacheError, CacheIncomplete, ComposError, Interrupted, StoreError
from compos.image.names import RECIPE
from compos.image.reference import Reference
from compos.image.registries.push import push_target
from compos.package.shared_bricks import SharedBricks, brick_document
from compos.progress import notice
from compos.remote.pull import RemoteCache
from compos.tree import absent
from compos.tree.layer import layer_files
from compos.trust.keys import PrivateKey, PublicKey, read_file

if TYPE_CHECKING:
    from compos.api.options import RemoteOptions
    from compos.image.model import Descriptor, Image
    from compos.image.platform import Platform
    from compos.image.source import Images
    from compos.tree.node import Slice

__all__ = ["Sharing"]

PEM = "-----BEGIN "
PASSPHRASE = "COMPOS_CACHE_PASSWORD"  # noqa: S105 - a variable's name


class _Keys(NamedTuple):
    public: PublicKey
    private: PrivateKey | None


class Sharing:
    """The remote caches of one build; `tag` is that of caches whose names have none.

    Raises `ImageError`: `cache-key` without a key that serves, `signature-*`, `image-reference`.
    """

    def __init__(self, access: Access, options: RemoteOptions, tag: str) -> None:
        self._access = access
        self._sources = [_cache(name, tag) for name in options.sources]
        self._target = _cache(options.target, tag) if options.target else None
        self._keys = _keys(options.key)
        if self._target and self._keys.private is None:
            raise CacheError(
                "cache-key",
                "filling a remote cache needs its private key, and this is the public one",
                hint="Name the private key with --cache-key, or leave out --cache-to.",
            )
        self._images: Images | None = None
        self._read: list[Slice] = []
        self._asked = cache(lambda: access.registry_of_caches)
        self._cache = RemoteCache(
            access.store,
            self._asked,
            self._sources,
            self._keys.public,
            self._fetch_layer,
        )

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Have the store find results in the caches, in this block."""
        store = self._access.store
        store.elsewhere = self._cache
        if self._sources:
            self._access.shared = SharedBricks(store, self._cache.document).restore
        try:
            with absent.finding(store.root, self._cache):
                yield
        finally:
            store.elsewhere = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Composing is done in this block: what it reads of layers is shared."""
        with ExitStack() as stack:
            if self._target:
                self._read = stack.enter_context(absent.recording(self._access.store.root))
            yield

    def use(self, images: Images) -> None:
        """Take layers that are read after all from these."""
        self._images = images

    def _fetch_layer(self, name: str, layer: Descriptor) -> None:
        """Raises `CacheIncomplete` for a layer that cannot be had."""
        entry = self._access.store.resolve(name)
        built = entry and any(one.startswith(f"{RECIPE}.") for one in entry.annotations)
        if self._images is None or built:
            raise CacheIncomplete(
                "cache-incomplete", "the remote cache does not have a layer", place=name
            )
        try:
            self._images.fetch_layers(name, [layer])
        except (StoreError, Interrupted):
            raise
        except ComposError as error:
            # A lock, or a mirror, may have it elsewhere.
            raise CacheIncomplete(
                "cache-incomplete",
                f"a layer that the remote cache does not have cannot be fetched: {error.message}",
                place=name,
            ) from error

    def finish(self, images: Iterable[Image], platform: Platform) -> None:
        """Report what came from the caches, and fill the target. Raises `StoreError`."""
        if self._cache.received:
            notice(
                f"remote cache: {len(self._cache.brought)} results, "
                f"{self._cache.received / 1e6:.1f} MB"
            )
        if self._target is None or self._keys.private is None:
            return
        from compos.remote.push import Used, fill

        store = self._access.store
        documents = {}
        layers: set[str] = set()
        for image in images:
            found = brick_document(store, image, platform)
            if found is not None:
                documents[found[0]] = found[1]
                layers.update(layer_files(layer)[0] for layer in image.layers)
        used = Used(frozenset(store.in_use), tuple(self._read), frozenset(layers), documents)
        fill(
            store,
            self._access.registry,
            self._target,
            self._keys.private,
            used,
            asked=self._asked(),
        )


def _cache(name: str, tag: str) -> Reference:
    """Where a cache is; raises `ImageError` (`image-reference`)."""
    reference = push_target(name)
    if Reference.parse(name).tag:
        return reference
    clean = re.sub(r"[^A-Za-z0-9_.-]", "-", tag).lstrip(".-")[:128]
    return reference._replace(tag=clean or "cache")


def _keys(given: str | None) -> _Keys:
    """The keys in `given`: a PEM file's name, or a key in PEM, as CI systems hand out secrets."""
    if not given:
        raise CacheError(
            "cache-key",
            "a remote cache needs a key: nothing else shows that its results can be trusted",
            hint="Make one with `compos cache key FILE`, and name it with --cache-key.",
        )
    if given.lstrip().startswith(PEM):
        pem, place = given.lstrip().encode(), "COMPOS_CACHE_KEY"
    else:
        pem, place = read_file(Path(given)), given
    if b"PRIVATE KEY" in pem:
        private = PrivateKey(pem, place, os.environ.get(PASSPHRASE))
        return _Keys(private.public, private)
    return _Keys(PublicKey(pem, place), None)
