"""The store, registries, bricks and their builder, as `ImageOptions` ask for them.

May touch: nothing by itself; what it makes touches the store and the network.
"""

from __future__ import annotations

import os
from functools import cache, cached_property
from typing import TYPE_CHECKING

from compos.api.options import ImageOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from compos.api.load import Description
    from compos.api.remote import Sharing
    from compos.config.model import Trust as YamlTrust
    from compos.http.retry import Patience
    from compos.image.model import Image
    from compos.image.offer import ImageSource
    from compos.image.platform import Platform
    from compos.image.reference import Reference
    from compos.image.registries.credentials import Credentials
    from compos.image.registries.mirrors import Endpoint, Mirrors
    from compos.image.registries.registry import Registry
    from compos.image.source import Images
    from compos.image.store import Store
    from compos.package.build import Builder
    from compos.package.builders.build import Dockerfiles
    from compos.package.builders.request import BuildOptions
    from compos.package.choice import Choice
    from compos.package.debian.mirror import Mirror
    from compos.package.debian.snapshot import Snapshot
    from compos.package.graph.build import BuiltImages
    from compos.package.local import LocalPackages
    from compos.package.lock.mirror import LockMirror
    from compos.package.lock.model import Lock
    from compos.package.lock.packages import PackageOrigins
    from compos.package.lock.sources import LockedImages
    from compos.package.recipe import Recipe
    from compos.trust.brick_key import BrickKey
    from compos.trust.guard import Guard

__all__ = ["Access"]

_BRICKS = "COMPOS_BRICKS"
_BRICKS_KEY = "COMPOS_BRICKS_KEY"
_POLICY = "COMPOS_POLICY"


