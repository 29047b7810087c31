"""The content store: an OCI image layout on disk, with names, and results derived from its blobs.

May touch: files under its root. The layout is that of the OCI image specification ("Image Layout")
and of LinuxKit's cache, so either tool can read the other's:

    oci-layout, index.json, .lock, blobs/sha256/HEX     as specified
    ingest/         what is being written
    damaged/        blobs that were found not to match their digest
    derived/        results of expensive steps, by the digests that went in (`derived_kinds`)
    seals           which files are whole
    .use            locked by whoever uses derived results
    locks/          locked by whoever makes one image
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from compos.errors import ImageError, ImageNotFound, NotStored, StoreDamaged, StoreError
from compos.image.blobs import BlobReader, BlobWriter
from compos.image.derived import DerivedResults
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import EMPTY, Digest
from compos.image.json_document import parse_json
from compos.image.locks import exclusive, lock_records
from compos.image.model import (
    INDEX,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Manifest,
    parse_document,
)
from compos.image.staging import disk_errors, make_private, staging, sweep, write_atomically

__all__ = ["REF_NAME", "Store", "default_root", "name_of"]

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation under which an index entry carries its name."""

_BUFFER = 1 << 20

# Record locks belong to the process, so threads need one of their own.
_THREADS = threading.Lock()


