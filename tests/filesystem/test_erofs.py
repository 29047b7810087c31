"""EROFS against fsck.erofs and a kernel that mounts it."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.errors import OutputError
from compos.filesystem.crc32c import crc32c
from compos.filesystem.erofs import BLOCK_SIZE, erofs_pieces, write_erofs
from compos.tree.contents import Contents, piece_size
from compos.tree.node import FILE, Hole, Node, Piece, directory, file
from tests.filesystem.trees import blob, described, loop_mounted, sample, trees, walked

UUID = bytes(range(16))
Entries = list[tuple[str, Node]]


def write(entries: Entries, path: Path, store: Path) -> Path:
    pieces = erofs_pieces(entries, uuid=UUID)
    assert sum(map(piece_size, pieces)) % BLOCK_SIZE == 0
    with path.open("wb") as out, Contents(store) as contents:
        contents.copy(pieces, out.fileno(), sparse=True)
    return path


def write_compressed(entries: Entries, path: Path, store: Path) -> Path:
    with path.open("w+b") as out, Contents(store) as contents:
        size = write_erofs(entries, contents, out, uuid=UUID)
    assert path.stat().st_size == size
    return path


def check(image: Path) -> None:
    done = subprocess.run(["fsck.erofs", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.root
def test_one_of_everything(tmp_path: Path) -> None:
    entries = sample(tmp_path)
    image = write(entries, tmp_path / "root.erofs", tmp_path)
    check(image)
    with loop_mounted(image, "erofs", tmp_path / "mnt") as folder:
        assert walked(folder) == described(entries, tmp_path)
        assert folder.stat().st_mode & 0o7777 == 0o755


@pytest.mark.root
def test_an_empty_root(tmp_path: Path) -> None:
    image = write([("", directory(0o700, 5 * 10**9, uid=3))], tmp_path / "root.erofs", tmp_path)
    check(image)
    with loop_mounted(image, "erofs", tmp_path / "mnt") as folder:
        assert list(folder.iterdir()) == []
        status = folder.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (0o700, 3, 5)


@pytest.mark.root
@settings(
    max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_generated(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = tmp_path_factory.mktemp("erofs")
    entries = data.draw(trees(store))
    image = write(entries, store / "root.erofs", store)
    check(image)
    with loop_mounted(image, "erofs", store / "mnt") as folder:
        assert walked(folder) == described(entries, store)


@pytest.mark.root
def test_compressed(tmp_path: Path) -> None:
    """Debian's fsck.erofs of this release knows no zstd; the kernel does."""
    text = b"".join(b"line %d of a text that compresses\n" % number for number in range(200_000))
    noise = random.Random(1).randbytes(1_000_003)
    more: Entries = [
        ("text", Node(FILE, 0o644, size=len(text), content=(blob(tmp_path, text),))),
        ("text-again", Node(FILE, 0o644, size=len(text), content=(blob(tmp_path, text),))),
        ("yarn", Node(FILE, 0o644, size=len(noise), content=(blob(tmp_path, noise),))),
        ("zeros", Node(FILE, 0o644, size=5_000_000, content=(blob(tmp_path, bytes(5_000_000)),))),
    ]
    entries = [*sample(tmp_path), *more]
    image = write_compressed(entries, tmp_path / "root", tmp_path)
    assert image.stat().st_size < len(text) // 4 + len(noise) + 1_500_000
    assert (
        image.read_bytes() == write_compressed(entries, tmp_path / "again", tmp_path).read_bytes()
    )
    with loop_mounted(image, "erofs", tmp_path / "mnt") as folder:
        assert walked(folder) == described(entries, tmp_path)
        with (folder / "text").open("rb") as stream:
            for offset in (0, 4095, 131_071, 131_073, 3_000_001, len(text) - 10):
                stream.seek(offset)
                assert stream.read(5000) == text[offset : offset + 5000]


@pytest.mark.root
@settings(
    max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_generated_and_compressed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = tmp_path_factory.mktemp("erofs")
    entries = data.draw(trees(store))
    image = write_compressed(entries, store / "root", store)
    with loop_mounted(image, "erofs", store / "mnt") as folder:
        assert walked(folder) == described(entries, store)


@pytest.mark.root
def test_wide_huge_and_sparse(tmp_path: Path) -> None:
    entries: Entries = [("many", directory(0o755, 0))]
    entries += [
        (f"many/file-{number:06}", file(b"%d" % number, 0o644, 0)) for number in range(70_000)
    ]
    huge: tuple[Piece, ...] = (Hole(1 << 20), b"begin", Hole(20 << 30), b"end")
    entries.append(("sparse", Node(FILE, 0o644, size=sum(map(piece_size, huge)), content=huge)))
    entries.append(("void", Node(FILE, 0o644, size=5 << 30, content=(Hole(5 << 30),))))
    image = write(entries, tmp_path / "root.erofs", tmp_path)
    assert image.stat().st_size < 30 << 20
    with loop_mounted(image, "erofs", tmp_path / "mnt") as folder:
        assert sorted(path.name for path in (folder / "many").iterdir()) == [
            path[5:] for path, _ in entries[1:70_001]
        ]
        assert (folder / "many/file-012345").read_bytes() == b"12345"
        assert (folder / "void").stat().st_size == 5 << 30
        with (folder / "sparse").open("rb") as stream:
            assert stream.read((1 << 20) + 10)[-11:] == b"\0begin\0\0\0\0\0"
            stream.seek(-6, os.SEEK_END)
            assert stream.read() == b"\0\0\0end"


def test_equal_contents_lie_there_once(tmp_path: Path) -> None:
    content = (b"x" * 100_000,)
    entries: Entries = [
        (f"f{number}", Node(FILE, 0o644, size=100_000, content=content)) for number in range(50)
    ]
    image = write(entries, tmp_path / "root.erofs", tmp_path)
    check(image)
    assert image.stat().st_size < 400_000


def test_known_bytes(tmp_path: Path) -> None:
    image = write(sample(tmp_path), tmp_path / "a", tmp_path).read_bytes()
    assert image == write(sample(tmp_path), tmp_path / "b", tmp_path).read_bytes()
    assert image[1024:1028] == bytes.fromhex("e2e1f5e0")
    assert image[1024 + 48 : 1024 + 64] == UUID
    assert image[1024 + 12] == 12, "blocks of 4096 bytes"
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283, "RFC 3720's check value"
    dumped = subprocess.run(
        ["dump.erofs", "-s", tmp_path / "a"], capture_output=True, text=True, check=True
    ).stdout
    assert "00010203-0405-0607-0809-0a0b0c0d0e0f" in dumped


def test_what_it_cannot_hold() -> None:
    odd = Node(FILE, 0o644, xattrs=(("other.name", b""),))
    with pytest.raises(OutputError) as caught:
        erofs_pieces([("x", odd)], uuid=UUID)
    assert caught.value.id == "xattr-unknown"
    many = Node(FILE, 0o644, xattrs=tuple((f"user.{number}", bytes(60_000)) for number in range(5)))
    with pytest.raises(OutputError) as caught:
        erofs_pieces([("x", many)], uuid=UUID)
    assert caught.value.id == "xattr-too-large"
