"""Filling a remote cache after a build: what the build used and the cache lacks, then the new list.

May touch: the network, and the store. A result is uploaded once: what the list at the target has
already is only dated anew. Two builds that fill one cache at the same moment leave the list of the
later one, which lacks a few results of the other; nothing is wrong with that, they are made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from compos.errors import (
    CacheError,
    ComposError,
    ImageNotFound,
    Interrupted,
    NotStored,
    StoreError,
)
from compos.image.derived_kinds import FOLDER, DerivedKind
from compos.image.model import MANIFEST
from compos.image.reference import Reference
from compos.image.registries.push import push_root
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.progress import notice, threads
from compos.remote.listing import DAY, EMPTY_CONFIG, Entry, signed, verified
from compos.tree import record
from compos.tree.contents import Contents
from compos.tree.node import Slice
from compos.tree.partial import Part, PartialFile, merged, partial_key, save_parts, source_of
from compos.trust.keys import SigningKey

__all__ = ["Used", "fill"]

LEVEL = 3
"""Of zstd, for what is not compressed."""

_PIECE = 1 << 20
_COMPRESSED = (b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ\0")
"""How files begin that zstd would not make smaller: zstd, gzip, xz."""

_PARTIAL = f"{FOLDER}/{DerivedKind.PARTIAL.folder}/"
_RESULT = f"{FOLDER}/{DerivedKind.RESULT.folder}/"
_LAYERS = ("blobs/", f"{FOLDER}/{DerivedKind.LAYER.folder}/")


class Used(NamedTuple):
    """What a build used: the `names` of stored files, the parts of them that were `read`, the
    `layers` (names of blobs) of images that no registry has, and `documents` that are no stored
    files, by name."""

    names: frozenset[str]
    read: Sequence[Slice]
    layers: frozenset[str]
    documents: Mapping[str, bytes]


def fill(
    store: Store,
    registry: Registry,
    target: Reference,
    key: SigningKey,
    used: Used,
    *,
    asked: Registry,
) -> None:
    """Have the cache `target` list and hold what a build `used`. It is `asked` first for what it
    lists. Reports what keeps it from that: the build has its outputs. Raises `StoreError`,
    `Interrupted`."""
    try:
        _Filling(store, registry, target, key, asked).run(used)
    except (StoreError, Interrupted):
        raise
    except ComposError as error:
        notice(f"WARNING: the remote cache {target} was not filled: {error}")


class _Filling:
    def __init__(
        self,
        store: Store,
        registry: Registry,
        target: Reference,
        key: SigningKey,
        asked: Registry,
    ) -> None:
        self._store = store
        self._registry = registry
        self._asked = asked
        self._target = target
        self._key = key
        self._now = int(time.time())

    def run(self, used: Used) -> None:
        there = self._list()
        try:
            self._fill(used, there)
        except NotStored:
            # What the list names is gone from the registry: what is here goes there again.
            self._fill(used, {})

    def _fill(self, used: Used, there: Mapping[str, Entry]) -> None:
        names = {
            name
            for name in (*used.names, *used.layers)
            if Entry.shares(name) and (name in used.layers or not name.startswith("blobs/"))
        }
        names |= self._partial_files(used, there)
        kept = self._again(names | {*used.documents}, there)
        # Of what came from another cache, layers may never have been here.
        lacking = sorted(
            name for name in names if name not in there and (self._store.root / name).exists()
        )
        documents = {name: data for name, data in used.documents.items() if name not in there}
        if not lacking and not documents and all(self._is_fresh(entry) for entry in kept):
            return
        with self._store.scratch() as folder:
            # A store of its own: what is uploaded is a blob, and not one of ours.
            blobs = Store(folder, trusted=True)
            made = self._packed(blobs, lacking, documents)
            new = {one.name: one._replace(used=self._now) for one in (*kept, *made)}
            blobs.put(EMPTY_CONFIG, "")
            root = blobs.put(signed({**there, **new}.values(), self._key), MANIFEST)
            push_root(blobs, root, registry=self._registry, target=str(self._target))
        size = sum(entry.blob.size for entry in made)
        notice(f"remote cache {self._target}: {len(made)} results added, {size / 1e6:.1f} MB")

    def _is_fresh(self, entry: Entry) -> bool:
        return entry.used > self._now - DAY

    def _list(self) -> dict[str, Entry]:
        """What the target lists. Another one's list is replaced: who may write there decides."""
        try:
            _, data = self._asked.manifest(self._target)
            return verified(data, self._key.public, self._now)
        except ImageNotFound:
            return {}
        except CacheError as error:
            notice(f"WARNING: the remote cache {self._target} is written anew: {error}")
            return {}

    def _again(self, names: Iterable[str], there: Mapping[str, Entry]) -> list[Entry]:
        """The listed results that a build has used, and those that it would have used but for a
        whole result: they were dated together with it."""
        found = {name: there[name] for name in names if name in there}
        together = {entry.used for name, entry in found.items() if name.startswith(_RESULT)}
        found.update((name, entry) for name, entry in there.items() if entry.used in together)
        return [*found.values()]

    # Parts of layers

    def _partial_files(self, used: Used, there: Mapping[str, Entry]) -> set[str]:
        """The names of partial files with all that was read of layers, and all that the outputs
        have of them; made now if there are none."""
        parts: dict[str, set[Part]] = {}
        for piece in (*used.read, *self._sliced(used.names)):
            if piece.source.startswith(_LAYERS):
                parts.setdefault(piece.source, set()).add(Part(piece.offset, piece.size))
        names = {name for name in (*used.names, *there) if name.startswith(_PARTIAL)}
        return {self._partial_file(source, merged(some), names) for source, some in parts.items()}

    def _sliced(self, names: Iterable[str]) -> Iterator[Slice]:
        """What outputs are made of."""
        for name in names:
            if not name.startswith(_RESULT):
                continue
            loaded = record.load_groups(self._store.root / name, DerivedKind.RESULT, self._store)
            for _, pieces in loaded[0] if loaded else ():
                yield from (piece for piece in pieces if isinstance(piece, Slice))

    def _partial_file(self, source: str, parts: list[Part], names: Iterable[str]) -> str:
        for name in names:
            if source_of(name.removeprefix(_PARTIAL)) == source:
                found = PartialFile.read(self._store.root / name)
                if found is not None and found.covers(parts):
                    return name
        key = partial_key(source, parts)
        if self._store.derived(DerivedKind.PARTIAL, key) is None:
            with (
                self._store.derive(DerivedKind.PARTIAL, key) as path,
                Contents(self._store.root) as contents,
            ):
                save_parts(path, contents, source, parts)
        return DerivedKind.PARTIAL.stored_name(key)

    def _packed(
        self, blobs: Store, names: Sequence[str], documents: Mapping[str, bytes]
    ) -> list[Entry]:
        """Stored files and documents as blobs in `blobs`; compressing two is done at a time."""
        with threads(2, "cache") as pool:
            futures = [
                pool.submit(_pack, blobs, name, partial(_chunks, self._store.root / name))
                for name in names
            ]
            futures += [
                pool.submit(_pack, blobs, name, partial(iter, (data,)))
                for name, data in documents.items()
            ]
            return [future.result() for future in futures]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while data := stream.read(_PIECE):
            yield data


def _pack(blobs: Store, name: str, chunks: Callable[[], Iterator[bytes]]) -> Entry:
    """The content as a blob in `blobs`, compressed unless that is of no use."""
    first = next(chunks(), b"")
    plain = first.startswith(_COMPRESSED)
    length = 0
    with blobs.writer() as blob:
        if plain:
            for data in chunks():
                length += len(data)
                blob.write(data)
        else:
            from compos.zstd import zstd

            compressor = zstd.ZstdCompressor(LEVEL)
            for data in chunks():
                length += len(data)
                blob.write(compressor.compress(data))
            blob.write(compressor.flush())
        made = blob.commit("")
    return Entry.make(name, made.digest, made.size, length, zstd=not plain)
