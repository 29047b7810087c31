"""A lock's parts in a team's own registry: one OCI artifact whose layers are the lock, the blobs of
its images and its Debian packages. Every part is found by its digest.

May touch: the network, through the registry's client, and the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from compos.errors import ImageError, ImageNotFound, PackageError, WrongContent
from compos.image.attestation import attestation_blobs
from compos.image.digest import Digest
from compos.image.json_document import canonical_json
from compos.image.model import (
    EMPTY,
    MANIFEST,
    REFERENCE_DIGEST,
    TITLE,
    Descriptor,
    Manifest,
    parse_document,
)
from compos.image.reference import Reference, is_local
from compos.image.store import Store
from compos.package.lock.model import Lock, Locked

if TYPE_CHECKING:
    from compos.image.registries.registry import Registry
    from compos.package.debian.archive import Advance
    from compos.package.debian.package import Package

__all__ = ["LockMirror", "repository_of", "tag_of"]

ARTIFACT = "application/vnd.compos.lock.v1+json"
DEBIAN_PACKAGE = "application/vnd.debian.binary-package"
"""Registered with IANA for .deb files."""

SIGNATURES = "application/vnd.compos.signatures.v1+json"
SIGNED = "org.compos.signed"
"""The annotation of signatures: the digest of the image's root that they are kept under."""

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest that registries take at least."""


def repository_of(text: str) -> str:
    """A repository as the user wrote it, `HOST[:PORT]/PATH`. Raises `ImageError`
    (`image-reference`)."""
    reference = Reference.parse(text)
    if reference.tag or reference.digest:
        raise ImageError(
            "image-reference",
            "the mirror of a lock is a repository, without a tag or digest",
            place=text,
            hint="Write it as HOST[:PORT]/PATH.",
        )
    return str(reference)


def tag_of(text: str) -> str:
    """The tag of the artifact of a lock with this text."""
    return f"lock-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class LockMirror:
    """The parts of locks in one repository; `registry` makes the client when it is needed. With
    the `tag` of a lock, images come with the signatures that were checked when it was pushed."""

    def __init__(
        self, repository: str, registry: Callable[[], Registry], store: Store, tag: str = ""
    ) -> None:
        self._tag = tag
        self.repository = repository
        self._reference = Reference.parse(repository)
        self._registry = registry
        self._store = store

    @property
    def host(self) -> str:
        """The registry's host."""
        return self._reference.origin[0]

    def bring(self, package: Package, path: Path, advance: Advance) -> None:
        """As `debian.archive.Bring`. Raises `ComposError`."""
        digest = Digest(f"sha256:{package.sha256}")
        with path.open("wb") as stream:
            sink = _Hashed(stream)
            blob = Descriptor(DEBIAN_PACKAGE, digest, package.size)
            self._registry().receive(self._reference, blob, sink, advance)
            if sink.digest != digest:
                raise WrongContent(
                    "digest-mismatch",
                    f"the registry sent {sink.digest} instead of {digest}",
                    place=self.repository,
                    hint="Push the lock's parts again with `compos lock --mirror-to`.",
                )

    def fetch_published(self, root: Descriptor, digests: Iterable[Digest]) -> None:
        """Have the store hold an image's `root`, and its manifests `digests` with all that they
        need. Raises `ImageError`, `NetworkError`."""
        for blob in _documents(root, set(digests), self._document):
            self.fetch(blob)
        if (signatures := self._signatures.get(root.digest)) is not None:
            from compos.trust.kept import keep_document

            keep_document(self._store, root.digest, self._document(signatures))

    @cached_property
    def _signatures(self) -> dict[str, Descriptor]:
        """The layers of the lock's artifact that are signatures, by what they sign."""
        if not self._tag:
            return {}
        try:
            _, data = self._registry().manifest(self._reference._replace(tag=self._tag))
        except ImageNotFound:
            # Another lock's parts were pushed; they may be these, too.
            return {}
        _, document = parse_document(data, media_type=MANIFEST)
        layers = document.layers if isinstance(document, Manifest) else ()
        return {one.annotations[SIGNED]: one for one in layers if SIGNED in one.annotations}

    def fetch_built(self, manifests: Iterable[Descriptor]) -> None:
        """Have the store hold `manifests` with all that they need. Raises likewise."""
        for manifest in manifests:
            for blob in _documents(manifest, {manifest.digest}, self._document):
                self.fetch(blob)

    def _document(self, blob: Descriptor) -> bytes:
        if blob.size > MAX_MANIFEST:
            raise ImageError("registry-error", f"the manifest is larger than {MAX_MANIFEST} bytes")
        self.fetch(blob)
        return self._store.read(blob.digest)

    def fetch(self, blob: Descriptor) -> None:
        """Have the store hold `blob`. Raises `ImageError`, `NetworkError`."""
        if not self._store.has(blob.digest, blob.size):
            self._registry().download(self._reference, blob, self._store)

    def push(self, lock: Lock, text: str, files: Iterable[tuple[Package, Path]]) -> str:
        """Push `lock`, whose text is `text`, with its images and YAML, which the store has, and
        its packages' `files`; what the registry has is not sent again. Gives the artifact's name.
        Raises `ImageError`, `NetworkError`."""
        from compos.image.registries.push import push_root
        from compos.trust.kept import kept_document

        store = self._store
        lock_blob = store.put(text.encode(), ARTIFACT)
        layers = {lock_blob.digest: lock_blob._replace(annotations={TITLE: "lock.json"})}
        for name, locked in lock.images.items():
            for blob in () if is_local(name) else _parts(store, locked):
                layers.setdefault(blob.digest, blob.plain)
            if self._tag and locked.published:
                signed = locked.published.root.digest
                if (signatures := kept_document(store, signed)) is not None:
                    blob = store.put(signatures, SIGNATURES)
                    layers.setdefault(blob.digest, blob._replace(annotations={SIGNED: signed}))
        for url, blob in lock.sources.items():
            title = url.rpartition("/")[2]
            layers.setdefault(blob.digest, blob._replace(annotations={TITLE: title}))
        for package, path in files:
            blob = _stored(store, path, Digest(f"sha256:{package.sha256}"))
            name = package.filename.rpartition("/")[2]
            layers.setdefault(blob.digest, blob._replace(annotations={TITLE: name}))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARTIFACT,
            "config": store.put(b"{}", EMPTY).to_json(),
            "layers": [blob.to_json() for blob in layers.values()],
        }
        data = canonical_json(manifest)
        if len(data) > MAX_MANIFEST:
            raise PackageError(
                "lock-size",
                f"the lock has {len(layers)} parts, more than a registry's manifest can list",
                place=self.repository,
                hint="Split the system's YAML, and lock its parts.",
            )
        target = f"{self.repository}:{tag_of(text)}"
        push_root(store, store.put(data, MANIFEST), registry=self._registry(), target=target)
        return target


