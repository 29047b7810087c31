"""A tree as a tar archive: POSIX ustar headers, with PAX records where ustar cannot say it (POSIX.1-2024, pax)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Node, Piece

__all__ = ["END", "TarEntry", "tar_pieces"]

BLOCK_SIZE = 512
END = bytes(2 * BLOCK_SIZE)
_TYPES = {FILE: b"0", SYMLINK: b"2", CHARACTER: b"3", BLOCK: b"4", DIRECTORY: b"5", FIFO: b"6"}
_OCTAL_ID = 0o7777777
_OCTAL_SIZE = 0o77777777777

TarEntry = tuple[str, Node, Mapping[str, str]]
"""Path, node, and extra PAX records."""


def tar_pieces(entries: Iterable[TarEntry]) -> Iterator[Piece]:
    """The archive of `entries` as pieces, ending in two zero blocks. Hard links stay hard links.

    Times keep their nanoseconds (PAX `mtime`), extended attributes go to `SCHILY.xattr.*` as GNU tar writes them.
    """
    first: dict[str, str] = {}
    for path, node, extra in entries:
        name = (path or ".").encode("utf-8", "surrogateescape")
        records = {key.encode(): value.encode("utf-8", "surrogateescape") for key, value in extra.items()}
        records.update({b"SCHILY.xattr." + key.encode("utf-8", "surrogateescape"): value for key, value in node.xattrs})
        if node.inode and node.inode in first:
            yield _headers(name, b"1", node, first[node.inode].encode("utf-8", "surrogateescape"), 0, records)
            continue
        if node.inode:
            first[node.inode] = path
        link = node.link.encode("utf-8", "surrogateescape")
        yield _headers(name, _TYPES[node.kind], node, link, node.size, records)
        if node.size:
            yield from node.content
            if node.size % BLOCK_SIZE:
                yield bytes(-node.size % BLOCK_SIZE)
    yield END


def _headers(name: bytes, typeflag: bytes, node: Node, link: bytes, size: int, records: dict[bytes, bytes]) -> bytes:
    """The member's header block, behind a PAX header where one is needed."""
    seconds, nanoseconds = divmod(node.mtime, 10**9)
    if nanoseconds:
        records[b"mtime"] = b"%d.%09d" % divmod(node.mtime, 10**9) if seconds >= 0 else _negative(node.mtime)
    elif not 0 <= seconds <= _OCTAL_SIZE:
        records[b"mtime"] = b"%d" % seconds
    prefix, short = _split(name)
    if short is None or not name.isascii():
        records[b"path"] = name
        prefix, short = b"", name[:100]
    if len(link) > 100 or not link.isascii():
        records[b"linkpath"] = link
    for key, value, limit in (
        (b"uid", node.uid, _OCTAL_ID),
        (b"gid", node.gid, _OCTAL_ID),
        (b"size", size, _OCTAL_SIZE),
    ):
        if value > limit:
            records[key] = b"%d" % value
    header = _block(
        short,
        node.mode,
        (node.uid, node.gid),
        size,
        min(max(seconds, 0), _OCTAL_SIZE),
        typeflag,
        link,
        node.device,
        prefix,
    )
    if not records:
        return header
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    extended = _block(b"PaxHeaders/" + short[-80:], 0o644, (0, 0), len(body), 0, b"x", b"", (0, 0), b"")
    return extended + body + bytes(-len(body) % BLOCK_SIZE) + header


def _negative(mtime: int) -> bytes:
    whole, fraction = divmod(-mtime, 10**9)
    return b"-%d.%09d" % (whole, fraction)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """`name` as ustar's prefix (155 bytes) and name (100 bytes), or no name when it does not fit."""
    if len(name) <= 100:
        return b"", name
    at = name.find(b"/", len(name) - 101)
    if at <= 0 or at > 155 or at == len(name) - 1:
        return b"", None
    return name[:at], name[at + 1 :]


def _block(
    name: bytes,
    mode: int,
    owner: tuple[int, int],
    size: int,
    seconds: int,
    typeflag: bytes,
    link: bytes,
    device: tuple[int, int],
    prefix: bytes,
) -> bytes:
    """One ustar header block: fields at their offsets, numbers in octal, the checksum over blanks."""
    uid, gid = (value if value <= _OCTAL_ID else 0 for value in owner)
    header = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (mode, uid, gid),
            b"%011o\0%011o\0" % (size if size <= _OCTAL_SIZE else 0, seconds),
            b"        ",
            typeflag,
            link[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % device,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """A PAX record: its own length in decimal, a blank, key=value, newline."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
