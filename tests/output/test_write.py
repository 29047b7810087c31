"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from compos.errors import ComposError
from compos.output.write import Output, write_outputs
from compos.tree.node import Hole, Slice


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    root.mkdir()
    (root / "blob").write_bytes(bytes(range(256)) * 4096)
    return root


def test_pieces_become_a_file(store: Path, tmp_path: Path) -> None:
    data = (store / "blob").read_bytes()
    pieces = (b"head", Slice("blob", 3, 700_000), Hole(100_000), Slice("blob", 0, 10), b"tail")
    (path,) = write_outputs(store, tmp_path / "os", [Output("-x", pieces)])
    assert path == tmp_path / "os-x"
    assert path.read_bytes() == b"head" + data[3:700_003] + bytes(100_000) + data[:10] + b"tail"
    assert path.stat().st_mode & 0o777 == 0o644


def test_after_an_error_nothing_has_changed(store: Path, tmp_path: Path) -> None:
    (tmp_path / "os-a").write_text("old")
    outputs = [Output("-a", (b"new",)), Output("-b", (Slice("blob", 0, 1 << 30),))]
    with pytest.raises(ComposError) as caught:
        write_outputs(store, tmp_path / "os", outputs)
    assert caught.value.id == "store-corrupt"
    assert (tmp_path / "os-a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["os-a", "store"]


@pytest.mark.root
def test_a_full_disk(store: Path, tmp_path: Path) -> None:
    """A small tmpfs of our own stands for the full disk."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], check=True)
    try:
        with pytest.raises(ComposError) as caught:
            write_outputs(
                store,
                folder / "os",
                [Output("-a", (b"x",)), Output("-b", (Slice("blob", 0, 1 << 20),))],
            )
        assert caught.value.id == "disk-full"
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_missing_and_a_wrong_folder(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposError) as caught:
        write_outputs(store, tmp_path / "no" / "os", [Output("-a", (b"x",))])
    assert caught.value.id == "output-folder"
    (tmp_path / "os-a").mkdir()
    with pytest.raises(ComposError) as caught:
        write_outputs(store, tmp_path / "os", [Output("-a", (b"x",))])
    assert caught.value.id == "output-failed"


def test_many_stored_files_do_not_use_up_descriptors(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    count = 300
    for number in range(count):
        (root / str(number)).write_bytes(b"x" * 10)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "from pathlib import Path\n"
        "from compos.output.write import Output, write_outputs\n"
        "from compos.tree.node import Slice\n"
        f"write_outputs(Path({str(root)!r}), Path({str(tmp_path / 'os')!r}), "
        f"[Output('-a', tuple(Slice(str(n), 0, 10) for n in range({count})))])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
    assert (tmp_path / "os-a").stat().st_size == count * 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 100
