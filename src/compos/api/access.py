"""The store, registries, bricks and their builder, as `ImageOptions` ask for them.

May touch: nothing by itself; what it makes touches the store and the network.
"""

from __future__ import annotations

import os
from functools import cache, cached_property
from typing import TYPE_CHECKING

from compos.api.options import ImageOptions

if TYPE_CHECKING:
    from pathlib import Path

    from compos.image.offer import ImageSource
    from compos.image.registries.mirrors import Mirrors
    from compos.image.registries.registry import Registry
    from compos.image.source import Images
    from compos.image.store import Store
    from compos.package.build import Builder
    from compos.package.debian.mirror import Mirror
    from compos.package.local import LocalPackages

__all__ = ["Access"]


class Access:
    """What is needed to get at images. Each property is made when it is first used, and raises
    `ImageError` for options that cannot be understood."""

    def __init__(self, options: ImageOptions) -> None:
        self._options = options

    @property
    def root(self) -> Path:
        """The image store's folder."""
        from compos.image.store import default_root

        return self._options.cache or default_root()

    @cached_property
    def store(self) -> Store:
        """The image store."""
        from compos.image.store import Store

        return Store(self.root, trusted=self._options.trust_cache)

    @cached_property
    def builder(self) -> Builder:
        """What builds bricks; the Debian mirror is looked up only when one is built."""
        from compos.package.build import Builder

        return Builder(self.store, cache(self._debian_mirror))

    @property
    def registry(self) -> Registry:
        """A client for registries."""
        from compos.image.registries.registry import Registry

        return Registry(self._mirrors, certificates=self._options.certificates, fallback=True)

    def images(
        self, *, pull: bool = False, docker: bool = False, packages: LocalPackages | None = None
    ) -> Images:
        """Where a build's images come from. `pull` asks registries even for what the store has,
        `docker` asks the Docker engine first; `packages` are those named by their folders."""
        from compos.image.registries.published import PublishedImages
        from compos.image.source import Images
        from compos.package.bricks import Bricks

        # Unlike the registry of a build's other images, that of bricks has no fallback: nobody
        # else's image may stand in for a brick.
        bricks = Bricks(
            lambda: self.builder,
            PublishedImages(self.store, self._registry_of_bricks, reserved=True),
            mirrored=self._mirrors.has_bricks,
            local=packages.recipes if packages else None,
        )
        first: list[ImageSource] = []
        if docker and not pull:
            from compos.image.engine import Engine

            first.append(Engine(self.store))
        return Images(
            self.store, registry=lambda: self.registry, pull=pull, first=first, makers=[bricks]
        )

    def _registry_of_bricks(self) -> Registry:
        from compos.image.registries.registry import Registry

        return Registry(self._mirrors, certificates=self._options.certificates)

    @cached_property
    def _mirrors(self) -> Mirrors:
        from compos.image.registries.mirrors import Mirrors

        options = self._options
        return Mirrors.parse(options.mirrors, os.environ, options.insecure_registries)

    def _debian_mirror(self) -> Mirror:
        from compos.package.debian.mirror import default_mirror

        options = self._options
        return default_mirror(
            options.debian_mirror,
            options.debian_security_mirror,
            certificates=options.certificates,
        )
