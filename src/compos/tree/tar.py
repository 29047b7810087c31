"""Reading tar: members of an uncompressed archive as nodes whose contents stay where they are.

Formats: ustar and PAX (POSIX.1-2024, pax, "ustar Interchange Format", "pax Extended Header"), GNU
(long names, base-256 numbers, sparse members), star and pre-POSIX v7. Reads only; what a member
says is not judged here but by `tree.gate`. Memory and time are in proportion to the archive,
whatever it says of itself.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    SYMLINK,
    Node,
    Piece,
    Slice,
)
from compos.tree.pax import XATTR, TarError, decimal, nanoseconds, number, records_of, text, xattrs
from compos.tree.sparse import (
    MAX_STRETCHES,
    Stretch,
    is_pax_sparse,
    map_in_data,
    map_in_records,
    old_map,
    pieces_of,
    real_size,
)

__all__ = ["Member", "TarError", "read_members"]

BLOCK_SIZE = 512

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12s")
_KINDS = {
    b"1": HARD_LINK, b"2": SYMLINK, b"3": CHARACTER, b"4": BLOCK, b"5": DIRECTORY, b"6": FIFO,
    b"D": DIRECTORY,
}  # fmt: skip
"""All others are regular files, also those that nobody here knows: POSIX, pax, "ustar Interchange
Format", `typeflag`."""

_PAX, _SOLARIS_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"X", b"g", b"L", b"K"
_EXTENSIONS = frozenset((_PAX, _SOLARIS_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK, b"V", b"N"))
"""These and GNU tar's volume labels and older form of long names, which are ignored, are no
members."""

_CONTINUED = b"M"
_DUMP = b"D"
"""GNU tar's folder of an incremental dump: its data are names."""

_OLD_SPARSE = b"S"

_GLOBAL_RECORDS = ("path", "linkpath", "size", "uid", "gid", "mtime")
"""What is taken from a global header, for all members behind it; others' records are about single
files."""

MAX_EXTENSIONS = 1 << 20
"""Bytes of extended headers in front of one member: Linux's attributes and paths are shorter."""

MAPPED = 16 << 20


class Member(NamedTuple):
    """One member: its name, its node, and for a hard link (`node.kind` is `h`) the target's name in
    `node.link`.

    `records` are its PAX records, for those that others have defined.
    """

    name: str
    node: Node
    records: Mapping[str, bytes]


def read_members(stream: IO[bytes], archive: Slice | str) -> Iterator[Member]:
    """The members of an uncompressed tar, contents as slices of the same stored file.

    `stream` is that file, opened; `archive` is its path below the store's root, or a slice of it
    when the tar is itself a member of another. Raises `TarError`. Nothing is an empty archive; a
    missing end marker is accepted as GNU tar does.
    """
    stream.seek(0, 2)
    end = stream.tell()
    whole = Slice(archive, 0, end) if isinstance(archive, str) else archive
    if whole.offset + whole.size > end:
        raise TarError(f"the archive ends at byte {end}, inside a nested archive")
    if whole.size:
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _Reader(data, whole).members()


