"""What a lock makes of a build's inputs: exactly the images and the YAML that it names
(docs/lock.md).

May touch: the lock, the store, the network for what the store lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from compos.api.access import Access
from compos.api.options import ImageOptions
from compos.config.sources import is_url
from compos.package.local import LocalPackages
from compos.package.lock.document import read_lock
from compos.package.lock.mirror import repository_of
from compos.package.lock.model import Lock
from compos.package.lock.sources import LockedImages
from compos.package.lock.yaml_sources import YamlSources
from compos.progress import notice
from compos.version import __version__

__all__ = ["LockedInputs"]


class LockedInputs:
    """The inputs that the lock at `path` names. `mirror_from` is a repository that has its parts,
    in place of its own."""

    def __init__(self, path: Path, images: ImageOptions, mirror_from: str | None = None) -> None:
        self._path = path
        self._images = images
        self._mirror = repository_of(mirror_from) if mirror_from else None

    @cached_property
    def _lock(self) -> Lock:
        return read_lock(self._path)

    @cached_property
    def _yaml(self) -> YamlSources:
        access = Access(self._images)
        repository = self._lock.mirror if self._mirror is None else self._mirror
        return YamlSources(
            access.store,
            self._lock.sources,
            mirror=access.lock_mirror(repository, self._lock) if repository else None,
            complete=True,
        )

    def take(self, source: str, name: str, read: Callable[[], bytes]) -> bytes:
        """As `config.sources.Take`. Raises `PackageError` (`lock-*`)."""
        # Without URLs the lock is read only once it is known that the YAML is good.
        return self._yaml.take(source, name, read) if is_url(source) else read()

    def pins(self, access: Access, packages: LocalPackages) -> LockedImages:
        """What the lock says of the images, from here on also for `access`. Raises
        `PackageError` (`lock-*`)."""
        if self._lock.tool != __version__:
            notice(
                f"{self._path} was written by compos {self._lock.tool}; this is {__version__}, "
                "which may lay out the same images in another way."
            )
        pins = access.locked_images(self._lock, self._path.parent, packages, self._mirror)
        access.pins = pins
        return pins