class Access:
    """What is needed to get at images. Each property is made when it is first used, and raises
    `ImageError` for options that cannot be understood. `bricks` is the registry of bricks that the
    system's YAML names, which options and environment override; `dockerfiles` says how Dockerfiles
    are built; `trust` is what the YAML says of signers."""

    def __init__(
        self,
        options: ImageOptions,
        *,
        bricks: str = "",
        dockerfiles: BuildOptions | None = None,
        trust: YamlTrust | None = None,
    ) -> None:
        self._options = options
        self._bricks_of_yaml = bricks
        self._dockerfile_options = dockerfiles
        self._trust_of_yaml = trust
        self.pins: LockedImages | None = None
        """What the lock says, if the build has one."""
        self.built: BuiltImages | None = None
        """The images of packages that have been built for this."""
        self.shared: Callable[[Recipe, Platform, str], bool] | None = None
        """What may have bricks that other machines have built; set before `builder` is used."""

    @property
    def options(self) -> ImageOptions:
        """What it was made for."""
        return self._options

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

        return Builder(
            self.store,
            cache(self._debian_mirror),
            dockerfiles=self._dockerfiles,
            shared=self.shared,
        )

    @property
    def registry(self) -> Registry:
        """A client for registries."""
        return self._registry()

    @property
    def registry_of_caches(self) -> Registry:
        """A client for remote caches, without which a build does rather than wait."""
        from compos.http import retry

        return self._registry(patience=retry.HURRIED)

    def _registry(
        self,
        credentials: Callable[[Endpoint], Credentials | None] | None = None,
        patience: Patience | None = None,
    ) -> Registry:
        from compos.http.retry import USUAL
        from compos.image.registries.credentials import find_credentials
        from compos.image.registries.registry import Registry

        return Registry(
            self._mirrors,
            certificates=self._options.certificates,
            credentials=credentials or find_credentials,
            fallback=True,
            patience=patience or USUAL,
        )

    def images(
        self,
        *,
        pull: bool = False,
        docker: bool = False,
        packages: LocalPackages | None = None,
        pins: LockedImages | None = None,
        sharing: Sharing | None = None,
        credentials: Callable[[Endpoint], Credentials | None] | None = None,
    ) -> Images:
        """Where a build's images come from. `pull` asks registries even for what the store has,
        `docker` asks the Docker engine first; `packages` are those named by their folders. With
        `pins`, images are those of a lock. `sharing` fetches layers after all.
        `credentials` are asked for in place of the user's own."""
        from compos.image.registries.published import PublishedImages
        from compos.image.source import Images
        from compos.package.bricks import Bricks

        if pins is not None:
            locked = Images(self.store, registry=lambda: self.registry, trust=self.trust, pins=pins)
            if sharing:
                sharing.use(locked)
            return locked

        # Unlike the registry of a build's other images, that of bricks has no fallback: nobody
        # else's image may stand in for a brick.
        bricks = Bricks(
            lambda: self.builder,
            PublishedImages(
                self.store, self._registry_of_bricks, reserved=True, key=self._key_of_bricks
            ),
            registry=self._mirrors.bricks,
            local=packages.recipes if packages else None,
            force=pull,
        )
        first: list[ImageSource] = []
        if docker and not pull:
            from compos.image.engine import Engine

            first.append(Engine(self.store))
        images = Images(
            self.store,
            registry=lambda: self._registry(credentials),
            pull=pull,
            first=first,
            makers=[bricks],
            built=self.built,
            key=self._key_of_bricks,
            trust=self.trust and self.trust.through(lambda: self._registry(credentials)),
        )
        if sharing:
            sharing.use(images)
        return images

    @property
    def has_bricks(self) -> bool:
        """Whether bricks come from a registry."""
        return bool(self._mirrors.bricks)

    def images_of(self, description: Description) -> Images:
        """Where the images of a system come from; its packages are built first. Raises as
        `package_graph.build_first`."""
        if description.packages:
            # Not at the top: most systems name no package by its folder.
            from compos.api.package_graph import build_first

            build_first(self, description)
        return self.images(packages=description.packages)

    def current_bricks(
        self, names: Iterable[str], description: Description, *, packages: bool = False
    ) -> set[str]:
        """Which of `names`, the images of a system, are bricks of ours in the store as today's
        recipes make them; those of other recipes are forgotten. The system's own packages are
        judged when they are built, unless an earlier build's copies may stand for them: then here
        (`packages`)."""
        from compos.image.source import canonical_name
        from compos.package.bricks import current_bricks

        recipes = description.packages.recipes
        judged = [name for name in names if packages or canonical_name(name) not in recipes]
        return current_bricks(self.store, judged, description.platform, recipes)

    @cached_property
    def trust(self) -> Guard | None:
        """The policies that images must satisfy: the one that the options name, or that of this
        machine, and that of the YAML; None if there is none."""
        given = self._options.policy or os.environ.get(_POLICY)
        path = given or next(filter(os.path.lexists, _default_policies()), None)
        if path is None and self._trust_of_yaml is None:
            return None
        # Not at the top: most builds have no policy.
        from pathlib import Path

        from compos.trust.policy import read_policy

        policies = [read_policy(Path(path), explicit=bool(given))] if path else []
        if self._trust_of_yaml is not None:
            from compos.trust.yaml_rules import yaml_policy

            policies += yaml_policy(self._trust_of_yaml)
        policies = [one for one in policies if one.explicit or not one.accepts_all]
        if not policies:
            return None
        from compos.trust.guard import Guard

        return Guard(self.store, policies, lambda: self.registry, self._located)

    def _located(self, reference: Reference) -> Reference:
        """The name that an image has at its registry: our bricks have a registry of their own."""
        from compos.image.reference import NAMESPACE, is_reserved

        if not self._mirrors.bricks or not is_reserved(reference):
            return reference
        name = reference.path.removeprefix(f"{NAMESPACE}/")
        domain, _, path = f"{self._mirrors.bricks}/{name}".partition("/")
        return reference._replace(domain=domain, path=path)

    def locked_images(
        self, lock: Lock, folder: Path, packages: LocalPackages, mirror: str | None = None
    ) -> LockedImages:
        """The images of `lock`, which lies in `folder`. `mirror` is asked for them in place of the
        lock's own; empty for none."""
        from compos.package.lock.sources import LockedImages

        repository = lock.mirror if mirror is None else mirror
        parts = self.lock_mirror(repository, lock) if repository else None
        pins = LockedImages(
            self.store,
            lock,
            folder,
            published=self._published_for,
            # Dockerfiles use locked images, too.
            builder=self.rebuilder(parts, lambda: self.images(pins=pins)),
            find=packages.find,
            mirror=parts,
        )
        return pins

    def lock_mirror(self, repository: str, lock: Lock) -> LockMirror:
        """The repository that holds the parts of `lock`."""
        from compos.package.lock.document import lock_text
        from compos.package.lock.mirror import LockMirror, tag_of

        # Signatures are asked for if somebody looks at them.
        tag = tag_of(lock_text(lock)) if self.trust else ""
        return LockMirror(repository, cache(lambda: self.registry), self.store, tag)

    def rebuilder(
        self, mirror: LockMirror | None, images: Callable[[], Images] | None = None
    ) -> Callable[[Choice], Builder]:
        """What makes builders that take the Debian packages of a choice, from wherever they can be
        had; `images` are those that Dockerfiles may use."""
        unsigned = cache(lambda: self._debian_mirror(signed=False))

        def dockerfiles() -> Dockerfiles:
            return self._dockerfiles_of(images or self.images)

        @cache
        def origins() -> PackageOrigins:
            from compos.package.lock.packages import PackageOrigins

            return PackageOrigins(unsigned, cache(self._snapshot), mirror.bring if mirror else None)

        def made(choice: Choice) -> Builder:
            # Not at the top: most locked builds have all that they need.
            from compos.package.build import Builder
            from compos.package.lock.packages import LockedPackages

            packages = LockedPackages(choice, origins(), self.store.root / "debian")
            return Builder(
                self.store,
                unsigned,
                packages,
                dockerfiles if images else None,
                shared=self.shared,
            )

        return made

    def _snapshot(self) -> Snapshot | None:
        from compos.http.client import Client
        from compos.package.debian.snapshot import SNAPSHOT_VARIABLE, Snapshot

        url = self._options.debian_snapshot or os.environ.get(SNAPSHOT_VARIABLE)
        return Snapshot.parse(url, Client(self._options.certificates)) if url else None

    def registry_for(self, reference: Reference) -> Registry:
        """The client that serves an image's name: that of bricks for ours."""
        from compos.image.reference import is_reserved

        return self._registry_of_bricks() if is_reserved(reference) else self.registry

    def _published_for(self, reference: Reference) -> ImageSource:
        from compos.image.reference import is_reserved
        from compos.image.registries.published import PublishedImages

        if is_reserved(reference):
            return PublishedImages(
                self.store, self._registry_of_bricks, reserved=True, key=self._key_of_bricks
            )
        return PublishedImages(self.store, lambda: self.registry)

    @property
    def unchecked_bricks(self) -> bool:
        """Whether bricks come from a registry that only the YAML names, and no key is required."""
        named = self._options.bricks or os.environ.get(_BRICKS)
        return bool(self._bricks_of_yaml) and not named and self._key_of_bricks is None

    def _registry_of_bricks(self) -> Registry:
        from compos.image.registries.registry import Registry

        return Registry(self._mirrors, certificates=self._options.certificates)

    @cached_property
    def _mirrors(self) -> Mirrors:
        from compos.image.registries.mirrors import Mirrors

        options = self._options
        bricks = options.bricks or os.environ.get(_BRICKS) or self._bricks_of_yaml
        return Mirrors.parse(options.mirrors, os.environ, options.insecure_registries, bricks)

    @cached_property
    def _key_of_bricks(self) -> BrickKey | None:
        path = self._options.bricks_key or os.environ.get(_BRICKS_KEY)
        if not path:
            return None
        from pathlib import Path

        from compos.trust.brick_key import BrickKey

        return BrickKey(Path(path))

    def _dockerfiles(self) -> Dockerfiles:
        options = self._dockerfile_options
        if options is None:
            return self._dockerfiles_of(self.images)
        credentials, fresh = options.credentials, options.fresh_bases
        return self._dockerfiles_of(lambda: self.images(pull=fresh, credentials=credentials))

    def _dockerfiles_of(self, images: Callable[[], Images]) -> Dockerfiles:
        """What builds Dockerfiles, which use `images`."""
        from compos.package.builders.build import Dockerfiles
        from compos.package.builders.request import BuildOptions

        options = self._dockerfile_options or BuildOptions()
        return Dockerfiles(self.store, images, self._save, options)

    def _save(self, images: Sequence[tuple[Image, str]], path: Path) -> None:
        """Write images to a file for `docker load`; each with a name, which may be empty."""
        from compos.output.export import docker_pieces
        from compos.tree.contents import Contents

        named = [(image, [name] if name else []) for image, name in images]
        with Contents(self.store.root) as contents, self.store.writing(), path.open("wb") as out:
            for chunk in contents.chunks(docker_pieces(self.store, named)):
                out.write(chunk)

    def _debian_mirror(self, *, signed: bool = True) -> Mirror:
        from compos.package.debian.mirror import default_mirror

        options = self._options
        return default_mirror(
            options.debian_mirror,
            options.debian_security_mirror,
            certificates=options.certificates,
            signed=signed,
        )


def _default_policies() -> tuple[str, str]:
    """Where skopeo and podman look for the policy (containers-policy.json(5)), the user's first."""
    configuration = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111  pathlib is not imported
    return f"{configuration}/containers/policy.json", "/etc/containers/policy.json"
