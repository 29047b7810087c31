"""tar archives: GNU tar extracts what we wrote, and our reader reads it back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.filesystem.tar import tar_pieces
from compos.tree.contents import Contents
from compos.tree.node import Node, Tree, directory, file, symlink
from compos.tree.tar import read_members


def write(tree: Tree, path: Path) -> None:
    with Contents(path.parent) as contents:
        path.write_bytes(
            b"".join(
                contents.chunks(tar_pieces((name, node, {}) for name, node in sorted(tree.items())))
            )
        )


@pytest.mark.root
def test_gnu_tar_extracts_the_same_tree(tmp_path: Path) -> None:
    long = "d" * 90 + "/" + "e" * 120
    tree: Tree = {
        "d" * 90: directory(0o2755, 0),
        long: file(b"deep", 0o640, 1_600_000_000_123_456_789, uid=3_000_000, gid=7),
        "link": symlink("t" * 150, 0),
        "one": Node("f", 0o644, size=3, content=(b"abc",), inode="x"),
        "two": Node("f", 0o644, size=3, content=(b"abc",), inode="x"),
        "null": Node("c", 0o666, device=(1, 3)),
        "attr": Node("f", 0o644, xattrs=(("user.note", b"\x01\x00\xff"),)),
        "café\udcff": file(b"", 0o644, 0),
    }
    write(tree, tmp_path / "a.tar")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-xpf", "../a.tar"], cwd=out, check=True
    )
    status = (out / long).stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 3_000_000, 7)
    assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert (out / "link").readlink() == Path("t" * 150)
    assert (out / "one").stat().st_ino == (out / "two").stat().st_ino
    assert (out / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.getxattr(out / "attr", "user.note") == b"\x01\x00\xff"
    assert b"caf\xc3\xa9\xff" in {os.fsencode(path.name) for path in out.iterdir()}


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=140
).filter(lambda name: name not in (".", "..") and "\n" not in name)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        names,
        st.builds(
            file,
            st.binary(max_size=1500),
            st.integers(0, 0o7777),
            st.integers(-(10**18), 10**19),
            uid=st.integers(0, 2**32 - 2),
            gid=st.integers(0, 2**32 - 2),
        ),
        max_size=6,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory: object, tree: Tree) -> None:
    import tempfile

    clean: Tree = {}
    for name, node in tree.items():
        try:
            name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            continue
        clean[name] = node
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        write(clean, path)
        with path.open("rb") as stream, Contents(path.parent) as contents:
            found = {member.name: member.node for member in read_members(stream, "a.tar")}
            assert {name: node._replace(content=()) for name, node in found.items()} == {
                name: node._replace(content=()) for name, node in clean.items()
            }
            for name, node in found.items():
                assert b"".join(contents.chunks(node.content)) == b"".join(
                    contents.chunks(clean[name].content)
                )


def test_every_field_of_a_header() -> None:
    """POSIX.1-2024, pax, "ustar Interchange Format": each number octal, with a NUL behind it."""
    node = Node("c", 0o4755, 0o7777777, 0o7777776, 0o77777777777 * 10**9, device=(0xFFF, 0xF_FFFF))
    (header, *_) = tar_pieces([("dev/x", node, {})])
    numbers = "0004755 7777777 7777776 00000000000 77777777777 ".replace(" ", "\0").encode()
    devices = b"0007777\0" + b"3777777\0"
    front, back = (
        b"dev/x".ljust(100, b"\0") + numbers,
        b"3" + bytes(100) + b"ustar\0" + b"00" + bytes(64) + devices + bytes(167),
    )
    checksum = sum(front) + 8 * ord(" ") + sum(back)
    assert header == front + b"%06o" % checksum + b"\0 " + back
    assert len(header) == 512


def test_numbers_that_octal_cannot_say_are_records() -> None:
    node = Node("f", 0o644, 0o10000000, 0, (0o77777777777 + 1) * 10**9)
    (headers, *_) = tar_pieces([("x", node, {})])
    assert isinstance(headers, bytes)
    assert headers[512:].startswith(b"20 mtime=8589934592\n15 uid=2097152\n")
    header = headers[1024:]
    assert header[108:116] == b"0000000\0"
    assert header[136:148] == b"77777777777\0"
