"""Which recipe a brick was built from: the key that stands beside it in the store.

May touch: the package's folder (reading). It reads no YAML, so that a build of what has not changed
need not either.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import PackageError

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["digest_of", "folder_files", "has_key", "recipe_key", "source_file"]

VERSION = 2
"""Counts up when the same recipe gives another image: 2 has the suite's updates and security
updates."""


def recipe_key(recipe: Recipe, architecture: str) -> str:
    """Names the recipe and the builder's version; a brick in the store with another key is out of
    date.

    A JSON array: the SHA-256 of what the image depends on, and the host files among that, so that
    `has_key` need not read YAML to find them.
    """
    return _key_of(recipe.name, recipe.digest(architecture), recipe.sources)


def has_key(folder: Path, name: str, architecture: str, key: str) -> bool:
    """Whether `key` is that of the recipe in `folder`, whose image has the short name `name`.

    What is said without reading YAML, at a tenth of the time: only True is certain. With the same
    build.yml, name and host files are the same, too.
    """
    try:
        _, *sources = json.loads(key)
        content = hashlib.sha256((folder / "build.yml").read_bytes()).hexdigest()
        digest = digest_of(folder, content, sources, architecture)
        return key == _key_of(name, digest, sources)
    except (ValueError, TypeError, AttributeError, RecursionError, OSError, PackageError):
        return False


def _key_of(name: str, digest: str, sources: list[str]) -> str:
    made_of = f"{VERSION} {name} {digest}"
    return json.dumps([hashlib.sha256(made_of.encode()).hexdigest(), *sources])


def source_file(folder: Path, path: str, architecture: str) -> Path:
    """A host file in `folder`: no link leads out of it, and it is a regular file. Raises
    `PackageError` (`brick-source`)."""
    found = folder / path.replace("${arch}", architecture)
    if not found.is_file():
        hint = (
            "Compile it with: python hatch_build.py " + architecture
            if "bin/" in path
            else "Add it to the folder."
        )
        what = "is not a file" if found.exists() else "is missing"
        raise PackageError("brick-source", f"the file {path!r} {what}", place=str(found), hint=hint)
    if not found.resolve().is_relative_to(folder.resolve()):
        raise PackageError(
            "brick-source",
            f"the file {path!r} is a link that leads out of the package's folder",
            place=str(found),
            hint="Copy the file into the folder.",
        )
    return found


def folder_files(folder: Path, path: str, architecture: str) -> tuple[Path, list[Path]]:
    """A folder of this machine in `folder`, and the regular files below it, sorted; links are
    passed over. Raises `PackageError` (`brick-source`)."""
    found = folder / path.replace("${arch}", architecture)
    if not found.is_dir() or not found.resolve().is_relative_to(folder.resolve()):
        raise PackageError(
            "brick-source",
            f"the folder {path!r} is missing, or a link that leads out of the package's folder",
            place=str(found),
            hint="Copy it into the package's folder.",
        )
    files = [Path(parent, name) for parent, _, names in os.walk(found) for name in names]
    return found, sorted(one for one in files if one.is_file() and not one.is_symlink())


def digest_of(folder: Path, content: str, sources: Iterable[str], architecture: str) -> str:
    """The SHA-256 of a build.yml, whose own is `content`, and of the host files that it names, and
    of what is in the folders, whose names end in a slash."""
    hasher = hashlib.sha256(content.encode())
    for path in sources:
        if path.endswith("/"):
            top, files = folder_files(folder, path, architecture)
            for one in files:
                hasher.update(os.fsencode(one.relative_to(top)) + b"\0")
                with one.open("rb") as stream:
                    hasher.update(hashlib.file_digest(stream, "sha256").digest())
            continue
        with source_file(folder, path, architecture).open("rb") as stream:
            hasher.update(hashlib.file_digest(stream, "sha256").digest())
    return hasher.hexdigest()
