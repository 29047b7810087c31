"""`kernel+initrd`: the kernel, the root filesystem as an initial RAM disk, and the command line;
and the three in one tar.

The initrd is a concatenation of cpio archives, one a component, each compressed by itself and kept
in the store: a build after a small change compresses only what changed. With `--compress max` it is
one archive: what components have in common is nearer then. With `gzip` and `none` it is one archive
in one stream as well, for programs that read no further than an archive's end, as cpio does;
components are still kept by themselves, as parts of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from compos import progress
from compos.compose.sbom import NAME as SBOM
from compos.compose.system import System
from compos.filesystem.compress import Encoding, already_stored, encoding, stored, stored_name
from compos.filesystem.cpio import STEP, cpio_pieces
from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.derived import KindOfResults
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.output.job import Job
from compos.output.write import Output
from compos.tree import absent, record
from compos.tree.contents import Contents, file_of, piece_size
from compos.tree.entries import Entries
from compos.tree.node import EPOCH, FILE, Node, Piece, Slice, Tree
from compos.tree.packed_tree import PackedRange

__all__ = ["archive", "files", "initrd_pieces", "kernel_files", "segment"]

SHARED_FROM = 64 << 10
"""Bytes. Smaller files are not worth looking for."""

IMAGES = ("init[", "onboot[", "onshutdown[", "services[")
"""Components of images, which other images may have parts of."""

KIND = DerivedKind.CONTENTS

MAX_EARLIER = 16
"""Records of earlier systems that digests are looked for in."""

SMALL_SYSTEM = 48 << 20
"""Bytes of all that is in the initrd, uncompressed. Up to this size a higher level takes no time
that anyone would notice."""

SMALL = ("files", SBOM)
"""Locations of what changes most; besides, the build's own, which is said to be in `init`."""


def files(job: Job) -> list[Output]:
    """`-kernel`, `-initrd.img`, `-cmdline`; a part without contents has no file, as in LinuxKit."""
    return [
        *kernel_files(job),
        Output("-initrd.img", tuple(initrd_pieces(job, microcode=True))),
    ]


def kernel_files(job: Job) -> list[Output]:
    """`-kernel` and `-cmdline`, as far as the system has them."""
    system = job.system
    outputs = [
        Output("-kernel", system.kernel.content if system.kernel else ()),
        Output("-cmdline", (system.cmdline.encode(),) if system.cmdline else ()),
    ]
    return [output for output in outputs if output.size]


def archive(job: Job) -> list[Output]:
    """`-initrd.tar`: kernel, initrd.img, cmdline and ucode.cpio (apart) in one tar."""
    system = job.system
    parts: list[tuple[str, tuple[Piece, ...]]] = [
        ("kernel", system.kernel.content if system.kernel else ()),
        ("initrd.img", tuple(initrd_pieces(job))),
        ("cmdline", (system.cmdline.encode(),) if system.cmdline else ()),
        ("ucode.cpio", system.ucode.content if system.ucode else ()),
    ]
    entries: list[TarEntry] = []
    for name, content in parts:
        if content:
            entries.append((name, file_of(content, 0o644, EPOCH), {}))
    return [Output("-initrd.tar", tuple(tar_pieces(entries)))]


def initrd_pieces(job: Job, *, microcode: bool = False) -> list[Piece]:
    """The whole root as an initrd; with `microcode`, that stands in front."""
    if "initrd" not in job.made:
        job.made["initrd"] = _initrd(job)
    made = job.made["initrd"]
    ucode = job.system.ucode if microcode else None
    # The kernel looks for the next archive at a multiple of four; early microcode is a plain cpio
    # in front.
    padding = (bytes(-ucode.size % 4),) if ucode and ucode.size % 4 else ()
    return [*ucode.content, *padding, *made] if ucode else [*made]


def _initrd(job: Job) -> list[Piece]:
    segments = _segments(job.store, job.system, one=job.request.compression == "max")
    with progress.task("initrd"):
        return [*_made(job, segments)]


