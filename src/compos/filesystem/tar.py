"""A tree as a tar archive: POSIX ustar headers, with PAX records where ustar cannot say it
(POSIX.1-2024, pax)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compos.filesystem.limits import (
    cannot_hold,
    encoded,
    node_holes,
    require_few_holes,
    require_node,
)
from compos.tree.gate import shown
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

    Times keep their nanoseconds (PAX `mtime`), extended attributes go to `SCHILY.xattr.*` as GNU
    tar writes them. Raises `OutputError` (`tar-xattr-name`, `too-many-holes`).
    """
    holes = 0
    first: dict[str, str] = {}
    for path, node, extra in entries:
        require_node(path, node)
        holes += node_holes(node)
        name = encoded(path or ".")
        records = {key.encode(): encoded(value) for key, value in extra.items()}
        records.update(_xattr_records(path, node))
        if node.inode and node.inode in first:
            yield _headers(name, b"1", node, encoded(first[node.inode]), 0, records)
            continue
        if node.inode:
            first[node.inode] = path
        link = encoded(node.link)
        yield _headers(name, _TYPES[node.kind], node, link, node.size, records)
        if node.size:
            yield from node.content
            if node.size % BLOCK_SIZE:
                yield bytes(-node.size % BLOCK_SIZE)
    # At the end: the entries are asked for once, and nobody writes them before they are all known.
    require_few_holes("a tar", holes)
    yield END


def _xattr_records(path: str, node: Node) -> Iterator[tuple[bytes, bytes]]:
    for key, value in node.xattrs:
        if "=" in key:
            # It ends a record's key (POSIX.1-2024, pax, "pax Extended Header"); programs differ in
            # how they escape it.
            raise cannot_hold(
                "tar-xattr-name",
                "a tar",
                path,
                f"the name of its extended attribute {shown(key)} contains a =",
            )
        yield b"SCHILY.xattr." + encoded(key), value


def _headers(
    name: bytes, typeflag: bytes, node: Node, link: bytes, size: int, records: dict[bytes, bytes]
) -> bytes:
    """The member's header block, behind a PAX header where one is needed."""
    seconds, nanoseconds = divmod(node.mtime, 10**9)
    if nanoseconds:
        records[b"mtime"] = (
            b"%d.%09d" % divmod(node.mtime, 10**9) if seconds >= 0 else _negative(node.mtime)
        )
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
    extended = _block(
        b"PaxHeaders/" + short[-80:], 0o644, (0, 0), len(body), 0, b"x", b"", (0, 0), b""
    )
    return extended + body + bytes(-len(body) % BLOCK_SIZE) + header


def _negative(mtime: int) -> bytes:
    whole, fraction = divmod(-mtime, 10**9)
    return b"-%d.%09d" % (whole, fraction)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """`name` as ustar's prefix (155 bytes) and name (100 bytes), or no name when it does not
    fit."""
    if len(name) <= 100:
        return b"", name
    at = name.find(b"/", len(name) - 101)
    if at <= 0 or at > 155 or at == len(name) - 1:
        return b"", None
    return name[:at], name[at + 1 :]


# POSIX.1-2024, pax, "ustar Interchange Format". Offset, size, field; numbers in octal:
#     0  100  name                  257    6  magic, "ustar" and a NUL
#   100    8  mode                  263    2  version, "00"
#   108    8  uid                   265   32  owner's name, none
#   116    8  gid                   297   32  group's name, none
#   124   12  size                  329    8  devmajor
#   136   12  mtime                 337    8  devminor
#   148    8  checksum              345  155  prefix, in front of name and a slash
#   156    1  typeflag              500   12  zeros
#   157  100  linkname
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
    """One ustar header block: fields at their offsets, numbers in octal, the checksum over
    blanks."""
    uid, gid = (value if value <= _OCTAL_ID else 0 for value in owner)
    header = b"".join(
        (
            name.ljust(100, b"\0"),
            _octal(mode, 7) + _octal(uid, 7) + _octal(gid, 7),
            _octal(size if size <= _OCTAL_SIZE else 0, 11) + _octal(seconds, 11),
            b"        ",
            typeflag,
            link[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            _octal(device[0], 7) + _octal(device[1], 7),
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    if len(header) != BLOCK_SIZE:
        raise cannot_hold(
            "tar-field", "a tar", "", f"the name {shown(repr(name))} does not fit its field"
        )
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _octal(value: int, digits: int) -> bytes:
    """A field of `digits` and a NUL."""
    text = b"%0*o\0" % (digits, value)
    if value < 0 or len(text) != digits + 1:
        raise cannot_hold(
            "tar-field",
            "a tar",
            "",
            f"the number {value:,} does not fit into {digits} octal digits",
        )
    return text


def _record(key: bytes, value: bytes) -> bytes:
    """A PAX record: its own length in decimal, a blank, key=value, newline."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
