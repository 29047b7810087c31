"""Signing: images at their registry, and files beside them; attestations of both.

May touch: the network, through `registry`; the store; the files that are signed (reading). What is
written is what cosign writes: signatures and attestations that are tagged with the image's digest,
or sigstore bundles that refer to it; for files, bundles.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from compos.errors import OutputError
from compos.image.digest import Digest
from compos.image.json_document import canonical_json
from compos.image.model import (
    MANIFEST_TYPES,
    REFERENCE_TYPE,
    Descriptor,
    ImageIndex,
    parse_document,
)
from compos.image.reference import Reference
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.trust.attachments import ATTESTATION, DSSE, push_beside, push_bundle, push_signature
from compos.trust.bundle import envelope_bundle, message_bundle
from compos.trust.dsse import SIGN, Statement, Subject, envelope_of
from compos.trust.keys import SigningKey

__all__ = [
    "Repository",
    "attest_file",
    "attest_image",
    "bundle_path",
    "opened",
    "sign_file",
    "sign_image",
]

SUFFIX = ".sigstore.json"


class Repository(NamedTuple):
    """A registry, and the store that manifests pass on their way."""

    registry: Registry
    store: Store

    def root(self, reference: Reference) -> Descriptor:
        """What the registry has under a name. Raises `ImageError`, `NetworkError`."""
        descriptor, data = self.registry.manifest(reference)
        self.store.put(data, descriptor.media_type)
        return descriptor

    def images(self, root: Descriptor) -> list[Descriptor]:
        """The manifests of images that an index lists."""
        _, document = parse_document(self.store.read(root.digest), media_type=root.media_type)
        listed = document.manifests if isinstance(document, ImageIndex) else ()
        return [
            one
            for one in listed
            if one.media_type in MANIFEST_TYPES and REFERENCE_TYPE not in one.annotations
        ]


def sign_image(
    repository: Repository,
    reference: Reference,
    key: SigningKey,
    *,
    bundle: bool = False,
    recursive: bool = False,
) -> tuple[Digest, bool]:
    """Sign what the registry has as `reference`, by tag or, with `bundle`, as a sigstore bundle
    that refers to it; with `recursive` also each image that its index lists. Returns the digest,
    and whether there was anything to do. Raises `ImageError`, `NetworkError`."""
    root = repository.root(reference)
    new = False
    for one in (root, *(repository.images(root) if recursive else ())):
        if bundle:
            subject = Subject(f"{reference.domain}/{reference.path}", _hexadecimal(one.digest))
            statement = Statement((subject,), SIGN, {})
            made = envelope_bundle(envelope_of(statement.to_json(), key.sign), key.public)
            new |= push_bundle(*repository, reference, one.digest, made, SIGN)
        else:
            new |= push_signature(*repository, reference, one.digest, key)
    return root.digest, new


def attest_image(
    repository: Repository,
    reference: Reference,
    key: SigningKey,
    predicate_type: str,
    predicate: Any,
    *,
    bundle: bool = False,
) -> Digest:
    """Attest that `predicate` holds for what the registry has as `reference`. Returns its digest.
    Raises as `sign_image` does."""
    root = repository.root(reference)
    subject = Subject(f"{reference.domain}/{reference.path}", _hexadecimal(root.digest))
    statement = Statement((subject,), predicate_type, predicate)
    envelope = envelope_of(statement.to_json(), key.sign)
    if bundle:
        made = envelope_bundle(envelope, key.public)
        push_bundle(*repository, reference, root.digest, made, predicate_type)
        return root.digest
    blob = repository.store.put(canonical_json(envelope), DSSE)
    annotations = {"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type}
    layer = Descriptor(DSSE, blob.digest, blob.size, annotations)
    push_beside(*repository, reference, root.digest, ATTESTATION, layer)
    return root.digest


def sign_file(path: Path, key: SigningKey) -> bytes:
    """The bundle of a signature of a file's bytes. Raises `OutputError` (`file-read`),
    `ImageError`."""
    with opened(path) as content:
        digest = hashlib.sha256(content).digest()
        return message_bundle(digest, key.sign(content), key.public)


def attest_file(path: Path, key: SigningKey, predicate_type: str, predicate: Any) -> bytes:
    """The bundle that attests that `predicate` holds for a file. Raises as `sign_file` does."""
    with opened(path) as content:
        subject = Subject(path.name, hashlib.sha256(content).hexdigest())
    statement = Statement((subject,), predicate_type, predicate)
    return envelope_bundle(envelope_of(statement.to_json(), key.sign), key.public)


@contextmanager
def opened(path: Path) -> Iterator[bytes]:
    """The bytes of a file, which are mapped: an output may have gigabytes. Raises `OutputError`
    (`file-read`)."""
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                yield b""
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield cast("bytes", content)
    except (OSError, ValueError) as error:
        raise OutputError(
            "file-read",
            f"the file cannot be read: {getattr(error, 'strerror', None) or error}",
            place=str(path),
            hint="Name a file, or an image at a registry.",
        ) from error


def bundle_path(path: Path, kind: str = "") -> Path:
    """Where the bundle of a file is: of a signature, or of an attestation of a `kind`."""
    return path.with_name(f"{path.name}{f'.{kind}' if kind else ''}{SUFFIX}")


def _hexadecimal(digest: Digest) -> str:
    return digest.removeprefix("sha256:")
