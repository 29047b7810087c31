"""Build arguments of a Dockerfile as LinuxKit computes them (docs/linuxkit.md#cli-2.6): presets,
those of `build.yml`, those of files, and names of other packages' images in their values.

May touch: the files and folders that are named (reading), and git's work trees around them.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import ComposError, PackageError
from compos.package.tag import Version

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["argument_packages", "build_arguments", "presets", "read_lines"]

MAX_FILE = 1 << 20
"""Bytes of a file of build arguments."""

MAX_ALTERNATIVES = 1000
"""Patterns that the braces of one may stand for."""

_COMPUTED = "@lkt:"
_PACKAGE = "@lkt:pkg:"
_PACKAGES = "@lkt:pkgs:"
_EACH = "%"
_BRACES = re.compile(r"\{([^{}]*)\}")


def presets(recipe: Recipe, version: Version) -> dict[str, str]:
    """What every Dockerfile gets, unless build.yml or a file says something else."""
    found = {
        "SOURCE": recipe.gitrepo,
        "REVISION": "" if version.dirty else version.revision,
        "GOPKGVERSION": version.go,
        "PKG_HASH": version.hash,
        "PKG_IMAGE": f"{recipe.org}/{recipe.image}",
    }
    return {name: value for name, value in found.items() if value}


def build_arguments(recipe: Recipe, version: Version) -> Mapping[str, str]:
    """All build arguments of `recipe`; later ones take precedence. Raises `PackageError`
    (`package-build-arg`), and whatever makes a package unreadable that a value names."""
    found = presets(recipe, version)
    for line in _lines(recipe):
        found.update((name, value) for name, value, _ in _computed(*line))
    return found


def argument_packages(recipe: Recipe) -> Iterator[tuple[str, Recipe, str]]:
    """The packages that build arguments of `recipe` name, with the argument's name, and where it
    is said. Raises as `build_arguments`."""
    for line in _lines(recipe):
        for name, _, package in _computed(*line):
            if package is not None:
                yield name, package, line[-1]


def _lines(recipe: Recipe) -> Iterator[tuple[str, str, Path, str]]:
    """Arguments as they are written: name, value, the folder that paths start from, the place."""
    for text in recipe.build_args:
        name, _, value = text.partition("=")
        yield name, value, recipe.folder, recipe.place
    for path in recipe.naming.argument_files:
        for number, line in enumerate(read_lines(path), start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, equals, value = text.partition("=")
            place = f"{path}:{number}"
            if not equals or not name.strip() or "\0" in text:
                raise _wrong(f"{text[:100]!r} is not NAME=VALUE", place, "Write NAME=VALUE.")
            yield name.strip(), value.strip(), path.parent, place


def read_lines(path: Path) -> list[str]:
    """The lines of a file of build arguments. Raises `PackageError` (`package-build-arg`)."""
    try:
        if not path.is_file():
            raise _wrong("the file is missing", str(path), "Use a file with NAME=VALUE lines.")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise _wrong(
            f"the file cannot be read: {reason}", str(path), "Use a file with NAME=VALUE lines."
        ) from error
    if len(data) > MAX_FILE:
        raise _wrong(f"the file is larger than {MAX_FILE >> 20} MiB", str(path), "Use fewer.")
    return text.split("\n")


def _computed(
    name: str, value: str, folder: Path, place: str
) -> Iterator[tuple[str, str, Recipe | None]]:
    """The arguments that one line stands for, and the package that each names, if it does."""
    if not value.startswith(_COMPUTED):
        yield name, value, None
        return
    try:
        if value.startswith(_PACKAGE):
            package = _package(folder / value.removeprefix(_PACKAGE))
            yield name, package.name, package
        elif value.startswith(_PACKAGES):
            yield from _each(name, value.removeprefix(_PACKAGES), folder, place)
        else:
            hint = f"Use {_PACKAGE}FOLDER or {_PACKAGES}PATTERN."
            raise _wrong(f"{value[:100]!r} is not known", place, hint)
    except ComposError as error:
        if not (error.place or "").startswith(place):
            error.place = f"{place}: {error.place}" if error.place else place
        raise


def _each(name: str, pattern: str, folder: Path, place: str) -> Iterator[tuple[str, str, Recipe]]:
    if _EACH not in name:
        hint = f"Write NAME_{_EACH}={_PACKAGES}PATTERN."
        raise _wrong(f"the name {name[:100]!r} has no {_EACH} for the packages", place, hint)
    matched = [
        folder / path
        for one in _alternatives(pattern, place)
        for path in sorted(glob.glob(one, root_dir=folder))  # noqa: PTH207  patterns may be absolute
    ]
    folders = [
        path for path in dict.fromkeys(matched) if path.is_dir() and not path.name.startswith(".")
    ]
    if not folders:
        raise _wrong(f"no folder matches {pattern[:100]!r}", place, "Use a pattern of packages.")
    for path in folders:
        package = _package(path)
        image = f"{package.org}/{package.image}".upper().replace("/", "_").replace("-", "_")
        yield name.replace(_EACH, image), package.name, package


def _alternatives(pattern: str, place: str) -> list[str]:
    """The patterns that one with lists in braces stands for: `{a,b}*` is `a*` and `b*`."""
    done: list[str] = []
    waiting = [pattern]
    while waiting:
        if len(waiting) + len(done) > MAX_ALTERNATIVES:
            hint = f"Use at most {MAX_ALTERNATIVES} alternatives."
            raise _wrong("the pattern has too many lists in braces", place, hint)
        one = waiting.pop(0)
        found = _BRACES.search(one)
        if found is None:
            done.append(one)
            continue
        start, end = one[: found.start()], one[found.end() :]
        waiting = [*(f"{start}{part}{end}" for part in found[1].split(",")), *waiting]
    return done


def _package(folder: Path) -> Recipe:
    # Not at the top: it reads YAML, and few arguments name a package.
    from compos.package.recipe import load_recipe

    return load_recipe(folder)


def _wrong(message: str, place: str, hint: str) -> PackageError:
    return PackageError("package-build-arg", message, place=place, hint=hint)
