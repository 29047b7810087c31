"""ext4 against e2fsck and a kernel that mounts it, to read and to write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.errors import OutputError
from compos.filesystem.ext4 import ext4_pieces
from compos.tree.contents import Contents, piece_size
from compos.tree.node import FILE, Hole, Node, Piece, directory, file
from tests.filesystem.trees import described, loop_mounted, sample, trees, walked

UUID = bytes(range(16))
MIB, GIB = 1 << 20, 1 << 30
Entries = list[tuple[str, Node]]
LEAVE = ("lost+found",)


def write(
    entries: Entries, path: Path, store: Path, *, size: int | None = None, journal: bool = False
) -> Path:
    pieces = ext4_pieces(entries, uuid=UUID, size=size, journal=journal, label="root")
    assert sum(map(piece_size, pieces)) % 4096 == 0
    path.unlink(missing_ok=True)
    with path.open("wb") as out, Contents(store) as contents:
        contents.copy(pieces, out.fileno(), sparse=True)
    return path


def check(image: Path) -> None:
    done = subprocess.run(
        ["e2fsck", "-fn", image], capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.root
@pytest.mark.parametrize("journal", [False, True])
def test_one_of_everything(tmp_path: Path, journal: bool) -> None:
    entries = sample(tmp_path)
    image = write(entries, tmp_path / "root.ext4", tmp_path, size=64 * MIB, journal=journal)
    check(image)
    with loop_mounted(image, "ext4", tmp_path / "mnt") as folder:
        assert walked(folder, leave=LEAVE) == described(entries, tmp_path)
        assert folder.stat().st_mode & 0o7777 == 0o755
    with loop_mounted(image, "ext4", tmp_path / "mnt", "rw") as folder:
        (folder / "written").write_bytes(b"by the kernel" * 100_000)
        (folder / "bin/busy").unlink()
        (folder / "more").mkdir()
        for number in range(20):
            (folder / "more" / f"{number}").write_text("x")
    check(image)


@pytest.mark.root
def test_an_empty_root(tmp_path: Path) -> None:
    image = write([("", directory(0o700, 5 * 10**9, uid=3))], tmp_path / "root", tmp_path)
    check(image)
    assert image.stat().st_size < 2 * MIB
    with loop_mounted(image, "ext4", tmp_path / "mnt") as folder:
        status = folder.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (0o700, 3, 5)


@pytest.mark.root
@settings(
    max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_generated(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = tmp_path_factory.mktemp("ext4")
    entries = data.draw(trees(store))
    image = write(entries, store / "root", store, size=data.draw(st.sampled_from((None, 40 * MIB))))
    check(image)
    with loop_mounted(image, "ext4", store / "mnt") as folder:
        assert walked(folder, leave=LEAVE) == described(entries, store)


@pytest.mark.root
def test_wide_huge_and_sparse(tmp_path: Path) -> None:
    entries: Entries = [("many", directory(0o755, 0))]
    entries += [
        (f"many/file-{number:06}", file(b"%d" % number, 0o644, 0)) for number in range(70_000)
    ]
    huge: tuple[Piece, ...] = (Hole(MIB), b"begin", Hole(20 * GIB), b"end")
    entries.append(("sparse", Node(FILE, 0o644, size=sum(map(piece_size, huge)), content=huge)))
    comb = tuple(piece for number in range(3000) for piece in (b"%d" % number, Hole(20_000)))
    entries.append(("comb", Node(FILE, 0o644, size=sum(map(piece_size, comb)), content=comb)))
    image = write(entries, tmp_path / "root", tmp_path)
    check(image)
    with loop_mounted(image, "ext4", tmp_path / "mnt") as folder:
        assert sorted(path.name for path in (folder / "many").iterdir()) == [
            path[5:] for path, _ in entries[1:70_001]
        ]
        assert (folder / "many/file-054321").read_bytes() == b"54321"
        assert (folder / "comb").read_bytes() == b"".join(
            one if isinstance(one, bytes) else bytes(one.size) for one in comb
        )
        with (folder / "sparse").open("rb") as stream:
            assert stream.read(MIB + 10)[-11:] == b"\0begin\0\0\0\0\0"
            stream.seek(-6, 2)
            assert stream.read() == b"\0\0\0end"


@pytest.mark.root
@pytest.mark.parametrize("size", [4 * MIB, 100 * MIB, GIB, 25 * GIB])
@pytest.mark.parametrize("journal", [False, True])
def test_sizes(tmp_path: Path, size: int, journal: bool) -> None:
    image = write(
        [("x", file(b"x", 0o644, 0))], tmp_path / "root", tmp_path, size=size, journal=journal
    )
    assert image.stat().st_size == size
    assert image.stat().st_blocks * 512 < 3 * MIB, "what is empty is not stored"
    check(image)
    with loop_mounted(image, "ext4", tmp_path / "mnt", "rw") as folder:
        (folder / "y").write_bytes(bytes(MIB))
    check(image)


def test_known_bytes(tmp_path: Path) -> None:
    image = write(sample(tmp_path), tmp_path / "a", tmp_path).read_bytes()
    assert image == write(sample(tmp_path), tmp_path / "b", tmp_path).read_bytes()
    assert image[1024 + 0x38 : 1024 + 0x3A] == b"\x53\xef"
    assert image[1024 + 0x68 : 1024 + 0x78] == UUID
    assert image[1024 + 0x30 : 1024 + 0x34] == (1492533000).to_bytes(4, "little")
    told = subprocess.run(
        ["dumpe2fs", "-h", tmp_path / "a"], capture_output=True, text=True, check=True
    ).stdout
    assert "metadata_csum" in told
    assert "Filesystem state:         clean" in told


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    def refused(node: Node, size: int | None = None) -> str:
        with pytest.raises(OutputError) as caught:
            ext4_pieces([("x", node)], uuid=UUID, size=size)
        return str(caught.value.id)

    assert (
        refused(Node(FILE, 0o644, size=20 << 40, content=(Hole(20 << 40),)))
        == "ext4-file-too-large"
    )
    assert (
        refused(Node(FILE, 0o644, size=5 * MIB, content=(b"x" * 5 * MIB,)), size=4 * MIB)
        == "ext4-too-small"
    )
    assert refused(Node(FILE, 0o644, xattrs=(("other.name", b""),))) == "xattr-unknown"
    assert refused(Node(FILE, 0o644, xattrs=(("user.big", bytes(5000)),))) == "xattr-too-large"
