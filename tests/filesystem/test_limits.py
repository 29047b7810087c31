"""What each format can hold to the last byte and one more: read back by its judge, or refused by
name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import OutputError
from compos.filesystem.limits import require_holes, require_node
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
    Tree,
    directory,
    file,
    symlink,
)
from tests.filesystem.formats import FORMATS, Format, differences
from tests.filesystem.trees import loop_mounted

FORMAT = {form.name: form for form in FORMATS}
ALL = tuple(FORMAT)
IMAGES = ("erofs", "erofs zstd", "squashfs", "ext4")
TIMES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33, -1, -(2**31), -(2**31) - 1, 2**33 + 2**29)


def xattrs(*pairs: tuple[str, bytes]) -> Tree:
    return {"x": Node(FILE, 0o644, mtime=EPOCH, xattrs=pairs)}


Large = Callable[[], Tree]
"""A tree that is only made for its test, because it takes long."""


def linked(count: int) -> Tree:
    return {
        f"h{number:05}": Node(FILE, 0o644, mtime=EPOCH, size=1, content=(b"x",), inode="i")
        for number in range(count)
    }


def folders(depth: int) -> Tree:
    return {"/".join("a" * level): directory(0o755, EPOCH) for level in range(1, depth + 1)}


def hole(size: int) -> Tree:
    return {"h": Node(FILE, 0o644, mtime=EPOCH, size=size, content=(Hole(size),))}


def owners(count: int) -> Tree:
    return {f"f{number:05}": Node(FILE, 0o644, number, 0, EPOCH) for number in range(count)}


def tree_of(case: Tree | Large) -> Tree:
    return case() if callable(case) else case


HELD: list[tuple[str, tuple[str, ...], Tree | Large]] = [
    (
        "names",
        ALL,
        {
            name: file(b"x", 0o644, EPOCH)
            for name in ("\n", "a\nb", "\udcff\udcfe", "n" * 253, "!", " ", "-", "\\", "%s", "\x1b[31m", "TRAILER!!!", "zz")
        },
    ),
    ("names of 255 bytes", ("initramfs", "cpio", "tar", *IMAGES), {letter * 255: file(b"x", 0o644, EPOCH) for letter in "nm"}),
    (
        "long links",
        ("initramfs", "cpio", "tar", "tar headers", *IMAGES),
        {f"l{size:04}": symlink("t" * size, EPOCH) for size in (1, 59, 60, 61, 100, 101, 255, 256, 4031, 4032, 4033, 4094, 4095)},
    ),
    ("links", ALL, {f"l{number}": symlink(link, EPOCH) for number, link in enumerate(("/", "a/", "a//b", "..", "\udcff", "."))}),
    ("hard links of links", ("initramfs", "tar", *IMAGES), {name: symlink("abc", EPOCH)._replace(inode="s") for name in "lm"}),
    ("hard links of pipes", ("initramfs", "tar", *IMAGES), {name: Node(FIFO, 0o600, mtime=EPOCH, inode="p") for name in "pq"}),
    (
        "devices",
        ("initramfs", "cpio", "tar", "tar headers", *IMAGES),
        {
            f"{kind}{major}.{minor}": Node(kind, 0o600, mtime=EPOCH, device=(major, minor))
            for kind in (BLOCK, CHARACTER)
            for major in (0, 1, 255, 256, 4095)
            for minor in (0, 255, 256, 1_048_575)
        },
    ),
    (
        "ids",
        ALL,
        {f"f{number}": Node(FILE, 0o644, number, number, EPOCH) for number in (0, 65_535, 65_536, 2**21 - 1, 2**21, 2**32 - 2)},
    ),
    ("modes", ALL, {f"f{mode:04o}": Node(FILE, mode, mtime=EPOCH) for mode in (0, 0o7777, 0o4000, 0o1777)}),
    ("times", ALL, {f"f{number:02}": Node(FILE, 0o644, mtime=at * 10**9) for number, at in enumerate(TIMES)}),
    (
        "sizes",
        ALL,
        {
            f"f{size}": Node(FILE, 0o644, mtime=EPOCH, size=size, content=(b"x" * size,))
            for block in (512, 2048, 4096, 131_072)
            for size in (block - 1, block, block + 1)
        },
    ),
    ("65,535 owners", ("squashfs",), lambda: owners(65_535)),
    ("more inodes than a group of blocks has", ("ext4",), lambda: {f"f{number:05}": Node(FILE, 0o644) for number in range(40_000)}),
    ("a folder's attributes", (*IMAGES, "tar headers"), {"d": Node(DIRECTORY, 0o700, xattrs=(("user.a", b"1"),))}),
    ("an attribute's longest name", (*IMAGES, "tar headers"), xattrs(("user." + "n" * 250, b"v"))),
    ("an attribute of 65,535 bytes", ("erofs", "erofs zstd", "squashfs", "tar headers"), xattrs(("user.v", b"v" * 65_535))),
    ("5,000 attributes", ("erofs", "squashfs"), xattrs(*((f"user.{number:04}", b"") for number in range(5000)))),
    ("different attributes", IMAGES, {f"x{n}": Node(FILE, 0o644, xattrs=(("user.v", b"%d" % n),)) for n in range(2000)}),
    ("values around an inode's room", ("ext4",), {f"x{n}": Node(FILE, 0o644, xattrs=(("user.v", b"v" * n),)) for n in range(60, 130)}),
    ("deep folders", ("initramfs", "tar", *IMAGES), folders(400)),
    ("a hole of a TiB", IMAGES, hole(1 << 40)),
    ("the largest file of ext4", ("ext4",), hole((1 << 44) - 4096)),
    ("a hole of 16 TiB", ("erofs",), hole(1 << 44)),
    ("lost+found", ("ext4",), {"lost+found": directory(0o700, EPOCH), "lost+found/x": file(b"x", 0o644, EPOCH)}),
]  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "case"), [(f"{case}: {name}", tree) for case, names, tree in HELD for name in names]
)
def test_what_is_held_is_read_back(name: str, case: Tree | Large, tmp_path: Path) -> None:
    form = FORMAT[name.partition(": ")[2]]
    entries = sorted(tree_of(case).items())
    form.write(entries, tmp_path / "image", tmp_path)
    assert (
        differences(form, entries, form.read(tmp_path / "image", tmp_path / "out"), tmp_path) == []
    )


@pytest.mark.root
def test_ext4_has_65000_links(tmp_path: Path) -> None:
    FORMAT["ext4"].write(sorted(linked(65_000).items()), tmp_path / "image", tmp_path)
    subprocess.run(["e2fsck", "-fn", tmp_path / "image"], check=True, capture_output=True)
    with loop_mounted(tmp_path / "image", "ext4", tmp_path / "out") as root:
        assert (root / "h64999").stat().st_nlink == 65_000


REFUSED: list[tuple[str, str, Tree | Large]] = [
    ("initramfs", "cpio-file-too-large", hole(1 << 32)),
    ("initramfs", "cpio-path-too-long", lambda: folders(2049)),
    (
        "initramfs",
        "too-many-holes",
        {f"h{number}": hole((1 << 32) - 1)["h"] for number in range(17)},
    ),
    ("tar", "too-many-holes", hole((1 << 40) + 1)),
    ("tar", "tar-xattr-name", xattrs(("user.a=b", b"v"))),
    ("squashfs", "too-many-holes", hole(1 << 60)),
    ("squashfs", "squashfs-too-many-ids", lambda: owners(65_536)),
    ("squashfs", "xattr-unknown", xattrs(("user.", b"v"))),
    ("erofs", "erofs-file-too-large", hole((1 << 44) + 1)),
    ("erofs", "xattr-too-large", xattrs(("user.v", b"v" * 65_536))),
    (
        "erofs",
        "xattr-too-large",
        xattrs(*((f"user.{number}", b"v" * 43_684) for number in range(6))),
    ),
    ("erofs", "xattr-unknown", xattrs(("user.", b"v"))),
    ("erofs", "xattr-unknown", xattrs(("system.posix_acl_accessX", b"v"))),
    ("ext4", "ext4-file-too-large", hole(1 << 44)),
    ("ext4", "ext4-too-many-links", lambda: linked(65_001)),
    ("ext4", "ext4-lost-found", {"lost+found": file(b"", 0o644, EPOCH)}),
    ("ext4", "ext4-lost-found", {"lost+found": symlink("x", EPOCH)}),
    ("ext4", "xattr-too-large", xattrs(("user.v", b"v" * 4080))),
    ("ext4", "xattr-unknown", xattrs(("user.", b"v"))),
    ("iso", "iso-file-too-large", hole(1 << 40)),
    ("iso", "iso-name-too-long", {"n" * 254: file(b"", 0o644, EPOCH)}),
    ("iso", "iso-device", {"d": Node(CHARACTER, 0o600, device=(0, 256))}),
]


@pytest.mark.parametrize(
    ("name", "id", "case"),
    [
        pytest.param(
            *one, id=f"{one[0]} {one[1]}", marks=pytest.mark.slow if "too-many" in one[1] else ()
        )
        for one in REFUSED
    ],
)
def test_what_is_not_held_is_refused_by_name(
    name: str, id: str, case: Tree | Large, tmp_path: Path
) -> None:
    with pytest.raises(OutputError) as caught:
        FORMAT[name].write(sorted(tree_of(case).items()), tmp_path / "image", tmp_path)
    assert caught.value.id == id


NOWHERE: list[tuple[str, str, Node]] = [
    ("a major number of 56 bits", "x", Node(BLOCK, 0o600, device=(1 << 55, 1))),
    ("a minor number below zero", "x", Node(BLOCK, 0o600, device=(1, -1))),
    ("a user of 33 bits", "x", Node(FILE, 0o644, uid=1 << 32)),
    ("a group below zero", "x", Node(FILE, 0o644, gid=-1)),
    ("a mode with a type", "x", Node(FILE, 0o100644)),
    ("a size without contents", "x", Node(FILE, 0o644, size=5)),
    ("contents without a size", "x", Node(FILE, 0o644, content=(b"070701",))),
    ("a size below zero", "x", Node(FILE, 0o644, size=-1)),
    ("a folder with a size", "x", Node(DIRECTORY, 0o755, size=4096)),
    ("a name of 256 bytes", "n" * 256, Node(FILE, 0o644)),
    ("a name with a NUL", "a\0b", Node(FILE, 0o644)),
    ("a name of two dots", "d/..", Node(FILE, 0o644)),
    ("no name", "d/", Node(FILE, 0o644)),
    ("a link to nothing", "x", symlink("", EPOCH)),
    ("a link with a NUL", "x", symlink("a\0b", EPOCH)),
    ("a link of 4,096 bytes", "x", symlink("t" * 4096, EPOCH)),
    (
        "an attribute's name of 256 bytes",
        "x",
        Node(FILE, 0o644, xattrs=(("user." + "n" * 251, b""),)),
    ),
    ("an attribute's name with a NUL", "x", Node(FILE, 0o644, xattrs=(("user.a\0b", b""),))),
    ("a value of 65,537 bytes", "x", Node(FILE, 0o644, xattrs=(("user.a", bytes(65_537)),))),
]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize(
    ("path", "node"),
    [(path, node) for _, path, node in NOWHERE],
    ids=[case for case, _, _ in NOWHERE],
)
def test_what_linux_cannot_have_is_written_by_nobody(
    form: Format, path: str, node: Node, tmp_path: Path
) -> None:
    """Not even when it did not come through the gate."""
    entries = [("d", directory(0o755, EPOCH)), (path, node)]
    with pytest.raises(OutputError) as caught:
        form.write(entries, tmp_path / "image", tmp_path)
    assert caught.value.id == "entry-limit"


def test_the_error_says_which_entry_and_why() -> None:
    with pytest.raises(OutputError) as caught:
        require_node("dev/sda", Node(BLOCK, 0o600, device=(4096, 1)))
    assert (
        caught.value.message
        == "Linux cannot hold 'dev/sda': its device's major number 4,096 is not between 0 and 4,095"
    )


def test_holes_are_counted_together() -> None:
    half = Node(FILE, 0o644, size=1 << 39, content=(Hole(1 << 39),))
    require_holes("a test", [half, half, Node(SYMLINK, 0o777, link="x")])
    with pytest.raises(OutputError) as caught:
        require_holes("a test", [half, half, half])
    assert caught.value.id == "too-many-holes"
