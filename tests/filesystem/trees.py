"""Trees to write and to compare: odd ones for hypothesis, and what a mounted or extracted folder
holds.

A tree here is what writers get: a list of (path, node) sorted by path, contents in files of a
store.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from compos.tree.contents import Contents, cut, piece_size
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FIFO,
    FILE,
    SYMLINK,
    Hole,
    Node,
    Piece,
    Slice,
)

__all__ = ["Seen", "blob", "data_digest", "described", "loop_mounted", "sample", "trees", "walked"]

Entries = list[tuple[str, Node]]

KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}


class Seen(NamedTuple):
    """What a path is, told alike by a tree and by a folder. `links` are all paths of the same
    file."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    size: int
    digest: str
    link: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, bytes], ...]
    links: frozenset[str]


def blob(store: Path, data: bytes) -> Slice:
    """`data` in a file of the store, named by its digest."""
    name = f"derived/test/{hashlib.sha256(data).hexdigest()}"
    path = store / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(data)
    return Slice(name, 0, len(data))


def described(
    entries: Sequence[tuple[str, Node]], store: Path, *, tick: int = 1, xattrs: bool = True
) -> dict[str, Seen]:
    """What should be found; `tick` is the format's resolution of times in ns, without `xattrs` none
    are told."""
    together: dict[str, set[str]] = {}
    for path, node in entries:
        if node.inode:
            together.setdefault(node.inode, set()).add(path)
    with Contents(store) as contents:
        return {
            path: Seen(
                node.kind,
                node.mode if node.kind != SYMLINK else 0o777,
                (node.uid, node.gid),
                node.mtime // tick * tick,
                node.size if node.kind == FILE else 0,
                _digest(contents.chunks(_hashed(node)), node.size) if node.kind == FILE else "",
                node.link,
                node.device,
                tuple(sorted(node.xattrs)) if xattrs else (),
                frozenset(together.get(node.inode, ()))
                if node.inode and len(together[node.inode]) > 1
                else frozenset(),
            )
            for path, node in entries
            if path
        }


def walked(
    folder: Path, *, tick: int = 1, xattrs: bool = True, leave: Sequence[str] = ()
) -> dict[str, Seen]:
    """What is in `folder`, but for `leave` (lost+found)."""
    found: dict[str, tuple[Seen, int, int]] = {}
    for full in _paths(folder):
        name = str(full.relative_to(folder))
        if name in leave:
            continue
        status = full.lstat()
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        attributes = _attributes(full, kind) if xattrs else []
        seen = Seen(
            kind,
            stat.S_IMODE(status.st_mode),
            (status.st_uid, status.st_gid),
            status.st_mtime_ns // tick * tick,
            status.st_size if kind == FILE else 0,
            _file_digest(full) if kind == FILE else "",
            os.readlink(full) if kind == SYMLINK else "",  # noqa: PTH115 (a Path would tidy it)
            (os.major(status.st_rdev), os.minor(status.st_rdev))
            if kind in (CHARACTER, BLOCK)
            else (0, 0),
            tuple(
                sorted((key, os.getxattr(full, key, follow_symlinks=False)) for key in attributes)
            ),
            frozenset(),
        )
        found[name] = (seen, status.st_ino, status.st_nlink if kind != DIRECTORY else 1)
    together: dict[int, set[str]] = {}
    for name, (_, inode, count) in found.items():
        if count > 1:
            together.setdefault(inode, set()).add(name)
    return {
        name: seen._replace(links=frozenset(together.get(inode, ()))) if count > 1 else seen
        for name, (seen, inode, count) in found.items()
    }


def _attributes(path: Path, kind: str) -> list[str]:
    """Their names; of those of users, files and folders only have any: xattr(7)."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return [name for name in names if kind in (FILE, DIRECTORY) or not name.startswith("user.")]
    except OSError as error:
        # A squashfs on which nothing has any.
        if error.errno != errno.EOPNOTSUPP:
            raise
        return []


def _paths(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        yield path
        if not path.is_symlink() and path.is_dir():
            yield from _paths(path)


HASHED = 64 << 20
ENDS = 64 << 10
"""Of a larger file, its beginning and its end are compared."""


def data_digest(data: bytes) -> str:
    """What `Seen.digest` is for a file's bytes."""
    return _digest([data] if len(data) <= HASHED else [data[:ENDS], data[-ENDS:]], len(data))


