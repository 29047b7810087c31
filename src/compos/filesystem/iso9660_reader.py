"""Reading ISO 9660 with Rock Ridge: every file of an image, with its attributes and its place.

Pure, but for the image that it is handed. It may come from anybody: every number is checked, and
memory is bounded whatever it says.

Sources: ECMA-119, cited by section; SUSP 1.12 as [SUSP]; RRIP 1.12 as [RRIP]; "El Torito" Bootable
CD-ROM Format Specification 1.0.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from compos.arithmetic import align_up
from compos.filesystem.initramfs import Member
from compos.filesystem.walk import MAX_TARGET, FilesystemError, Quota, entry_name, walked

__all__ = ["MAGIC", "MAGIC_AT", "IsoImage"]

MAGIC = b"CD001"
MAGIC_AT = 0x8001

SECTOR = 2048
BOOT_RECORD, PRIMARY, TERMINATOR = 0, 1, 255
EL_TORITO = b"EL TORITO SPECIFICATION"
MAX_DESCRIPTORS = 64
MAX_FOLDER = 64 << 20
MAX_EXTENTS = 4096
MAX_FIELDS = 1 << 16
"""Bytes of one record's fields, with their continuations."""
MAX_NAME = 4096
CHUNK = 1 << 20

DIRECTORY_FLAG, MULTI_EXTENT = 0x02, 0x80
CONTINUED, CURRENT, PARENT, ROOT = 1, 2, 4, 8
"""Flags of names and of a target's parts ([RRIP] 4.1.4, 4.1.3)."""


class Extent(NamedTuple):
    """Bytes of a file that lie together."""

    place: int
    size: int


@dataclass(slots=True)
class _Entry:
    """What a directory record says: the next record is at `end`; `relocated` is the place of the
    folder's extent, if it stands elsewhere."""

    end: int
    flags: int
    extents: list[Extent]
    mode: int = 0
    uid: int = 0
    gid: int = 0
    name: bytes = b""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    relocated: int = 0
    moved: bool = False
    has_name: bool = False
    open_target: bool = field(default=False)
    """Whether the next part of the target belongs to the last one."""

    @property
    def size(self) -> int:
        """Bytes of the contents."""
        return sum(extent.size for extent in self.extents)


