"""Files of a system, read from what a build wrote: a tar, an initramfs, a squashfs, an EROFS, an
ext4, an ISO 9660 image. Reads only.

Archives may come from anybody: a path that leads out of the root, or that Linux cannot have, is an
error, and so is an archive that says more than it has.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from compos.filesystem.erofs_reader import read_erofs
from compos.filesystem.ext4_reader import read_ext4
from compos.filesystem.initramfs import Member, read_initramfs
from compos.filesystem.inodes import KINDS
from compos.filesystem.iso9660_reader import IsoImage
from compos.filesystem.squashfs_reader import read_squashfs
from compos.report.facts import DOCUMENTS, MAX_DOCUMENT, FileFact, part_of
from compos.tree.contents import Contents
from compos.tree.gate import admitted
from compos.tree.node import BLOCK, CHARACTER, FILE, HARD_LINK, SYMLINK, Node
from compos.tree.tar import read_members

__all__ = [
    "Files",
    "erofs_files",
    "ext4_files",
    "initramfs_files",
    "iso_files",
    "squashfs_files",
    "stored_fact",
    "tar_files",
]

MAX_FILES = 4_000_000
MICROCODE = "kernel/x86"
"""The folder that processors' microcode has in an initramfs (Linux, Documentation/arch/x86/
microcode.rst): the file boot/ucode.cpio of a system, in front of its root."""

_FOUND = "lost+found"

MAX_TARGET = 4096
"""Bytes of a symbolic link's target (linux/limits.h: PATH_MAX)."""


class Files:
    """The files of a system, with the contents of those that say what it is
    (`report.facts.DOCUMENTS`)."""

    def __init__(self) -> None:
        self.facts: dict[str, FileFact] = {}
        self.documents: dict[str, bytes] = {}

    def put(self, path: str, fact: FileFact) -> None:
        """Lay a file down, in the place of what was there. Raises `ValueError` for too many."""
        if not path:
            return
        if len(self.facts) >= MAX_FILES:
            raise ValueError(f"there are more than {MAX_FILES} files")
        self.documents.pop(path, None)
        self.facts[path] = fact._replace(part=fact.part or part_of(path))

    def put_contents(self, path: str, fact: FileFact, chunks: Iterable[bytes]) -> FileFact:
        """The same for a regular file with these contents; returns what was laid down."""
        wanted = fact.size <= MAX_DOCUMENT and DOCUMENTS.fullmatch(path)
        kept = []
        hasher = hashlib.sha256()
        for chunk in chunks:
            hasher.update(chunk)
            if wanted:
                kept.append(chunk)
        made = fact._replace(digest=hasher.hexdigest())
        self.put(path, made)
        if wanted:
            self.documents[path] = b"".join(kept)
        return made


def stored_fact(node: Node, digest: str, part: str) -> FileFact:
    """What is known of a node, whose contents have this digest."""
    return FileFact(
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.size if node.kind == FILE else 0,
        digest,
        node.link if node.kind == SYMLINK else "",
        node.device,
        tuple(sorted(node.xattrs)),
        part,
    )


def tar_files(path: Path) -> Files:
    """The members of an uncompressed tar; of several with one name the last. Raises `ValueError`,
    and `OSError`."""
    files = Files()
    with path.open("rb") as stream, Contents(path.parent) as contents:
        for name, found, _ in read_members(stream, path.name):
            clean, node = admitted(name, found)
            if node.kind == HARD_LINK:
                target = files.facts.get(node.link)
                if target is None:
                    raise ValueError(f"a hard link to {node.link!r}, which is not there")
                files.put(clean, target)
                if node.link in files.documents and DOCUMENTS.fullmatch(clean):
                    files.documents[clean] = files.documents[node.link]
                continue
            fact = stored_fact(node, "", "")
            if node.kind == FILE:
                files.put_contents(clean, fact, contents.chunks(node.content))
            else:
                files.put(clean, fact)
    return files


def initramfs_files(chunks: Iterator[bytes]) -> Files:
    """The members of an initramfs's archives, laid over each other, but for microcode. Raises
    `ValueError`."""
    return _member_files(read_initramfs(chunks), microcode=True)


def squashfs_files(read: Callable[[int, int], bytes]) -> Files:
    """The files of a squashfs of which `read` gives the bytes at an offset. Raises `ValueError`."""
    return _member_files(read_squashfs(read), microcode=False)


def erofs_files(read: Callable[[int, int], bytes]) -> Files:
    """The same of an EROFS."""
    return _member_files(read_erofs(read), microcode=False)


def ext4_files(read: Callable[[int, int], bytes]) -> Files:
    """The same of an ext4, without the empty folder that e2fsck puts what it finds into."""
    files = _member_files(read_ext4(read), microcode=False)
    if not any(path.startswith(f"{_FOUND}/") for path in files.facts):
        files.facts.pop(_FOUND, None)
    return files


def iso_files(image: IsoImage) -> Files:
    """The same of an ISO 9660 image."""
    return _member_files(image.members(), microcode=False)


def _member_files(members: Iterator[Member], *, microcode: bool) -> Files:
    files = Files()
    waiting: dict[tuple[int, int, int, int], list[str]] = {}
    for member in members:
        fact = _fact(member)
        path, _ = admitted(
            member.name, Node(fact.kind, fact.mode, fact.uid, fact.gid, link=fact.link)
        )
        if microcode and (f"{path}/".startswith(f"{MICROCODE}/") or path == "kernel"):
            continue
        if fact.kind == FILE:
            made = files.put_contents(path, fact, member.body)
            if member.links > 1:
                _link(files, waiting.setdefault(member.inode, []), path, made)
        else:
            files.put(path, fact)
    return files


def _link(files: Files, names: list[str], path: str, made: FileFact) -> None:
    """The contents stand once, at the last of the links."""
    if not made.size:
        known = next((files.facts[name] for name in names if files.facts[name].size), None)
        if known:
            files.put(path, made._replace(size=known.size, digest=known.digest))
    for name in names if made.size else ():
        files.put(name, files.facts[name]._replace(size=made.size, digest=made.digest))
    names.append(path)


def _fact(member: Member) -> FileFact:
    kind = KINDS.get(stat.S_IFMT(member.mode))
    if kind is None:
        raise ValueError(f"{member.name!r} is of no kind that Linux has")
    if kind == SYMLINK and member.size > MAX_TARGET:
        raise ValueError(f"{member.name!r} has a target of {member.size} bytes")
    target = b"".join(member.body) if kind == SYMLINK else b""
    return FileFact(
        kind,
        stat.S_IMODE(member.mode),
        member.uid,
        member.gid,
        member.size if kind == FILE else 0,
        link=target.decode("utf-8", "surrogateescape"),
        device=member.device if kind in (BLOCK, CHARACTER) else (0, 0),
    )
