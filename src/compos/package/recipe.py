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

from compos.config.model import File
from compos.errors import PackageError
from compos.image.reference import Reference

__all__ = [
    "ARCHITECTURES",
    "RECIPE",
    "Concatenation",
    "Debian",
    "ImageSettings",
    "Recipe",
    "load_recipe",
    "named",
    "recipe_key",
]

ARCHITECTURES = ("amd64", "arm64", "riscv64")
CONFIG_LABEL = "org.mobyproject.config"
LINUXKIT_ORG = "linuxkit"


class ImageSettings(NamedTuple):
    """What goes into the image's config (OCI image spec, config.md)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    labels: Mapping[str, str] = MappingProxyType({})


class Debian(NamedTuple):
    """The `debian` section. `packages` are names, or mappings from architecture to name."""

    packages: tuple[str | Mapping[str, str], ...]
    suite: str = "trixie"
    components: tuple[str, ...] = ("main",)
    without: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    move: Mapping[str, str] = MappingProxyType({})

    def names(self, architecture: str) -> tuple[str, ...]:
        """Package names for an architecture; a mapping that lacks it gives none."""
        names = (item if isinstance(item, str) else item.get(architecture) for item in self.packages)
        return tuple(name for name in names if name)


class Concatenation(NamedTuple):
    """A file made of others: `sources` are globs in the packages' files, joined in order of their names."""

    path: str
    sources: tuple[str, ...]


class Recipe(NamedTuple):
    """One `build.yml`. `folder` is where it stands; `digest` names everything in that folder that can matter.

    `dockerfile` says that the package is made by a Dockerfile: it has a name, but cannot be built from here.
    """

    folder: Path
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

    @property
    def name(self) -> str:
        """Short name: org/image:tag."""
        return f"{self.org}/{self.image}:{self.tag}"

    def digest(self, architecture: str) -> str:
        """What the image of `architecture` depends on in this folder: build.yml and the host files that it names."""
        hasher = hashlib.sha256((self.folder / "build.yml").read_bytes())
        for entry in self.files:
            if entry.source:
                hasher.update(hashlib.sha256(self.source(entry.source, architecture).read_bytes()).digest())
        return hasher.hexdigest()

    def source(self, path: str, architecture: str) -> Path:
        """A host file that a `files` entry names. Raises `PackageError` when it is not there."""
        found = self.folder / path.replace("${arch}", architecture)
        if not found.is_file():
            hint = (
                "Compile it with: python hatch_build.py " + architecture if "bin/" in path else "Add it to the folder."
            )
            raise PackageError("brick-source", f"the file {path!r} is missing", place=str(found), hint=hint)
        return found


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "image": str,
    "org": str,
    "tag": str,
    "arches": list,
    "debian": dict,
    "files": list,
    "concatenate": list,
    "links": dict,
    "kernel": dict,
    "entrypoint": list,
    "cmd": list,
    "env": list,
    "workdir": str,
    "labels": dict,
    "config": dict,
    # LinuxKit's, without meaning here: nothing is run while a brick is built.
    "gitrepo": str,
    "network": bool,
    "disable-cache": bool,
    "buildArgs": list,
    "depends": dict,
    # They make the package's name.
    "dockerfile": str,
    "extra-sources": list,
}
_MADE_OF = ("debian", "files", "concatenate", "links", "kernel")
_DEBIAN_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "suite": str,
    "components": list,
    "packages": list,
    "without": list,
    "keep": list,
    "drop": list,
    "move": dict,
}
_FILE_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "path": str,
    "contents": str,
    "source": str,
    "symlink": str,
    "directory": bool,
    "mode": str,
    "uid": int,
    "gid": int,
}
_CONCATENATION_FIELDS: Mapping[str, type | tuple[type, ...]] = {"path": str, "sources": list}