def _digest(chunks: Iterable[bytes], size: int) -> str:
    """The digest of contents, or of the ends of what is large."""
    hasher = hashlib.sha256(b"%d" % size if size > HASHED else b"")
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def _hashed(node: Node) -> tuple[Piece, ...]:
    if node.size <= HASHED:
        return node.content
    return cut(node.content, ENDS)[0] + cut(node.content, node.size - ENDS)[1]


def _file_digest(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= HASHED:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        first = stream.read(ENDS)
        stream.seek(size - ENDS)
        return _digest((first, stream.read()), size)


@contextmanager
def loop_mounted(image: Path, kind: str, folder: Path, options: str = "ro") -> Iterator[Path]:
    """`image` mounted on `folder` by this machine's kernel."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", f"loop,{options}", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def sample(store: Path) -> Entries:
    """A tree with one of everything."""
    big = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(20_000))
    text = b"the quick brown fox jumps over the lazy dog\n" * 20_000
    ns = EPOCH + 123_456_789
    shared = (blob(store, b"shared contents\n"),)
    nodes = {
        "bin": Node(DIRECTORY, 0o755, mtime=EPOCH),
        "bin/busy": Node(FILE, 0o4755, mtime=ns, size=len(text), content=(blob(store, text),)),
        "bin/copy": Node(FILE, 0o755, 7, 8, ns, len(text), (blob(store, text),)),
        "bin/sh": Node(SYMLINK, 0o777, mtime=EPOCH, link="busy"),
        "bin-more": Node(FILE, 0o600, mtime=EPOCH, size=3, content=(b"abc",)),
        "dev": Node(DIRECTORY, 0o755, mtime=EPOCH),
        "dev/null": Node(CHARACTER, 0o666, mtime=EPOCH, device=(1, 3)),
        "dev/sda300": Node(BLOCK, 0o660, 0, 6, EPOCH, device=(259, 300)),
        "dev/initctl": Node(FIFO, 0o600, mtime=EPOCH),
        "empty": Node(FILE, 0o444, mtime=EPOCH),
        "empty-directory": Node(DIRECTORY, 0o1777, 1000, 1000, EPOCH),
        "caf\u00e9 \u2603": Node(DIRECTORY, 0o700, mtime=ns),
        "caf\u00e9 \u2603/\udcff\udcfe raw": Node(FILE, 0o640, 70_000, 4_000_000_000, 1, 8, (b"odd name",)),
        "caf\u00e9 \u2603/" + "n" * 255: Node(FILE, 0o644, mtime=0, size=len(big), content=(blob(store, big),)),
        "hard1": Node(FILE, 0o644, mtime=EPOCH, size=16, content=shared, inode="h"),
        "hard2": Node(FILE, 0o644, mtime=EPOCH, size=16, content=shared, inode="h"),
        "long-link": Node(SYMLINK, 0o777, mtime=EPOCH, link="/" + "x" * 200 + "/y"),
        "ping": Node(
            FILE, 0o755, mtime=EPOCH, size=5, content=(b"ping\n",),
            xattrs=(
                ("security.capability", bytes.fromhex("0100000200200000000000000000000000000000")),
                ("user.note", b"\0binary\xff" * 30),
            ),
        ),
        "sparse": Node(
            FILE, 0o644, mtime=EPOCH, size=3_000_000 + 5 + len(big),
            content=(Hole(1_000_000), b"data!", Hole(2_000_000), blob(store, big)),
        ),
        "tail": Node(FILE, 0o644, mtime=EPOCH, size=4097, content=(b"a" * 4096, b"b")),
        "trusted": Node(DIRECTORY, 0o755, mtime=EPOCH, xattrs=(("trusted.overlay.opaque", b"y"),)),
    }  # fmt: skip
    return sorted(nodes.items())


def _name(raw: bytes) -> str:
    return os.fsdecode(raw.translate(bytes.maketrans(b"/\0", b"--")))


NAMES = st.one_of(
    st.text("abcXYZ.-_ ", min_size=1, max_size=12),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20
    ),
    st.binary(min_size=1, max_size=60).map(_name),
    st.just("l" * 255),
).filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) <= 255)

TIMES = st.one_of(
    st.just(EPOCH),
    st.integers(0, 2**32 * 10**9 - 1),
    st.integers(0, 2**31 - 1).map(lambda s: s * 10**9),
)
IDS = st.sampled_from((0, 0, 0, 1, 1000, 65534, 70_000, 2**32 - 2))
MODES = st.one_of(st.sampled_from((0o644, 0o755, 0o4755, 0o1777)), st.integers(0, 0o7777))
SIZES = st.one_of(
    st.integers(0, 200),
    st.sampled_from((4095, 4096, 4097, 131_071, 131_072, 131_073, 300_000, 1_100_000)),
)
XATTR_NAMES = st.one_of(
    st.text("abc", min_size=1, max_size=40).map(lambda key: f"user.{key}"),
    st.sampled_from(("trusted.t", "security.s")),
)
XATTRS = st.dictionaries(XATTR_NAMES, st.binary(max_size=300), max_size=4)
"""`security.s` is a namespace's attribute that no module interprets."""


@st.composite
def trees(draw: st.DrawFn, store: Path, *, longest: int = 60) -> Entries:
    """A tree of up to `longest` nodes: deep or wide, empty or not, with holes, links, devices and
    odd names."""
    folders = [""]
    nodes: dict[str, Node] = {}
    files: list[str] = []
    for number in range(draw(st.integers(0, longest))):
        parent = draw(st.sampled_from((folders[-1], *folders)))
        path = f"{parent}/{draw(NAMES)}" if parent else draw(NAMES)
        if path in nodes or len(os.fsencode(path)) > 2000:
            continue
        common = Node("", 0, draw(IDS), draw(IDS), draw(TIMES))
        kind = draw(
            st.sampled_from(
                (FILE, FILE, FILE, DIRECTORY, DIRECTORY, SYMLINK, CHARACTER, BLOCK, FIFO, "hard")
            )
        )
        if kind == "hard" and files:
            first = draw(st.sampled_from(files))
            nodes[first] = nodes[first]._replace(inode=nodes[first].inode or f"i{number}")
            nodes[path] = nodes[first]
            continue
        mode = draw(MODES)
        if kind == DIRECTORY:
            folders.append(path)
            nodes[path] = common._replace(kind=kind, mode=mode, xattrs=_some(draw))
        elif kind == SYMLINK:
            target = draw(st.one_of(NAMES, st.integers(1, 4000).map(lambda length: "t" * length)))
            nodes[path] = common._replace(kind=kind, mode=0o777, link=target)
        elif kind in (CHARACTER, BLOCK):
            device = (draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1)))
            nodes[path] = common._replace(kind=kind, mode=mode, device=device)
        elif kind == FIFO:
            nodes[path] = common._replace(kind=kind, mode=mode)
        else:
            content = _content(draw, store)
            size = sum(map(piece_size, content))
            nodes[path] = common._replace(
                kind=FILE, mode=mode, size=size, content=content, xattrs=_some(draw)
            )
            files.append(path)
    return sorted(nodes.items())


def _some(draw: st.DrawFn) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted(draw(XATTRS).items())) if draw(st.integers(0, 4)) == 0 else ()


def _content(draw: st.DrawFn, store: Path) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    for _ in range(draw(st.integers(0, 3))):
        size = draw(SIZES)
        form = draw(st.integers(0, 4))
        seed = draw(st.integers(0, 5))
        if not size:
            continue
        if form == 0:
            pieces.append(Hole(size))
        elif form == 1:
            pieces.append(bytes([65 + seed]) * min(size, 5000))
        elif form == 2:
            pieces.append(blob(store, bytes(size)))
        else:
            raw = b"".join(
                hashlib.sha256(b"%d.%d" % (seed, block)).digest() for block in range(size // 64 + 1)
            )
            whole = blob(store, (raw + b"text " * size)[:size])
            start = draw(st.integers(0, min(size - 1, 100)))
            pieces.append(Slice(whole.source, start, size - start))
    return tuple(pieces)