class _Hashed:
    """A file under construction, and its digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def write(self, data: bytes, /) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)


def _documents(
    root: Descriptor, wanted: set[Digest], document: Callable[[Descriptor], bytes]
) -> Iterator[Descriptor]:
    """`root`, what leads from it to the manifests `wanted` and what is attested of them, and all
    that these name; `document` reads a manifest."""
    data = document(root)
    yield root
    _, found = parse_document(data, media_type=root.media_type)
    if isinstance(found, Manifest):
        yield from found.blobs
        return
    for child in found.manifests:
        about = child.annotations.get(REFERENCE_DIGEST)
        if child.digest in wanted:
            yield from _documents(child, wanted, document)
        elif about in wanted:
            data = document(child)
            yield child
            yield from attestation_blobs(data, str(child.digest))


def _parts(store: Store, locked: Locked) -> Iterator[Descriptor]:
    """The blobs of an image that are in the store."""

    def document(blob: Descriptor) -> bytes:
        return store.read(blob.digest)

    if locked.published:
        wanted = set(locked.published.manifests.values())
        yield from _documents(locked.published.root, wanted, document)
        return
    for image in locked.built.values():
        for manifest in (image.manifest, *image.attestations):
            yield from _documents(manifest, {manifest.digest}, document)


def _stored(store: Store, path: Path, digest: Digest) -> Descriptor:
    """The file at `path` as a blob."""
    size = path.stat().st_size
    if store.has(digest, size):
        return Descriptor(DEBIAN_PACKAGE, digest, size)
    with store.writer() as blob, path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            blob.write(piece)
        return blob.commit(DEBIAN_PACKAGE, digest, size)
