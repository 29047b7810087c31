"""Results from a remote cache: its lists, downloads when something is asked for, and what stands in
for the layers of images that stay where they are.

May touch: the network, and the store that it is made for. A list is fetched when the store lacks
something for the first time. Whatever goes wrong with the cache turns it off for the rest of the
build, which says so once and makes what is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from compos import decompressors
from compos.decompressors import Damaged
from compos.errors import CacheError, ComposError, ImageNotFound, Interrupted, StoreError
from compos.image.derived_kinds import FOLDER, DerivedKind
from compos.image.model import Descriptor
from compos.image.reference import Reference
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.progress import notice, task, threads
from compos.remote.listing import Entry, verified
from compos.remote.pace import Pace
from compos.tree.flatten import tree_key
from compos.tree.layer import layer_files, plain_layer
from compos.tree.node import Slice
from compos.tree.partial import PartialFile, source_of
from compos.trust.keys import PublicKey

__all__ = ["RemoteCache"]

AT_ONCE = 6
"""Downloads."""

_PIECE = 1 << 20

_BLOBS = "blobs/sha256/"
_PARTIAL = f"{FOLDER}/{DerivedKind.PARTIAL.folder}/"
_CONTENTS = f"{FOLDER}/{DerivedKind.CONTENTS.folder}/"

FetchLayer = Callable[[str, Descriptor], None]
"""Brings a layer of the image with this name into the store, from the image's registry."""


