"""Why a package has to be built: what is not as it was when the store's image was built.

May touch: the store and the package's folder (reading). An image that came from elsewhere, such as
a registry, is taken as it is: nobody knows what it was built from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from compos.errors import ImageError
from compos.image.door import stored_image
from compos.image.json_document import parse_json
from compos.image.model import Descriptor
from compos.image.names import BUILT_FROM, LEFT_OUT, RECIPE, entry_of
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.recipe_key import recipe_key

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["State", "built_from", "state_of", "stored_digest"]

MAX_SHOWN = 19
"""Characters of a digest in a sentence: the algorithm and twelve digits."""


class State(NamedTuple):
    """What the store has of a package for a platform: what its name stands for there, and why that
    is not what would be built now (nothing if it is)."""

    entry: Descriptor | None
    reasons: tuple[str, ...]

    @property
    def current(self) -> Descriptor | None:
        """What the name stands for, if it is current."""
        return None if self.reasons else self.entry

    @property
    def foreign(self) -> bool:
        """Whether the image came from elsewhere."""
        return self.entry is not None and not any(
            name.startswith(f"{RECIPE}.") for name in self.entry.annotations
        )


def built_from(recipe: Recipe, images: Mapping[tuple[str, Platform], str]) -> str:
    """The annotation `names.BUILT_FROM`: the names of packages among the build arguments, and the
    digests of `images`, by names and platforms."""
    digests = {f"{name} {platform}": digest for (name, platform), digest in images.items()}
    return json.dumps({"arguments": _arguments(recipe), "images": digests}, sort_keys=True)


def state_of(
    store: Store,
    recipe: Recipe,
    platform: Platform,
    name: str,
    digest_of: Callable[[str, Platform], str] | None = None,
    *,
    foreign: bool = False,
) -> State:
    """The state of the image `name` of a package. `digest_of` has the digests of images that it may
    have been built from, empty for those that are unknown, which are taken to be unchanged; by
    default they are the store's. With `foreign`, an image from elsewhere is current."""
    entry = store.resolve(name)
    if entry is None:
        return State(None, ("it is not in the store",))
    state = State(entry, ())
    architecture = platform.architecture
    key = entry.annotations.get(f"{RECIPE}.{architecture}")
    reasons: list[str] = []
    if key is None and not (foreign and state.foreign):
        what = "came from elsewhere" if state.foreign else f"has not been built for {platform}"
        reasons.append(f"the store's image {what}")
    elif key is not None and key != recipe_key(recipe, architecture):
        reasons.append(
            "a file of its folder or of an extra source has changed"
            if recipe.dockerfile
            else "its build.yml, or a file that this names, has changed"
        )
    if _lacks_updates(entry, architecture):
        reasons.append("it was built without updates")
    if recipe.dockerfile and key is not None:
        before = entry.annotations.get(f"{BUILT_FROM}.{architecture}", "")
        digest_of = digest_of or (lambda *one: stored_digest(store, *one))
        reasons += _other_parents(recipe, before, digest_of)
    if not reasons:
        try:
            stored_image(store, name, entry, platform)
        except ImageError as error:
            reasons.append(f"the store's image cannot be used: {error.message}")
    return state._replace(reasons=tuple(reasons))


def stored_digest(store: Store, name: str, platform: Platform) -> str:
    """The digest of the store's image `name` for a platform; empty if it has none."""
    entry = entry_of(store, name, platform)
    if entry is None:
        return ""
    try:
        return stored_image(store, name, entry, platform).digest
    except ImageError:
        return ""


def _lacks_updates(entry: Descriptor, architecture: str) -> bool:
    if not entry.annotations.get(f"{LEFT_OUT}.{architecture}"):
        return False
    # Not at the top: few packages lack anything.
    from compos.package.debian.mirror import accepts_incomplete

    return not accepts_incomplete(architecture)


def _arguments(recipe: Recipe) -> dict[str, str]:
    """The packages that build arguments name: what arguments depend on besides the folder."""
    from compos.package.arguments import argument_packages

    return {name: package.name for name, package, _ in argument_packages(recipe)}


def _other_parents(
    recipe: Recipe, before: str, digest_of: Callable[[str, Platform], str]
) -> list[str]:
    """What the image was built from, and is another one now."""
    try:
        document = parse_json(before)
        arguments = dict(document["arguments"])
        images = [
            (key.rpartition(" ")[0], Platform.parse(key.rpartition(" ")[2]), str(digest))
            for key, digest in document["images"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, ImageError):
        # Another program's annotation.
        return ["it is not known what it was built from"]
    reasons = []
    named = _arguments(recipe)
    if named != arguments:
        names = [name for name in {**arguments, **named} if named.get(name) != arguments.get(name)]
        reasons.append(f"the build argument {', '.join(names)} has another value")
    for name, platform, digest in images:
        now = digest_of(name, platform)
        if now and now != digest:
            change = f"{digest[:MAX_SHOWN]} → {now[:MAX_SHOWN]}"
            reasons.append(f"{name} is another image than it was built from: {change}")
    return reasons
