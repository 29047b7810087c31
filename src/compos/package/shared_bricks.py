"""Bricks in a remote cache: those that one machine has built, another need not.

May touch: the store, and the cache through what it is given. What is shared of a brick are its
documents (manifest, config, what is attested of it), in one JSON document; its layers are shared
like results, and fetched when they are read. It is found by its name, architecture and the key of
its recipe, as the store does (`recipe_key`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from compos.errors import ImageError
from compos.image.attestation import attestation_blobs
from compos.image.digest import Digest
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import MANIFEST, Descriptor, Image
from compos.image.names import BUILT_FROM, CHOICE, LEFT_OUT, RECIPE
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.assemble import tag_image
from compos.package.recipe_key import recipe_key
from compos.progress import notice

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["SharedBricks", "brick_document", "brick_name"]

NOTES = (LEFT_OUT, CHOICE, BUILT_FROM)
"""Annotations of an image that was built here, besides its recipe's key."""

MAX_DOCUMENT = 256 << 20
"""Bytes of a brick's documents: that of its SBOM is the largest."""


def brick_name(name: str, architecture: str, key: str) -> str:
    """What a brick's documents are called in a cache."""
    return f"brick/{hashlib.sha256(canonical_json([name, architecture, key])).hexdigest()}"


def brick_document(store: Store, image: Image, platform: Platform) -> tuple[str, bytes] | None:
    """The documents of a brick that was built here, and what they are called; None for any other
    image."""
    entry = store.resolve(image.name)
    key = entry.annotations.get(f"{RECIPE}.{platform.architecture}") if entry else None
    if entry is None or not key or not image.attestations:
        return None
    digests = [image.digest, image.config_digest]
    for attestation in image.attestations:
        blobs = attestation_blobs(store.read(attestation.digest), image.name)
        digests += (attestation.digest, *(blob.digest for blob in blobs))
    size = store.path(image.digest).stat().st_size
    manifest = Descriptor(MANIFEST, Digest(image.digest), size, platform=platform)
    document = {
        "manifest": manifest.to_json(),
        "attestations": [one.to_json() for one in image.attestations],
        "notes": {
            note: entry.annotations.get(f"{note}.{platform.architecture}", "") for note in NOTES
        },
        "blobs": [base64.b64encode(store.read(digest)).decode() for digest in digests],
    }
    return brick_name(image.name, platform.architecture, key), canonical_json(document)


class SharedBricks:
    """The bricks in a cache; `document` returns what that has under a name."""

    def __init__(self, store: Store, document: Callable[[str], bytes | None]) -> None:
        self._store = store
        self._document = document

    def restore(self, recipe: Recipe, platform: Platform, name: str) -> bool:
        """Name the image of `recipe` in the store, if the cache has it; its layers may come later.
        Returns whether it had."""
        architecture = platform.architecture
        key = recipe_key(recipe, architecture)
        data = self._document(brick_name(name, architecture, key))
        return data is not None and self._keep(name, architecture, key, data)

    def _keep(self, name: str, architecture: str, key: str, data: bytes) -> bool:
        """Name the brick in the store, of which `data` has the documents."""
        try:
            document = parse_json(data, limit=MAX_DOCUMENT)
            manifest = Descriptor.from_json(document["manifest"])
            attestations = [Descriptor.from_json(one) for one in document["attestations"]]
            notes = {note: document["notes"][note] for note in NOTES}
            blobs = [base64.b64decode(blob, validate=True) for blob in document["blobs"]]
            if not all(isinstance(text, str) for text in notes.values()):
                raise TypeError
        except (ValueError, KeyError, TypeError, ImageError):
            notice(f"WARNING: {name} in the remote cache cannot be read; building it")
            return False
        for blob in blobs:
            self._store.put(blob, "")
        annotations = {f"{note}.{architecture}": text for note, text in notes.items()}
        annotations[f"{RECIPE}.{architecture}"] = key
        tag_image(self._store, name, manifest, attestations, annotations)
        return True
