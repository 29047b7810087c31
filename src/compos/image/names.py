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

__all__ = ["ORIGIN", "RECIPE", "Origin", "bind", "entry_of", "origin_of", "require_free"]

ORIGIN = "org.compos.origin"
"""The annotation of a name that says where its image came from."""

RECIPE = "org.compos.brick.recipe"
"""The annotation of an image that was built here, with the architecture behind it: the recipe's
key."""


class Origin(NamedTuple):
    """Where an image came from: `registry` and its host, `archive` and the file's name,
    `engine`."""

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


def bind(store: Store, name: str, root: Descriptor, origin: Origin) -> None:
    """Let a name of the store stand for an image that came from elsewhere, and may have it."""
    store.tag(name, root.plain, annotations={ORIGIN: str(origin)})


def entry_of(store: Store, name: str, platform: Platform) -> Descriptor | None:
    """What the store has under a name; None for a name of ours that somebody else's image has got
    by another way."""
    entry = store.resolve(name)
    reference = Reference.find(name)
    if entry is None or reference is None or not is_reserved(reference):
        return entry
    known = {ORIGIN, f"{RECIPE}.{platform.architecture}"} & entry.annotations.keys()
    return entry if known else None


def origin_of(entry: Descriptor) -> str:
    """What `cache ls` shows of where an image came from."""
    if entry.annotations.get(ORIGIN):
        return entry.annotations[ORIGIN]
    return (
        "built here"
        if any(key.startswith(f"{RECIPE}.") for key in entry.annotations)
        else "unknown"
    )
