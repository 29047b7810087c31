"""Where a verb's images come from: the store, our bricks, registries; put together from the global
flags."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compos.cli.debian import DebianMirrors
    from compos.cli.settings import Settings
    from compos.image.registry import Registry
    from compos.image.source import Images
    from compos.image.store import Store
    from compos.package.build import Builder
    from compos.package.debian.mirror import Mirror
    from compos.package.local import LocalPackages

__all__ = ["builder", "images", "open_store", "registry_of"]


def open_store(settings: Settings) -> Store:
    """The store that the flags and variables name."""
    from compos.image.store import Store

    return Store(settings.store_root, trusted=settings.trust_cache)


def builder(store: Store, settings: Settings, debian: DebianMirrors) -> Builder:
    """What builds bricks; the mirror is looked up only when one is built."""
    from compos.package.build import Builder

    return Builder(store, _mirror(debian, settings.certificates))


def _mirror(named: DebianMirrors, certificates: tuple[str, ...]) -> Callable[[], Mirror]:
    @cache
    def mirror() -> Mirror:
        from compos.package.debian.mirror import default_mirror

        return default_mirror(named.main, named.security, certificates=certificates)

    return mirror


def registry_of(settings: Settings) -> Registry:
    """The client for registries. Raises `ImageError` for a mirror that cannot be understood."""
    from compos.image.registry import Registry

    return Registry(settings.mirrors, certificates=settings.certificates, fallback=True)


def images(
    store: Store,
    settings: Settings,
    debian: DebianMirrors,
    *,
    pull: bool = False,
    local: LocalPackages | None = None,
    docker: bool = False,
) -> Images:
    """What a build asks for its images; `local` has packages named by their folders, `docker` asks
    the engine first.

    Raises `ImageError` for a mirror that cannot be understood.
    """
    from compos.image.source import Images
    from compos.package.bricks import Bricks

    mirrors = settings.mirrors
    certificates = settings.certificates
    registry_only = Images(
        store, mirrors=mirrors, certificates=certificates, pull=True, reserved=True
    )
    bricks = Bricks(
        cache(lambda: builder(store, settings, debian)),
        lambda reference, platform: registry_only.image(str(reference), platform),
        mirrored=mirrors.has_bricks,
        local=local.recipes if local else None,
    )
    first = None
    if docker and not pull:
        from compos.image.engine import Engine

        first = Engine(store).image
    # Bricks have no fallback above: nobody else's image may stand in for one.
    return Images(
        store,
        registry=lambda: registry_of(settings),
        pull=pull,
        missing=bricks.missing,
        first=first,
    )