class IsoImage:
    """The image of which `read` gives the bytes at an offset. Raises `FilesystemError`."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._source = read
        self.bootable = False
        """Whether firmware finds something to start."""
        root = 0
        for number in range(16, 16 + MAX_DESCRIPTORS):
            descriptor = self._read(number * SECTOR, SECTOR)
            if descriptor[1:6] != MAGIC:
                raise FilesystemError("it is no ISO 9660 image")
            if descriptor[0] == TERMINATOR:
                break
            if descriptor[0] == BOOT_RECORD and descriptor[7:].startswith(EL_TORITO):
                self.bootable = True
            if descriptor[0] == PRIMARY:
                (block,) = struct.unpack_from("<H", descriptor, 128)
                if block != SECTOR:
                    raise FilesystemError(f"it has blocks of {block} bytes")
                root = struct.unpack_from("<I", descriptor, 158)[0] * SECTOR
        if not root:
            raise FilesystemError("it has no primary volume")
        # [SUSP] 5.3: what the root's own record says of all others.
        fields = self._fields_of(root)
        if fields[:2] != b"SP" or len(fields) < 7:
            raise FilesystemError("it has no Rock Ridge, without which files have no modes")
        self._skip = fields[6]
        self._root = root
        self._quota = Quota()

    def members(self) -> Iterator[Member]:
        """All files, a folder before what is in it."""
        for path, entry in self._walked():
            yield self._member(path, entry)

    def places(self) -> dict[str, Extent]:
        """Where regular files are that lie in one piece, by their paths without a slash in
        front."""
        found = {}
        for path, entry in self._walked():
            if stat.S_ISREG(entry.mode) and len(entry.extents) == 1:
                found[path.lstrip("/")] = entry.extents[0]
        return found

    def _walked(self) -> Iterator[tuple[str, _Entry]]:
        try:
            yield from walked(self._root, self._entry, self._listed)
        except struct.error as error:
            raise FilesystemError(f"the ISO 9660 image is damaged: {error}") from error

    def _read(self, at: int, size: int) -> bytes:
        data = self._source(at, size)
        if len(data) != size:
            raise FilesystemError("it is not whole")
        return data

    def _member(self, path: str, entry: _Entry) -> Member:
        is_file = stat.S_ISREG(entry.mode)
        size = entry.size if is_file else len(entry.target)
        self._quota.take(size)
        body = self._contents(entry) if is_file else iter([entry.target])
        inode = (0, 0, 0, 0)
        return Member(
            path or ".", entry.mode, entry.uid, entry.gid, 1, inode, entry.device, size, body
        )

    def _contents(self, entry: _Entry) -> Iterator[bytes]:
        for extent in entry.extents:
            for at in range(0, extent.size, CHUNK):
                yield self._read(extent.place + at, min(CHUNK, extent.size - at))

    def _record(self, at: int) -> bytes:
        """The directory record at a place (9.1)."""
        (length,) = self._read(at, 1)
        if length < 34 or at % SECTOR + length > SECTOR:
            raise FilesystemError("a directory record is damaged")
        record = self._read(at, length)
        if 33 + record[32] > length:
            raise FilesystemError("a directory record has too long a name")
        return record

    def _fields_of(self, at: int) -> bytes:
        record = self._record(at)
        # A name of even length is followed by a byte (9.1.12).
        return record[33 + record[32] + (1 - record[32] % 2) :]

    def _entry(self, number: int) -> _Entry:
        """What the record at the place `number` says, with those of the same file's other
        extents."""
        record = self._record(number)
        entry = _Entry(number + len(record), record[25], [_extent(record)])
        skip = self._skip if number != self._root else 0
        self._understand(entry, self._fields_of(number)[skip:])
        flags = record[25]
        while flags & MULTI_EXTENT:
            at = entry.end
            if self._read(at, 1) == b"\0":  # the next record did not fit into this sector
                at = align_up(at, SECTOR)
            record = self._record(at)
            entry.extents.append(_extent(record))
            entry.end, flags = at + len(record), record[25]
            if len(entry.extents) > MAX_EXTENTS:
                raise FilesystemError("a file has too many extents")
        if not stat.S_IFMT(entry.mode) or stat.S_ISDIR(entry.mode) != bool(
            entry.flags & DIRECTORY_FLAG or entry.relocated
        ):
            raise FilesystemError("a file has no mode, or one of another kind")
        return entry

    def _understand(self, entry: _Entry, fields: bytes) -> None:
        """Rock Ridge's fields, and those that continue them in other places ([SUSP] 5.1)."""
        seen = 0
        while fields:
            seen += len(fields)
            if seen > MAX_FIELDS:
                raise FilesystemError("the fields of Rock Ridge have no end")
            following = b""
            for kind, data in _fields(fields):
                if kind == b"CE":
                    block, offset, size = struct.unpack_from("<I4xI4xI", data, 4)
                    if offset >= SECTOR or size > MAX_FIELDS:
                        raise FilesystemError("the fields of Rock Ridge go on nowhere")
                    following = self._read(block * SECTOR + offset, size)
                else:
                    _take(entry, kind, data)
                    if len(entry.name) > MAX_NAME or len(entry.target) > MAX_TARGET:
                        raise FilesystemError("a name or target is too long")
            fields = following

    def _listed(self, entry: _Entry) -> Iterator[tuple[str, int]] | None:
        return self._names(entry) if stat.S_ISDIR(entry.mode) else None

    def _names(self, entry: _Entry) -> Iterator[tuple[str, int]]:
        place, size = entry.extents[0]
        if entry.relocated:
            place = entry.relocated
            size = _extent(self._record(place)).size
        if size > MAX_FOLDER or size % SECTOR:
            raise FilesystemError("a folder has a size that cannot be")
        at, end = place, place + size
        while at < end:
            if self._read(at, 1) == b"\0":
                at = (at // SECTOR + 1) * SECTOR
                continue
            record = self._record(at)
            if record[32] == 1 and record[33] < 2:  # itself and its parent
                at += len(record)
                continue
            found = self._entry(at)
            if not found.moved:
                if not found.has_name:
                    raise FilesystemError("a file has no name of Rock Ridge's")
                yield entry_name(found.name), at
            at = found.end


def _fields(area: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Fields of an area, by their signatures; fewer than four bytes at its end are none ([SUSP]
    4)."""
    at = 0
    while at + 4 <= len(area) and area[at : at + 2] != b"ST" and any(area[at:]):
        length = area[at + 2]
        if length < 4 or at + length > len(area):
            raise FilesystemError("a field of Rock Ridge is damaged")
        yield area[at : at + 2], area[at : at + length]
        at += length


def _extent(record: bytes) -> Extent:
    (sector,) = struct.unpack_from("<I", record, 2)
    (size,) = struct.unpack_from("<I", record, 10)
    return Extent((sector + record[1]) * SECTOR, size)


def _take(entry: _Entry, kind: bytes, data: bytes) -> None:
    """One of Rock Ridge's fields ([RRIP] 4.1); times are passed over."""
    if kind == b"PX":
        entry.mode, entry.uid, entry.gid = (
            struct.unpack_from("<I", data, at)[0] for at in (4, 20, 28)
        )
        if entry.mode > 0xFFFF:
            raise FilesystemError("a mode is too large")
    elif kind == b"NM" and len(data) >= 5:
        entry.name += data[5:]
        entry.has_name = True
    elif kind == b"SL" and len(data) >= 5:
        _take_target(entry, data[5:])
    elif kind == b"PN":
        high, low = (struct.unpack_from("<I", data, at)[0] for at in (4, 12))
        entry.device = (high, low) if high else (low >> 8 & 0xFFF, low & 0xFF)
    elif kind == b"CL":
        entry.relocated = struct.unpack_from("<I", data, 4)[0] * SECTOR
    elif kind == b"RE":
        entry.moved = True
    elif kind == b"ZF":
        raise FilesystemError("its files are compressed")


def _take_target(entry: _Entry, parts: bytes) -> None:
    """Parts of a symbolic link's target ([RRIP] 4.1.3)."""
    at = 0
    while at + 2 <= len(parts):
        flags, length = parts[at], parts[at + 1]
        text = parts[at + 2 : at + 2 + length]
        at += 2 + length
        if flags & ROOT:
            entry.target = b"/"
            entry.open_target = True
            continue
        if flags & (CURRENT | PARENT):
            text = b"." if flags & CURRENT else b".."
        if entry.target and not entry.open_target:
            entry.target += b"/"
        entry.target += text
        entry.open_target = bool(flags & CONTINUED)
