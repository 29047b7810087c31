"""FAT against fsck.fat and mtools."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.errors import OutputError
from compos.filesystem.fat import ALIGNMENT, FatImage, fat_image
from compos.tree.contents import Contents, piece_size
from compos.tree.node import DIRECTORY, FILE, Hole, Node, Slice, directory, file, symlink
from tests.filesystem.trees import blob

TIME = 1_500_000_000 * 10**9
MIB = 1 << 20


def write(image: FatImage, path: Path, store: Path) -> Path:
    with path.open("wb") as out, Contents(store) as contents:
        contents.copy(image.pieces, out.fileno(), sparse=True)
    return path


def checked(path: Path) -> str:
    """What fsck.fat says; it must find nothing."""
    done = subprocess.run(["fsck.fat", "-nv", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Dirty" not in done.stdout
    return done.stdout


def extracted(path: Path, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    subprocess.run(
        ["mcopy", "-s", "-n", "-m", "-i", path, "::", folder],
        check=True,
        env={"MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    return {
        str(found.relative_to(folder)): found.read_bytes()
        for found in sorted(folder.rglob("*"))
        if found.is_file()
    }


def test_files_come_back(tmp_path: Path) -> None:
    kernel = blob(tmp_path, bytes(range(256)) * 40_000)
    entries = [
        ("EFI", directory(0o755, TIME)),
        ("EFI/BOOT", directory(0o755, TIME)),
        (
            "EFI/BOOT/BOOTX64.EFI",
            Node(FILE, 0o644, mtime=TIME, size=kernel.size, content=(kernel,)),
        ),
        ("a long name with spaces.and.dots.txt", file(b"long\n", 0o644, TIME)),
        ("a long name with spaces.and.other.txt", file(b"other\n", 0o644, TIME)),
        ("café ☃.txt", file(b"snow\n", 0o644, TIME)),
        ("empty", file(b"", 0o644, TIME)),
        ("sparse", Node(FILE, 0o644, mtime=TIME, size=100_005, content=(Hole(100_000), b"after"))),
    ]
    image = fat_image(entries, serial=0x12345678, label="COMPOS")
    path = write(image, tmp_path / "fat.img", tmp_path)
    checked(path)
    found = extracted(path, tmp_path / "out")
    assert found["EFI/BOOT/BOOTX64.EFI"] == bytes(range(256)) * 40_000
    assert found["sparse"] == bytes(100_000) + b"after"
    assert found["café ☃.txt"] == b"snow\n"
    assert set(found) == {name for name, node in entries if node.kind == FILE}
    start = image.starts["EFI/BOOT/BOOTX64.EFI"]
    assert start % ALIGNMENT == 0
    assert path.read_bytes()[start : start + kernel.size] == bytes(range(256)) * 40_000
    listing = subprocess.run(
        ["mdir", "-i", path, "::"], capture_output=True, text=True, check=True
    ).stdout
    assert "COMPOS" in listing
    assert "1234-5678" in listing
    assert "2017-07-14" in listing


@pytest.mark.parametrize(
    "size", [MIB, 31 * MIB, 33 * MIB, 34 * MIB, 36 * MIB, 100 * MIB, 300 * MIB, 20_000 * MIB]
)
def test_sizes(tmp_path: Path, size: int) -> None:
    image = fat_image([("x", file(b"x", 0o644, TIME))], serial=1, size=size)
    assert sum(map(piece_size, image.pieces)) >= size
    path = write(image, tmp_path / "fat.img", tmp_path)
    said = checked(path)
    assert f"{32 if size >= 33 * MIB else 16} bit entries" in said
    assert path.stat().st_blocks * 512 < 30 * MIB, "what is empty is not stored"


@pytest.mark.slow
def test_a_folder_of_thousands(tmp_path: Path) -> None:
    entries = [("many", directory(0o755, TIME))]
    entries += [
        (f"many/file number {number:05}", file(b"%d" % number, 0o644, TIME))
        for number in range(5000)
    ]
    path = write(fat_image(entries, serial=1), tmp_path / "fat.img", tmp_path)
    checked(path)
    found = extracted(path, tmp_path / "out")
    assert len(found) == 5000
    assert found["many/file number 01234"] == b"1234"


NAMES = st.one_of(
    st.text("abcXYZ019-_ .+", min_size=1, max_size=14),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=30
    ),
    st.just("L" * 200),
)


@settings(
    max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.lists(st.tuples(NAMES, st.integers(0, 3), st.integers(0, 70_000)), max_size=30))
def test_generated(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("fat")
    nodes: dict[str, Node] = {}
    folders = [""]
    for name, kind, size in items:
        path = f"{folders[-1]}/{name}" if folders[-1] else name
        if kind == 0:
            folders.append(path)
            nodes[path] = Node(DIRECTORY, 0o755, mtime=TIME)
        else:
            content: tuple[Slice, ...] = (blob(folder, b"%d " % size * (size // 6 + 1)),)
            nodes[path] = Node(FILE, 0o644, mtime=TIME, size=content[0].size, content=content)
    image = None
    with suppress(OutputError):
        image = fat_image(sorted(nodes.items()), serial=7)
    if image is None:
        return
    image_path = write(image, folder / "fat.img", folder)
    checked(image_path)
    with Contents(folder) as contents:
        expected = {
            name: b"".join(contents.chunks(node.content))
            for name, node in nodes.items()
            if node.kind == FILE
        }
    data = image_path.read_bytes()
    for name, start in image.starts.items():
        assert data[start : start + len(expected[name])] == expected[name]
    if all(name.isascii() and name.isprintable() for name in nodes):
        assert extracted(image_path, folder / "out") == expected


def test_what_it_cannot_hold() -> None:
    def refused(path: str, node: Node, *more: tuple[str, Node]) -> str:
        with pytest.raises(OutputError) as caught:
            fat_image([(path, node), *more], serial=1)
        return str(caught.value.id)

    assert refused("link", symlink("x", 0)) == "fat-cannot-hold"
    assert (
        refused("big", Node(FILE, 0o644, size=1 << 32, content=(Hole(1 << 32),)))
        == "fat-file-too-large"
    )
    assert refused("a:b", file(b"", 0o644, 0)) == "fat-name"
    assert refused("dot.", file(b"", 0o644, 0)) == "fat-name"
    assert refused("\udcff", file(b"", 0o644, 0)) == "fat-name"
    assert refused("README", file(b"", 0o644, 0), ("readme", file(b"", 0o644, 0))) == "fat-name"


def test_known_bytes() -> None:
    image = fat_image([("KERNEL", file(b"k", 0o644, TIME))], serial=0x01020304)
    assert isinstance(image.pieces[0], bytes)
    boot = image.pieces[0][:512]
    assert boot[:11] == b"\xeb\x3c\x90COMPOS  "
    assert boot[11:13] == b"\0\2", "512 bytes a sector"
    assert boot[36:54] == b"\x80\0\x29\x04\x03\x02\x01NO NAME    "
    assert boot[54:62] == b"FAT16   "
    assert boot[510:] == b"\x55\xaa"
