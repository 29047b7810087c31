"""Microcode of a kernel brick: what Intel's and AMD's packages have, as the uncompressed cpio that
the kernel reads before anything else.

Pure but for reading files out of the store. Sources: the kernel's
Documentation/arch/x86/microcode.rst ("Early load microcode"); Intel's manual, volume 3A, 11.11.1
(the update's format, and that its data has to begin at a multiple of 16 bytes); the kernel's
arch/x86/kernel/cpu/microcode/amd.c (`UCODE_MAGIC`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from compos.errors import PackageError
from compos.filesystem.cpio import cpio_pieces
from compos.tree.contents import Contents
from compos.tree.node import EPOCH, FILE, Node, Tree, directory, file, symlink

__all__ = ["MICROCODE", "microcode_files"]

MICROCODE = ("usr/lib/firmware/intel-ucode/", "usr/lib/firmware/amd-ucode/")
"""Where the packages have it."""

NAME = "ucode.cpio"
LINUXKIT_NAME = "intel-ucode.cpio"
"""What LinuxKit's kernel images call theirs, which has Intel's alone."""

_INTEL = re.compile(rf"{MICROCODE[0]}[0-9a-f]{{2}}-[0-9a-f]{{2}}-[0-9a-f]{{2}}(?:\.initramfs)?")
_AMD = re.compile(rf"{MICROCODE[1]}microcode_amd[^/]*\.bin")

FOLDER = "kernel/x86/microcode"
MAX_FILE = 64 << 20
"""Bytes of a file of microcode; the largest has 1 MB."""

_HEADER = struct.Struct("<IIIIIIIII12x")
"""An Intel update: header version, revision, date, signature, checksum, loader's revision, flags,
data's size, whole size."""


_TOTAL_SIZE = 2048
"""Bytes of an update that states no sizes."""

_AMD_MAGIC = b"DMA\0"
ALIGNMENT = 16


def microcode_files(contents: Contents, packages: Tree, place: str) -> Tree:
    """`ucode.cpio` for a kernel image, with LinuxKit's name as a link; nothing where the packages
    have no microcode. Raises `PackageError` (`brick-microcode`)."""
    intel = b"".join(_intel(contents, packages, place))
    amd = b"".join(_amd(contents, packages, place))
    found = {"AuthenticAMD.bin": amd, "GenuineIntel.bin": intel}
    entries = [(f"{FOLDER}/{name}", data) for name, data in found.items() if data]
    if not entries:
        return {}
    data = _archive(entries)
    return {
        NAME: file(data, 0o644, EPOCH),
        LINUXKIT_NAME: symlink(NAME, EPOCH),
    }


def _archive(entries: list[tuple[str, bytes]]) -> bytes:
    """The cpio. In front of each file stands a folder whose name is as long as it takes for the
    file to begin at a multiple of 16 bytes."""
    nodes = [(path, directory(0o755, EPOCH)) for path in ("kernel", "kernel/x86", FOLDER)]
    for path, data in entries:
        for length in range(ALIGNMENT):
            filler = (f"{path}{'-' * (length + 1)}", directory(0o755, EPOCH))
            tried = [*nodes, filler, (path, file(data, 0o644, EPOCH))]
            if _start(tried) % ALIGNMENT == 0:
                nodes = tried
                break
    return b"".join(piece for piece in cpio_pieces(nodes) if isinstance(piece, bytes))


def _start(nodes: list[tuple[str, Node]]) -> int:
    """Where the contents of the last of `nodes` begin in an archive."""
    before = sum(len(piece) for piece in cpio_pieces(nodes, end=False) if isinstance(piece, bytes))
    size = nodes[-1][1].size
    return before - size - (-size % 4)


def _read(contents: Contents, path: str, node: Node, place: str) -> bytes:
    if node.size > MAX_FILE:
        raise _damaged(path, f"it has {node.size:,} bytes", place)
    return b"".join(contents.chunks(node.content))


def _amd(contents: Contents, packages: Tree, place: str) -> Iterator[bytes]:
    for path, node in sorted(packages.items()):
        if node.kind == FILE and _AMD.fullmatch(path):
            data = _read(contents, path, node, place)
            if not data.startswith(_AMD_MAGIC):
                raise _damaged(path, "it does not begin with AMD's magic number", place)
            yield data


def _intel(contents: Contents, packages: Tree, place: str) -> Iterator[bytes]:
    """Each update once: several files have the same ones."""
    seen: set[bytes] = set()
    for path, node in sorted(packages.items()):
        if node.kind == FILE and _INTEL.fullmatch(path):
            for update in _updates(_read(contents, path, node, place), path, place):
                if update not in seen:
                    seen.add(update)
                    yield update


def _updates(data: bytes, path: str, place: str) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        if position + _HEADER.size > len(data):
            raise _damaged(path, f"it ends inside a header at byte {position}", place)
        version, *_, stated, total = _HEADER.unpack_from(data, position)
        size = total if stated else _TOTAL_SIZE
        update = data[position : position + size]
        if version != 1 or size < _HEADER.size or size % 4 or len(update) != size:
            raise _damaged(path, f"there is no update at byte {position}", place)
        body = size if stated == 0 else min(size, _HEADER.size + stated)
        if sum(struct.unpack(f"<{body // 4}I", update[: body // 4 * 4])) & 0xFFFFFFFF:
            raise _damaged(path, f"the checksum of the update at byte {position} is wrong", place)
        yield update
        position += size


def _damaged(path: str, reason: str, place: str) -> PackageError:
    return PackageError(
        "brick-microcode",
        f"the microcode {path} cannot be used: {reason}",
        place=place,
        hint="Use the package of a Debian mirror.",
    )
