"""A package is built once, also when several threads or processes want it at the same time: the
others wait for the first one, and take its image.

May touch: the store, and what the builder touches.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from compos.errors import PackageError
from compos.image.model import Descriptor
from compos.image.names import RECIPE
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.recipe_key import recipe_key
from compos.package.state import State, state_of
from compos.progress import notice

if TYPE_CHECKING:
    from compos.package.build import Builder
    from compos.package.recipe import Recipe

__all__ = ["Once", "Stopped", "Turns", "build_once", "current_entry"]

_PAUSE = 0.1
"""Seconds between two looks at whether the other one has finished."""


class Stopped(Exception):
    """The work that this was a part of has failed, or was interrupted, elsewhere."""


class Turns:
    """Waits for locks of the store, until `stop`."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Whoever waits gets `Stopped`."""
        self._stopped.set()

    def pause(self) -> None:
        """Wait a little; raises `Stopped`."""
        if self._stopped.wait(_PAUSE):
            raise Stopped


class Once(NamedTuple):
    """What a package's name stands for in the store, and whether that was built now: then `before`
    says why."""

    root: Descriptor
    built: bool
    before: State


def build_once(
    builder: Builder,
    recipe: Recipe,
    platform: Platform,
    name: str,
    *,
    force: bool = False,
    foreign: bool = False,
    turns: Turns | None = None,
) -> Once:
    """Have the store hold the image of `recipe` as `name`. It is built unless it is there as it
    would be built now, or somebody else builds it at the moment; always with `force`. With
    `foreign`, an image that came from elsewhere will do.

    Raises `PackageError`, `ImageError`, `NetworkError`; `Stopped` while it waits.
    """
    store, turns = builder.store, turns or Turns()
    waited = False

    def pause() -> None:
        nonlocal waited
        if not waited:
            notice(f"{name} {platform} is being built by somebody else; waiting for it")
            waited = True
        turns.pause()

    with store.exclusive(f"build {name} {platform}", pause):
        before = state_of(store, recipe, platform, name, foreign=foreign)
        if before.current is not None and not force:
            if waited:
                notice(f"{name} {platform} has been built by somebody else")
            return Once(before.current, built=False, before=before)
        if builder.shared is not None and not force and builder.shared(recipe, platform, name):
            after = state_of(store, recipe, platform, name)
            if after.current is not None:
                return Once(after.current, built=False, before=before)
        image = builder.build(recipe, platform, name)
        entry = store.resolve(name)
        built = entry and entry.annotations.get(f"{RECIPE}.{platform.architecture}")
        if entry is None or built != recipe_key(recipe, platform.architecture):
            raise PackageError(
                "package-changed",
                "something else has taken the package's name while it was being built",
                place=f"{name} {image.digest}",
                hint="Build it again.",
            )
        return Once(entry, built=True, before=before)


def current_entry(store: Store, recipe: Recipe, platform: Platform, name: str) -> Descriptor | None:
    """What `name` stands for in the store, if that is as it would be built now; else None."""
    return state_of(store, recipe, platform, name).current