class RemoteCache:
    """What the caches `sources` have, if it was signed with `key`, for `store`. The first one that
    has a result is asked for it. For several threads; implements `Elsewhere` and `Finder`."""

    def __init__(
        self,
        store: Store,
        registry: Callable[[], Registry],
        sources: Sequence[Reference],
        key: PublicKey,
        fetch_layer: FetchLayer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registry = registry
        self._sources = sources
        self._key = key
        self._fetch_layer = fetch_layer
        self._lock = threading.RLock()
        self._failing = threading.Lock()
        self._listed: dict[str, tuple[Reference, Entry]] | None = None
        self._partial: dict[str, list[str]] = {}
        """Names of partial files by the file that they are parts of, the newest first."""
        self._read: dict[str, PartialFile] = {}
        self._layers: dict[str, tuple[str, Descriptor]] = {}
        """Of which image, and which of its layers, a stored file is that may come later."""
        self._pace = Pace(clock)
        self._off = not sources
        self._stopped = False
        self.brought: set[str] = set()
        """Names of the results that came from here."""

    @property
    def received(self) -> int:
        """Bytes of results that have been downloaded."""
        return self._pace.total

    def listed(self) -> dict[str, tuple[Reference, Entry]]:
        """What the caches have, by name; they are asked the first time."""
        with self._lock:
            if self._listed is None:
                self._listed = {}
                for source in self._sources:
                    for name, entry in self._list(source).items():
                        self._listed.setdefault(name, (source, entry))
                newest = sorted(self._listed.items(), key=lambda one: -one[1][1].used)
                for name, _ in newest:
                    if name.startswith(_PARTIAL):
                        of = source_of(name.removeprefix(_PARTIAL))
                        self._partial.setdefault(of, []).append(name)
            return {} if self._off else self._listed

    def _list(self, source: Reference) -> dict[str, Entry]:
        if self._off:
            return {}
        try:
            _, data = self._registry().manifest(source)
            return verified(data, self._key, int(time.time()))
        except ImageNotFound:
            notice(f"the remote cache {source} is empty")
        except (StoreError, Interrupted):
            raise
        except ComposError as error:
            self._fail(source, error, off=False)
        return {}

    def _fail(self, source: Reference, error: ComposError, *, off: bool = True) -> None:
        """Say what is wrong; with `off`, use no cache from now on."""
        with self._failing:
            if not self._off:
                notice(f"WARNING: the remote cache {source} is not used: {error}")
            self._off = self._off or off

    # Results

    def bring(self, names: Sequence[str]) -> None:
        """As `Elsewhere.bring`. What is asked for of a layer is its newest partial file. Where the
        digests of a system's files are asked for, those of others serve."""
        with self._lock:
            listed = self.listed()
            wanted = {name for name in names if name in listed and name not in self._layers}
            for name in names:
                if name in self._layers:
                    # Not the whole layer, which the cache has of bricks.
                    wanted.update(self._partial.get(name, ())[:1])
                elif name.startswith(_CONTENTS) and name not in listed:
                    wanted.update(one for one in listed if one.startswith(_CONTENTS))
            self._bring(sorted(wanted - self.brought))

    def _bring(self, names: Sequence[str]) -> None:
        lacking = [name for name in names if not (self._store.root / name).exists()]
        if not lacking or self._off:
            return
        listed = self.listed()
        self._pace.begin()
        total = sum(listed[name][1].blob.size for name in lacking)
        with task(f"fetch {len(lacking)} results from the remote cache", total) as progress:

            def fetch(name: str) -> None:
                source, entry = listed[name]
                if self._off or self._stopped:
                    return
                try:
                    self._keep(source, entry, progress.advance)
                    self.brought.add(name)
                except (StoreError, Interrupted):
                    raise
                except ComposError as error:
                    self._fail(source, error)

            if len(lacking) == 1:
                fetch(lacking[0])
                return
            with threads(AT_ONCE, "cache") as pool:
                futures = [pool.submit(fetch, name) for name in lacking]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    # An interrupt must not wait for hundreds of megabytes.
                    self._stopped = True
                    raise

    def _keep(self, source: Reference, entry: Entry, advance: Callable[[int], None]) -> None:
        """Download a result to its place in the store. Raises `ComposError`."""
        with self._store.scratch() as folder:
            blob = self._download(source, entry, Store(folder, trusted=True), advance)
            if entry.name.startswith(_BLOBS):
                plain = folder / "plain"
                if entry.encoding:
                    _decompress(blob, plain, entry)
                self._keep_blob(plain if entry.encoding else blob, entry)
                return
            kind, key = _kind_of(entry.name)
            with self._store.derive(kind, key) as path:
                if entry.encoding:
                    _decompress(blob, path, entry)
                else:
                    blob.replace(path)

    def _keep_blob(self, plain: Path, entry: Entry) -> None:
        """Store the layer `plain` under the digest that it must have. Raises `ComposError`."""
        digest = f"sha256:{entry.name.removeprefix(_BLOBS)}"
        with self._store.writer() as blob, plain.open("rb") as stream:
            while data := stream.read(_PIECE):
                blob.write(data)
            blob.commit("", digest, entry.length)

    def _download(
        self, source: Reference, entry: Entry, store: Store, advance: Callable[[int], None]
    ) -> Path:
        """The entry's blob, verified, in `store`."""

        def arrived(amount: int) -> None:
            if self._stopped:
                raise Interrupted("interrupted", "the download was interrupted", place=str(source))
            advance(amount)
            self._pace.advance(amount)

        self._registry().download(source, entry.blob, store, advance=arrived)
        return store.path(entry.blob.digest)

    def document(self, name: str) -> bytes | None:
        """The bytes of the listed document `name`, or None."""
        with self._lock:
            found = self.listed().get(name)
            if found is None:
                return None
            source, entry = found
            self._pace.begin()
            try:
                with self._store.scratch() as folder:
                    blob = self._download(
                        source, entry, Store(folder, trusted=True), lambda _: None
                    )
                    plain = folder / "document"
                    if entry.encoding:
                        _decompress(blob, plain, entry)
                        return plain.read_bytes()
                    return blob.read_bytes()
            except (StoreError, Interrupted):
                raise
            except ComposError as error:
                self._fail(source, error)
                return None

    # Layers that stay away

    def defers_image(self, name: str, digest: str, layers: Sequence[Descriptor]) -> bool:
        """As `Elsewhere.defers_image`: where the image's tree is listed, which has all that
        composing needs but contents."""
        with self._lock:
            tree = DerivedKind.TREE.stored_name(tree_key(digest))
            if not (self._store.root / tree).exists() and tree not in self.listed():
                return False
            for layer in layers:
                for file in layer_files(layer):
                    self._layers.setdefault(file, (name, layer))
            return not self._off

    def defers(self, name: str) -> bool:
        """As `Elsewhere.defers`."""
        return name in self._layers

    def find(self, piece: Slice) -> tuple[str, int]:
        """As `Finder.find`: in a partial file; else the layer is fetched now."""
        with self._lock:
            for name in self._partial_files(piece.source):
                place = self._parts(name).place(piece.offset, piece.size)
                if place is not None:
                    return name, place
            self._fetch(piece.source)
            return piece.source, piece.offset

    def _partial_files(self, source: str) -> Iterable[str]:
        """The partial files of `source`, as they are needed: those that are here come first."""
        self.listed()
        names = self._partial.get(source, [])
        here = [name for name in names if self._store.holds(((name, 0),))] if names else []
        yield from here
        for name in names:
            if name not in here:
                self._bring([name])
                if (self._store.root / name).exists():
                    yield name

    def _parts(self, name: str) -> PartialFile:
        if name not in self._read:
            found = PartialFile.read(self._store.root / name)
            self._read[name] = found or PartialFile((), (), ())
        return self._read[name]

    def _fetch(self, source: str) -> None:
        """Have the stored file `source`, a blob or a plain layer, whole. Raises `ComposError`."""
        found = self._layers.get(source)
        if found is None or (self._store.root / source).exists():
            return
        name, layer = found
        blob, _ = layer_files(layer)
        if not self._store.has(layer.digest, layer.size):
            self._bring([one for one in (blob,) if one in self.listed()])
            if not self._store.has(layer.digest, layer.size):
                self._fetch_layer(name, layer)
        if source != blob:
            plain_layer(self._store, layer, name)


def _kind_of(name: str) -> tuple[DerivedKind, str]:
    """The kind and the key of a derived result; kinds of one folder do for each other."""
    _, folder, key = name.split("/")
    return next(kind for kind in DerivedKind if kind.folder == folder), key


def _decompress(blob: Path, path: Path, entry: Entry) -> None:
    """Raises `CacheError` (`cache-malformed`) unless exactly the entry's length comes out."""
    decompressor = decompressors.zstd()
    written = 0
    try:
        with blob.open("rb") as stream, path.open("wb") as out:
            while not decompressor.eof:
                data = stream.read(_PIECE) if decompressor.needs_input else b""
                if not data and decompressor.needs_input:
                    break
                plain = decompressor.decompress(data, _PIECE)
                written += out.write(plain)
                if written > entry.length:
                    break
    except Damaged as error:
        raise _malformed(entry) from error
    if written != entry.length or not decompressor.eof:
        raise _malformed(entry)


def _malformed(entry: Entry) -> CacheError:
    return CacheError(
        "cache-malformed",
        "a result in the remote cache is not what its list says",
        place=entry.name,
        hint="Build without --cache-from, or fill the cache again.",
    )
