"""What a remote cache has: one signed manifest, whose layers are results by their names in a store.

Pure. The manifest is one of OCI's image specification ("Guidelines for Artifact Usage"): registries
keep what it names for as long as its tag stands. It is signed as a whole: an annotation has the
signature of all the rest, so that no result can be put under another's name, replaced, or added.
What it says is believed for `MAX_AGE`: an old list that is served again proves nothing newer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from compos.errors import CacheError, ImageError
from compos.image.derived_kinds import FOLDER, DerivedKind
from compos.image.digest import Digest, digest_of
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import EMPTY, MANIFEST, Descriptor
from compos.trust.keys import PublicKey, SigningKey

__all__ = ["BRICK", "EMPTY_CONFIG", "MAX_AGE", "Entry", "signed", "verified"]

TYPE = "application/vnd.compos.cache.v1+json"
RESULT_TYPE = "application/vnd.compos.cache.result.v1"
EMPTY_CONFIG = b"{}"
"""The config of an artifact that has none (image specification, "Guidance for an Empty
Descriptor")."""

SIGNATURE = "org.compos.cache.signature"
NAME = "org.compos.cache.name"
ENCODING = "org.compos.cache.encoding"
LENGTH = "org.compos.cache.length"
USED = "org.compos.cache.used"

PURPOSE = b"compos remote cache v1\n"
"""In front of what is signed: no signature of anything else is one of a list."""

DAY = 24 * 3600
MAX_AGE = 14 * DAY
"""Seconds for which a result is kept in the list, and believed, after the last build that used
it."""

MAX_ENTRIES = 5000
"""Results in a list; a system of 1,000 services has about 3,000. Registries take manifests of 4
MiB."""

MAX_LENGTH = 64 << 30
"""Bytes of a result."""

BRICK = "brick"
"""Names of bricks' documents begin with it, as those of no stored file do."""

SHARED = (
    DerivedKind.TREE,
    DerivedKind.PARTIAL,
    DerivedKind.KERNEL_TAR,
    DerivedKind.KERNEL,
    DerivedKind.KERNEL_GZIP,
    DerivedKind.SBOM,
    DerivedKind.CONTENTS,
    DerivedKind.SEGMENT,
    DerivedKind.SQUASHFS,
    DerivedKind.SPOOL,
    DerivedKind.RESULT,
)
"""The kinds that are worth sharing; those of the folder `image` are all meant. Not here: plain
layers and indexes of layers (`TREE` and `PARTIAL` make up for them); what is about this machine
(`HOST`, `LOCAL`, `ENGINE`, `OUTPUT`, `ACCEL`); Debian's packages, as bricks are shared whole."""

_KEY = r"[A-Za-z0-9][A-Za-z0-9._:=+@-]*"
_NAME = re.compile(
    rf"{FOLDER}/(?:{'|'.join(sorted({kind.folder for kind in SHARED}))})/{_KEY}"
    rf"|blobs/sha256/[0-9a-f]{{64}}|{BRICK}/[0-9a-f]{{64}}"
)


class Entry(NamedTuple):
    """A result: its `name` in a store, the blob that it is in the registry, how that is encoded
    ("zstd" or not at all), the result's `length` in bytes, and when a build last `used` it, in Unix
    seconds."""

    name: str
    blob: Descriptor
    encoding: str
    length: int
    used: int

    @classmethod
    def make(cls, name: str, digest: str, size: int, length: int, *, zstd: bool) -> Entry:
        """One that has just been made."""
        blob = Descriptor(RESULT_TYPE, Digest.parse(digest), size)
        return cls(name, blob, "zstd" if zstd else "", length, 0)

    @staticmethod
    def shares(name: str) -> bool:
        """Whether results of this name are shared."""
        return bool(_NAME.fullmatch(name))

    def to_json(self) -> dict[str, Any]:
        """As a layer of the manifest."""
        annotations = {
            NAME: self.name,
            ENCODING: self.encoding,
            LENGTH: str(self.length),
            USED: str(self.used),
        }
        return self.blob._replace(annotations=annotations).to_json()


def signed(entries: Iterable[Entry], key: SigningKey) -> bytes:
    """The manifest of `entries`, the most recently used, signed with `key`."""
    newest = sorted(entries, key=lambda entry: (-entry.used, entry.name))[:MAX_ENTRIES]
    config = Descriptor(EMPTY, digest_of(EMPTY_CONFIG), len(EMPTY_CONFIG))
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": TYPE,
        "config": config.to_json(),
        "layers": [entry.to_json() for entry in newest],
        "annotations": {},
    }
    made = key.sign(PURPOSE + canonical_json(document))
    document["annotations"] = {SIGNATURE: base64.b64encode(made).decode()}
    return canonical_json(document)


def verified(data: bytes, key: PublicKey, now: int) -> dict[str, Entry]:
    """What a manifest lists, by name, if it was signed with the private key of `key`; but for what
    no build has used for `MAX_AGE`. Raises `CacheError` (`cache-signature`, `cache-malformed`)."""
    try:
        document = parse_json(data)
        signature = base64.b64decode(document["annotations"].pop(SIGNATURE), validate=True)
        payload = PURPOSE + canonical_json(document)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise _refused("cache-signature", "it is not signed") from error
    if not key.made(signature, payload):
        raise _refused("cache-signature", "it is not signed with the key that is required")
    try:
        entries = [_entry(layer) for layer in document["layers"]]
    except (ValueError, KeyError, TypeError, ImageError) as error:
        raise _refused("cache-malformed", "it is signed, but cannot be read") from error
    oldest = now - MAX_AGE
    return {
        entry.name: entry for entry in entries if Entry.shares(entry.name) and entry.used > oldest
    }


def _entry(layer: Mapping[str, Any]) -> Entry:
    blob = Descriptor.from_json(layer)
    annotations = blob.annotations
    encoding = annotations[ENCODING]
    length = int(annotations[LENGTH])
    if encoding not in ("", "zstd") or not 0 <= length <= MAX_LENGTH:
        raise ValueError
    if not blob.digest.is_verifiable or (not encoding and length != blob.size):
        raise ValueError
    return Entry(annotations[NAME], blob.plain, encoding, length, int(annotations[USED]))


def _refused(id: str, reason: str) -> CacheError:
    return CacheError(
        id,
        f"the remote cache is not used: {reason}",
        hint="Name the public key of whoever fills the cache with --cache-key, or another cache.",
    )
