"""Layers for property tests: bytes that are nearly tars, and tars whose members say what no honest
writer says."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from tests.rawtar import END, Header, padded, pax

__all__ = ["Tar", "layers"]


T = TypeVar("T")


class Tar(bytes):
    """Bytes that do not fill the screen when a test fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


NUMBERS = st.one_of(
    st.integers(0, 100_000),
    st.sampled_from(
        (65_535, 65_536, 2**21, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**55, 2**62, -1, -(2**40))
    ),
)
"""What stands in a header where no bounds are kept: ids, sizes, devices, modes."""

IDS = st.one_of(st.integers(0, 70_000), st.sampled_from((0, 2**21 - 1, 2**21, 2**31, 2**32 - 2)))
TIMES = st.one_of(
    st.integers(0, 2**32),
    st.sampled_from((-1, 2**31, 2**32 - 1, 2**32, 2**33, -(2**31), -(2**31) - 1, 2**62, -(2**62))),
)
DEVICES = st.tuples(st.integers(0, 4095), st.one_of(st.integers(0, 300), st.integers(0, 2**20 - 1)))
SIZES = st.one_of(
    st.integers(0, 300), st.sampled_from((0, 511, 512, 4031, 4095, 4096, 4097, 131_071, 131_073))
)

NAMES = st.one_of(
    st.sampled_from((b"a", b"b", b"c", b"d", b"e")),
    st.sampled_from(
        (
            b"a",
            b"b",
            b"c",
            b"d",
            b"e",
            b".",
            b"..",
            b"",
            b"TRAILER!!!",
            b"lost+found",
            b"\n",
            b"\xff",
            b"n" * 253,
        )
    ),
    st.binary(min_size=1, max_size=20).map(
        lambda raw: raw.translate(bytes.maketrans(b"/\0", b"--"))
    ),
)
ODD_NAMES = st.sampled_from(
    (b".wh.a", b".wh.d", b".wh..wh..opq", b"n" * 255, b"n" * 256, b"nul\0", b".wh.", b"a")
)
TARGETS = st.one_of(
    st.sampled_from((b"a", b"d", b"../a", b"/d/b", b"/", b"..", b"a//b", b"a/", b"../../../x")),
    st.binary(min_size=1, max_size=90).map(lambda raw: raw.replace(b"\0", b"-")),
)
LONG_TARGETS = st.sampled_from((b"t" * 59, b"t" * 60, b"t" * 1000, b"t" * 4095, b"p/" * 300))
ODD_TARGETS = st.sampled_from((b"t" * 4096, b"", b"a\0b"))
KINDS = st.sampled_from(
    (b"0", b"0", b"0", b"5", b"5", b"5", b"2", b"1", b"1", b"3", b"4", b"6", b"7")
)
ODD_KINDS = st.sampled_from((b"S", b"\0", b"x", b"Z", b"L", b"M", b"0"))
XATTRS = st.sampled_from(
    ("user.a", "user.b", "user.a b", "trusted.t", "security.s", "user." + "k" * 250)
)
ODD_XATTRS = st.sampled_from(
    ("user.", "other.x", "system.y", "user", "user." + "k" * 251, "user.\0")
)
VALUES = st.one_of(st.binary(max_size=30), st.integers(0, 3000).map(bytes))
ODD_KEYS = st.sampled_from(
    ("path", "linkpath", "size", "uid", "gid", "mtime", "GNU.sparse.major", "GNU.sparse.map")
)


