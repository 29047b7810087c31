"""The key that must have signed the bricks of a registry (`--bricks-key`).

May touch: the network and the store, through what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from compos.errors import ImageError
from compos.image.digest import Digest
from compos.image.reference import Reference
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.trust.attachments import signatures_of_registry
from compos.trust.evidence import Signature
from compos.trust.keys import PublicKey
from compos.trust.simple_signing import is_about

__all__ = ["BrickKey", "SignedBy"]


class BrickKey:
    """A public key in a PEM file. Raises as `PublicKey` does."""

    def __init__(self, path: Path) -> None:
        self._key = PublicKey.read(path)
        self.fingerprint = self._key.fingerprint

    def required(
        self, registry: Registry, store: Store, reference: Reference, digest: Digest
    ) -> SignedBy:
        """Who must have signed `digest`; its signatures are fetched when the door asks."""

        def found() -> Iterator[Signature]:
            for one in signatures_of_registry(registry, store, reference, digest):
                yield from one.signatures()

        return SignedBy(self._key, found)


class SignedBy(NamedTuple):
    """Who must have signed an image, and how its signatures are found."""

    key: PublicKey
    signatures: Callable[[], Iterable[Signature]]

    @property
    def fingerprint(self) -> str:
        """The key's."""
        return self.key.fingerprint

    def require(self, reference: Reference, digest: str) -> None:
        """Raise `ImageError` (`image-signature`) unless the key's owner signed `digest` as the
        image that `reference` names."""
        others = False
        for signature in self.signatures():
            if not signature.type and self.key.made(signature.signature, signature.payload):
                if is_about(signature.payload, reference, digest):
                    return
                others = True
        reason = (
            "the key signed an image of another name, tag or digest"
            if others
            else "it is not signed with the key that is required"
        )
        raise ImageError(
            "image-signature",
            f"the image is not trusted: {reason}",
            place=f"{reference}@{digest}",
            hint="Use the public key of whoever publishes the image, or another registry; "
            "`cosign verify` shows who signed it.",
        )
