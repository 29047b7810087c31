"""Images of this machine as a source of images: `oci:FOLDER[:TAG]`, `oci-archive:FILE[:TAG]`,
`docker-archive:FILE[:NAME]`.

May touch: these files (reading), the store, which gets verified copies. Sources: the OCI image
specification ("Image Layout"); Docker's "Image specification v1.2". The network is never asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path

from compos.errors import ImageError
from compos.image.archives.archive import Archive, identity, opened
from compos.image.archives.archive_blobs import copy_blobs, full_name
from compos.image.archives.docker_archive import import_docker
from compos.image.archives.layout_index import entries_of, name_of_entry, select_root
from compos.image.derived_kinds import DerivedKind
from compos.image.model import Descriptor
from compos.image.names import ARCHIVE, Origin
from compos.image.offer import CarriedDocuments, Offer, Wanted
from compos.image.platform import Platform
from compos.image.store import Store
from compos.progress import task

__all__ = ["LocalImages", "carried", "local_path"]

MAX_BESIDE = 256
"""Manifests of a layout among which signatures are looked for."""


class LocalImages:
    """The images in folders and files of this machine.

    Their names in outputs are those annotated in the layout or archive, else the file's, with the
    digest: they do not depend on where the file lies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """The image that the path means, and what is behind it."""
        if len(wanted.platforms) > 1:
            raise ImageError(
                "image-platform",
                "a local image can be a volume for only one platform",
                place=wanted.text,
                hint="Choose one platform, or push the image to a registry.",
            )
        text, platform = wanted.text, wanted.platform
        scheme = text.partition(":")[0]
        path, selector = local_path(text)
        # A folder is asked for what it holds now; an archive is read again when it has changed.
        key = _key(text, path, platform)
        with ExitStack() as stack:
            form = _Saved if scheme == "docker-archive" else _Layout
            carrier = form(self._store, wanted, path, selector, stack)
            known = self._store.recall(DerivedKind.LOCAL, key) if key is not None else None
            if known is None:
                try:
                    known = carrier.find()
                except ImageError as error:
                    here = error.place and error.place != str(path)
                    error.place = f"{text}: {error.place}" if here else text
                    raise
                # What was written to, or replaced, while it was read is read again.
                if key is not None and key == _key(text, path, platform):
                    self._store.remember(DerivedKind.LOCAL, key, *known)
            title, root = known
            yield Offer(
                text,
                root,
                Origin(ARCHIVE, path.name),
                carrier,
                title=title or f"{scheme}:{path.name}",
                beside=carrier.beside,
            )


def carried(
    store: Store, name: str, path: Path, platform: Platform, selector: str, stack: ExitStack
) -> Offer:
    """The image `selector` (empty: the only one) of the layout or archive at `path`, offered as
    `name`; what is read stays open until `stack` is closed. It is not named in the store, and
    nothing of the archive is remembered. Raises `ImageError`."""
    wanted = Wanted(name, (platform,))
    archive = stack.enter_context(opened(path))
    form = _Layout if archive.has("index.json") else _Saved
    carrier = form(store, wanted, path, selector, stack)
    return Offer(name, carrier.find()[1], carrier=carrier)


class _Opened:
    """The image `selector` of the archive at `path`, which is opened when it is first read, and
    closed with `stack`."""

    def __init__(
        self, store: Store, wanted: Wanted, path: Path, selector: str, stack: ExitStack
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._path = path
        self._selector = selector
        self._stack = stack

    def beside(self) -> Iterator[Descriptor]:
        """The manifests of the archive; some may be signatures of others."""
        yield from ()

    @cached_property
    def _archive(self) -> Archive:
        self._stack.enter_context(task(f"read {self._wanted.text}"))
        return self._stack.enter_context(opened(self._path))


class _Layout(_Opened):
    """An OCI layout: blobs by their digests."""

    def find(self) -> tuple[str, Descriptor]:
        """The image's name ("" when it has none), and its manifest or index. Raises
        `ImageError`."""
        entries = entries_of(self._archive)
        documents = CarriedDocuments(self._store, self)
        root = select_root(entries, self._selector, self._wanted.platform, documents)
        return full_name(name_of_entry(root)), root.plain

    def beside(self) -> Iterator[Descriptor]:
        yield from entries_of(self._archive).images()[:MAX_BESIDE]

    def document(self, blob: Descriptor) -> bytes:
        return self._archive.document(blob.digest.path)

    def fetch(self, blobs: Sequence[Descriptor]) -> None:
        copy_blobs(self._store, self._archive, blobs)


class _Saved(_Opened):
    """What `docker save` writes: no blobs by their digests, but what becomes some, all at once."""

    def find(self) -> tuple[str, Descriptor]:
        """The image's name ("" when it has none), and its manifest. Raises `ImageError`."""
        return import_docker(self._store, self._archive, self._wanted.platform, self._selector)

    def document(self, blob: Descriptor) -> bytes:
        self.find()
        return self._store.read(blob.digest)

    def fetch(self, blobs: Sequence[Descriptor]) -> None:
        self.find()


def _key(text: str, path: Path, platform: Platform) -> str | None:
    """What an archive is remembered under, until its file changes."""
    with suppress(OSError):
        if path.is_file():
            marks = (DerivedKind.LOCAL.version, text, str(platform), identity(path))
            return hashlib.sha256(repr(marks).encode("utf-8", "surrogateescape")).hexdigest()
    return None


def local_path(text: str) -> tuple[Path, str]:
    """The path in the name of an image of this machine, and the tag, name or digest behind it."""
    rest = text.partition(":")[2]
    before, at, digest = rest.partition("@sha256:")
    if at:
        return Path(before), f"sha256:{digest}"
    path = Path(rest)
    start = rest.find(":")
    while start != -1 and not path.exists():
        if Path(rest[:start]).exists():
            return Path(rest[:start]), rest[start + 1 :]
        start = rest.find(":", start + 1)
    return path, ""