def _made(job: Job, segments: Sequence[Entries]) -> list[Piece]:
    """The segments' archives, or one of all."""
    # Only zstd has a level for small systems: for others nothing is added up.
    small = job.request.compression == "zstd" and _is_small(segments)
    chosen = _encoding(job, small=small)
    if chosen not in ("gzip", "none"):
        wanted = [_Archive(_key(nodes), nodes) for nodes in segments]
        if job.request.compression == "max":
            # All of it is read again when any of it has changed.
            absent.note(job.store.root, chain.from_iterable(one.pieces() for one in wanted))
        return [*_compressed(job.store, chosen, wanted)]
    parts = _compressed(job.store, "gzip-part" if chosen == "gzip" else "none", _parts(segments))
    end = b"".join(piece for piece in cpio_pieces(()) if isinstance(piece, bytes))
    if chosen == "none":
        return [*parts, end]
    from compos.filesystem.gzip_parts import joined

    with Contents(job.store.root) as contents:
        return [*joined(contents, parts, end)]


def _is_small(segments: Sequence[Entries]) -> bool:
    """Whether all of it is: looks no further than it must."""
    left = SMALL_SYSTEM
    for piece in chain.from_iterable(map(cpio_pieces, segments)):
        left -= piece_size(piece)
        if left < 0:
            return False
    return True


class _Archive(NamedTuple):
    """A cpio archive to be: its key in the store, what is in it, the first inode's number, and
    whether it has an end."""

    key: str
    nodes: Entries
    first: int = 1
    end: bool = True

    def pieces(self) -> Iterator[Piece]:
        return cpio_pieces(self.nodes, first=self.first, end=self.end)


