"""What a lock says, as values; and the recipes that its images are built from.

May touch: the folders of packages (reading).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from compos.image.digest import Digest, digest_of
from compos.image.json_document import canonical_json
from compos.image.model import (
    ATTESTATION,
    INDEX,
    REFERENCE_DIGEST,
    REFERENCE_TYPE,
    Descriptor,
)
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.source import canonical_name
from compos.package.bricks import find_brick
from compos.package.choice import Choice
from compos.package.debian.package import Package
from compos.package.recipe_key import recipe_key

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = [
    "YAML",
    "BuiltImage",
    "Find",
    "Lock",
    "Locked",
    "Published",
    "index_of",
    "key_of",
    "locked_recipe",
    "recipe_digest",
]


YAML = "application/yaml"
"""The media type of YAML (RFC 9512, section 2.1)."""

Find = Callable[[str], "Recipe | None"]
"""The package of the system's tree whose image has a canonical name, if any. For several threads.
Raises `PackageError`."""


class BuiltImage(NamedTuple):
    """A package's image for one platform, as it was built.

    `manifest` and `attestations` (manifests, too) are what came out; `recipe` is the digest of the
    recipe and of all files that it is made from, `choice` the Debian packages that went in, `bases`
    the images that a Dockerfile uses, by `key_of`.
    """

    manifest: Descriptor
    attestations: tuple[Descriptor, ...]
    recipe: Digest
    choice: Choice
    bases: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[Digest, ...]:
        """Those of the manifest and the attestations."""
        return (self.manifest.digest, *(one.digest for one in self.attestations))


class Published(NamedTuple):
    """An image of a registry or an archive: its manifest or index, and what that has for each
    platform that was locked."""

    root: Descriptor
    manifests: Mapping[Platform, Digest]


class Locked(NamedTuple):
    """What a name stands for: an image that was published, or one that is built, by platform."""

    published: Published | None = None
    built: Mapping[Platform, BuiltImage] = MappingProxyType({})

    def digest(self, platform: Platform) -> Digest | None:
        """The manifest for `platform`; None when it is not locked."""
        if self.published:
            return self.published.manifests.get(platform)
        return self.built[platform].manifest.digest if platform in self.built else None

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Those that are locked, sorted."""
        return tuple(sorted(self.published.manifests if self.published else self.built))


class Lock(NamedTuple):
    """A lock: `tool` is the version of compos that wrote it, `images` what each name stands for
    (by `key_of`), `mirror` the repository of a registry that holds all parts, or empty, `sources`
    the YAML from URLs, by the URLs without their secrets."""

    tool: str
    images: Mapping[str, Locked]
    mirror: str = ""
    sources: Mapping[str, Descriptor] = MappingProxyType({})

    @property
    def packages(self) -> Iterator[Package]:
        """The Debian packages of all images, each once, sorted."""
        found = {
            package: None
            for locked in self.images.values()
            for built in locked.built.values()
            for package in built.choice.packages
        }
        return iter(sorted(found, key=lambda one: (one.suite, one.name, one.version, one.sha256)))


def key_of(name: str, folder: Path) -> str:
    """What an image is called in the lock in `folder`: its canonical name; for one of this machine
    the path from there, so that the folder may lie elsewhere on another machine."""
    if not is_local(name):
        return canonical_name(name)
    scheme, _, path = name.partition(":")
    return f"{scheme}:{os.path.relpath(path, folder.absolute())}"


def index_of(built: Mapping[Platform, BuiltImage]) -> tuple[Descriptor, bytes]:
    """The index that has exactly these images, with their SBOMs: the same wherever it is made."""
    nowhere = Platform("unknown", "unknown")
    entries = []
    for platform, image in built.items():
        about = {REFERENCE_DIGEST: image.manifest.digest, REFERENCE_TYPE: ATTESTATION}
        entries.append(image.manifest._replace(platform=platform))
        entries += [one._replace(annotations=about, platform=nowhere) for one in image.attestations]
    entries.sort(key=lambda entry: (str(entry.platform), entry.digest))
    manifests = [entry.to_json() for entry in entries]
    data = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    return Descriptor(INDEX, digest_of(data), len(data)), data


def locked_recipe(name: str, find: Find) -> Recipe | None:
    """The recipe that the image `name` (canonical) is built from: what `find` has, or a brick's;
    None for images that are published."""
    own = find(name)
    if own is not None:
        return own
    reference = Reference.find(name)
    return find_brick(reference) if reference else None


def recipe_digest(recipe: Recipe, platform: Platform) -> Digest:
    """What identifies a recipe, the files that it names, and the builder's version."""
    return Digest(f"sha256:{json.loads(recipe_key(recipe, platform.architecture))[0]}")
