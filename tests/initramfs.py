"""An initial RAM disk as Linux reads it: plain or compressed archives one after another, laid over
each other.

Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c,
whose functions are named below. Stricter than the kernel, which passes silently over what it cannot
use: all that is an error here.
"""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FILE, SYMLINK
from compos.zstd import zstd
from tests.filesystem.trees import KINDS, Seen, data_digest

__all__ = ["InitramfsError", "archives_of", "names_of", "unpacked"]

PATH_MAX = 4096
HEADER = 110
TRAILER = b"TRAILER!!!"


class InitramfsError(ValueError):
    """What the kernel would refuse, or pass over."""


@dataclass(eq=False)
class _File:
    """An inode in the rootfs."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    device: tuple[int, int] = (0, 0)
    link: str = ""
    data: bytes = b""
    names: set[bytes] = field(default_factory=set)


@dataclass(frozen=True)
class _Member:
    """A header's fields (parse_header), the name and the body."""

    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    size: int
    major: int
    minor: int
    rdev: tuple[int, int]
    name: bytes
    body: bytes


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InitramfsError(what)


def archives_of(initrd: bytes) -> Iterator[bytes]:
    """unpack_to_rootfs: the contents, one compressed stream or plain archive after the other; zeros
    between are skipped."""
    at = 0
    while at < len(initrd):
        if initrd[at] == 0:
            at += 1
            continue
        if initrd[at : at + 1] == b"0":
            # "if (*buf == '0' && !(this_header & 3))"
            _require(at % 4 == 0, f"a plain archive at {at}, which is no multiple of four")
            _, size = _members(initrd[at:])
            yield initrd[at : at + size]
            at += size
            continue
        plain, used = _decompressed(initrd[at:])
        _require(bool(plain), "an empty stream")
        yield plain
        at += used


