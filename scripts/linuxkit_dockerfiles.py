"""What is done with those test cases of LinuxKit that are packages with a Dockerfile, and what has
to be seen: the images, where the cases' own scripts look at exit statuses and printed lines.

May touch: the store, which gets a stand-in from Debian for each base image, so that no registry is
asked; and buildah or another builder, which runs the Dockerfiles.
"""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path
from typing import NamedTuple

from compos.cli.main import main as compos
from compos.image.store import REF_NAME, Store
from scripts.linuxkit_examples import build_stand_in
from scripts.linuxkit_judges import Judge

__all__ = ["Package", "packages"]

PLATFORM = "linux/amd64"
NOBODY = "http://127.0.0.1:1"
"""A mirror that does not answer: what the store lacks is an error."""


class Package(NamedTuple):
    """`folder` is below the case's; `flags` are for `pkg build`, which fails unless it `builds`.
    `tagged` is the tag that the image then has, `untagged` one that it has not. `passes` are the
    lines of its `/check.sh` with nothing that has failed."""

    folder: str = "."
    flags: tuple[str, ...] = ()
    builds: bool = True
    tagged: str = ""
    untagged: str = ""
    passes: int = 0


def packages(*wanted: Package) -> Judge:
    """Each of them does what it says."""

    def judge(case: Path, work: Path) -> str:
        for package in wanted:
            if missing := _judged(package, case / package.folder, work):
                return f"{package.folder}: {missing}"
        return ""

    return judge


def _judged(package: Package, folder: Path, work: Path) -> str:
    store = Store(Path(os.environ["COMPOS_CACHE"]))
    dockerfile = folder / "Dockerfile"
    for image in re.findall(r"(?m)^FROM (\S+)", dockerfile.read_text()):
        build_stand_in(image, "amd64")
    name = re.findall(r"(?m)^image: (\S+)", (folder / "build.yml").read_text())[0]
    image = f"docker.io/linuxkit/{name}"
    for tag in _tags(store, image):
        store.untag(f"{image}:{tag}")
    command = ["pkg", "build", "--force", "--platforms", PLATFORM, "--mirror", NOBODY]
    if (compos([*command, *package.flags, str(folder)]) == 0) != package.builds:
        return "it does not build" if package.builds else "it builds"
    tags = _tags(store, image)
    if package.tagged and package.tagged not in tags:
        return f"the tag {package.tagged} is not among {sorted(tags)}"
    if package.untagged in tags:
        return f"it has the tag {package.untagged}"
    if not package.passes:
        return ""
    lines = _check(f"{image}:{min(tags)}", work / "root.tar").splitlines()
    failed = [line for line in lines if "FAILED" in line]
    return f"its check has {lines}" if failed or len(lines) != package.passes else ""


def _tags(store: Store, image: str) -> set[str]:
    """The image's in the store."""
    names = (entry.annotations.get(REF_NAME, "") for entry in store.entries())
    return {name.removeprefix(f"{image}:") for name in names if name.startswith(f"{image}:")}


def _check(image: str, tar: Path) -> str:
    """The script that the image is for."""
    export = ["cache", "export", "--format", "filesystem", "--platform", PLATFORM]
    assert compos([*export, "--outfile", str(tar), image]) == 0
    with tarfile.open(tar) as archive:
        stream = archive.extractfile("check.sh")
        assert stream is not None
        return stream.read().decode()
