"""`compos.lock`: the lock of a system, written, updated and checked (docs/lock.md).

May touch: the store, the network, the Debian mirror, and the lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from compos.api.access import Access
from compos.api.load import load
from compos.api.options import ImageOptions, LoadOptions
from compos.config.images import image_references, layout_volumes, registry_of_bricks
from compos.config.slot_keys import encrypts_roots
from compos.errors import PackageError
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.source import canonical_name
from compos.image.staging import write_atomically
from compos.output.formats import FORMATS, choose, tools
from compos.package.lock.currency import Change, changed_sources, changes
from compos.package.lock.document import lock_path, lock_text, read_lock
from compos.package.lock.make import Named, Sources, lock_images
from compos.package.lock.mirror import repository_of
from compos.package.lock.model import Lock, key_of
from compos.package.lock.yaml_sources import YamlSources
from compos.progress import Listener, listening, notice
from compos.suggestion import question, similar
from compos.version import __version__

__all__ = ["LockOptions", "check_lock", "lock"]


class LockOptions(NamedTuple):
    """What to lock, and where the lock is.

    `path` is the lock; the default is beside the last source. `formats` and `root` are those of the
    build: images that outputs are made with are locked, too. Images and URLs in `update` are
    locked as they are now, all if it is empty, and none but new ones if it is None. `mirror_to` is
    the repository of a registry that all parts are pushed to.
    """

    load: LoadOptions = LoadOptions()
    images: ImageOptions = ImageOptions()
    path: Path | None = None
    formats: tuple[str, ...] = ()
    root: str = "auto"
    update: tuple[str, ...] | None = None
    mirror_to: str | None = None


def lock(
    sources: Sequence[str | os.PathLike[str]],
    options: LockOptions = LockOptions(),
    *,
    listener: Listener | None = None,
) -> Path:
    """Write the lock of the system that `sources` describe, and return its path. Raises
    `ComposError` as `compos.build` does; `PackageError` (`lock-*`)."""
    with listening(listener):
        return _System([os.fspath(source) for source in sources], options, check=False).write()


def check_lock(
    sources: Sequence[str | os.PathLike[str]],
    options: LockOptions = LockOptions(),
    *,
    listener: Listener | None = None,
) -> list[Change]:
    """What has changed since the system's lock was written; nothing if it is current. Raises as
    `lock` does."""
    with listening(listener):
        return _System([os.fspath(source) for source in sources], options, check=True).changes()


class _System:
    """A system, and its lock."""

    def __init__(self, sources: Sequence[str], options: LockOptions, *, check: bool) -> None:
        self._options = options
        self._path = options.path or lock_path(sources)
        self._yaml = self._yaml_sources(check=check)
        self._description = load(sources, options.load, take=self._yaml.take)
        self._config, self._platform, self._packages = self._description
        self._access = Access(
            options.images,
            bricks=registry_of_bricks(self._config),
            trust=self._config.trust,
        )
        if self._packages:
            # Not at the top: most systems name no package by its folder.
            from compos.api.package_graph import named_packages

            named_packages(self._access, self._description)

    @property
    def _folder(self) -> Path:
        return self._path.parent

    @cached_property
    def _old(self) -> Lock | None:
        return read_lock(self._path) if self._path.exists() else None

    def _yaml_sources(self, *, check: bool) -> YamlSources:
        """What URLs stand for: what the lock says, unless that is to be checked or updated."""
        access, old, update = Access(self._options.images), self._old, self._options.update
        if check or not old or update == ():
            return YamlSources(access.store, {})
        return YamlSources(
            access.store,
            {name: it for name, it in old.sources.items() if name not in (update or ())},
            mirror=access.lock_mirror(old.mirror, old) if old.mirror else None,
        )

    @cached_property
    def _wanted(self) -> list[Named]:
        formats = choose(self._options.formats, to_file=False)
        names = (
            *image_references(self._config),
            *tools(formats, self._options.root, encrypted=encrypts_roots(self._config.slots)),
        )
        wanted = [Named(name, (self._platform,)) for name in dict.fromkeys(names)]
        for volume, name in layout_volumes(self._config):
            platforms = tuple(map(Platform.parse, volume.platforms or ()))
            wanted.append(Named(name, platforms, as_published=True))
        return wanted

    def write(self) -> Path:
        """Write the lock, if it is another one than before."""
        options = self._options
        mirror = repository_of(options.mirror_to) if options.mirror_to else ""
        old = self._old
        images = lock_images(
            self._wanted,
            self._folder,
            self._sources(),
            old=old,
            updated=self._updated(),
            keep=_is_tool,
            platform=self._platform,
        )
        made = Lock(__version__, images, mirror or (old.mirror if old else ""), self._yaml.found)
        text = lock_text(made)
        if mirror:
            self._push(made, text, old.mirror if old else "")
        if old is None or lock_text(old) != text:
            self._put(text)
            notice(f"Wrote {self._path}")
        else:
            notice(f"{self._path} is unchanged")
        return self._path

    def _put(self, text: str) -> None:
        try:
            write_atomically(self._path, text.encode(), self._folder)
        except OSError as error:
            raise PackageError(
                "lock-unwritable",
                f"the lock cannot be written: {error.strerror or error}",
                place=str(self._path),
                hint="Name another place with --lock FILE.",
            ) from error

    def changes(self) -> list[Change]:
        """What a lock that was written now would have different."""
        lock = read_lock(self._path)
        return changed_sources(lock, self._yaml.found) + changes(
            lock,
            self._folder,
            self._wanted,
            self._platform,
            builder=self._access.builder,
            registry=self._access.registry_for,
            find=self._packages.find,
            keep=_is_tool,
        )

    def _sources(self) -> Sources:
        access = self._access
        # Packages are built when they are locked, in their order: what stays locked is not.
        access.built = None
        return Sources(
            access.store,
            access.images(packages=self._packages),
            access.images(pull=True, packages=self._packages),
            access.builder,
            access.rebuilder(None),
            self._packages.find,
            access.has_bricks,
            partial(self._packages.needs, bricks=not access.has_bricks),
        )

    def _updated(self) -> Callable[[str], bool]:
        """Whether the user wants an image anew. Raises `PackageError` (`lock-name`)."""
        update = self._options.update
        if update is None:
            return lambda key: False
        if not update:
            return lambda key: True
        keys = {key_of(one.name, self._folder) for one in self._wanted}
        chosen = set()
        for name in update:
            if name in self._yaml.found:
                continue
            found = {key for key in keys if _is_named(key, name)}
            if not found:
                known = sorted({*keys, *self._yaml.found})
                raise PackageError(
                    "lock-name",
                    "the system has no image or YAML of this name",
                    place=name,
                    hint=question(similar(name, known)) or "Check the name.",
                )
            chosen |= found
        return lambda key: key in chosen

    def _push(self, made: Lock, text: str, earlier: str) -> None:
        """Push all parts of the lock `made`, whatever platform they are for; what the store lacks
        comes from where it always comes from, or from the `earlier` mirror."""
        access = self._access
        pins = access.locked_images(made, self._folder, self._packages, mirror=earlier)
        images = access.images(packages=self._packages, pins=pins)
        files = []
        for key, locked in made.images.items():
            for platform in () if is_local(key) else locked.platforms:
                images.image(key, platform)
            for built in locked.built.values():
                packages = built.choice.packages
                files += [*zip(packages, pins.packages(built.choice), strict=True)]
        target = access.lock_mirror(made.mirror, made).push(made, text, files)
        notice(f"Pushed {target}")


def _is_tool(key: str) -> bool:
    """Whether outputs are made with an image: then it is kept, for other formats than today's."""
    return key in {
        canonical_name(name) for name in tools([*FORMATS.values()], "auto", encrypted=True)
    }


def _is_named(key: str, name: str) -> bool:
    """Whether `name`, with or without its tag, means the image `key`."""
    one, other = Reference.find(key), Reference.find(name)
    if one is None or other is None:
        return key == name
    return (one.domain, one.path) == (other.domain, other.path) and other.tag in ("", one.tag)
