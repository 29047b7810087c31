"""Squashfs against unsquashfs and a kernel that mounts it."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.errors import OutputError
from compos.filesystem.squashfs import SquashfsCompression, write_squashfs
from compos.tree.contents import Contents, piece_size
from compos.tree.node import FILE, Hole, Node, Piece, Slice, directory, file
from tests.filesystem.trees import described, loop_mounted, sample, trees, walked

SECOND = 10**9
ALL: tuple[SquashfsCompression, ...] = ("zstd", "xz", "gzip")
Entries = list[tuple[str, Node]]


def write(
    entries: Entries, path: Path, store: Path, compression: SquashfsCompression = "zstd"
) -> Path:
    with path.open("w+b") as out, Contents(store) as contents:
        size = write_squashfs(entries, contents, out, compression=compression)
    assert path.stat().st_size == size
    assert size % 4096 == 0
    return path


def unsquashfs(*arguments: object) -> str:
    done = subprocess.run(
        ["unsquashfs", *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.root
@pytest.mark.parametrize("compression", ALL)
def test_one_of_everything(tmp_path: Path, compression: SquashfsCompression) -> None:
    entries = sample(tmp_path)
    image = write(entries, tmp_path / "root.squashfs", tmp_path, compression)
    expected = described(entries, tmp_path, tick=SECOND)
    told = unsquashfs("-stat", image)
    assert f"Compression {compression}" in told
    unsquashfs("-no-progress", "-d", tmp_path / "out", image)
    assert walked(tmp_path / "out", tick=SECOND) == expected
    with loop_mounted(image, "squashfs", tmp_path / "mnt") as folder:
        assert walked(folder, tick=SECOND) == expected


@pytest.mark.root
def test_an_empty_root(tmp_path: Path) -> None:
    image = write([("", directory(0o700, 5 * SECOND, uid=3))], tmp_path / "root", tmp_path)
    with loop_mounted(image, "squashfs", tmp_path / "mnt") as folder:
        assert list(folder.iterdir()) == []
        status = folder.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (0o700, 3, 5)


@pytest.mark.root
@settings(
    max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_generated(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = tmp_path_factory.mktemp("squashfs")
    entries = data.draw(trees(store))
    image = write(entries, store / "root", store, data.draw(st.sampled_from(("zstd", "gzip"))))
    expected = described(entries, store, tick=SECOND)
    unsquashfs("-no-progress", "-d", store / "out", image)
    assert walked(store / "out", tick=SECOND) == expected
    with loop_mounted(image, "squashfs", store / "mnt") as folder:
        assert walked(folder, tick=SECOND) == expected


@pytest.mark.root
def test_wide_huge_and_sparse(tmp_path: Path) -> None:
    entries: Entries = [("many", directory(0o755, 0))]
    entries += [
        (f"many/file-{number:06}", file(b"%d" % number, 0o644, 0)) for number in range(70_000)
    ]
    huge: tuple[Piece, ...] = (Hole(1 << 20), b"begin", Hole(20 << 30), b"end")
    entries.append(("sparse", Node(FILE, 0o644, size=sum(map(piece_size, huge)), content=huge)))
    entries.append(("void", Node(FILE, 0o644, size=5 << 30, content=(Hole(5 << 30),))))
    image = write(entries, tmp_path / "root", tmp_path)
    assert image.stat().st_size < 5 << 20
    with loop_mounted(image, "squashfs", tmp_path / "mnt") as folder:
        assert sorted(path.name for path in (folder / "many").iterdir()) == [
            path[5:] for path, _ in entries[1:70_001]
        ]
        assert (folder / "many/file-054321").read_bytes() == b"54321"
        assert (folder / "void").stat().st_size == 5 << 30
        with (folder / "sparse").open("rb") as stream:
            assert stream.read((1 << 20) + 10)[-11:] == b"\0begin\0\0\0\0\0"
            stream.seek(-6, 2)
            assert stream.read() == b"\0\0\0end"


@pytest.mark.root
def test_equal_contents_are_stored_once(tmp_path: Path) -> None:
    contents = [(b"%d" % (number % 2) * 300_000,) for number in range(50)]
    entries: Entries = [
        (f"f{at:02}", Node(FILE, 0o644, size=300_000, content=one))
        for at, one in enumerate(contents)
    ]
    assert write(entries, tmp_path / "root", tmp_path).stat().st_size < 20_000
    noise = random.Random(1).randbytes(300_000)
    for number in range(5):
        (tmp_path / f"layer{number}").write_bytes(bytes(number) + noise)
    same = [
        (f"f{at}", Node(FILE, 0o644, size=300_000, content=(Slice(f"layer{at}", at, 300_000),)))
        for at in range(5)
    ]
    image = write([*same, ("last", file(b"end", 0o644, 0))], tmp_path / "root", tmp_path)
    assert image.stat().st_size < 700_000, (
        "equal bytes of different layers; only the ends in fragments are there again"
    )
    with loop_mounted(image, "squashfs", tmp_path / "mnt") as folder:
        assert {(folder / f"f{at}").read_bytes() == noise for at in range(5)} == {True}
        assert (folder / "last").read_bytes() == b"end"


def test_known_bytes(tmp_path: Path) -> None:
    image = write(sample(tmp_path), tmp_path / "a", tmp_path).read_bytes()
    assert image == write(sample(tmp_path), tmp_path / "b", tmp_path).read_bytes()
    assert image[:4] == b"hsqs"
    assert int.from_bytes(image[8:12], "little") == 1492533000
    assert int.from_bytes(image[12:16], "little") == 131_072
    assert image[20:22] == b"\6\0", "zstd"
    assert image[28:32] == b"\4\0\0\0", "version 4.0"


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    odd = Node(FILE, 0o644, xattrs=(("system.posix_acl_access", b""),))
    with pytest.raises(OutputError) as caught:
        write([("x", odd)], tmp_path / "root", tmp_path)
    assert caught.value.id == "xattr-unknown"
