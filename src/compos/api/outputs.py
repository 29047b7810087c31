"""What a build wrote, read again: archives, initrds, UKIs, squashfs, EROFS, ext4, ISO 9660, and
disks that have a root in one of these.

Reads the files, which may come from anybody.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from compos.cloud.contents import (
    LOADERS,
    Extent,
    Partition,
    boot_files,
    extent_chunks,
    partitions,
    program_sections,
)
from compos.disk.disk_file import Disk, open_disk
from compos.errors import OutputError
from compos.filesystem import ext4_reader
from compos.filesystem.iso9660_reader import IsoImage
from compos.report.archives import (
    Files,
    erofs_files,
    ext4_files,
    initramfs_files,
    iso_files,
    squashfs_files,
    tar_files,
)
from compos.report.facts import MAX_DOCUMENT, Facts, FileFact, described
from compos.tree.gate import GateError
from compos.tree.node import FILE

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["facts_of_output"]

CHUNK = 1 << 20
_HEAD = 2048
_READERS = (
    (0, b"hsqs", squashfs_files),
    (1024, b"\xe2\xe1\xf5\xe0", erofs_files),
    (ext4_reader.MAGIC_AT, ext4_reader.MAGIC, ext4_files),
)
"""File systems of roots: where their magic numbers are, and what reads them."""

_CD_ROOT, _CD_ESP = "root.", "boot/efi.img"
"""What an ISO image calls its root, and what UEFI starts."""

_NOTHING = "no partition has what a system starts from"

_KERNEL, _CMDLINE = "boot/kernel", "boot/cmdline"
_LACKS = ("boot/",)
"""Of this, what boots has no more than it needs."""
_INITRDS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"07070")


def facts_of_output(path: Path) -> Facts:
    """What is in an output: `path` is a file, or what the names of `kernel+initrd`'s files begin
    with. Raises `OutputError` (`output-missing`, `output-unreadable`)."""
    initrd = path.with_name(f"{path.name}-initrd.img")
    try:
        if not path.exists() and initrd.is_file():
            return _beside(path, initrd)
        if not path.exists():
            raise OutputError(
                "output-missing",
                "there is no such file, nor an initrd whose name begins so",
                place=str(path),
                hint="Build it with compos build, or name the YAML.",
            )
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        if head[257:262] == b"ustar" and not head[:100].rstrip(b"\0").endswith(b".ovf"):
            return _facts(path, tar_files(path))
        if head[:2] == b"MZ":
            return _unified(path)
        if head.startswith(_INITRDS) and not _has_disk(head):
            with path.open("rb") as stream:
                files = initramfs_files(_chunks(stream))
            return _facts(path, files, lacks=_LACKS)
        with path.open("rb") as stream:
            if root := _root_at(_File(stream), 0):
                return _facts(path, root, lacks=_LACKS)
        return _disk(path)
    except (ValueError, GateError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, reason: str) -> OutputError:
    return OutputError(
        "output-unreadable",
        f"what is in this file cannot be read: {reason}",
        place=str(path),
        hint="Name YAML, or an output of one of the formats tar, kernel+initrd, uki, "
        "kernel+squashfs, kernel+erofs and kernel+iso, or an ISO or disk (raw, qcow2, VHD, VHDX, "
        "VMDK, OVA, Google's archive) with its root in an initrd, squashfs, EROFS or ext4.",
    )


def _has_disk(head: bytes) -> bool:
    """Whether what begins so is Google's archive."""
    with suppress(zlib.error):
        return zlib.decompressobj(31).decompress(head, 512).startswith(b"disk.raw\0")
    return False


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _facts(path: Path, files: Files, lacks: tuple[str, ...] = ()) -> Facts:
    return described(str(path), files.facts, files.documents, lacks=lacks)


def _put(files: Files, path: str, size: int, chunks: Iterator[bytes]) -> None:
    files.put_contents(path, FileFact(FILE, 0o644, 0, 0, size), chunks)


def _beside(prefix: Path, initrd: Path) -> Facts:
    """Kernel, command line and initrd as three files."""
    with initrd.open("rb") as stream:
        files = initramfs_files(_chunks(stream))
    for name, inside in (("kernel", _KERNEL), ("cmdline", _CMDLINE)):
        path = prefix.with_name(f"{prefix.name}-{name}")
        with suppress(FileNotFoundError), path.open("rb") as stream:
            _put(files, inside, path.stat().st_size, _chunks(stream))
    return _facts(prefix, files, lacks=_LACKS)


