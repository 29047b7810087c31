"""The one family of exceptions that users see.

    ComposError              anything that compos can explain
    ├── ConfigError          the YAML: syntax, schema, values
    ├── ImageError           references, registries, the store, layers
    │   ├── ImageNotFound    nobody has an image of this name
    │   ├── Unauthorized     the registry wants to know who asks, or does not let them
    │   ├── WrongContent     what arrived is not what its digest or size says
    │   ├── Interrupted      the user has stopped the download
    │   ├── BlobMissing      a store or an archive lacks what an image is made of
    │   └── StoreError       the image store: full, read-only, somebody else's
    │       ├── NotStored    it lacks what an image is made of (BlobMissing)
    │       └── StoreDamaged what it has is not what its digest says
    ├── NetworkError         no answer, or none that can be used
    │   ├── AddressError     no web address
    │   ├── RedirectError    a redirect that is not followed
    │   ├── ConnectError     nobody listens there
    │   ├── TlsError         nobody there who can be trusted
    │   ├── NetworkTimeout   no answer in time (Transient)
    │   └── ConnectionBroken the answer stopped (Transient)
    ├── PackageError         bricks, Debian indexes and packages
    ├── OutputError          writing results
    ├── RunError             starting what was built
    ├── Transient            beside one of the others: another attempt may help
    └── DiskFull             beside one of the others: some space must be freed

The library raises; only `compos.cli` prints and exits. Code decides by the class of an error, never
by its id, which is for people and scripts.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

__all__ = [
    "AddressError",
    "BlobMissing",
    "CombinedError",
    "ComposError",
    "ConfigError",
    "ConnectError",
    "ConnectionBroken",
    "DiskFull",
    "ImageError",
    "ImageNotFound",
    "Interrupted",
    "NetworkError",
    "NetworkTimeout",
    "NotStored",
    "OutputError",
    "PackageError",
    "RedirectError",
    "RunError",
    "StoreDamaged",
    "StoreError",
    "TlsError",
    "Transient",
    "Unauthorized",
    "WrongContent",
]


class ComposError(Exception):
    """An error with a stable id, what is wrong, where, and what to do.

    `id` is kebab-case and never changes its meaning between releases. `place` is `file:line:column`
    with a key path, an image and layer, or a URL without secrets. `hint` is one imperative
    sentence. `excerpt` is preformatted text that shows the place (source line and caret).
    """

    def __init__(
        self,
        id: str,
        message: str,
        *,
        place: str | None = None,
        hint: str | None = None,
        excerpt: str | None = None,
    ) -> None:
        super().__init__(message)
        self.id = id
        self.message = message
        self.place = place
        self.hint = hint
        self.excerpt = excerpt

    def __str__(self) -> str:
        where = f" ({self.place})" if self.place else ""
        return f"{self.message}{where} [{self.id}]"


class Transient(ComposError):
    """A failure that may pass by itself.

    `delay` is how many seconds the server asked us to wait, if it did.
    """

    delay: float | None = None


class DiskFull(ComposError):
    """There is no space left where something is to be written (ids end in `-full`)."""

    @staticmethod
    def matches(error: OSError) -> bool:
        """Whether the disk was full, or the user's share of it (quota) used up."""
        return error.errno in (errno.ENOSPC, errno.EDQUOT)


class ConfigError(ComposError):
    """The YAML cannot be used as it is."""


class ImageError(ComposError):
    """An image cannot be named, fetched, verified or read."""


class ImageNotFound(ImageError):
    """Whoever was asked has no image of this name (`image-not-found`)."""


class Unauthorized(ImageError):
    """A registry refuses whoever asks (`registry-auth`, `registry-denied`)."""


class WrongContent(ImageError):
    """What arrived is not what was asked for (`digest-mismatch`, `download-oversized`)."""


class Interrupted(ImageError):
    """The user has stopped what was under way (`interrupted`)."""


class BlobMissing(ImageError):
    """A store or an archive lacks a blob of an image (`store-missing`, `archive-incomplete`)."""


class StoreError(ImageError):
    """The image store cannot be used as it is (`store-*`)."""


class NotStored(StoreError, BlobMissing):
    """The store lacks a blob (`store-missing`)."""


class StoreDamaged(StoreError):
    """A blob in the store is not what its digest says, or its index is none (`store-corrupt`)."""


class NetworkError(ComposError):
    """No answer came, or none that can be used (`network-*`)."""


class AddressError(NetworkError):
    """What should be a web address is none (`network-url`)."""


class RedirectError(NetworkError):
    """A redirect that must not be followed (`network-redirect`)."""


class ConnectError(NetworkError):
    """Nobody accepts the connection (`network-connect`)."""


class TlsError(NetworkError):
    """There is no trusted TLS connection (`network-tls`)."""


class NetworkTimeout(NetworkError, Transient):
    """No answer in time (`network-timeout`)."""


class ConnectionBroken(NetworkError, Transient):
    """The answer ended before its end (`network-broken`)."""


class PackageError(ComposError):
    """A brick or a Debian package cannot be resolved, verified or built."""


class OutputError(ComposError):
    """A result cannot be written."""


class RunError(ComposError):
    """A built system cannot be started."""


class CombinedError(ComposError):
    """Several mistakes found in one run, in the order in which they stand in the input."""

    def __init__(self, errors: Sequence[ComposError]) -> None:
        super().__init__(errors[0].id, f"{len(errors)} errors")
        self.errors = tuple(errors)
