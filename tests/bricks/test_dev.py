"""The brick dev's reader of archives, compiled with sanitizers: beside GNU cpio, and on what is
none."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from compos.filesystem.cpio import cpio_pieces
from compos.tree.node import CHARACTER, EPOCH, Node, directory, file, symlink
from tests.bricks.compiler import compile_brick

WHITEOUT = Node(CHARACTER, 0o600)


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_brick("dev", driver="archive")


def archive(entries: list[tuple[str, Node]]) -> bytes:
    return b"".join(piece for piece in cpio_pieces(entries) if isinstance(piece, bytes))


def unpacked(
    program: Path, data: bytes, folder: Path, *options: str
) -> subprocess.CompletedProcess[bytes]:
    folder.mkdir(exist_ok=True)
    command = [str(program), str(folder), *options]
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)


def listing(folder: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else status.st_rdev
        )
        links = status.st_nlink if path.is_file() else 0
        name = str(path.relative_to(folder))
        found.append((name, oct(status.st_mode), status.st_uid, links, content))
    return found


TREE = [
    ("a", directory(0o750, EPOCH)),
    ("a/file", file(b"x" * 100_001, 0o4755, EPOCH)),
    ("a/link", symlink("../b", EPOCH)),
    ("b", file(b"", 0o600, EPOCH)),
    ("c", file(b"both", 0o644, EPOCH)._replace(inode="1")),
    ("d", file(b"both", 0o644, EPOCH)._replace(inode="1")),
    ("pipe", Node("p", 0o600, mtime=EPOCH)),
]


def test_it_unpacks_what_cpio_does(program: Path, tmp_path: Path) -> None:
    data = archive(TREE)
    assert unpacked(program, data, tmp_path / "ours").returncode == 0
    (tmp_path / "cpio").mkdir()
    command = ["cpio", "-idm", "--quiet"]
    subprocess.run(command, input=data, cwd=tmp_path / "cpio", check=True, timeout=60)
    assert listing(tmp_path / "ours") == listing(tmp_path / "cpio")
    assert (tmp_path / "ours" / "a" / "file").stat().st_mtime == EPOCH / 10**9


def test_files_appear_whole_and_go(program: Path, tmp_path: Path) -> None:
    for name in ("old", "gone", "held"):
        (tmp_path / name).write_text(name)
    held = (tmp_path / "held").open()
    entries = [
        ("gone", WHITEOUT),
        ("never", WHITEOUT),
        ("old", file(b"new", 0o644, EPOCH)),
        ("held", file(b"another", 0o644, EPOCH)),
        ("more", symlink("old", EPOCH)),
    ]
    assert unpacked(program, archive(entries), tmp_path, "apart").returncode == 0
    assert held.read() == "held"
    held.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "old": "new",
        "held": "another",
        "more": "new",
    }


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", ".."])
def test_names_stay_below_the_folder(program: Path, tmp_path: Path, name: str) -> None:
    data = archive([("N" * len(name), file(b"x", 0o644, EPOCH))]).replace(
        b"N" * len(name), name.encode()
    )
    done = unpacked(program, data, tmp_path / "in")
    assert done.returncode == 1
    assert b"cannot be used" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.slow
def test_damaged_archives_end_with_a_reason(program: Path, tmp_path: Path) -> None:
    """Cut anywhere, and with any byte changed in headers and names."""
    data = archive([*TREE[2:], ("a-long-name", file(b"x" * 300, 0o644, EPOCH))])
    chance = random.Random(1)
    for number in range(150):
        damaged = bytearray(data[: chance.randrange(len(data))] if number % 2 else data)
        for _ in range(chance.randrange(1, 4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        folder = tmp_path / str(number)
        done = unpacked(program, bytes(damaged), folder)
        assert done.returncode in (0, 1), done.stderr  # 1 with a reason; a sanitizer ends otherwise
        assert b"Sanitizer" not in done.stderr, done.stderr
        assert bool(done.stderr) == bool(done.returncode)
