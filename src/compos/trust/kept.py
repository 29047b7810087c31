"""Signatures that the store keeps beside the images that they are of, which can then be judged
without their registry. They are judged whenever they are used: what is kept may come from anybody.

May touch: the store.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from compos.image.derived_kinds import DerivedKind
from compos.image.digest import Digest
from compos.image.json_document import canonical_json, parse_json
from compos.image.store import Store
from compos.trust.attachments import Attached

__all__ = ["keep", "keep_document", "kept", "kept_document"]

MAX_KEPT = 4 << 20
"""Bytes of an image's signatures that the store keeps."""


def kept(store: Store, digest: Digest) -> Iterator[Attached]:
    """The signatures of an image, by the digest of its root; nothing of what is no such file."""
    path = store.derived(DerivedKind.SIGNATURES, _key(digest))
    if path is None:
        return
    try:
        for kind, data, annotations in parse_json(path.read_bytes(), limit=2 * MAX_KEPT):
            texts = {str(key): str(value) for key, value in annotations.items()}
            yield Attached(str(kind), base64.b64decode(data), texts)
    except (OSError, ValueError, TypeError, AttributeError):
        return


def keep(store: Store, digest: Digest, attached: Iterable[Attached]) -> None:
    """Have the store keep these signatures of an image in place of those that it has, unless they
    are too many."""
    found = [*attached]
    if sum(len(one.data) for one in found) > MAX_KEPT:
        return
    document = [
        (one.media_type, base64.b64encode(one.data).decode(), dict(one.annotations))
        for one in found
    ]
    with store.derive(DerivedKind.SIGNATURES, _key(digest)) as path:
        path.write_bytes(canonical_json(document))


def kept_document(store: Store, digest: Digest) -> bytes | None:
    """What the store keeps of an image, as a file that `keep_document` takes on another machine."""
    path = store.derived(DerivedKind.SIGNATURES, _key(digest))
    return None if path is None else path.read_bytes()


def keep_document(store: Store, digest: Digest, data: bytes) -> None:
    """Have the store keep signatures of an image, unless it has some."""
    if len(data) <= 2 * MAX_KEPT and store.derived(DerivedKind.SIGNATURES, _key(digest)) is None:
        with store.derive(DerivedKind.SIGNATURES, _key(digest)) as path:
            path.write_bytes(data)


def _key(digest: Digest) -> str:
    return digest.replace(":", "-")
