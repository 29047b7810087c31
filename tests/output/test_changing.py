"""Host files that change while a build runs: it has the bytes of one moment, and the next build is
not misled."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.compose import host_files
from compos.compose.host_files import INLINE, read_sources
from compos.config.load import load
from compos.errors import ConfigError
from compos.image.derived_kinds import DerivedKind
from compos.image.platform import Platform
from compos.image.source import Images
from compos.image.store import Store
from compos.output.build import describe_outputs, resolve_inputs
from compos.output.formats import choose
from compos.output.job import BuildRequest
from compos.output.write import write_outputs
from tests.compose.systems import World

YAML = """
init: ['acme/init:1']
files:
  - {path: etc/small, source: FOLDER/small, mode: '0644'}
  - {path: etc/large, source: FOLDER/large, mode: '0600'}
  - {path: etc/again, source: FOLDER/large, mode: '0644'}
  - {path: etc/meta, metadata: yaml}
"""
PLATFORM = Platform("linux", "amd64")


class Meddler(Store):
    """A store beside which somebody acts, at the n-th question that a build asks it."""

    def __init__(self, root: Path, at: int, act: Callable[[], None]) -> None:
        super().__init__(root)
        self.left = at
        self.act = act

    def _asked(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()

    def derived(self, kind: DerivedKind, key: str) -> Path | None:
        self._asked()
        return super().derived(kind, key)

    @contextmanager
    def derive(self, kind: DerivedKind, key: str) -> Iterator[Path]:
        with super().derive(kind, key) as path:
            self._asked()
            yield path
            self._asked()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def put(world: World, word: str) -> None:
    """Both files say `word`, with the same lengths and times always."""
    for name, size in (("small", 100), ("large", 3 * INLINE)):
        (world.folder / name).write_text(f"{word} " * (size // 4))
        os.utime(world.folder / name, (10**9, 10**9))


def contents(world: World, store: Store) -> set[str]:
    """The words in the files of a build with `store`."""
    path = world.folder / "os.yml"
    path.write_text(YAML.replace("FOLDER", str(world.folder)))
    config = load([str(path)])
    inputs = resolve_inputs(Images(store), config, PLATFORM)
    request = BuildRequest(choose(["tar"], to_file=False), "zstd", "amd64")
    outputs = describe_outputs(store, config, inputs, request, lambda form: form.encode())
    (made,) = write_outputs(store.root, world.folder / "out", outputs)
    with tarfile.open(made) as archive:
        files = [archive.extractfile(f"etc/{name}") for name in ("small", "large", "again")]
        texts = [file.read().decode() for file in files if file]
    assert [len(text) for text in texts] == [100, 3 * INLINE, 3 * INLINE]
    return {word for text in texts for word in text.split()}


@pytest.mark.slow
def test_a_file_that_changes_at_any_point_of_a_build(world: World) -> None:
    put(world, "one")
    asked = Meddler(world.store.root, 0, lambda: None)
    assert contents(world, asked) == {"one"}
    for at in range(1, -asked.left + 1):
        for path in world.store.root.glob("derived/*/*"):
            path.unlink()
        put(world, "one")
        meddled = Meddler(world.store.root, at, lambda: put(world, "two"))
        assert contents(world, meddled) <= {"one", "two"}
        assert meddled.left <= 0
        for word in ("one", "two", "one"):
            put(world, word)
            assert contents(world, Store(world.store.root)) == {word}, at
    assert -asked.left > 5


def entry(world: World, source: str) -> Callable[[], object]:
    (world.folder / "x.yml").write_text(
        f"init: ['acme/init:1']\nfiles: [{{path: x, source: '{source}'}}]\n"
    )
    config = load([str(world.folder / "x.yml")])
    return lambda: read_sources(world.store, config.files)[source]


def test_a_file_that_never_stays_the_same_is_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, "one")
    changes = iter(range(100))
    read = entry(world, str(world.folder / "large"))
    meddled = world.store.derived

    def meddle(kind: DerivedKind, key: str) -> Path | None:
        put(world, f"{next(changes):03d}")
        return meddled(kind, key)

    monkeypatch.setattr(world.store, "derived", meddle)
    with pytest.raises(ConfigError) as caught:
        read()
    assert caught.value.id == "files-source"
    assert "changed while it was read" in caught.value.message
    assert next(changes) == host_files.TRIES


@pytest.mark.parametrize("size", [10, INLINE, INLINE + 1, 5 * INLINE])
def test_a_pipe_is_read_once(world: World, size: int) -> None:
    """As a shell's <(command) makes them."""
    os.mkfifo(world.folder / "pipe")
    data = bytes(range(256)) * (size // 256 + 1)
    writer = threading.Thread(target=lambda: (world.folder / "pipe").write_bytes(data[:size]))
    writer.start()
    found = entry(world, str(world.folder / "pipe"))()
    writer.join()
    assert isinstance(found, host_files.HostFile)
    assert found.size == size


ENDLESS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from compos.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/dev/zero", "files-source"),
        ("/dev/null", ""),
        ("FOLDER", "files-source"),
        ("FOLDER/none", "files-source"),
    ],
)
def test_what_is_no_file(world: World, source: str, expected: str) -> None:
    source = source.replace("FOLDER", str(world.folder))
    entry(world, source)
    arguments = ["build", "-f", "tar", "--cache", str(world.store.root), "--dir", str(world.folder)]
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, *arguments, "--arch", "amd64", str(world.folder / "x.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (f"error[{expected}]" in done.stderr) if expected else done.returncode == 0, done.stderr


def test_large_sources_are_derived_results_and_nothing_is_left(world: World) -> None:
    put(world, "one")
    blobs = sorted((world.store.root / "blobs/sha256").iterdir())
    assert contents(world, world.store) == {"one"}
    assert len(list((world.store.root / "derived/host").iterdir())) == 1
    assert sorted((world.store.root / "blobs/sha256").iterdir()) == blobs
    assert main(["cache", "ls", "--cache", str(world.store.root)]) == 0
