"""Whether a lock is current: what it lacks, what has changed, which packages Debian has newer, and
which of these are security updates.

May touch: the network, the Debian mirror, the folders of packages (reading). Nothing is fetched but
names and indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from compos.image.model import Descriptor
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.registries.registry import Registry
from compos.image.source import canonical_name
from compos.package.build import Builder
from compos.package.lock.make import Named
from compos.package.lock.model import (
    BuiltImage,
    Find,
    Lock,
    Locked,
    key_of,
    locked_recipe,
    recipe_digest,
)
from compos.package.outdated import Newer, newer_packages, require_security
from compos.package.recipe import Recipe
from compos.version import __version__

__all__ = ["Change", "changed_sources", "changes"]


class Change(NamedTuple):
    """What would be different in a lock that was written now: for an image and a platform (empty
    for a URL), or for the whole lock (both empty), the reasons in words, and newer Debian
    packages."""

    name: str
    platform: str
    reasons: tuple[str, ...] = ()
    packages: tuple[Newer, ...] = ()

    @property
    def security(self) -> bool:
        """Whether any of it is a security update."""
        return any(package.security for package in self.packages)


def changed_sources(lock: Lock, found: Mapping[str, Descriptor]) -> list[Change]:
    """What has changed in the YAML that comes from URLs: `found` is what they stand for now."""
    reasons = {name: "not in the system any more" for name in lock.sources if name not in found}
    for name, now in found.items():
        known = lock.sources.get(name)
        if known is None:
            reasons[name] = "not locked"
        elif known.digest != now.digest:
            reasons[name] = f"the server has {now.digest}"
    return [Change(name, "", (reason,)) for name, reason in sorted(reasons.items())]


def changes(
    lock: Lock,
    folder: Path,
    wanted: Iterable[Named],
    platform: Platform,
    *,
    builder: Builder,
    registry: Callable[[Reference], Registry],
    find: Find,
    keep: Callable[[str], bool],
) -> list[Change]:
    """What has changed since `lock`, which lies in `folder`, was written for the images `wanted`.
    Raises `PackageError`, `ImageError`, `NetworkError` for what cannot be found out."""
    found = []
    if lock.tool != __version__ and any(one.built for one in lock.images.values()):
        found.append(Change("", "", (f"written by compos {lock.tool}, this is {__version__}",)))
    images = _with_bases(wanted, lock, folder)
    names = {key_of(one.name, folder) for one in images}
    for key, locked in lock.images.items():
        if key not in names and platform in locked.platforms and not keep(key):
            found.append(Change(key, str(platform), ("not in the system any more",)))
    for named in images:
        locked_image = lock.images.get(key_of(named.name, folder))
        name = canonical_name(named.name)
        if locked_image is None:
            found.append(Change(name, str(platform), ("not locked",)))
        elif locked_image.built:
            found += _built(name, named, locked_image, platform, builder, find)
        elif not is_local(named.name):
            found += _published(name, named, locked_image, registry)
    return found


def _with_bases(wanted: Iterable[Named], lock: Lock, folder: Path) -> list[Named]:
    """`wanted`, and the images that their Dockerfiles use."""
    images = list(wanted)
    known = {key_of(one.name, folder) for one in images}
    # It grows while it is looked at: a base may have bases.
    for one in images:
        locked = lock.images.get(key_of(one.name, folder))
        for built in locked.built.values() if locked else ():
            for base in built.bases:
                if base not in known:
                    known.add(base)
                    images.append(Named(base, lock.images[base].platforms))
    return images


def _published(
    name: str, named: Named, locked: Locked, registry: Callable[[Reference], Registry]
) -> list[Change]:
    published = locked.published
    reference = Reference.parse(name)
    if published is None:
        return []
    missing = [one for one in named.platforms if one not in published.manifests]
    if missing and not named.as_published:
        return [Change(name, str(one), ("not locked",)) for one in missing]
    if reference.digest:
        return []
    now = registry(reference).digest(reference)
    if now == published.root.digest:
        return []
    reason = f"the registry has {now}" if now else "the registry does not have it any more"
    return [Change(name, str(one), (reason,)) for one in sorted(published.manifests)]


def _built(
    name: str,
    named: Named,
    locked: Locked,
    platform: Platform,
    builder: Builder,
    find: Find,
) -> list[Change]:
    recipe = locked_recipe(name, find)
    found = []
    for one in named.platforms or (platform,):
        image = locked.built.get(one)
        if image is None:
            found.append(Change(name, str(one), ("not locked",)))
        elif recipe is None:
            found.append(Change(name, str(one), ("its recipe is not there any more",)))
        else:
            change = _recipe(name, recipe, one, image, builder)
            if change.reasons or change.packages:
                found.append(change)
    return found


def _recipe(
    name: str, recipe: Recipe, platform: Platform, image: BuiltImage, builder: Builder
) -> Change:
    reasons = []
    if image.recipe != recipe_digest(recipe, platform):
        reasons.append("different recipe")
    packages: tuple[Newer, ...] = ()
    if recipe.debian is not None:
        architecture = platform.architecture
        index = builder.indexes.index(recipe.debian, architecture)
        require_security(index)
        now = {one.name: one for one in builder.newest.choose(recipe, architecture).packages}
        built = {one.name: (one.version, one.source) for one in image.choice.packages}
        packages = newer_packages(index, now, built)
        added = sorted(set(now) - set(built) - {one.replacement for one in packages})
        reasons += [f"now needs {one} {now[one].version}" for one in added]
    return Change(name, str(platform), tuple(reasons), packages)