def load_recipe(folder: Path) -> Recipe:
    """Read `folder`/build.yml. Raises `PackageError`."""
    import yaml

    path = folder / "build.yml"
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except FileNotFoundError as error:
        raise PackageError(
            "package-missing", "there is no build.yml here", place=str(folder), hint="Name a package's folder."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError("package-unreadable", f"build.yml cannot be read: {error}", place=str(path)) from error
    except yaml.YAMLError as error:
        raise PackageError("yaml-syntax", f"build.yml is not YAML: {error}", place=str(path)) from error
    values = _checked(document, _FIELDS, str(path))
    if not values.get("image"):
        raise PackageError("package-image", "build.yml names no image", place=str(path), hint="Add `image: NAME`.")
    labels = {str(key): str(value) for key, value in values.get("labels", {}).items()}
    if "config" in values:
        labels[CONFIG_LABEL] = json.dumps(values["config"], separators=(",", ":"), ensure_ascii=False)
    return Recipe(
        folder,
        values["image"],
        values.get("org", LINUXKIT_ORG),
        _tag(folder, values),
        _texts(values.get("arches", list(ARCHITECTURES))),
        ImageSettings(
            _texts(values.get("entrypoint", [])),
            _texts(values.get("cmd", [])),
            _texts(values.get("env", [])),
            values.get("workdir", ""),
            labels,
        ),
        _debian(values["debian"], f"{path}: debian") if "debian" in values else None,
        tuple(_file(item, f"{path}: files[{index}]") for index, item in enumerate(values.get("files", []))),
        tuple(
            Concatenation(item["path"], _texts(item["sources"]))
            for index, item in enumerate(values.get("concatenate", []))
            if _checked(item, _CONCATENATION_FIELDS, f"{path}: concatenate[{index}]")
        ),
        {str(target): _texts(paths) for target, paths in values.get("links", {}).items()},
        "kernel" in values,
        not any(key in values for key in _MADE_OF) and (folder / values.get("dockerfile", "Dockerfile")).is_file(),
    )


def _tag(folder: Path, values: Mapping[str, Any]) -> str:
    template = values.get("tag") or "{{.Hash}}"
    if "{{" not in template:
        return str(template)
    # Not at the top: bricks have fixed tags, and every build reads their recipes.
    from compos.package.tag import content_hash, render_tag

    digest = content_hash(folder, _texts(values.get("extra-sources", [])))
    return render_tag(template, digest)


def _checked(value: object, fields: Mapping[str, type | tuple[type, ...]], place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PackageError("package-type", "a mapping is needed here", place=place)
    for key, item in value.items():
        if key not in fields:
            import difflib

            near = difflib.get_close_matches(str(key), fields, 1)
            raise PackageError(
                "package-unknown-key",
                f"there is no key {key!r}",
                place=place,
                hint=f"Did you mean {near[0]!r}?" if near else f"Keys are: {', '.join(fields)}.",
            )
        if not isinstance(item, fields[key]):
            wanted = fields[key]
            name = wanted.__name__ if isinstance(wanted, type) else "value"
            raise PackageError("package-type", f"{key} must be a {name}", place=place)
    return value


def _texts(items: list[object]) -> tuple[str, ...]:
    return tuple(str(item) for item in items)


def _debian(value: object, place: str) -> Debian:
    values = _checked(value, _DEBIAN_FIELDS, place)
    if not values.get("packages"):
        raise PackageError("package-type", "debian.packages is missing", place=place)
    packages = tuple(item if isinstance(item, dict) else str(item) for item in values["packages"])
    keep = values.get("keep")
    return Debian(
        packages,
        values.get("suite", "trixie"),
        _texts(values.get("components", ["main"])),
        _texts(values.get("without", [])),
        None if keep is None else _texts(keep),
        _texts(values.get("drop", [])),
        {str(old): str(new) for old, new in values.get("move", {}).items()},
    )


def _file(value: object, place: str) -> File:
    values = _checked(value, _FILE_FIELDS, place)
    if not values.get("path"):
        raise PackageError("package-type", "a file needs a path", place=place)
    return File(**values)


VERSION = 1
"""Counts up when the same recipe and packages give another image."""

RECIPE = "org.compos.brick.recipe"
"""Annotation of a brick in the store: what it was built from, without the Debian index."""


def recipe_key(recipe: Recipe, architecture: str) -> str:
    """Names the recipe and the builder's version; a brick in the store with another key is out of date."""
    return hashlib.sha256(f"{VERSION} {recipe.name} {recipe.digest(architecture)}".encode()).hexdigest()


def named(recipe: Recipe) -> str:
    """The canonical name of a recipe's image."""
    return str(Reference.parse(recipe.name))