class _File:
    """A file as if it were a disk: what reads programs on disks reads those beside them, too."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, offset: int, size: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(size)


def _unified(path: Path) -> Facts:
    size = path.stat().st_size
    extent = Extent(tuple(range(0, size, CHUNK)), CHUNK, size)
    with path.open("rb") as stream:
        return _facts(path, _program(_File(stream), extent), lacks=_LACKS)


def _program(disk: Disk, extent: Extent) -> Files:
    """What a UKI starts."""
    sections = program_sections(disk, extent)
    if ".initrd" not in sections:
        raise ValueError("it is a program without an initrd, such as a kernel")
    files = initramfs_files(extent_chunks(disk, extent, *sections[".initrd"]))
    for name, inside in ((".linux", _KERNEL), (".cmdline", _CMDLINE)):
        if name in sections:
            offset, size = sections[name]
            if inside == _CMDLINE and size > MAX_DOCUMENT:
                raise ValueError("its command line is too long")
            _put(files, inside, size, extent_chunks(disk, extent, offset, size))
    return files


def _disk(path: Path) -> Facts:
    with open_disk(path) as found:
        if found.container == "iso":
            return _facts(path, _cd(found.disk), lacks=_LACKS)
        parts = list(partitions(found.disk, found.disk.read(0, 512)))
        root = _root(found.disk, parts)
        for part in parts:
            inside = boot_files(found.disk, part.start) if part.is_fat else {}
            if booted := _booted(found.disk, inside):
                return _facts(path, _joined(root, booted), lacks=_LACKS)
    raise ValueError(_NOTHING)


def _root(disk: Disk, parts: list[Partition]) -> Files | None:
    """The root on a partition of its own; None where it is in the initrd."""
    for one in parts:
        if not one.is_fat and (files := _root_at(disk, one.start)):
            return files
    return None


def _root_at(disk: Disk, start: int) -> Files | None:
    """The root that begins at a place, if one does."""
    for at, magic, read in _READERS:
        if disk.read(start + at, len(magic)) == magic:
            return read(partial(_within, disk, start))
    return None


def _cd(disk: Disk) -> Files:
    """What an ISO image has: a root, or what firmware starts, perhaps with a root beside it."""
    image = IsoImage(disk.read)
    if not image.bootable:
        return iso_files(image)
    places = image.places()
    root = None
    inside = {}
    for name, (place, size) in places.items():
        if name.startswith(_CD_ROOT):
            root = _root_at(disk, place)
        elif name.startswith("boot/"):
            clusters = tuple(range(place, place + size, CHUNK))
            inside[name.removeprefix("boot/").upper()] = Extent(clusters, CHUNK, size)
    if _CD_ESP in places:
        inside = boot_files(disk, places[_CD_ESP].place)
    booted = _booted(disk, inside)
    if booted is None:
        raise ValueError(_NOTHING)
    return _joined(root, booted)


def _booted(disk: Disk, inside: Mapping[str, Extent]) -> Files | None:
    """What is started, if anything, of the files of a boot partition."""
    for name in LOADERS:
        if name in inside:
            return _program(disk, inside[name])
    return _loaded(disk, inside) if "INITRD.IMG" in inside else None


def _within(disk: Disk, start: int, offset: int, size: int) -> bytes:
    return disk.read(start + offset, size)


def _joined(root: Files | None, booted: Files) -> Files:
    """What lies below `boot` with the root; the initrd has nothing but what finds it."""
    if root is None:
        return booted
    for path in (_KERNEL, _CMDLINE):
        if path in booted.facts:
            root.put(path, booted.facts[path])
            if path in booted.documents:
                root.documents[path] = booted.documents[path]
    return root


def _loaded(disk: Disk, inside: Mapping[str, Extent]) -> Files:
    """What our loader for BIOS starts."""
    files = initramfs_files(extent_chunks(disk, inside["INITRD.IMG"]))
    for name, path in (("KERNEL", _KERNEL), ("CMDLINE", _CMDLINE)):
        if name in inside:
            extent = inside[name]
            _put(files, path, extent.length, extent_chunks(disk, extent))
    return files