def default_root() -> Path:
    """Where the store lies: `COMPOS_CACHE`, `LINUXKIT_CACHE`, `$XDG_CACHE_HOME/compos`, else
    `~/.cache/compos`."""
    for name in ("COMPOS_CACHE", "LINUXKIT_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name])
    caches = os.environ.get("XDG_CACHE_HOME")
    # The XDG Base Directory specification has relative paths ignored.
    return (
        Path(caches) if caches and Path(caches).is_absolute() else Path.home() / ".cache"
    ) / "compos"


class Store(DerivedResults):
    """An image layout at `root`, made on the first write; one that can only be read serves for
    reading.

    Raises as `DerivedResults`.
    """

    def __init__(self, root: Path, *, trusted: bool = False) -> None:
        super().__init__(root, trusted=trusted)
        self._prepared = False
        self._index: tuple[tuple[int, ...], list[Any]] | None = None
        self._entries: tuple[list[Any], list[Descriptor]] | None = None

    # Blobs

    def path(self, digest: str) -> Path:
        """Where the blob lies, whether or not it is there.

        Raises `ImageError` for what is not a digest, and `store-missing` for one of an algorithm
        that no blob here has.
        """
        name = digest if isinstance(digest, Digest) else Digest.parse(digest)
        if not name.is_verifiable:
            raise self._missing(digest)
        return self.root / name.path

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is there, with `size` bytes if given, and unharmed."""
        try:
            self.require(digest, size)
        except ImageError:
            return False
        return True

    def require(self, digest: str, size: int | None = None) -> None:
        """Raise `ImageError` unless `has`: `store-missing`, or `store-corrupt` for a damaged blob,
        which is moved aside.

        A blob that was written to since it was stored, or stored by another tool, is hashed.
        """
        path = self.path(digest)
        try:
            status = os.lstat(path)
        except OSError as error:
            raise self._missing(digest) from error
        if not stat.S_ISREG(status.st_mode) or (size is not None and status.st_size != size):
            raise self._missing(digest)
        if not status.st_size and digest != EMPTY:
            raise self._missing(digest)
        name = Digest(digest).path
        if not self.seals.holds(name, status) or not self._is_ours(status):
            self._verify(digest, name, status)

    def _verify(self, digest: str, name: str, status: os.stat_result) -> None:
        """Hash a blob; one that somebody else could still write to becomes a copy of ours."""
        with disk_errors(self.root), ExitStack() as stack:
            stream = stack.enter_context(self.open(Descriptor("", Digest(digest), status.st_size)))
            if self._is_ours(status) or not os.access(self._ingest, os.W_OK):
                while stream.read(_BUFFER):
                    pass
                self.seals.seal(
                    name, status, 0, derived=False, synced=self.seals.was_sealed(name, status)
                )
                return
            copy = stack.enter_context(self.writer())
            while piece := stream.read(_BUFFER):
                copy.write(piece)
            copy.commit("", digest)

    def read(self, digest: str) -> bytes:
        """A whole small blob, verified; raises `ImageError` (`store-missing`, `store-corrupt`)."""
        try:
            size = self.path(digest).stat().st_size
        except OSError as error:
            raise self._missing(digest) from error
        with self.open(Descriptor("", Digest(digest), size)) as stream:
            return stream.read()

    def open(self, descriptor: Descriptor) -> BufferedReader:
        """A stream over a blob that verifies it on the way.

        Raises `ImageError`: `store-missing` here, `store-corrupt` here (size) or in place of the
        last bytes (digest).
        """
        digest = descriptor.digest
        try:
            reader = BlobReader(
                self.path(digest), descriptor, lambda why: self._corrupt(digest, why)
            )
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        return BufferedReader(reader, _BUFFER)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the store's disk, removed at the end: what is large does not belong
        into /tmp."""
        self._prepare()
        with ExitStack() as stack:
            with disk_errors(self.root):
                folder = stack.enter_context(staging(self._ingest))
            yield folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """For a block that writes into `scratch` among other things: a full disk is an `ImageError`
        (`store-full`)."""
        with disk_errors(self.root, only_full=True):
            yield

    @contextmanager
    def writer(self) -> Iterator[BlobWriter]:
        """Write one blob: `with store.writer() as blob: blob.write(data);
        blob.commit(media_type)`."""
        self._prepare()
        with ExitStack() as stack:
            with disk_errors(self.root):
                staged = stack.enter_context(staging(self._ingest)) / "blob"
                # No buffer: pieces are large, and a full disk shows at the write that meets it.
                stream = stack.enter_context(staged.open("xb", buffering=0))
            yield BlobWriter(stream, staged, root=self.root, keep=self._keep_blob)

    def _has_blob(self, name: str) -> bool:
        return self.has(name.removeprefix("blobs/").replace("/", ":", 1))

    def _keep_blob(self, staged: Path, digest: str) -> None:
        self._keep(staged, Digest(digest).path, 0, derived=False)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store `data` as a blob and describe it."""
        with self.writer() as blob:
            blob.write(data)
            return blob.commit(media_type)

    # Names

    def resolve(self, name: str) -> Descriptor | None:
        """What `name` (a canonical reference) stands for; manifests are preferred to indexes, as
        LinuxKit does."""
        found = [entry for entry in self._sorted() if entry.annotations.get(REF_NAME) == name]
        images = [entry for entry in found if entry.media_type not in INDEX_TYPES]
        return next(iter(images or found), None)

    def named(self, name: str) -> Descriptor:
        """As `resolve`, for an image that must be there; raises `ImageError`
        (`image-not-found`)."""
        found = self.resolve(name)
        if found is None:
            raise ImageNotFound(
                "image-not-found",
                "the store has no image with this name",
                place=name,
                hint="List the exact names with `compos cache ls`.",
            )
        return found

    def tag(
        self, name: str, descriptor: Descriptor, *, annotations: Mapping[str, str] | None = None
    ) -> None:
        """Let `name` stand for `descriptor`, in place of what it stood for."""
        merged = {**descriptor.annotations, **(annotations or {}), REF_NAME: name}
        entry = Descriptor(
            descriptor.media_type, descriptor.digest, descriptor.size, merged, descriptor.platform
        )
        with self.changed() as entries:
            entries[:] = [*(other for other in entries if name_of(other) != name), entry.to_json()]

    def untag(self, name: str, *, only: Descriptor | None = None) -> bool:
        """Forget `name`, keep the blobs; says whether it was known. With `only`, it is forgotten
        unless it stands for something else by now."""
        if self.resolve(name) is None:
            return False
        with self.changed() as entries:
            entries[:] = [
                entry
                for entry in entries
                if name_of(entry) != name or (only and Descriptor.from_json(entry) != only)
            ]
        return True

    def remember(self, kind: DerivedKind, key: str, name: str, root: Descriptor) -> None:
        """Keep what was found to be the image `name`, as the derived result `key`."""
        with self.derive(kind, key) as path:
            path.write_text(json.dumps([name, root.media_type, root.digest, root.size]))

    def recall(self, kind: DerivedKind, key: str) -> tuple[str, Descriptor] | None:
        """What `remember` kept, if the store still has it; None for whatever else lies there."""
        path = self.derived(kind, key)
        if path is None:
            return None
        try:
            name, media_type, digest, size = json.loads(path.read_bytes())
            found = Descriptor(media_type, Digest.parse(digest), size)
        except (OSError, ValueError, TypeError, RecursionError, ImageError):
            return None
        right = isinstance(name, str) and isinstance(media_type, str) and type(size) is int
        return (name, found) if right and self.has(digest, size) else None

    def entries(self) -> list[Descriptor]:
        """All named images and indexes, sorted by name."""
        return list(self._sorted())

    def _sorted(self) -> list[Descriptor]:
        loaded = self._load()
        if self._entries is None or self._entries[0] != loaded:
            made = [Descriptor.from_json(entry) for entry in loaded]
            self._entries = (
                loaded,
                sorted(made, key=lambda entry: (entry.annotations.get(REF_NAME, ""), entry.digest)),
            )
        return self._entries[1]

    def reachable(self, entries: Iterable[dict[str, Any]]) -> set[str]:
        """Digests of all blobs that `entries` lead to; children that are not there lead nowhere."""
        found: set[str] = set()
        waiting = [Descriptor.from_json(entry) for entry in entries]
        while waiting:
            blob = waiting.pop()
            if blob.digest in found:
                continue
            found.add(blob.digest)
            if blob.media_type in (*INDEX_TYPES, *MANIFEST_TYPES):
                # Not verified: this also finds the images of a damaged blob, which must not end in
                # another one.
                with suppress(OSError, ImageError):
                    _, document = parse_document(
                        self.path(blob.digest).read_bytes(), media_type=blob.media_type
                    )
                    waiting.extend(
                        document.blobs if isinstance(document, Manifest) else document.manifests
                    )
        return found

    # The folder itself

    def _prepare(self) -> None:
        if self._prepared:
            return
        with disk_errors(self.root):
            self._make_root()
            for folder in ("blobs", "blobs/sha256", "derived"):
                (self.root / folder).mkdir(mode=0o755, exist_ok=True)
            sweep(self._ingest)
            if not (self.root / "oci-layout").exists():
                write_atomically(
                    self.root / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}\n', self._ingest
                )
            if not (self.root / "index.json").exists():
                with self.changed():
                    pass
        self._prepared = True

    def forget(self) -> None:
        """All is gone: folders have to be made again."""
        self._prepared = False

    def _make_root(self) -> None:
        make_private(self.root)
        # Somebody else may have made it just now.
        self._check_owner()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other threads and processes (LinuxKit's too) from changing the names."""
        self._make_root()
        with _THREADS, (self.root / ".lock").open("a") as handle:
            lock_records(handle.fileno())
            yield

    @contextmanager
    def exclusive(self, key: str, pause: Callable[[], None]) -> Iterator[None]:
        """Keep other threads and processes out of a block that makes what `key` stands for;
        `pause` as in `locks.exclusive`."""
        self._prepare()
        name = hashlib.sha256(key.encode()).hexdigest()
        with ExitStack() as stack:
            with disk_errors(self.root):
                (self.root / "locks").mkdir(mode=0o700, exist_ok=True)
                stack.enter_context(exclusive(self.root / "locks" / name, pause))
            yield

    @contextmanager
    def changed(self) -> Iterator[list[dict[str, Any]]]:
        """The entries of `index.json`, to be changed in place and written back; unknown keys
        survive."""
        with disk_errors(self.root), self.lock():
            entries = self._load()
            before = json.dumps(entries)
            yield entries
            if json.dumps(entries) == before and (self.root / "index.json").exists():
                return
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
            text = json.dumps(index, indent=3, ensure_ascii=False) + "\n"
            write_atomically(self.root / "index.json", text.encode(), self._ingest)

    def _load(self) -> list[dict[str, Any]]:
        path = self.root / "index.json"
        try:
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._index is None or self._index[0] != state:
                found = [
                    entry
                    for entry in parse_json(path.read_bytes())["manifests"] or ()
                    if isinstance(entry, dict)
                ]
                # What another tool wrote is refused here, once, and not wherever it is read.
                for entry in found:
                    Descriptor.from_json(entry)
                self._index = state, found
            entries = self._index[1]
        except FileNotFoundError:
            return []
        except PermissionError as error:
            raise StoreError(
                "store-denied",
                "the image store cannot be read",
                place=str(path),
                hint="Make it yours with chown, or set COMPOS_CACHE to another folder.",
            ) from error
        except (OSError, ValueError, KeyError, TypeError, ImageError) as error:
            raise StoreDamaged(
                "store-corrupt",
                "the image store's index cannot be read",
                place=str(path),
                hint="Reset the store with `compos cache clean`.",
            ) from error
        return list(entries)

    # Errors

    def _missing(self, digest: str) -> NotStored:
        return NotStored(
            "store-missing",
            "a blob is missing from the image store",
            place=self._place(digest),
            hint="Fetch it again with --pull.",
        )

    def _corrupt(self, digest: str, why: str) -> ImageError:
        """The error for a damaged blob, which is moved aside so that the next pull fetches it
        again."""
        place = self._place(digest)
        with suppress(OSError):
            damaged = self.root / "damaged" / digest.replace(":", "-")
            damaged.parent.mkdir(exist_ok=True)
            self.path(digest).replace(damaged)
        return StoreDamaged(
            "store-corrupt",
            f"a blob in the image store is damaged: {why}",
            place=place,
            hint="Run the command again to fetch the blob again, or remove the image with `compos "
            "cache rm NAME`.",
        )

    def _place(self, digest: str) -> str:
        """The blob, with the images that need it."""
        with suppress(ImageError):
            names = sorted(
                name_of(entry) for entry in self._load() if digest in self.reachable([entry])
            )
            return f"{', '.join(filter(None, names))}: {digest}" if any(names) else digest
        return digest


def name_of(entry: Mapping[str, Any]) -> str:
    """The name of an index entry, or nothing."""
    annotations = entry.get("annotations")
    return str(annotations.get(REF_NAME, "")) if isinstance(annotations, dict) else ""
