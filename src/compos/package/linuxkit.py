"""LinuxKit's packages by our bricks: `linuxkit/NAME:HASH` becomes `compos/NAME:TAG`.

May touch: the folder of bricks (reading). For YAML that was written for LinuxKit and stays as it is
(`--bricks-for linuxkit`, or `bricks: linuxkit` in the YAML): where no registry serves LinuxKit's
own images, or where Debian's are wanted. A brick has the same label, arguments and files as the
package that it stands for.
"""

from __future__ import annotations

from compos.config.check import FAMILY
from compos.config.images import renamed_images
from compos.config.model import Config, Mark
from compos.image.reference import HUB, Reference
from compos.package.bricks import ORG, bricks_folder
from compos.progress import notice

__all__ = ["brick_for", "with_bricks"]

_EQUALS = {
    # LinuxKit's kernel has the drivers of real machines, which the cloud kernel lacks.
    "kernel": "kernel-generic",
    "firmware-all": "firmware",
    "kernel-perf": "perf",
}
"""Packages whose brick has another name."""

_MORE = {"containerd": ("ctr",)}
"""Packages of `init` that are several bricks here: what else belongs to them."""

_INSTEAD = {
    "kernel-bcc": "its scripts compile C on the machine, with the kernel's headers; the brick "
    "bpftrace needs neither",
    "vpnkit-expose-port": "it asks Docker Desktop to publish a port; `compos run --publish` and "
    "the brick docker publish ports by themselves",
    "vpnkit-forwarder": "it forwards Docker Desktop's ports over vsock; the brick vsudd forwards "
    "vsock to sockets, `compos run --publish` ports",
}
"""Packages without an equal: why, and what serves instead."""


def with_bricks(config: Config) -> Config:
    """`config` with our bricks in place of LinuxKit's packages; a notice says which. Packages that
    no brick stands for keep their names, and are asked of their registry. Raises `PackageError` for
    a brick whose recipe cannot be read."""
    known: dict[str, str] = {}

    def name_of(text: str, _: Mark) -> str:
        if text not in known:
            known[text] = _equal(text)
        return known[text]

    config = renamed_images(_with_more(config), name_of)
    for text, brick in known.items():
        if brick != text:
            more = [_tagged(name) for name in _MORE.get(_package(text), ())]
            notice(f"{text} is replaced by {' and '.join((brick, *more))}")
        elif package := _package(text):
            why = f" ({_INSTEAD[package]})" if package in _INSTEAD else ""
            notice(f"{text} has no equal among the bricks of compos{why}: its registry is asked")
    return config


def _with_more(config: Config) -> Config:
    """`config` with the other bricks behind each of its packages in `init`."""
    names: list[str] = []
    marks: list[Mark] = []
    for text, mark in zip(
        config.init, config.init_marks or (Mark(),) * len(config.init), strict=True
    ):
        together = [text, *(_tagged(name) for name in _MORE.get(_package(text), ()))]
        names += together
        marks += [mark] * len(together)
    return config._replace(init=tuple(names), init_marks=tuple(marks))


def _package(text: str) -> str:
    """The name of LinuxKit's package that an image's name means; empty for other images."""
    reference = Reference.find(text)
    if reference is None or reference.domain != HUB:
        return ""
    organisation, _, name = reference.path.partition("/")
    return name if organisation == FAMILY and "/" not in name else ""


def brick_for(package: str) -> str:
    """The brick that stands for LinuxKit's `package`; empty if there is none."""
    for name in dict.fromkeys((_EQUALS.get(package, package), package)):
        if name and (bricks_folder() / name / "build.yml").is_file():
            return name
    return ""


def _equal(text: str) -> str:
    name = brick_for(_package(text))
    return _tagged(name) if name else text


def _tagged(brick: str) -> str:
    from compos.package.recipe import load_recipe

    return f"{ORG}/{brick}:{load_recipe(bricks_folder() / brick).tag}"
