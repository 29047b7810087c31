"""cpio archives: known bytes, and GNU cpio extracting what we wrote."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from compos.errors import OutputError
from compos.filesystem.cpio import cpio_pieces
from compos.tree.contents import Contents
from compos.tree.node import Hole, Node, Slice, Tree, directory, file, symlink


def archive(tree: Tree, root: Path = Path("/")) -> bytes:
    with Contents(root) as contents:
        return b"".join(contents.chunks(cpio_pieces(sorted(tree.items()))))


def test_known_bytes() -> None:
    data = archive({"a": file(b"hi\n", 0o644, 0)})
    assert data == (
        b"07070100000001000081a40000000000000000000000010000000000000003"
        b"000000000000000000000000000000000000000200000000a\0hi\n\0"
        b"070701" + b"00000000" * 4 + b"00000001" + b"00000000" * 6 + b"0000000b00000000TRAILER!!!\0\0\0\0"
    )  # fmt: skip


@pytest.mark.root
def test_gnu_cpio_extracts_the_same_tree(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/blob").write_bytes(bytes(range(256)) * 4000)
    tree: Tree = {
        "bin": directory(0o755, 10**9),
        "bin/sh": Node(
            "f", 0o4755, 5, 6, 1_500_000_000 * 10**9, 300_001, (Slice("blob", 7, 300_001),)
        ),
        "bin/hole": Node("f", 0o600, size=10_005, content=(b"start", Hole(10_000))),
        "bin/one": Node("f", 0o644, size=3, content=(b"abc",), inode="x"),
        "bin/two": Node("f", 0o644, size=3, content=(b"abc",), inode="x"),
        "dev-null": Node("c", 0o666, device=(1, 3)),
        "fifo": Node("p", 0o644),
        "link": symlink("bin/sh", 0),
        "sp ace\udcff": file(b"", 0o644, 0),
    }
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        ["cpio", "-idm", "--quiet"],
        cwd=out,
        input=archive(tree, tmp_path / "store"),
        check=True,
        capture_output=True,
    )
    status = (out / "bin/sh").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime) == (
        0o4755,
        5,
        6,
        1_500_000_000,
    )
    assert (out / "bin/sh").read_bytes() == (bytes(range(256)) * 4000)[7:300_008]
    assert (out / "bin/hole").read_bytes() == b"start" + bytes(10_000)
    assert (out / "bin/one").stat().st_ino == (out / "bin/two").stat().st_ino
    assert (out / "bin/two").read_bytes() == b"abc"
    assert (out / "dev-null").stat().st_rdev == os.makedev(1, 3)
    assert (out / "fifo").is_fifo()
    assert (out / "link").readlink() == Path("bin/sh")
    assert b"sp ace\xff" in {os.fsencode(path.name) for path in out.iterdir()}


def test_too_large_a_file_is_refused() -> None:
    with pytest.raises(OutputError) as caught:
        archive({"big": Node("f", 0o644, size=1 << 32, content=(Hole(1 << 32),))})
    assert caught.value.id == "cpio-file-too-large"
    assert "4,294,967,296" in caught.value.message


def test_every_field_of_a_header() -> None:
    """magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize
    check."""
    node = Node("b", 0o4755, 0xFFFF_FFFE, 70_000, (2**32 - 1) * 10**9, device=(0xFFF, 0xF_FFFF))
    (header, *_) = cpio_pieces([("dev/x", node)], first=0x2_0001)
    numbers = (
        "070701 00020001 000069ed fffffffe 00011170 00000001 ffffffff"
        " 00000000 00000000 00000000 00000fff 000fffff 00000006 00000000"
    )
    assert header == numbers.replace(" ", "").encode() + b"dev/x\0"


def test_a_part_of_an_archive_has_no_end() -> None:
    assert [*cpio_pieces([], end=False)] == []
    one = [*cpio_pieces([("a", file(b"", 0o644, 0))], end=False)]
    assert len(one) == 1
    assert b"".join(piece for piece in cpio_pieces([]) if isinstance(piece, bytes)).endswith(
        b"TRAILER!!!\0\0\0\0"
    )


def test_a_file_of_the_trailers_name_is_a_file() -> None:
    assert b"\0./TRAILER!!!\0" in archive({"TRAILER!!!": file(b"x", 0o644, 0)}).replace(
        b"00000000", b"\0"
    )
