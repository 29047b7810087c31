"""The last build of a system: which of the files under the names of its outputs are the newest.

Reads the states of files, never their contents.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from compos.output.formats import choose

__all__ = ["LastBuild", "last_build"]

_SUFFIXES: dict[str, tuple[str, ...]] = {
    ".tar": ("tar",),
    ".docker": ("docker",),
    "-initrd.img": ("kernel+initrd",),
    "-erofs.img": ("kernel+erofs",),
    "-squashfs.img": ("kernel+squashfs",),
    ".efi": ("uki",),
    ".iso": ("iso", "iso-bios", "kernel+iso"),
    "-efi.iso": ("iso-efi",),
    "-efi-initrd.iso": ("iso-efi-initrd",),
    ".img": ("raw", "installer"),
    "-bios.img": ("raw-bios",),
    "-efi.img": ("raw-efi",),
    ".raw": ("aws",),
    ".qcow2": ("qcow2", "qcow2-bios"),
    "-efi.qcow2": ("qcow2-efi",),
    ".vhd": ("vhd", "dynamic-vhd"),
    ".vhdx": ("vhdx",),
    ".vmdk": ("vmdk",),
    ".ova": ("ova",),
    ".img.tar.gz": ("gcp",),
}
"""What the names of outputs end with that can be read again (`api.outputs`), and the formats that
write them, which run on the same machines: those that are read soonest first."""

_TOGETHER = 5.0
"""Seconds within which outputs were written that one build has made."""


class LastBuild(NamedTuple):
    """An output of the last build, the `size` that it has on its disk, in bytes, and the `formats`
    that were built together."""

    output: Path
    size: int
    formats: tuple[str, ...]


def last_build(base: Path, formats: Sequence[str]) -> LastBuild | None:
    """What a build has left under names that begin with `base`, of these `formats` if there are
    any; None if nothing is there. Raises `OutputError` for formats that do not exist."""
    wanted = {one.name for one in choose(formats, to_file=False)} if formats else None
    found = []
    for suffix, makers in _SUFFIXES.items():
        if wanted is not None and not wanted.intersection(makers):
            continue
        path = base.with_name(f"{base.name}{suffix}")
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime, path, status.st_blocks * 512, makers[0]))
    if not found:
        return None
    newest = max(found, key=lambda one: one[0])
    alone = choose([newest[3]], to_file=False)[0].streamable
    together = [
        one
        for one in found
        if one is newest
        or (
            not alone
            and newest[0] - one[0] <= _TOGETHER
            and not choose([one[3]], to_file=False)[0].streamable
        )
    ]
    _, path, size, _ = together[0]
    return LastBuild(path, size, tuple(formats) or tuple(one[3] for one in together))
