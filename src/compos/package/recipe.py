"""`build.yml`: what a package is made of, read strictly (docs/bricks.md).

May touch: the package's folder (reading).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from compos.config.load import SETTINGS_LABEL
from compos.config.model import File
from compos.config.nodes import read_nodes
from compos.config.problems import Problems
from compos.config.sources import read_source
from compos.errors import ComposError, PackageError
from compos.image.reference import Reference
from compos.package import recipe_fields
from compos.package.recipe_fields import (
    MADE_OF,
    Concatenation,
    Debian,
    Document,
    RecipeDecoder,
)
from compos.package.recipe_key import digest_of, source_file

__all__ = [
    "ARCHITECTURES",
    "ImageSettings",
    "Recipe",
    "load_recipe",
    "named",
]

ARCHITECTURES = ("amd64", "arm64", "riscv64")
LINUXKIT_ORG = "linuxkit"


class ImageSettings(NamedTuple):
    """What goes into the image's config (OCI image spec, config.md)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    labels: Mapping[str, str] = MappingProxyType({})


class Recipe(NamedTuple):
    """One `build.yml`. `folder` is where it stands, `content` the SHA-256 of its text.

    `dockerfile` says that the package is made by a Dockerfile: it has a name, but cannot be built
    from here. `empty` says that nothing at all is said about what is in the image.
    """

    folder: Path
    content: str
    image: str
    org: str
    tag: str
    arches: tuple[str, ...]
    settings: ImageSettings
    debian: Debian | None
    files: tuple[File, ...]
    concatenate: tuple[Concatenation, ...]
    links: Mapping[str, tuple[str, ...]]
    kernel: bool
    dockerfile: bool
    empty: bool

    @property
    def name(self) -> str:
        """Short name: org/image:tag."""
        return f"{self.org}/{self.image}:{self.tag}"

    @property
    def sources(self) -> list[str]:
        """The host files that build.yml names; `${arch}` stands in them as it is written."""
        return [entry.source for entry in self.files if entry.source]

    def digest(self, architecture: str) -> str:
        """What the image of `architecture` depends on in this folder: build.yml and the host files
        that it names."""
        return digest_of(self.folder, self.content, self.sources, architecture)

    def source(self, path: str, architecture: str) -> Path:
        """The host file that a `files` entry names. Raises `PackageError` (`brick-source`)."""
        return source_file(self.folder, path, architecture)


def load_recipe(folder: Path, *, org: str | None = None) -> Recipe:
    """Read `folder`/build.yml; `org` stands in place of its own. Raises `ConfigError`, or
    `CombinedError` for several mistakes; `PackageError`."""
    path = folder / "build.yml"
    if not path.is_file():
        raise PackageError(
            "package-missing",
            "the folder has no build.yml",
            place=str(folder),
            hint="Use the folder of a package.",
        )
    name, text = read_source(str(path), lambda: b"")
    problems = Problems()
    problems.source(name, text)
    node = read_nodes(text, name, problems)
    decoder = RecipeDecoder(name, problems)
    found = decoder.decode(node, recipe_fields.RECIPE) if node else None
    problems.raise_if_any()
    if not isinstance(found, Document):
        raise PackageError(
            "package-image", "build.yml is empty", place=str(path), hint="Add `image: NAME`."
        )
    found = found._replace(org=org or found.org)
    return _recipe(folder, found, hashlib.sha256(text.encode()).hexdigest())


def _recipe(folder: Path, found: Document, content: str) -> Recipe:
    made = any(getattr(found, name) is not None for name in MADE_OF)
    labels = dict(found.labels)
    if found.config is not None:
        labels[SETTINGS_LABEL] = json.dumps(found.config, separators=(",", ":"), ensure_ascii=False)
    recipe = Recipe(
        folder,
        content,
        found.image,
        LINUXKIT_ORG if found.org is None else found.org,
        _tag(folder, found),
        ARCHITECTURES if found.arches is None else found.arches,
        ImageSettings(found.entrypoint, found.cmd, found.env, found.workdir, labels),
        found.debian,
        found.files or (),
        found.concatenate or (),
        found.links or {},
        found.kernel is not None,
        not made and _has_dockerfile(folder, found.dockerfile),
        not made and not (folder / (found.dockerfile or "Dockerfile")).is_file(),
    )
    _check_name(recipe)
    return recipe


def _has_dockerfile(folder: Path, named: str | None) -> bool:
    """Whether there is a Dockerfile. Raises `PackageError` if one is named and is not there."""
    found = (folder / (named or "Dockerfile")).is_file()
    if named and not found:
        raise PackageError(
            "package-dockerfile",
            f"the Dockerfile {named!r} is missing",
            place=str(folder / "build.yml"),
            hint="Add it to the folder, or remove `dockerfile`.",
        )
    return found


def _check_name(recipe: Recipe) -> None:
    """What no image can be called is refused here, and not when it is to be stored."""
    try:
        if not recipe.image or not recipe.org:
            raise PackageError("package-image", f"{'image' if recipe.org else 'org'} is empty")
        Reference.parse(recipe.name)
    except ComposError as error:
        raise PackageError(
            "package-image",
            f"{recipe.name!r} is not a valid image name: {error.message}",
            place=str(recipe.folder / "build.yml"),
            hint="Change image, org or tag.",
        ) from error


def _tag(folder: Path, found: Document) -> str:
    template = found.tag or "{{.Hash}}"
    if "{{" not in template:
        return template
    # Not at the top: bricks have fixed tags, and every build reads their recipes.
    from compos.package.tag import content_hash, render_tag

    return render_tag(template, content_hash(folder, found.extra_sources))


def named(recipe: Recipe) -> str:
    """The canonical name of a recipe's image."""
    return str(Reference.parse(recipe.name))
