"""The parts of a stored file that builds read, as a file of their own: what is fetched in place of
a layer.

May touch: the files it is handed. A file is a head, how many parts there are, the place in the
whole file and the size of each (little-endian, 64 bits), and the parts' bytes one after another.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from compos.image.derived_kinds import DerivedKind
from compos.tree.contents import Contents
from compos.tree.node import Slice

__all__ = ["Part", "PartialFile", "merged", "partial_key", "save_parts", "source_of"]

KIND = DerivedKind.PARTIAL

_MAGIC = f"compos-{KIND.title}\n".encode()
_COUNT = struct.Struct("<Q")
_PART = struct.Struct("<QQ")

GAP = 4096
"""Bytes between two parts that are not worth parting them."""

MAX_PARTS = 1 << 22
"""Parts of one file; a layer of a million files has fewer."""


class Part(NamedTuple):
    """A range of bytes of a file."""

    offset: int
    size: int


class PartialFile(NamedTuple):
    """Where parts of a file lie in the file that has only these."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    places: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> PartialFile | None:
        """What `save_parts` wrote to `path`; None for any other file."""
        try:
            with path.open("rb") as stream:
                head = stream.read(len(_MAGIC))
                (count,) = _COUNT.unpack(stream.read(_COUNT.size))
                if head != _MAGIC or count > MAX_PARTS:
                    return None
                table = stream.read(count * _PART.size)
                parts = [Part(*one) for one in _PART.iter_unpack(table)]
                at = stream.tell()
                stream.seek(0, 2)
                end = stream.tell()
        except (OSError, struct.error):
            return None
        places = []
        for part in parts:
            places.append(at)
            at += part.size
        ordered = all(one.offset + one.size <= other.offset for one, other in pairwise(parts))
        if len(parts) != count or at != end or not ordered:
            return None
        return cls(
            tuple(part.offset for part in parts), tuple(part.size for part in parts), tuple(places)
        )

    def place(self, offset: int, size: int) -> int | None:
        """Where these bytes of the whole file lie, if one part has them all."""
        number = bisect_right(self.starts, offset) - 1
        if number < 0:
            return None
        within = offset - self.starts[number]
        return self.places[number] + within if within + size <= self.sizes[number] else None

    def covers(self, parts: Iterable[Part]) -> bool:
        """Whether it has all `parts`."""
        return all(self.place(*part) is not None for part in parts)


def merged(parts: Iterable[Part]) -> list[Part]:
    """`parts` by their places, those joined that touch or nearly do."""
    found: list[Part] = []
    for offset, size in sorted(part for part in parts if part.size):
        if found and offset <= found[-1].offset + found[-1].size + GAP:
            last = found[-1]
            end = max(last.offset + last.size, offset + size)
            found[-1] = Part(last.offset, end - last.offset)
        else:
            found.append(Part(offset, size))
    return found


def partial_key(source: str, parts: Iterable[Part]) -> str:
    """Under which key the `parts` of the stored file `source` are kept: its name and a digest of
    their places."""
    places = b"".join(_PART.pack(*part) for part in parts)
    return f"{source.replace('/', '=')}-v{KIND.version}-{hashlib.sha256(places).hexdigest()[:32]}"


def source_of(key: str) -> str:
    """Of which stored file the result `key` has parts."""
    return key.rsplit("-", 2)[0].replace("=", "/")


def save_parts(path: Path, contents: Contents, source: str, parts: list[Part]) -> None:
    """Write `parts`, which are `merged`, of the stored file `source`. Raises `ImageError`."""
    with path.open("wb", buffering=0) as out:
        out.write(_MAGIC + _COUNT.pack(len(parts)) + b"".join(_PART.pack(*part) for part in parts))
        contents.copy(_slices(source, parts), out.fileno())


def _slices(source: str, parts: Iterable[Part]) -> Iterator[Slice]:
    return (Slice(source, *part) for part in parts)
