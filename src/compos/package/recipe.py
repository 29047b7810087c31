"""`build.yml`: what a package is made of, read strictly (docs/bricks.md).

May touch: the package's folder (reading).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from compos.config.load import SETTINGS_LABEL
from compos.config.model import File
from compos.config.nodes import read_nodes
from compos.config.problems import Problems
from compos.config.sources import read_source
from compos.errors import ComposError, PackageError
from compos.image.reference import Reference
from compos.package import recipe_fields
from compos.package.naming import Naming
from compos.package.recipe_fields import (
    MADE_OF,
    Concatenation,
    Debian,
    Document,
    Kernel,
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
LINUXKIT_SOURCE = "https://github.com/linuxkit/linuxkit"
"""Where the packages of that organisation come from, if build.yml does not say."""
DOCKERFILE = "Dockerfile"


class ImageSettings(NamedTuple):
    """What goes into the image's config (OCI image spec, config.md)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    labels: Mapping[str, str] = MappingProxyType({})


class Recipe(NamedTuple):
    """One `build.yml`. `folder` is where it stands, `content` the SHA-256 of its text.

    `dockerfile` is the Dockerfile in the folder that the package is made by, if it is: empty for a
    recipe. `extra_sources`, `build_args`, `depends`, `network` and `disable_cache` belong to it.
    `empty` says that nothing at all is said about what is in the image. `naming` is what was said
    of the package elsewhere, and `names_content` whether its tag has the hash of its contents.
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
    kernel: Kernel | None
    dockerfile: str
    empty: bool
    extra_sources: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    depends: Mapping[str, Any] = MappingProxyType({})
    network: bool = False
    disable_cache: bool = False
    gitrepo: str = ""
    names_content: bool = False
    naming: Naming = Naming()

    @property
    def name(self) -> str:
        """Short name: org/image:tag."""
        return f"{self.org}/{self.image}:{self.tag}"

    @property
    def place(self) -> str:
        """Where the package is described, for errors."""
        return str(self.folder / self.naming.build_yml)

    @property
    def sources(self) -> list[str]:
        """The host files that build.yml names, and the folders, which end in a slash; `${arch}`
        stands in them as it is written."""
        named = [entry.source for entry in self.files if entry.source]
        return [*named, *(self.kernel.sources if self.kernel else ())]

    def digest(self, architecture: str) -> str:
        """What the image of `architecture` depends on in this folder: build.yml and the host files
        that it names, or the build context of a Dockerfile."""
        if self.dockerfile:
            # Few packages have one.
            from compos.package.builders.context import context_digest

            context = context_digest(self.folder, self.extra_sources)
            return hashlib.sha256(f"{self.content} {context}".encode()).hexdigest()
        return digest_of(self.folder, self.content, self.sources, architecture)

    def source(self, path: str, architecture: str) -> Path:
        """The host file that a `files` entry names. Raises `PackageError` (`brick-source`)."""
        return source_file(self.folder, path, architecture)


def load_recipe(folder: Path, naming: Naming | None = None) -> Recipe:
    """Read `folder`/build.yml; what `naming` says stands in place of its own. Raises `ConfigError`,
    or `CombinedError` for several mistakes; `PackageError`."""
    naming = naming or Naming()
    path = folder / naming.build_yml
    if not path.is_file():
        raise PackageError(
            "package-missing",
            f"the folder has no {naming.build_yml}",
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
            "package-image",
            f"{naming.build_yml} is empty",
            place=str(path),
            hint="Add `image: NAME`.",
        )
    found = found._replace(
        org=naming.org or found.org,
        tag=naming.tag or found.tag,
        dockerfile=naming.dockerfile or found.dockerfile,
    )
    return _recipe(folder, found, naming, _content(text, naming))


def _content(text: str, naming: Naming) -> str:
    """The SHA-256 of build.yml and of what is said beside it about the contents."""
    hasher = hashlib.sha256(text.encode())
    if naming.dockerfile:
        hasher.update(f"\0{naming.dockerfile}".encode())
    for path in naming.argument_files:
        # Not at the top: few packages have any.
        from compos.package.arguments import read_lines

        hasher.update(("\0" + "\n".join(read_lines(path))).encode())
    return hasher.hexdigest()


def _recipe(folder: Path, found: Document, naming: Naming, content: str) -> Recipe:
    made = any(getattr(found, name) is not None for name in MADE_OF)
    labels = dict(found.labels)
    if found.config is not None:
        labels[SETTINGS_LABEL] = json.dumps(found.config, separators=(",", ":"), ensure_ascii=False)
    tag, names_content = _tag(folder, found, naming)
    org = LINUXKIT_ORG if found.org is None else found.org
    recipe = Recipe(
        folder,
        content,
        found.image,
        org,
        tag,
        ARCHITECTURES if found.arches is None else found.arches,
        ImageSettings(found.entrypoint, found.cmd, found.env, found.workdir, labels),
        found.debian,
        found.files or (),
        found.concatenate or (),
        found.links or {},
        found.kernel,
        "" if made else _dockerfile(folder, found.dockerfile, naming),
        not made and not (folder / (found.dockerfile or DOCKERFILE)).is_file(),
        found.extra_sources,
        found.build_args,
        found.depends or {},
        found.network,
        found.disable_cache,
        (LINUXKIT_SOURCE if org == LINUXKIT_ORG else "")
        if found.gitrepo is None
        else found.gitrepo,
        names_content,
        naming,
    )
    _check_name(recipe)
    return recipe


def _dockerfile(folder: Path, named: str | None, naming: Naming) -> str:
    """The Dockerfile, if there is one. Raises `PackageError` if one is named and is not there."""
    if naming.dockerfile:
        for complaint in recipe_fields.beside(naming.dockerfile):
            raise PackageError(
                "package-dockerfile", complaint.message, place="--dockerfile", hint=complaint.hint
            )
    found = (folder / (named or DOCKERFILE)).is_file()
    if named and not found:
        raise PackageError(
            "package-dockerfile",
            f"the Dockerfile {named!r} is missing",
            place="--dockerfile" if naming.dockerfile else str(folder / naming.build_yml),
            hint="Add it to the folder, or remove `dockerfile`.",
        )
    return named or DOCKERFILE if found else ""


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
            place=recipe.place,
            hint="Change image, org or tag.",
        ) from error


def _tag(folder: Path, found: Document, naming: Naming) -> tuple[str, bool]:
    """The tag, and whether it has the hash of what is in the folder, or the one that was given
    for it."""
    template = found.tag or "{{.Hash}}"
    if "{{" not in template:
        return template, False
    # Not at the top: bricks have fixed tags, and every build reads their recipes.
    from compos.package.tag import content_hash, render_tag

    digest = content_hash(folder, found.extra_sources, naming)
    names_content = bool(digest) and (bool(naming.hash) or not naming.dev)
    return render_tag(template, digest), names_content


def named(recipe: Recipe) -> str:
    """The canonical name of a recipe's image."""
    return str(Reference.parse(recipe.name))