def _decompressed(data: bytes) -> tuple[bytes, int]:
    if data[:2] == b"\x1f\x8b":
        _require(data[2:4] == b"\x08\0", "gzip with flags")
        stream = zlib.decompressobj(31)
        plain = stream.decompress(data)
        _require(stream.eof, "the gzip stream has no end")
        return plain, len(data) - len(stream.unused_data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        frame = zstd.ZstdDecompressor()
        plain = frame.decompress(data)
        _require(frame.eof, "the frame has no end")
        return plain, len(data) - len(frame.unused_data)
    _require(data[:6] == b"\xfd7zXZ\0", f"a stream that nobody knows: {data[:6]!r}")
    return subprocess.run(
        ["xz", "-dc", "--single-stream"], input=data, capture_output=True, check=True
    ).stdout, len(data)


def _members(data: bytes, *, many: bool = False) -> tuple[list[_Member], int]:
    """The members up to a trailer, or with `many` of all archives in `data`; and the bytes that
    they have."""
    found: list[_Member] = []
    at = 0
    while at < len(data):
        if many and data[at] == 0:
            at += 1
            continue
        _require(at % 4 == 0, f"a header at {at}")
        header = data[at : at + HEADER]
        _require(
            len(header) == HEADER and header[:6] == b"070701", f"no header at {at}: {header[:20]!r}"
        )
        digits = [header[6 + 8 * number : 14 + 8 * number] for number in range(13)]
        _require(all(part.isalnum() for part in digits), f"numbers that are none: {header!r}")
        ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, length, check = (
            int(part, 16) for part in digits
        )
        _require(check == 0, "a checksum")
        # do_header: "if (name_len <= 0 || name_len > PATH_MAX) return 0", which skips the member.
        _require(1 < length <= PATH_MAX, f"a name of {length} bytes with its end")
        name_end = at + HEADER + length
        name = data[at + HEADER : name_end]
        _require(
            name[-1:] == b"\0" and b"\0" not in name[:-1], f"a name that ends elsewhere: {name!r}"
        )
        begin = -(-name_end // 4) * 4
        _require(not any(data[name_end:begin]), "padding that is not zero")
        body = data[begin : begin + size]
        _require(len(body) == size, "the archive ends inside a body")
        end = -(-(begin + size) // 4) * 4
        _require(end <= len(data) and not any(data[begin + size : end]), "padding behind a body")
        at = end
        found.append(
            _Member(
                ino,
                mode,
                uid,
                gid,
                nlink,
                mtime,
                size,
                major,
                minor,
                (rmajor, rminor),
                name[:-1],
                body,
            )
        )
        if name[:-1] == TRAILER and not many:
            return found, at
    _require(bool(found) and found[-1].name == TRAILER, "no trailer")
    return found, at


def names_of(archive: bytes) -> list[str]:
    """The names that a program finds which reads one archive up to its end."""
    members, _ = _members(archive)
    return [member.name.decode("utf-8", "surrogateescape") for member in members[:-1]]


def unpacked(initrd: bytes) -> dict[str, Seen]:
    """What the root holds when all is laid down."""
    root: dict[bytes, _File] = {b"": _File(DIRECTORY, 0o755, (0, 0), 0)}
    for archive in archives_of(initrd):
        links: dict[tuple[int, int, int], _File] = {}
        for member in _members(archive, many=True)[0]:
            if member.name == TRAILER:
                # free_hash: links are of one archive.
                links.clear()
            else:
                _lay(root, links, member)
    for path, file in root.items():
        file.names.add(path)
    return {
        path.decode("utf-8", "surrogateescape"): _seen(file) for path, file in root.items() if path
    }


def _lay(
    root: dict[bytes, _File], links: dict[tuple[int, int, int], _File], member: _Member
) -> None:
    """do_name, do_symlink, do_copy."""
    path = b"/".join(part for part in member.name.split(b"/") if part not in (b"", b"."))
    _require(
        b".." not in path.split(b"/") and path != b"", f"a name that is no path: {member.name!r}"
    )
    _require(
        all(len(part) <= 255 for part in path.split(b"/")), f"a name that is too long: {path!r}"
    )
    parent = root.get(path.rpartition(b"/")[0])
    _require(parent is not None and parent.kind == DIRECTORY, f"nothing that {path!r} could be in")
    kind = KINDS[member.mode & 0o170000]
    old = root.get(path)
    # clean_path: what has another type goes, if it is no folder with something in it.
    if old is not None and old.kind != kind:
        _require(
            not any(name.startswith(path + b"/") for name in root),
            f"a full folder in the place of {path!r}",
        )
        del root[path]
        old = None
    file = _File(kind, member.mode & 0o7777, (member.uid, member.gid), member.mtime * 10**9)
    if kind == DIRECTORY:
        if old is not None:
            old.mode, old.owner, old.mtime = file.mode, file.owner, file.mtime
        else:
            root[path] = file
        return
    if kind == SYMLINK:
        _require(
            1 <= member.size < PATH_MAX and b"\0" not in member.body,
            f"a target of {member.size} bytes",
        )
        # do_symlink: "clean_path(collected, 0)" removes what is there.
        root[path] = replace(
            file, mode=0o777, link=member.body.decode("utf-8", "surrogateescape"), names=set()
        )
        return
    _require(member.nlink >= 1, "no links")
    if kind != FILE:
        _require(not member.body, f"a {kind} with contents")
    key = (member.major, member.minor, member.ino)
    # maybe_link, find_link: "if (nlink >= 2)".
    linked = links.get(key) if member.nlink >= 2 else None
    if linked is not None:
        _require(linked.kind == kind, f"links of two kinds: {path!r}")
        root[path] = linked
        if kind == FILE and member.body:
            linked.data = member.body
        linked.mode, linked.owner, linked.mtime = file.mode, file.owner, file.mtime
        return
    if member.nlink >= 2:
        links[key] = file
    file.data = member.body
    file.device = member.rdev if kind in (CHARACTER, BLOCK) else (0, 0)
    root[path] = file


def _seen(file: _File) -> Seen:
    return Seen(
        file.kind,
        file.mode,
        file.owner,
        file.mtime,
        len(file.data),
        data_digest(file.data) if file.kind == FILE else "",
        file.link,
        file.device,
        (),
        frozenset(name.decode("utf-8", "surrogateescape") for name in file.names)
        if len(file.names) > 1
        else frozenset(),
    )