class _Wild:
    """Whether a layer keeps to what is possible: one member that is not makes the reader refuse
    all."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._wild = not draw(st.integers(0, 3))

    def __call__(self, tame: st.SearchStrategy[T], odd: st.SearchStrategy[T]) -> T:
        return self._draw(odd if self._wild and not self._draw(st.integers(0, 5)) else tame)


def _path(draw: st.DrawFn, wild: _Wild) -> bytes:
    return b"/".join(wild(NAMES, ODD_NAMES) for _ in range(draw(st.integers(1, 4))))


def _records(draw: st.DrawFn, wild: _Wild, kind: bytes) -> bytes:
    """A PAX header."""
    records: dict[str, bytes] = {}
    for _ in range(draw(st.integers(1, 3))):
        form = draw(st.integers(0, 5))
        if form < 3:
            records[f"SCHILY.xattr.{wild(XATTRS, ODD_XATTRS)}"] = draw(VALUES)
        elif form == 3:
            records["mtime"] = b"%d.%d" % (draw(TIMES), draw(st.integers(0, 10**10)))
        elif form == 4 and kind == b"2":
            records["linkpath"] = wild(LONG_TARGETS, ODD_TARGETS)
        else:
            records[draw(st.sampled_from(("uid", "gid")))] = b"%d" % wild(IDS, NUMBERS)
    if odd := wild(st.just(""), ODD_KEYS):
        records[odd] = draw(st.one_of(VALUES, NUMBERS.map(lambda number: b"%d" % number)))
    return pax(records)


def _sparse(draw: st.DrawFn, wild: _Wild) -> bytes:
    """A sparse member in PAX format 0.1."""
    data = b""
    at = 0
    pairs = []
    for _ in range(draw(st.integers(0, 4))):
        at += draw(st.sampled_from((0, 1, 4096, 65_536, 200_000, 2**20)))
        at += wild(st.just(0), st.sampled_from((2**32, 2**45, -1)))
        length = draw(st.integers(0, 5000))
        pairs += [at, length]
        data += bytes([65 + len(data) % 26]) * length
        at += length
    real = (
        at
        + draw(st.sampled_from((0, 1, 4095, 2**17)))
        + wild(st.just(0), st.sampled_from((2**32, 2**41, 2**60, -1)))
    )
    records = {
        "GNU.sparse.major": b"0",
        "GNU.sparse.minor": b"1",
        "GNU.sparse.name": _path(draw, wild),
        "GNU.sparse.size": b"%d" % real,
        "GNU.sparse.map": ",".join(map(str, pairs)).encode(),
    }
    return pax(records) + bytes(Header(b"x", size=len(data))) + padded(data)


def _member(draw: st.DrawFn, wild: _Wild, files: list[bytes]) -> bytes:
    if not draw(st.integers(0, 11)):
        return _sparse(draw, wild)
    kind = wild(KINDS, ODD_KINDS)
    path = _path(draw, wild)[:100]
    link = wild(TARGETS, ODD_TARGETS)[:100] if kind == b"2" else b""
    data = b""
    if kind == b"1":
        if not files:
            kind = b"5"
        link = draw(st.sampled_from(files)) if files else b""
    elif kind in (b"0", b"7", b"\0"):
        size = draw(SIZES)
        data = (draw(st.binary(min_size=1, max_size=4)) * size)[:size]
        files.append(path)
    header = Header(
        path,
        kind,
        wild(st.just(len(data)), NUMBERS),
        wild(st.integers(0, 0o7777), NUMBERS),
        wild(IDS, NUMBERS),
        wild(IDS, NUMBERS),
        draw(TIMES),
        link,
        wild(DEVICES, st.tuples(NUMBERS, NUMBERS)) if kind in (b"3", b"4") else (0, 0),
    )
    front = b"" if draw(st.integers(0, 2)) else _records(draw, wild, kind)
    return front + bytes(header) + padded(data)


@st.composite
def layers(draw: st.DrawFn) -> Tar:
    """A layer of a few members; three of four keep to Linux's bounds, and one in eight has been
    changed somewhere."""
    wild = _Wild(draw)
    files: list[bytes] = []
    layer = b"".join(_member(draw, wild, files) for _ in range(draw(st.integers(1, 14)))) + END
    if draw(st.integers(0, 7)):
        return Tar(layer)
    changed = bytearray(layer)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(changed) - 1))
        changed[at : at + 8] = draw(st.binary(max_size=12))
    return Tar(changed)
