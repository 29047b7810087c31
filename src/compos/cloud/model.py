"""What clouds and compos say to each other: an image to push, what became of it, and what a
provider can do. Pure.

A provider is a folder of this package with a class that has the methods of `Provider`; everything
else (checks, locks, cleaning up, printing) is done once, for all, in `cloud.push` and `cloud.gc`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = [
    "DIGEST",
    "NAME",
    "Image",
    "Made",
    "Provider",
    "Pushed",
    "creation_time",
    "resource_name",
]

DIGEST = "compos-digest"
"""The tag (label, property, metadata) that has the SHA-256 of the file that an image is made of, in
lower-case hexadecimal: every provider takes these characters, most take no colon."""

NAME = "compos-name"
"""The tag that has the name without a digest, which all versions of a system share."""


class Image(NamedTuple):
    """A disk to push.

    `digest` is the SHA-256 of the file at `path`, which has `length` bytes and is a
    `container` (`disk_file.CONTAINERS`); `size` is the size of
    the disk in bytes.
    `architecture` is in Go's words; `firmware` is what can start the disk: `bios`, `efi`.
    `drivers` are the kernel's modules in it, loadable or built in, None if that cannot be told.
    """

    path: Path
    name: str
    digest: str
    length: int
    container: str
    size: int
    architecture: str
    firmware: frozenset[str]
    drivers: frozenset[str] | None = None

    @property
    def full_name(self) -> str:
        """A name that no other image has: with twelve digits of the digest, as Git and Docker
        abbreviate."""
        return f"{self.name}-{self.digest[:12]}"


class Pushed(NamedTuple):
    """An image that is registered and usable. `id` is what `run` and other programs name it by;
    `ids` are those of all that it consists of, by kind."""

    id: str
    ids: Mapping[str, str]


class Made(NamedTuple):
    """Something that compos has made in a cloud: an image, a snapshot, a machine.

    `kind` is the cloud's own word; `complete` is False for what a push has left unfinished.
    """

    kind: str
    id: str
    name: str
    digest: str
    created: datetime
    complete: bool = True


class Provider(Protocol):
    """What can be done at one cloud, with the user's credentials.

    All methods raise `CloudError`. They may be called again after any failure.
    """

    def find(self, image: Image) -> Pushed | None:
        """The registered image that was made of the same file under the same name, if there is one.

        Raises `CloudConflict` if another image has this name.
        """

    def send(self, image: Image) -> Pushed:
        """Upload and register `image`, continuing what an earlier attempt has begun."""

    def abandon(self, image: Image) -> None:
        """Remove what attempts to send `image` have left that is no part of a registered one."""

    def made(self) -> Iterable[Made]:
        """All that compos has made and tagged."""

    def remove(self, made: Made) -> None:
        """Remove one of them; what is gone already is no error."""


def creation_time(text: str) -> datetime:
    """The time that a cloud gives in ISO 8601, in UTC. What does not tell its age counts as new:
    nothing is removed for it."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)


def resource_name(text: str, most: int = 63) -> str:
    """`text` as clouds write names: small letters, digits and hyphens, a letter first, at most
    `most` characters, of which the last stay (they have the digest)."""
    name = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "image"
    if not name[0].isalpha():
        name = f"i-{name}"
    if len(name) > most:
        name = f"{name[: most - 13].rstrip('-')}-{name[-12:]}"
    return name
