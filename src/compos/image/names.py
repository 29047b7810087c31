"""Who may give an image its name in the store: the one place where names of our bricks are kept for
our bricks.

May touch: the store's names. `compos/NAME` without a registry is ours: such an image is built here
from a recipe, or comes from a registry that the user named for bricks, or was let in by a flag.
Whoever holds the name on the public hub, or writes it into an archive, does not get into a system.
Where an image came from is kept beside its name.
"""

from __future__ import annotations

from typing import NamedTuple

from compos.errors import ImageError
from compos.image.model import Descriptor
from compos.image.platform import Platform
from compos.image.reference import NAMESPACE, Reference, is_reserved
from compos.image.store import Store

__all__ = [
    "ARCHIVE",
    "BRICK",
    "BUILT_FROM",
    "CHOICE",
    "ENGINE",
    "LEFT_OUT",
    "LOCK",
    "ORIGIN",
    "RECIPE",
    "REGISTRY",
    "SIGNER",
    "Origin",
    "bind",
    "entry_of",
    "is_built_here",
    "origin_of",
    "require_free",
]

ORIGIN = "org.compos.origin"
"""The annotation of a name that says where its image came from."""

BRICK = "org.compos.brick."
"""Begins the annotations of images that were built here; each ends in an architecture."""

RECIPE = f"{BRICK}recipe"
"""The annotation of an image that was built here, with the architecture behind it: the recipe's
key."""

CHOICE = f"{BRICK}choice"
"""Likewise: the digest of what says which packages it was made of, from which indexes."""

BUILT_FROM = f"{BRICK}built-from"
"""Likewise: a JSON object with the digests of the images that it was built from, by name and
platform."""

LEFT_OUT = f"{BRICK}left-out"
"""Likewise: the suites of updates that it was built without, with blanks between them."""

SIGNER = "org.compos.signer"
"""The annotation of an image whose signature was checked: the fingerprint of the public key."""


REGISTRY, ARCHIVE, ENGINE, LOCK = "registry", "archive", "engine", "lock"
"""Kinds of origins."""


class Origin(NamedTuple):
    """Where an image came from: `registry` and its host, `archive` and the file's name,
    `engine`; `lock` for one that is the same wherever it is built, by digest."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()


def require_free(reference: Reference, origin: Origin) -> None:
    """Raise `ImageError` (`name-reserved`) for a name that is ours."""
    if is_reserved(reference):
        raise ImageError(
            "name-reserved",
            f"names that begin with {NAMESPACE}/ are reserved for compos's bricks; this one would "
            f"come from: {origin}",
            place=str(reference),
            hint="If you trust the image, use `compos cache pull` or `import` with "
            "--allow-brick-names.",
        )


def bind(store: Store, name: str, root: Descriptor, origin: Origin, signer: str = "") -> None:
    """Let a name of the store stand for an image that came from elsewhere, and may have it;
    `signer` is the fingerprint of the key that it was checked with."""
    signed = {SIGNER: signer} if signer else {}
    store.tag(name, root.plain, annotations={ORIGIN: str(origin), **signed})


def entry_of(store: Store, name: str, platform: Platform, signer: str = "") -> Descriptor | None:
    """What the store has under a name; None for a name of ours that somebody else's image has got
    by another way, or, with the fingerprint of a key, that was neither built here nor signed with
    that key."""
    entry = store.resolve(name)
    reference = Reference.find(name)
    if entry is None or reference is None or not is_reserved(reference):
        return entry
    if f"{RECIPE}.{platform.architecture}" in entry.annotations:
        return entry
    trusted = not signer or entry.annotations.get(SIGNER) == signer
    return entry if trusted and ORIGIN in entry.annotations else None


def is_built_here(store: Store, name: str, platform: Platform) -> bool:
    """Whether the store's image of this name was built here, for `platform`."""
    entry = store.resolve(name)
    return entry is not None and f"{RECIPE}.{platform.architecture}" in entry.annotations


def origin_of(entry: Descriptor) -> str:
    """What `cache ls` shows of where an image came from."""
    if entry.annotations.get(ORIGIN):
        return entry.annotations[ORIGIN]
    return (
        "built here"
        if any(key.startswith(f"{RECIPE}.") for key in entry.annotations)
        else "unknown"
    )
