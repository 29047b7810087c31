"""Reading tar: members of an uncompressed archive as nodes whose contents stay where they are.

Formats: ustar and PAX (POSIX.1-2024, pax, "ustar Interchange Format", "pax Extended Header"), GNU (long names, base-256
numbers, sparse members) and pre-POSIX v7. Reads only; names are returned as they stand, cleaning them is the caller's.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Hole, Node, Piece, Slice

__all__ = ["Member", "TarError", "read_members"]

BLOCK_SIZE = 512
HARD_LINK = "h"

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_KINDS = {
    b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": SYMLINK,
    b"3": CHARACTER, b"4": BLOCK, b"5": DIRECTORY, b"6": FIFO, b"S": FILE,
}  # fmt: skip
_MAX_EXTENSION = 1 << 20
"""A PAX header or GNU long name beyond this is an attack or damage (Linux paths end at 4096 bytes)."""

MAPPED = 16 << 20


class TarError(ValueError):
    """The archive is damaged or not tar; the message says where."""


class Member(NamedTuple):
    """One member: its name, its node, and for a hard link (`node.kind` is `h`) the target's name in `node.link`.

    `records` are its PAX records, for those that others have defined.
    """

    name: str
    node: Node
    records: Mapping[str, bytes]


def read_members(stream: IO[bytes], archive: Slice | str) -> Iterator[Member]:
    """The members of an uncompressed tar, contents as slices of the same stored file.

    `stream` is that file, opened; `archive` is its path below the store's root, or a slice of it when the tar is itself a
    member of another. Raises `TarError`. Nothing is an empty archive; a missing end marker is accepted as GNU tar does.
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

    def members(self) -> Iterator[Member]:
        records: dict[str, bytes] = {}
        seen = self.position
        while (header := self._next_header()) is not None:
            if self.position - seen > MAPPED:
                # What was looked at counts as our memory for as long as it is mapped.
                self.data.madvise(mmap.MADV_DONTNEED)
                seen = self.position
            fields = _HEADER.unpack(header)
            typeflag = fields[7]
            size = self._number(fields[4], "size")
            if typeflag in b"xgLKXNV" and typeflag != b"":
                body = self._extension(size)
                if typeflag in b"xX":
                    records.update(self._pax(body))
                elif typeflag == b"g":
                    self.global_records.update(self._pax(body))
                elif typeflag == b"L":
                    records["path"] = body.split(b"\0", 1)[0]
                elif typeflag == b"K":
                    records["linkpath"] = body.split(b"\0", 1)[0]
                continue
            yield self._member(fields, size, {**self.global_records, **records} if self.global_records else records)
            records = {}
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
        # Checksum: the sum of all bytes with its own field read as blanks; old writers summed signed bytes.
        blanked = header[:148] + b"        " + header[156:]
        stored = self._number(header[148:156], "checksum")
        if sum(blanked) != stored and sum(struct.unpack("512b", blanked)) != stored:
            raise TarError(f"bad header checksum at byte {start}")
        self.position = start + BLOCK_SIZE
        return header

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise TarError(f"an extended header of {size} bytes at byte {self.position}")
        return self.data[self.position : self._skip(size)][:size]

    def _skip(self, size: int) -> int:
        end = self.position + size
        if end > self.size:
            raise TarError(f"the archive ends inside a member at byte {self.position}")
        self.position += (size + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        return end

    def _pax(self, body: bytes) -> dict[str, bytes]:
        records: dict[str, bytes] = {}
        while body:
            length, separator, _ = body.partition(b" ")
            if not separator or not length.isdigit() or not (len(length) + 2 <= int(length) <= len(body)):
                raise TarError(f"malformed PAX record before byte {self.position}")
            record, body = body[len(length) + 1 : int(length)], body[int(length) :]
            key, equals, value = record[:-1].partition(b"=")
            if not equals or record[-1:] != b"\n":
                raise TarError(f"malformed PAX record before byte {self.position}")
            name = key.decode("utf-8", "surrogateescape")
            if name.startswith("GNU.sparse.") and name in records:
                # PAX sparse format 0.0 repeats offset and numbytes: keep the sequence.
                records[name] += b"," + value
            else:
                records[name] = value
        return records

    def _number(self, field: bytes, what: str) -> int:
        if field[0] in (0x80, 0xFF):  # GNU base-256, two's complement
            value = int.from_bytes(field[1:], "big")
            return value - (1 << (8 * (len(field) - 1))) if field[0] == 0xFF else value
        text = field.split(b"\0", 1)[0].strip()
        try:
            return int(text or b"0", 8)
        except ValueError:
            raise TarError(f"bad {what} in the header before byte {self.position}") from None

    def _member(self, fields: tuple[bytes, ...], size: int, records: dict[str, bytes]) -> Member:
        typeflag, magic = fields[7], fields[9]
        kind = _KINDS.get(typeflag)
        if kind is None:
            raise TarError(f"unknown member type {typeflag!r} before byte {self.position}")
        raw = records.get("path") or fields[0].split(b"\0", 1)[0]
        if "path" not in records and magic[:5] == b"ustar" and magic[5:6] == b"\0" and fields[15][0]:
            raw = fields[15].split(b"\0", 1)[0] + b"/" + raw
        if kind == FILE and typeflag != b"S" and raw.endswith(b"/"):
            kind = DIRECTORY  # v7 archives have no directory type
        if "size" in records:
            size = self._decimal(records["size"])
        if size < 0:
            raise TarError(f"negative size before byte {self.position}")
        link = ""
        if kind in (SYMLINK, HARD_LINK):
            link = _text(records.get("linkpath") or fields[8].split(b"\0", 1)[0])
        content: tuple[Piece, ...] = ()
        length = 0
        if kind == FILE:
            content, length = self._content(size, typeflag, records)
        elif kind == HARD_LINK:
            self._skip(size)  # pax allows a hard link to carry data again; the target has it
        name = _text(records.get("GNU.sparse.name", raw) if kind == FILE else raw)
        node = Node(
            kind,
            self._number(fields[1], "mode") & 0o7777,
            self._decimal(records["uid"]) if "uid" in records else self._number(fields[2], "uid"),
            self._decimal(records["gid"]) if "gid" in records else self._number(fields[3], "gid"),
            self._time(records["mtime"]) if "mtime" in records else self._number(fields[5], "mtime") * 10**9,
            length,
            content,
            link,
            (self._number(fields[13], "major"), self._number(fields[14], "minor"))
            if kind in (CHARACTER, BLOCK)
            else (0, 0),
            _xattrs(records) if records else (),
        )
        return Member(name, node, records)

    def _decimal(self, value: bytes) -> int:
        try:
            return int(value)
        except ValueError:
            raise TarError(f"bad number in a PAX record before byte {self.position}") from None

    def _time(self, value: bytes) -> int:
        whole, _, fraction = value.partition(b".")
        negative = whole.startswith(b"-")
        nanoseconds = self._decimal((fraction[:9] or b"0").ljust(9, b"0"))
        return self._decimal(whole or b"0") * 10**9 + (-nanoseconds if negative else nanoseconds)

    def _content(self, size: int, typeflag: bytes, records: dict[str, bytes]) -> tuple[tuple[Piece, ...], int]:
        if typeflag == b"S":
            return self._gnu_sparse(size)
        if "GNU.sparse.major" in records or "GNU.sparse.map" in records or "GNU.sparse.numbytes" in records:
            return self._pax_sparse(size, records)
        start = self.position
        self._skip(size)
        return ((Slice(self.source, start, size),) if size else ()), size

    def _gnu_sparse(self, size: int) -> tuple[tuple[Piece, ...], int]:
        """Old GNU sparse format: four entries at 386, "extended" at 482, the real size at 483; then 21 a block."""
        block = self.data[self.position - BLOCK_SIZE : self.position]
        real = self._number(block[483:495], "sparse size")
        chunks = self._sparse_entries(block[386:482])
        extended = block[482]
        while extended:
            if self.position + BLOCK_SIZE > self.size:
                raise TarError(f"the archive ends inside a sparse map at byte {self.position}")
            block = self.data[self.position : self.position + BLOCK_SIZE]
            chunks += self._sparse_entries(block[:504])
            extended = block[504]
            self.position += BLOCK_SIZE
        start = self.position
        self._skip(size)
        return self._pieces(chunks, start, size, real)

    def _sparse_entries(self, area: bytes) -> list[tuple[int, int]]:
        entries = []
        for at in range(0, len(area) - 23, 24):
            if not area[at]:
                break
            entries.append(
                (self._number(area[at : at + 12], "sparse map"), self._number(area[at + 12 : at + 24], "sparse map"))
            )
        return entries

    def _pax_sparse(self, size: int, records: dict[str, bytes]) -> tuple[tuple[Piece, ...], int]:
        """PAX sparse formats 0.0, 0.1 (map in the records) and 1.0 (map in front of the data)."""
        real = self._decimal(records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size") or b"0")
        start = self.position
        end = self._skip(size)
        if records.get("GNU.sparse.major") == b"1":
            numbers: list[int] = []
            at, wanted = start, 1
            while len(numbers) < wanted:
                newline = self.data.find(b"\n", at, min(end, at + 24))
                if newline < 0:
                    raise TarError(f"malformed sparse map at byte {start}")
                numbers.append(self._decimal(self.data[at:newline]))
                wanted = 1 + 2 * numbers[0]
                at = newline + 1
            pairs = numbers[1:]
            start += (at - start + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        elif "GNU.sparse.map" in records:
            pairs = [self._decimal(part) for part in records["GNU.sparse.map"].split(b",") if part]
        else:
            offsets = records.get("GNU.sparse.offset", b"").split(b",")
            sizes = records.get("GNU.sparse.numbytes", b"").split(b",")
            pairs = [self._decimal(part) for pair in zip(offsets, sizes, strict=False) for part in pair if part]
        return self._pieces(list(zip(pairs[::2], pairs[1::2], strict=False)), start, end - start, real)

    def _pieces(
        self, chunks: list[tuple[int, int]], start: int, stored: int, real: int
    ) -> tuple[tuple[Piece, ...], int]:
        pieces: list[Piece] = []
        at = used = 0
        for offset, length in chunks:
            if offset < at or length < 0 or used + length > stored or offset + length > real:
                raise TarError(f"impossible sparse map before byte {start}")
            if offset > at:
                pieces.append(Hole(offset - at))
            if length:
                pieces.append(Slice(self.source, start + used, length))
            used += length
            at = offset + length
        if real > at:
            pieces.append(Hole(real - at))
        return tuple(pieces), real


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _xattrs(records: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    prefix = "SCHILY.xattr."
    return tuple(sorted((key[len(prefix) :], value) for key, value in records.items() if key.startswith(prefix)))
