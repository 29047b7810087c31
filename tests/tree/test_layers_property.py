"""Arbitrary stacks of layers give the tree that GNU tar makes in a folder, whiteouts applied as the
OCI image specification ("Applying Changesets") says."""

# ruff: noqa: PTH118  one rule a line; paths are bytes where names are not UTF-8
from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from compos.image.model import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Image, ImageConfig
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from compos.tree.node import ancestors
from tests.images import compress

LONG = "n" * 101
NAMES = ("a", "b", "d", "e", "ü", "\udcff\udcfe", LONG)
TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "whiteout": tarfile.REGTYPE,
    "opaque": tarfile.REGTYPE,
}
MEDIA_TYPES = {"gzip": LAYER_GZIP, "zstd": LAYER_ZSTD, "plain": LAYER_TAR}
IMPLIED = (stat.S_IFDIR, 0o755, 0, 0, 0, b"", "", (0, 0), ())
"""A folder that no layer says, but that something lies in."""


class Made(NamedTuple):
    """A member as drawn; `target` is a link's."""

    kind: str
    path: tuple[str, ...]
    mode: int
    ids: tuple[int, int]
    mtime: int
    content: bytes
    target: tuple[str, ...]
    xattr: bytes
    dotted: str


class Drawn(NamedTuple):
    """A layer."""

    members: list[Made]
    format: int
    compression: str


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple)
members = st.builds(
    Made,
    st.sampled_from([*TYPES, "file", "file", "dir", "dir", "whiteout"]),
    paths,
    st.integers(0, 0o7777),
    st.tuples(st.integers(0, 3_000_000), st.integers(0, 70_000)),
    st.integers(0, 2**33),
    st.binary(max_size=5),
    paths,
    st.binary(max_size=8),
    # What a name may begin with and mean the same: GNU tar would go up through these.
    st.sampled_from(["", "./", "./a/../", "zz/.././"]),
)
layers = st.builds(
    Drawn,
    st.lists(members, max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.sampled_from(["gzip", "zstd", "plain"]),
)


def layer_bytes(layer: Drawn, *, dots: bool = False) -> bytes:
    """The layer as a tar; with `dots`, names take the detours that were drawn."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=layer.format, errors="surrogateescape"
    ) as archive:
        for member in layer.members:
            *parents, base = member.path
            if member.kind == "whiteout":
                base = f".wh.{base}"
            elif member.kind == "opaque":
                parents, base = list(member.path), ".wh..wh..opq"
            name = "/".join((*parents, base))
            info = tarfile.TarInfo(f"{member.dotted if dots else './' * bool(member.dotted)}{name}")
            info.type = TYPES[member.kind]
            info.mode, (info.uid, info.gid), info.mtime = member.mode, member.ids, member.mtime
            if member.kind == "hardlink" or member.kind == "symlink":
                info.linkname = "/".join(member.target)
            elif member.kind in ("char", "block"):
                info.devmajor, info.devminor = 1, 3
            data = member.content if member.kind == "file" else b""
            info.size = len(data)
            if member.kind == "file" and member.xattr and layer.format == tarfile.PAX_FORMAT:
                info.pax_headers = {
                    "SCHILY.xattr.user.x": member.xattr.decode("utf-8", "surrogateescape")
                }
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


Steps = tuple[str, ...]


def sound(stack: list[Drawn]) -> list[Drawn]:
    """The stack without what no image builder writes and GNU tar refuses or decides by chance:
    members below what is no folder (links have a test of their own); folders that stand twice in a
    layer, or in place of something of the same layer; hard links to nothing, to folders and
    symbolic links, or to themselves."""
    kinds: dict[Steps, str] = {}
    links: dict[Steps, Steps] = {}
    kept = []
    for layer in stack:
        hidden = [member for member in layer.members if member.kind in ("whiteout", "opaque")]
        # Folders in place of links that something is hidden below have a test of their own, too.
        drawn = [
            one
            for one in layer.members
            if not (hidden and one.kind == "dir" and kinds.get(one.path) == "symlink")
        ]
        before = dict(kinds)
        for member in hidden:
            whole = member.kind == "whiteout"
            _forget(
                kinds,
                _led(before, links, member.path if whole else (*member.path, ""))[
                    : None if whole else -1
                ],
                itself=whole,
            )
        chosen = _sound_members(drawn, kinds)
        links.update((member.path, member.target) for member in chosen if member.kind == "symlink")
        kept.append(layer._replace(members=chosen))
    return kept


def _led(kinds: dict[Steps, str], links: dict[Steps, Steps], path: Steps) -> Steps:
    """Where `path` leads, with the links among its parents followed; a loop leads nowhere."""
    for _ in range(40):
        for end in range(1, len(path)):
            if kinds.get(path[:end]) == "symlink":
                path = path[: end - 1] + links[path[:end]] + path[end:]
                break
        else:
            return path
    return ("", "nowhere", "")


def _forget(kinds: dict[Steps, str], path: Steps, *, itself: bool) -> None:
    for other in [
        other for other in kinds if other[: len(path)] == path and (itself or other != path)
    ]:
        del kinds[other]


def _sound_members(drawn: list[Made], kinds: dict[Steps, str]) -> list[Made]:
    chosen = []
    here: dict[Steps, str] = {}
    said: set[Steps] = set()
    for member in drawn:
        path, kind = member.path, member.kind
        if kind in ("whiteout", "opaque"):
            chosen.append(member)
            continue
        above = [path[:n] for n in range(1, len(path))]
        if any({**kinds, **here}.get(parent, "dir") != "dir" for parent in above):
            continue
        if path in here and "dir" in (here[path], kind) and (here[path] != kind or path in said):
            continue
        target = {**kinds, **here}.get(member.target, "dir")
        if kind == "hardlink" and (
            target in ("dir", "symlink") or member.target[: len(path)] == path
        ):
            continue
        if kind != "dir":
            _forget(kinds, path, itself=True)
        else:
            said.add(path)
        here[path] = target if kind == "hardlink" else kind
        for parent in above:
            here.setdefault(parent, "dir")
        kinds.update(here)
        # In a folder with this bit, the kernel gives new folders its group.
        chosen.append(member._replace(mode=member.mode & ~0o2000) if kind == "dir" else member)
    return chosen


def apply(folder: Path, data: bytes) -> None:
    """One layer in a folder: first what it hides, then GNU tar."""
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        kinds = {os.path.normpath(member.name): member.isdir() for member in archive}
    hidden: list[Path] = []
    replaced: list[Path] = []
    for name, is_folder in kinds.items():
        # Whiteouts are about what lay below, and go through links as all entries do.
        place = Path(os.path.realpath((folder / name).parent)) / Path(name).name
        if place.name == ".wh..wh..opq":
            hidden += place.parent.iterdir() if place.parent.is_dir() else ()
        elif place.name.startswith(".wh."):
            hidden.append(place.with_name(place.name.removeprefix(".wh.")))
        elif not is_folder:
            replaced.append(folder / name)
    for path in hidden:
        remove(path)
    for path in replaced:
        # GNU tar leaves a folder that is not empty; in layers, what stands in its place replaces
        # it.
        if path.is_dir() and not path.is_symlink():
            remove(path)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [
            "tar",
            "--extract",
            "--file",
            file.name,
            "--directory",
            str(folder),
            "--numeric-owner",
            "--same-owner",
            "--same-permissions",
        ]
        command += [
            "--xattrs",
            "--xattrs-include=*",
            "--exclude=.wh.*",
            "--delay-directory-restore",
        ]
        subprocess.run(command, check=True, capture_output=True)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        # Nothing to hide, or something below what is no folder, or a link to itself.
        with suppress(OSError):
            path.unlink()


def seen(folder: Path) -> tuple[dict[str, Any], set[frozenset[str]]]:
    """Path → everything about it; and the groups of hard links."""
    found: dict[str, Any] = {}
    inodes: dict[int, set[str]] = defaultdict(set)
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            status = os.lstat(path)
            key = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            kind = stat.S_IFMT(status.st_mode)
            content = Path(os.fsdecode(path)).read_bytes() if kind == stat.S_IFREG else b""
            link = str(Path(os.fsdecode(path)).readlink()) if kind == stat.S_IFLNK else ""
            mode = 0 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
            mtime = 0 if kind == stat.S_IFDIR else int(status.st_mtime)
            device = (
                (os.major(status.st_rdev), os.minor(status.st_rdev))
                if kind in (stat.S_IFCHR, stat.S_IFBLK)
                else (0, 0)
            )
            xattrs = (
                tuple((name, os.getxattr(path, name)) for name in sorted(os.listxattr(path)))
                if kind == stat.S_IFREG
                else ()
            )
            found[key] = (
                kind,
                mode,
                status.st_uid,
                status.st_gid,
                mtime,
                content,
                link,
                device,
                xattrs,
            )
            if kind == stat.S_IFREG:
                inodes[status.st_ino].add(key)
    return found, {frozenset(group) for group in inodes.values() if len(group) > 1}


KINDS = {
    "f": stat.S_IFREG,
    "d": stat.S_IFDIR,
    "l": stat.S_IFLNK,
    "c": stat.S_IFCHR,
    "b": stat.S_IFBLK,
    "p": stat.S_IFIFO,
}


def ours(folder: Path, stack: list[Drawn]) -> tuple[dict[str, Any], set[frozenset[str]]]:
    store = Store(folder / "store")
    blobs = []
    for one in stack:
        data = compress(layer_bytes(one, dots=True), one.compression)  # type: ignore[arg-type]
        blobs.append(store.put(data, MEDIA_TYPES[one.compression]))
    tree = image_tree(
        store, Image("x", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), tuple(blobs), "")
    )
    found: dict[str, Any] = {}
    groups: dict[str, set[str]] = defaultdict(set)
    with Contents(store.root) as contents:
        for path, node in tree.items():
            kind = KINDS[node.kind]
            mode = 0 if kind == stat.S_IFLNK else node.mode
            mtime = 0 if kind == stat.S_IFDIR else node.mtime // 10**9
            data = b"".join(contents.chunks(node.content))
            found[path] = (
                kind,
                mode,
                node.uid,
                node.gid,
                mtime,
                data,
                node.link,
                node.device,
                node.xattrs,
            )
            if node.inode and kind == stat.S_IFREG:
                groups[node.inode].add(path)
            for parent in ancestors(path):
                # What no layer says is left to whoever lays the tree out: root's, 0755, as GNU tar
                # makes it.
                if parent not in tree:
                    found[parent] = IMPLIED
    return found, {frozenset(group) for group in groups.values() if len(group) > 1}


def drawn(kind: str, *path: str, target: tuple[str, ...] = (), content: bytes = b"") -> Made:
    return Made(kind, path, 0o644, (0, 0), 5, content, target, b"", "")


@pytest.mark.root
@settings(
    max_examples=250,
    deadline=None,
    # Shrinking runs GNU tar thousands of times: minutes, for an example that is short anyway.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(layers, min_size=1, max_size=4))
@example(
    [
        Drawn(
            [
                drawn("file", "a", content=b"1"),
                drawn("hardlink", "b", target=("a",)),
                drawn("file", "a", content=b"2"),
            ],
            tarfile.PAX_FORMAT,
            "plain",
        )
    ]
)
@example(
    [
        Drawn([drawn("file", "a", content=b"1")], tarfile.GNU_FORMAT, "gzip"),
        Drawn(
            [drawn("whiteout", "a"), drawn("file", "a", content=b"2")], tarfile.PAX_FORMAT, "zstd"
        ),
    ]
)
def test_any_stack_is_as_gnu_tar_has_it(stack: list[Drawn]) -> None:
    stack = sound(stack)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        root.mkdir()
        for layer in stack:
            apply(root, layer_bytes(layer))
        (made, our_links), (expected, links) = ours(Path(name), stack), seen(root)
        # Only what differs: whole trees would fill the screen.
        differences = {
            path: (made.get(path), expected.get(path))
            for path in {*made, *expected}
            # A folder that no layer says stays in GNU tar's when all that was in it is gone.
            if made.get(path) != expected.get(path) and (path in made or expected[path] != IMPLIED)
        }
        assert differences == {}
        assert our_links == links


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["d", "d/e", "./d", "none", "b", "d/../d"]),
    st.lists(st.sampled_from(NAMES[:4]), min_size=1, max_size=2),
)
def test_members_below_links_go_where_the_link_leads(target: str, below: list[str]) -> None:
    """As in a folder that is the root: GNU tar in a chroot would do the same."""
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, target
    member = tarfile.TarInfo("/".join(("a", *below)))
    member.size = 1
    folder = tarfile.TarInfo("d/e")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    stacks = [[(folder, b""), (link, b"")], [(member, b"x")]]
    tars = []
    for one in stacks:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for info, data in one:
                archive.addfile(info, io.BytesIO(data))
        tars.append(buffer.getvalue())
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name) / "store")
        blobs = tuple(store.put(data, LAYER_TAR) for data in tars)
        tree = image_tree(
            store, Image("x", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), blobs, "")
        )
    real = (
        os.path.normpath(os.path.join(target, *below))
        if target != "b"
        else os.path.join("b", *below)
    )
    assert tree[real].kind == "f"
    assert tree["a"].kind == "l"
    assert not [path for path in tree if ".." in path.split("/") or path.startswith("/")]
