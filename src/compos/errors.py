"""The one family of exceptions that users see.

    ComposError              every expected error
    ├── ConfigError          the YAML: syntax, schema, values
    ├── ImageError           references, registries, the store, layers
    │   ├── ImageNotFound    no image with this name exists
    │   ├── Unauthorized     the registry requires credentials, or rejects them
    │   ├── WrongContent     the content does not match its digest or size
    │   ├── CacheError       a remote cache cannot be used
    │   │   └── CacheIncomplete  it lacks a layer that nobody else has
    │   ├── NoSupport        what signatures need is not installed
    │   ├── Interrupted      the user stopped the download
    │   ├── BlobMissing      a store or an archive lacks a blob of an image
    │   └── StoreError       the image store: full, read-only, not owned by the user
    │       ├── NotStored    the store lacks a blob (BlobMissing)
    │       └── StoreDamaged a blob does not match its digest
    ├── NetworkError         there is no usable answer
    │   ├── AddressError     not a web address
    │   ├── RedirectError    a redirect that is not followed
    │   ├── ConnectError     the connection is refused
    │   ├── TlsError         no trusted TLS connection
    │   ├── NetworkTimeout   no answer in time (Transient)
    │   └── ConnectionBroken the answer ended early (Transient)
    ├── PackageError         bricks, Debian indexes and packages
    ├── OutputError          writing results
    ├── RunError             starting what was built
    ├── AttestationError     believing what a machine says of itself
    ├── CloudError           pushing to a cloud, running there
    │   ├── CloudDenied      no credentials, or they do not suffice
    │   ├── CloudQuota       the account may have no more
    │   ├── CloudMissing     something does not exist there
    │   ├── CloudConflict    something else has the name
    │   ├── CloudImport      the cloud cannot make an image of what was sent
    │   ├── CloudUnfit       the disk would not run there
    │   └── CloudUnreachable there is no usable answer (Transient)
    ├── Transient            in addition to one of the others: trying again may help
    └── DiskFull             in addition to one of the others: no space is left

The library raises; only `compos.cli` prints and exits. Code decides by the class of an error, never
by its id, which is for people and scripts.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

__all__ = [
    "AddressError",
    "AttestationError",
    "BlobMissing",
    "CacheError",
    "CacheIncomplete",
    "CloudConflict",
    "CloudDenied",
    "CloudError",
    "CloudImport",
    "CloudMissing",
    "CloudQuota",
    "CloudUnfit",
    "CloudUnreachable",
    "CombinedError",
    "ComposError",
    "ConfigError",
    "ConnectError",
    "ConnectionBroken",
    "DiskFull",
    "ExtraMissing",
    "ImageError",
    "ImageNotFound",
    "Interrupted",
    "NetworkError",
    "NetworkTimeout",
    "NoSupport",
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

    `delay` is the number of seconds that the server asked to wait, if any.
    """

    def __init__(
        self,
        id: str,
        message: str,
        *,
        place: str | None = None,
        hint: str | None = None,
        excerpt: str | None = None,
        delay: float | None = None,
    ) -> None:
        super().__init__(id, message, place=place, hint=hint, excerpt=excerpt)
        self.delay = delay


class DiskFull(ComposError):
    """There is no space left to write to (ids end in `-full`)."""

    @staticmethod
    def matches(error: OSError) -> bool:
        """Whether the disk is full, or the user's quota is exhausted."""
        return error.errno in (errno.ENOSPC, errno.EDQUOT)


class ConfigError(ComposError):
    """The YAML is not valid."""


class ImageError(ComposError):
    """An image cannot be named, fetched, verified or read."""


class ImageNotFound(ImageError):
    """No source has an image with this name (`image-not-found`)."""


class Unauthorized(ImageError):
    """A registry denies access (`registry-auth`, `registry-denied`)."""


class WrongContent(ImageError):
    """The content is not what was requested (`digest-mismatch`, `download-oversized`)."""


class CacheError(ImageError):
    """A remote cache cannot be used (`cache-*`)."""


class CacheIncomplete(CacheError):
    """A remote cache lacks what it promised, and nobody else has it (`cache-incomplete`)."""


class NoSupport(ImageError):
    """What signatures are made and verified with is not installed (`signature-support`)."""


class Interrupted(ImageError):
    """The user interrupted the work (`interrupted`)."""


class BlobMissing(ImageError):
    """A store or an archive lacks a blob of an image (`store-missing`, `archive-incomplete`)."""


class StoreError(ImageError):
    """The image store cannot be used as it is (`store-*`)."""


class NotStored(StoreError, BlobMissing):
    """The store lacks a blob (`store-missing`)."""


class StoreDamaged(StoreError):
    """A blob in the store does not match its digest, or the index is invalid (`store-corrupt`)."""


class NetworkError(ComposError):
    """There is no usable answer (`network-*`)."""


class AddressError(NetworkError):
    """The address is not a web address (`network-url`)."""


class RedirectError(NetworkError):
    """A redirect that must not be followed (`network-redirect`)."""


class ConnectError(NetworkError):
    """The connection is not accepted (`network-connect`)."""


class TlsError(NetworkError):
    """There is no trusted TLS connection (`network-tls`)."""


class NetworkTimeout(NetworkError, Transient):
    """No answer in time (`network-timeout`)."""


class ConnectionBroken(NetworkError, Transient):
    """The answer ended early (`network-broken`)."""


class PackageError(ComposError):
    """A brick or a Debian package cannot be resolved, verified or built."""


class OutputError(ComposError):
    """A result cannot be written."""


class RunError(ComposError):
    """A built system cannot be started."""


class ExtraMissing(ComposError):
    """A library of an extra of the Python package is not installed (`extra-missing`)."""


class AttestationError(ComposError):
    """What a machine says of itself cannot be read or believed, or is not what was expected
    (`quote-*`)."""


class CloudError(ComposError):
    """A cloud refuses something, or lacks it (`cloud-*`)."""


class CloudDenied(CloudError):
    """No credentials, or they do not suffice (`cloud-credentials`, `cloud-denied`)."""


class CloudQuota(CloudError):
    """The account may have no more of it (`cloud-quota`)."""


class CloudMissing(CloudError):
    """It does not exist in the cloud (`cloud-missing`)."""


class CloudConflict(CloudError):
    """Something else has the name (`cloud-conflict`)."""


class CloudImport(CloudError):
    """The cloud cannot make an image of what was sent (`cloud-import`)."""


class CloudUnfit(CloudError):
    """The disk would not run there (`cloud-unfit`)."""


class CloudUnreachable(CloudError, Transient):
    """There is no usable answer (`cloud-unreachable`)."""


class CombinedError(ComposError):
    """Several errors found in one run, in the order of the input."""

    def __init__(self, errors: Sequence[ComposError]) -> None:
        super().__init__(errors[0].id, f"{len(errors)} errors")
        self.errors = tuple(errors)