def _parts(segments: Sequence[Entries]) -> list[_Archive]:
    """The segments as parts of one archive. Inodes are numbered in steps, so that a few files more
    change one part only."""
    parts = []
    first = 1
    for nodes in segments:
        parts.append(_Archive(_key(nodes, first), nodes, first, end=False))
        first += (len(nodes) // STEP + 1) * STEP
    return parts


def _compressed(store: Store, chosen: Encoding, archives: Sequence[_Archive]) -> list[Slice]:
    """The archives, compressed. Two are at a time, where several must be: the compressors leave
    Python's lock."""
    cache = KindOfResults(store, DerivedKind.SEGMENT)
    cache.expect(stored_name(one.key, chosen) for one in archives)
    found = [already_stored(cache, one.key, chosen) for one in archives]
    missing = [number for number, one in enumerate(found) if one is None]

    def make(number: int) -> Slice:
        return stored(cache, archives[number].key, chosen, archives[number].pieces)

    if len(missing) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as pool:
            made = dict(zip(missing, pool.map(make, missing), strict=True))
    else:
        made = {number: make(number) for number in missing}
    return [one or made[number] for number, one in enumerate(found)]


def _segments(store: Store, system: System, *, one: bool) -> list[Entries]:
    """One a component; all `init` images together, whose programs have much in common; what is
    small and often changed together; and what several components have. With `one`, all that is not
    small is together.

    Each has the directories that it needs, or follows one that has them: the kernel makes none by
    itself.
    """
    shared = _shared(store, system)
    groups: dict[str, list[Entries]] = {}
    for component, nodes in system.root.segments:
        name, bracket, _ = component.location.partition("[")
        if name in SMALL or (name == "init" and not bracket):
            # It may need directories of everything before.
            group = "small"
            groups[group] = groups.pop(group, [])
        else:
            group = "init" if one or name == "init" else component.location
        groups.setdefault(group, []).append(nodes.without(shared) if shared else nodes)
    groups.setdefault("init" if one else "shared", []).append(Entries.of(shared))
    return [merged for members in groups.values() if (merged := _merged(members))]


def _merged(members: Sequence[Entries]) -> Entries:
    """All of `members` sorted by path, of equal paths the last one's node."""
    some = [one for one in members if one]
    if len(some) == 1:
        return some[0]
    tree: Tree = {}
    packed: list[PackedRange] = []
    for part in chain.from_iterable(one.parts for one in some):
        if isinstance(part, PackedRange):
            packed.append(part)
        else:
            tree.update(part)
    return Entries.of(tree, packed)


def _shared(store: Store, system: System) -> Tree:
    """Large files that are the same in several components (a C library, a shell), made hard links
    of one another: they are compressed, unpacked and kept in memory once. Containers see them
    through read-only mounts and overlays."""
    alike: dict[tuple[object, ...], list[tuple[str, Node]]] = {}
    for path, node, component in system.root.from_size(SHARED_FROM):
        if node.kind == FILE and not node.inode and component.location.startswith(IMAGES):
            alike.setdefault(node._replace(content=()), []).append((path, node))
    candidates = [
        (path, node) for members in alike.values() if len(members) > 1 for path, node in members
    ]
    same: dict[tuple[object, ...], list[tuple[str, Node]]] = {}
    for (path, node), digest in zip(
        candidates, _digests(store, [node for _, node in candidates]), strict=True
    ):
        same.setdefault((digest, node._replace(content=())), []).append((path, node))
    shared: Tree = {}
    for number, members in enumerate(same.values()):
        if len(members) > 1:
            shared.update(
                (path, members[0][1]._replace(inode=f"shared {number}")) for path, _ in members
            )
    return shared


def _digests(store: Store, nodes: Sequence[Node]) -> list[str]:
    """The contents' digests, kept together in the store, each behind the digest of the content's
    slices: when some of the system's images change, the files of the others are not read again."""
    names = [hashlib.sha256(repr(node.content).encode()).hexdigest() for node in nodes]
    key = hashlib.sha256("".join(names).encode()).hexdigest()
    known = _known_digests(store, key)
    if any(name not in known for name in names):
        for earlier in islice(store.results(KIND), MAX_EARLIER):
            known.update(_known_digests(store, earlier.rpartition("/")[2]))
        with store.derive(KIND, key) as path, Contents(store.root) as contents:
            for name, node in zip(names, nodes, strict=True):
                if name not in known:
                    known[name] = _digest(contents, node)
            texts = [text for name in dict.fromkeys(names) for text in (name, known[name])]
            record.save_texts(path, KIND, texts)
    return [known[name] for name in names]


def _known_digests(store: Store, key: str) -> dict[str, str]:
    texts = record.load_texts(store.derived(KIND, key), KIND) or []
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _digest(contents: Contents, node: Node) -> str:
    digest = hashlib.sha256()
    for chunk in contents.chunks(node.content):
        digest.update(chunk)
    return digest.hexdigest()


def segment(job: Job, nodes: Entries) -> Piece:
    """One cpio archive of `nodes`, compressed by itself. It is small, and another one for each
    system: what goes into it is needed whenever anything changes."""
    absent.note(job.store.root, cpio_pieces(nodes))
    cache = KindOfResults(job.store, DerivedKind.SEGMENT)
    return stored(cache, _key(nodes), _encoding(job), lambda: cpio_pieces(nodes))


def _key(nodes: Entries, first: int = 0) -> str:
    """Contents are named by digests and offsets, so a text of the nodes is a key for their bytes;
    `first` is that of a part.

    As long as all are listed, it is the digest of `repr((version, nodes, first))`, or without
    `first`.
    """
    hasher = hashlib.sha256(f"({DerivedKind.SEGMENT.version}, (".encode())
    between = ""
    for text in nodes.texts():
        hasher.update(f"{between}{text}".encode("utf-8", "surrogateescape"))
        between = ", "
    if len(nodes) == 1:
        hasher.update(b",")
    hasher.update(f"), {first})".encode() if first else b"))")
    return hasher.hexdigest()


def _encoding(job: Job, *, small: bool = False) -> Encoding:
    return encoding(job.request.compression, job.request.architecture, small=small)
