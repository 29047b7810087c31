"""Images that a Dockerfile needs as files (`depends.docker-images`): found like base images, and
laid into the build context as archives that `docker load` takes.

May touch: the package's folder (reading), the store, the sources of images. Unlike LinuxKit, which
asks a Docker Engine and writes into the package's folder (docs/linuxkit.md#N28), nothing of the
folder is changed: the archives are in the build context only, in place of what lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compos.errors import PackageError
from compos.image.model import Image
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.source import Images

__all__ = ["NO_FILES", "Files", "Save", "image_files", "listed_images"]

Save = Callable[[Sequence[tuple[Image, str]], Path], None]
"""Writes images as one archive, each under its name with a tag; empty: under none."""

MAX_LIST = 1 << 20
"""Bytes of a file that lists images."""


class Files(NamedTuple):
    """What comes into a build context, by names, and what is left out of it."""

    added: Mapping[str, Path]
    without: tuple[str, ...]


NO_FILES = Files({}, ())


def image_files(
    folder: Path,
    depends: Mapping[str, Any],
    platform: Platform,
    images: Callable[[], Images],
    scratch: Path,
    save: Save,
) -> Files:
    """The archives that `depends` of build.yml asks for, made in `scratch`. Raises `PackageError`
    (`package-depends`), and as images are found."""
    references = listed_images(folder, depends)
    if not references:
        return NO_FILES
    wanted = depends.get("docker-images") or {}
    place = str(folder / "build.yml")
    target, target_folder = (_path(wanted.get(name, "")) for name in ("target", "target-dir"))
    if not target and not target_folder:
        raise _wrong("there is no target for the images", place, "Add target or target-dir.")
    source = images()
    found = [(source.image(str(one), platform), _name(one)) for one in references]
    if target:
        save(found, path := scratch / "images.tar")
        return Files({target: path}, (target,))
    added: dict[str, Path] = {}
    for number, (reference, image) in enumerate(zip(references, found, strict=True)):
        path = scratch / f"{number}.tar"
        save([image], path)
        last = reference.path.rpartition("/")[2]
        added[f"{target_folder}/{last}@{reference.digest}.tar"] = path
    return Files(added, (target_folder,))


def listed_images(folder: Path, depends: Mapping[str, Any]) -> list[Reference]:
    """The images that `depends` of build.yml names. Raises `PackageError` (`package-depends`)."""
    wanted = depends.get("docker-images") or {}
    place = str(folder / "build.yml")
    return [_reference(text, place) for text in _listed(folder, wanted, place)]


def _listed(folder: Path, wanted: Mapping[str, Any], place: str) -> list[str]:
    """The images of the list, or of the file that has one on each line."""
    if not (name := wanted.get("from-file")):
        return [*wanted.get("list", ())]
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise _wrong(f"{name} is a link that leads out of the package's folder", place)
        with path.open("rb") as stream:
            text = stream.read(MAX_LIST + 1)
    except (OSError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise _wrong(f"{name} cannot be read: {reason}", place) from error
    if len(text) > MAX_LIST:
        raise _wrong(f"{name} is larger than {MAX_LIST >> 20} MiB", place)
    lines = text.decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _reference(text: str, place: str) -> Reference:
    reference = Reference.parse(text)
    if not reference.digest:
        raise _wrong(f"{text[:200]!r} has no digest", place, "Write NAME@sha256:DIGEST.")
    return reference


def _name(reference: Reference) -> str:
    """What `docker load` calls the image; nothing without a tag, as after `docker save`."""
    return str(reference._replace(digest="")) if reference.tag else ""


def _path(text: str) -> str:
    """A path of the build context, without dots."""
    return "/".join(part for part in text.split("/") if part not in ("", "."))


def _wrong(message: str, place: str, hint: str = "Use a file in the folder.") -> PackageError:
    return PackageError("package-depends", message, place=f"{place}: depends", hint=hint)
