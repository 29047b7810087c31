"""A tree as a cpio archive in the "newc" format, which the kernel unpacks as its initial root
filesystem.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst, `c_magic` "070701".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compos.filesystem.inodes import st_mode
from compos.filesystem.limits import cannot_hold, encoded, require_holes, require_node
from compos.tree.node import DIRECTORY, SYMLINK, Node, Piece

__all__ = ["STEP", "cpio_pieces"]

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
_MAX_FIELD = 0xFFFFFFFF
"""Every header field is eight hexadecimal digits."""

HEADER = 110
"""Bytes of a header in front of the name."""

MAX_PATH = 4095
"""Bytes of a path: the kernel passes over members whose name has more, with its NUL, than PATH_MAX
(init/initramfs.c, do_header)."""

MAX_HOLES = 64 << 30
"""Bytes of holes in one archive, where they are zeros: no machine unpacks more into its memory. Our
own limit."""

STEP = 1 << 16
"""Archives that are parts of a larger one number their inodes from a multiple of it on."""


def cpio_pieces(
    entries: Sequence[tuple[str, Node]], *, first: int = 1, end: bool = True
) -> Iterator[Piece]:
    """The archive of `entries` (parents before children), as pieces. Hard links stay hard links.

    Inodes are numbered from `first` on; without `end` another archive's members may follow. Times
    are clamped to 1970 to 2106, extended attributes cannot be expressed and are left out. Raises
    `OutputError`: `cpio-file-too-large`, `cpio-path-too-long`, `too-many-holes`.
    """
    require_holes("an initrd", (node for _, node in entries), MAX_HOLES)
    remaining: dict[str, int] = {}
    for _, node in entries:
        if node.inode:
            remaining[node.inode] = remaining.get(node.inode, 0) + 1
    total = dict(remaining)
    numbers: dict[str, int] = {}
    for number, (path, node) in enumerate(entries, start=first):
        if not path:
            continue
        links = 2 if node.kind == DIRECTORY else 1
        with_data = True
        if node.inode:
            number = numbers.setdefault(node.inode, number)
            links = total[node.inode]
            remaining[node.inode] -= 1
            # Of several links the last carries the data, as cpio(1) writes it; the kernel takes it
            # from any one.
            with_data = remaining[node.inode] == 0
        yield from _member(path, node, number, links, with_data)
    if end:
        yield _header(TRAILER, encoded(TRAILER), (0, 0, 0, 0, 1, 0, 0, 0, 0))


def _member(path: str, node: Node, number: int, links: int, with_data: bool) -> Iterator[Piece]:
    require_node(path, node)
    target = encoded(node.link) if node.kind == SYMLINK else b""
    size = len(target) or (node.size if with_data else 0)
    if node.size > _MAX_FIELD:
        raise cannot_hold(
            "cpio-file-too-large",
            "an initrd",
            path,
            f"the file has {node.size:,} bytes; the maximum is {_MAX_FIELD:,}",
            hint="Put this file on a disk or in a volume instead of in the initrd.",
        )
    mtime = min(max(node.mtime // 10**9, 0), _MAX_FIELD)
    fields = (
        st_mode(node),
        node.uid,
        node.gid,
        number,
        links,
        mtime,
        size,
        *node.device,
    )
    yield _header(path, _name(path), fields)
    if target:
        yield target + bytes(-size % 4)
    elif size:
        yield from node.content
        if size % 4:
            yield bytes(-size % 4)


def _name(path: str) -> bytes:
    name = encoded(path)
    if len(name) > MAX_PATH:
        raise cannot_hold(
            "cpio-path-too-long",
            "an initrd",
            path,
            f"the path has {len(name):,} bytes; the maximum is {MAX_PATH:,}",
        )
    # A file of the name that ends archives is not the end of this one.
    return b"./" + name if path == TRAILER else name


def _header(path: str, name: bytes, fields: tuple[int, ...]) -> bytes:
    """The 110-byte header and the name, padded to four bytes."""
    if not 0 <= min(fields) <= max(fields) <= _MAX_FIELD:
        raise cannot_hold(
            "cpio-field", "an initrd", path, f"one of the numbers {fields} does not fit its field"
        )
    mode, uid, gid, number, links, mtime, size, major, minor = fields
    # buffer-format.rst, "cpio_header". Offset, size, field; numbers in hexadecimal:
    #     0    6  c_magic              62    8  c_maj, of the file system
    #     6    8  c_ino                70    8  c_min
    #    14    8  c_mode               78    8  c_rmaj, of a device
    #    22    8  c_uid                86    8  c_rmin
    #    30    8  c_gid                94    8  c_namesize, with the NUL
    #    38    8  c_nlink             102    8  c_chksum, 0 in this format
    #    46    8  c_mtime             110       the name
    #    54    8  c_filesize
    header = b"%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x" % (
        MAGIC, number, mode, uid, gid, links, mtime, size, 0, 0, major, minor, len(name) + 1, 0,
    )  # fmt: skip
    return header + name + bytes(1 + -(HEADER + len(name) + 1) % 4)