class _Reader:
    def __init__(self, data: mmap.mmap, archive: Slice) -> None:
        self.data = data
        self.source = archive.source
        self.position = archive.offset
        self.size = archive.offset + archive.size
        self.global_records: dict[str, bytes] = {}
        self.stretches = 0

    def members(self) -> Iterator[Member]:
        records: dict[str, bytes] = {}
        extensions = 0
        seen = self.position
        while (header := self._next_header()) is not None:
            if self.position - seen > MAPPED:
                # What was looked at counts as our memory for as long as it is mapped.
                self.data.madvise(mmap.MADV_DONTNEED)
                seen = self.position
            fields = _HEADER.unpack(header)
            typeflag = fields[7]
            size = self._number(fields[4], "size")
            if typeflag in _EXTENSIONS:
                extensions += size
                if not 0 <= size <= extensions <= MAX_EXTENSIONS:
                    raise TarError(
                        f"extended headers of {extensions} bytes before byte {self.position}"
                    )
                self._extend(typeflag, self.data[self.position : self._skip(size)], records)
                continue
            yield self._member(
                fields, size, {**self.global_records, **records} if self.global_records else records
            )
            records = {}
            extensions = 0
        if records or self.position > self.size:
            raise TarError(f"the archive ends before a member at byte {self.size}")

    def _next_header(self) -> bytes | None:
        start = self.position
        if start + BLOCK_SIZE > self.size:
            if start < self.size and any(self.data[start : self.size]):
                raise TarError(f"the archive ends inside a header at byte {start}")
            return None
        header = self.data[start : start + BLOCK_SIZE]
        if header[0] == 0 and not any(header):
            return None
        if not _is_header(header):
            raise TarError(f"bad header checksum at byte {start}")
        self.position = start + BLOCK_SIZE
        return header

    def _skip(self, size: int) -> int:
        """Step over a member's data; returns where they end."""
        end = self.position + size
        if size < 0:
            raise TarError(f"negative size before byte {self.position}")
        if end > self.size:
            raise TarError(f"the archive ends inside a member at byte {self.position}")
        self.position += (size + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        return end

    def _extend(self, typeflag: bytes, body: bytes, records: dict[str, bytes]) -> None:
        """Read an extended header into `records`, or into those of all members."""
        if typeflag == _LONG_NAME:
            records["path"] = body.partition(b"\0")[0]
        elif typeflag == _LONG_LINK:
            records["linkpath"] = body.partition(b"\0")[0]
        elif typeflag == _GLOBAL:
            found = self._records(body)
            if any(key.startswith(XATTR) for key in found):
                raise TarError(f"extended attributes for all members before byte {self.position}")
            self.global_records.update((key, found[key]) for key in _GLOBAL_RECORDS if key in found)
        elif typeflag in (_PAX, _SOLARIS_PAX):
            records.update(self._records(body))

    def _records(self, body: bytes) -> dict[str, bytes]:
        records: dict[str, bytes] = {}
        # PAX sparse format 0.0 repeats offset and numbytes: their sequence is kept.
        repeated: dict[str, list[bytes]] = {"GNU.sparse.offset": [], "GNU.sparse.numbytes": []}
        try:
            for key, value in records_of(body):
                records[key] = value
                if key in repeated:
                    repeated[key].append(value)
        except ValueError as error:
            raise TarError(f"{error} before byte {self.position}") from None
        records.update((key, b",".join(values)) for key, values in repeated.items() if values)
        return records

    def _number(self, field: bytes, what: str) -> int:
        try:
            return number(field)
        except ValueError:
            raise TarError(f"bad {what} in the header before byte {self.position}") from None

    def _decimal(self, value: bytes) -> int:
        try:
            return decimal(value)
        except ValueError:
            raise TarError(f"bad number in a PAX record before byte {self.position}") from None

    def _member(self, fields: tuple[bytes, ...], size: int, records: dict[str, bytes]) -> Member:
        """A member; an empty record deletes what was said before for all members, and the header's
        field counts again."""
        typeflag = fields[7]
        if typeflag == _CONTINUED:
            raise TarError(
                f"a file that continues from another archive before byte {self.position}"
            )
        raw = records.get("path") or _name(fields)
        kind = _KINDS.get(typeflag, FILE)
        if kind == FILE and typeflag != _OLD_SPARSE and raw.endswith(b"/"):
            kind = DIRECTORY  # v7 archives have no directory type
        if records.get("size"):
            size = self._decimal(records["size"])
        link = ""
        if kind in (SYMLINK, HARD_LINK):
            link = text(records.get("linkpath") or fields[8].partition(b"\0")[0])
        content: tuple[Piece, ...] = ()
        length = 0
        if kind == FILE:
            content, length = self._content(size, typeflag, records)
        elif typeflag == _DUMP or (kind == HARD_LINK and self._has_data(size)):
            self._skip(size)
        device = (0, 0)
        if kind in (CHARACTER, BLOCK):
            device = self._number(fields[13], "major"), self._number(fields[14], "minor")
        name = text(records.get("GNU.sparse.name") or raw if kind == FILE else raw)
        node = Node(
            kind,
            self._number(fields[1], "mode") & 0o7777,
            self._decimal(records["uid"]) if records.get("uid") else self._number(fields[2], "uid"),
            self._decimal(records["gid"]) if records.get("gid") else self._number(fields[3], "gid"),
            self._time(fields[5], records),
            length,
            content,
            link,
            device,
            xattrs(records) if records else (),
        )
        return Member(name, node, records)

    def _has_data(self, size: int) -> bool:
        """Whether the data of a hard link follow. Only PAX archives may have them, and many writers
        give a size without.

        So what follows decides, as in libarchive: a header, or the end, is no data.
        """
        if not size:
            return False
        header = self.data[self.position : min(self.position + BLOCK_SIZE, self.size)]
        return any(header) and not (len(header) == BLOCK_SIZE and _is_header(header))

    def _time(self, field: bytes, records: Mapping[str, bytes]) -> int:
        if not records.get("mtime"):
            return self._number(field, "mtime") * 10**9
        try:
            return nanoseconds(records["mtime"])
        except ValueError:
            raise TarError(f"bad number in a PAX record before byte {self.position}") from None

    def _content(
        self, size: int, typeflag: bytes, records: dict[str, bytes]
    ) -> tuple[tuple[Piece, ...], int]:
        """A regular file's pieces and length."""
        header = self.position
        try:
            if typeflag == _OLD_SPARSE:
                return self._old_sparse(size)
            if is_pax_sparse(records):
                return self._pax_sparse(size, records)
        except TarError:
            raise
        except ValueError:
            raise TarError(f"impossible sparse map before byte {header}") from None
        start = self.position
        self._skip(size)
        return ((Slice(self.source, start, size),) if size else ()), size

    def _old_sparse(self, size: int) -> tuple[tuple[Piece, ...], int]:
        """Old GNU sparse format: four entries at 386, "extended" at 482, the real size at 483; then
        21 a block."""
        block = self.data[self.position - BLOCK_SIZE : self.position]
        real = number(block[483:495])
        stretches = old_map(block[386:482])
        extended = block[482]
        while extended:
            if self.position + BLOCK_SIZE > self.size:
                raise TarError(f"the archive ends inside a sparse map at byte {self.position}")
            block = self.data[self.position : self.position + BLOCK_SIZE]
            stretches += old_map(block[:504])
            extended = block[504]
            self.position += BLOCK_SIZE
        return self._sparse(stretches, self.position, self._skip(size), real)

    def _pax_sparse(self, size: int, records: dict[str, bytes]) -> tuple[tuple[Piece, ...], int]:
        """PAX sparse formats 0.0, 0.1 (map in the records) and 1.0 (map in front of the data)."""
        start = self.position
        end = self._skip(size)
        if records.get("GNU.sparse.major") == b"1":
            stretches, length = map_in_data(self.data, start, end)
            start += (length + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        else:
            stretches = map_in_records(records)
        return self._sparse(stretches, start, end, real_size(records))

    def _sparse(
        self, stretches: list[Stretch], start: int, end: int, real: int
    ) -> tuple[tuple[Piece, ...], int]:
        self.stretches += len(stretches)
        if self.stretches > MAX_STRETCHES:
            raise TarError(
                f"sparse files with more than {MAX_STRETCHES} ranges before byte {start}"
            )
        return pieces_of(stretches, Slice(self.source, start, max(end - start, 0)), real), real


def _is_header(block: bytes) -> bool:
    """Whether the checksum is right: the sum of all bytes, its own read as blanks; old writers
    summed signed bytes."""
    blanked = block[:148] + b"        " + block[156:]
    try:
        stored = number(block[148:156])
    except ValueError:
        return False
    return stored == sum(blanked) or stored == sum(struct.unpack("512b", blanked))


def _name(fields: tuple[bytes, ...]) -> bytes:
    """The name in a header; with ustar's magic it begins in `prefix`, which star's two times make
    shorter (star(5))."""
    name, prefix = fields[0].partition(b"\0")[0], fields[15]
    if fields[9] != b"ustar\0" or not prefix[0]:
        return name
    if fields[16].endswith(b"tar\0"):
        prefix = prefix[:131]
    return prefix.partition(b"\0")[0] + b"/" + name
