"""The kernel modules in an initramfs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compos.filesystem.initramfs import InitramfsError, read_initramfs

__all__ = ["modules_of"]

MAX_BUILTIN = 4 << 20

_MODULE = re.compile(r"(?:^|/)lib/modules/[^/]+/.*?([^/]+)\.ko(?:\.(?:gz|xz|zst))?$")
_BUILTIN = re.compile(r"(?:^|/)lib/modules/[^/]+/modules\.builtin$")


def modules_of(chunks: Iterator[bytes]) -> set[str] | None:
    """Names of the modules in an initramfs, built in or loadable, with underscores; None for what
    cannot be read, or has no index of modules."""
    found: set[str] = set()
    known = False
    try:
        for member in read_initramfs(chunks):
            if match := _MODULE.search(member.name):
                found.add(match[1].replace("-", "_"))
            elif _BUILTIN.search(member.name):
                known = True
                data = b"".join(member.body) if member.size <= MAX_BUILTIN else b""
                lines = data.decode("utf-8", "replace").split()
                found.update(line.rpartition("/")[2].removesuffix(".ko") for line in lines)
    except InitramfsError:
        return None
    return {name.replace("-", "_") for name in found} if known or found else None
