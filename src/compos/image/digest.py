"""Digests: the one parser of `ALGORITHM:ENCODED`. Nothing else becomes a path of the store or of an
image layout.

Pure. Grammar and registered algorithms: OCI image specification, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re

from compos.errors import ImageError

__all__ = ["EMPTY", "Digest", "digest_of"]

MAX_LENGTH = 255
"""Characters; the longest registered digest has 135. Part of a file's name (NAME_MAX)."""

_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_REGISTERED = {
    "sha256": re.compile("[a-f0-9]{64}"),
    "sha384": re.compile("[a-f0-9]{96}"),
    "sha512": re.compile("[a-f0-9]{128}"),
}


class Digest(str):
    """A digest that is well formed; its algorithm may be one that the store cannot verify."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Digest:
        """Raises `ImageError` (`image-malformed`)."""
        if isinstance(text, str) and len(text) <= MAX_LENGTH and _GRAMMAR.fullmatch(text):
            algorithm, _, encoded = text.partition(":")
            known = _REGISTERED.get(algorithm)
            if known is None or known.fullmatch(encoded):
                return cls(text)
        shown = f"{text[:80]!r}" if isinstance(text, str) else f"a {type(text).__name__}"
        raise ImageError(
            "image-malformed",
            f"the digest {shown} is not sha256: and 64 hexadecimal digits",
            hint="Build and push the image again.",
        )

    @property
    def is_verifiable(self) -> bool:
        """Whether the store can hold a blob of this digest: only SHA-256 is computed here."""
        return self.startswith("sha256:")

    @property
    def path(self) -> str:
        """Where an image layout has the blob: `blobs/ALGORITHM/ENCODED` (image-layout.md,
        "Blobs")."""
        return f"blobs/{self.replace(':', '/', 1)}"


def digest_of(data: bytes) -> Digest:
    """The SHA-256 digest of `data`."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


EMPTY = digest_of(b"")
"""The digest of nothing."""
