"""LinuxKit's packages by our bricks: `linuxkit/NAME:HASH` becomes `compos/NAME:TAG`.

May touch: the folder of bricks (reading). For YAML that was written for LinuxKit and stays as it is
(`--bricks-for linuxkit`, or `bricks: linuxkit` in the YAML): where no registry serves LinuxKit's
own images, or where Debian's are wanted. A brick has the same label, arguments and files as the
package that it stands for.
"""

from __future__ import annotations

from compos.config.images import renamed_images
from compos.config.model import Config, Mark
from compos.image.reference import HUB, Reference
from compos.package.bricks import ORG, bricks_folder
from compos.progress import notice

__all__ = ["FAMILY", "with_bricks"]

FAMILY = "linuxkit"
"""What `--bricks-for` and `bricks:` say."""

_EQUALS = {
    # LinuxKit's kernel has the drivers of real machines, which the cloud kernel lacks.
    "kernel": "kernel-generic",
    "firmware-all": "firmware",
}
"""Packages whose brick has another name."""


def with_bricks(config: Config) -> Config:
    """`config` with our bricks in place of LinuxKit's packages; a notice says which. Packages that
    no brick stands for keep their names, and are asked of their registry. Raises `PackageError` for
    a brick whose recipe cannot be read."""
    known: dict[str, str] = {}

    def name_of(text: str, _: Mark) -> str:
        if text not in known:
            known[text] = _equal(text)
        return known[text]

    config = renamed_images(config, name_of)
    for text, brick in known.items():
        if brick != text:
            notice(f"{text} is replaced by {brick}")
        elif _package(text):
            notice(f"{text} has no equal among the bricks of compos: its registry is asked")
    return config


def _package(text: str) -> str:
    """The name of LinuxKit's package that an image's name means; empty for other images."""
    reference = Reference.find(text)
    if reference is None or reference.domain != HUB:
        return ""
    organisation, _, name = reference.path.partition("/")
    return name if organisation == FAMILY and "/" not in name else ""


def _equal(text: str) -> str:
    from compos.package.recipe import load_recipe

    package = _package(text)
    for name in dict.fromkeys((_EQUALS.get(package, package), package)):
        folder = bricks_folder() / name
        if name and (folder / "build.yml").is_file():
            return f"{ORG}/{name}:{load_recipe(folder).tag}"
    return text
