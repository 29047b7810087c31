"""Saves as editors make them, seen by the real library."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compos.develop.watch import Watched, Watcher, signature

WAIT = 30.0
"""Seconds after which a change counts as not seen; that it is seen by an event is not measured."""


class Seen:
    """What a watcher has told."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self._told = threading.Condition()

    def tell(self, paths: list[str]) -> None:
        with self._told:
            self.changes.append(paths)
            self._told.notify_all()

    def one(self) -> list[str]:
        """The next change."""
        with self._told:
            assert self._told.wait_for(lambda: self.changes, WAIT), "no change was seen"
            return self.changes.pop(0)

    def none_for(self, seconds: float) -> bool:
        with self._told:
            return not self._told.wait_for(lambda: self.changes, seconds)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watching(tmp_path: Path, seen: Seen) -> Iterator[Callable[..., Watcher]]:
    made: list[Watcher] = []

    def watch(*files: Path, folders: tuple[Path, ...] = ()) -> Watcher:
        watcher = Watcher(seen.tell)
        watcher.watch(Watched(frozenset(files), frozenset(folders)))
        watcher.start()
        made.append(watcher)
        time.sleep(0.2)
        return watcher

    yield watch
    for watcher in made:
        watcher.close()


def write_in_place(path: Path) -> None:
    path.write_text("written in place")


def rename_over(path: Path) -> None:
    """As most editors."""
    new = path.with_name(f".{path.name}.swp")
    new.write_text("renamed")
    new.replace(path)


def keep_a_backup(path: Path) -> None:
    """As Vim with 'backup': for a moment there is no file."""
    path.rename(path.with_name(f"{path.name}~"))
    time.sleep(0.05)
    path.write_text("written anew")


def burst(path: Path) -> None:
    for number in range(20):
        path.write_text("x" * number)


def through_a_link(path: Path) -> None:
    real = path.with_name("real")
    real.write_text("of another file")
    path.unlink()
    path.symlink_to(real)


SAVES = [write_in_place, rename_over, keep_a_backup, burst, through_a_link]


@pytest.mark.slow
@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__)
def test_a_save_is_seen(
    watching: Callable[..., Watcher], seen: Seen, tmp_path: Path, save: Callable[[Path], None]
) -> None:
    path = tmp_path / "os.yml"
    path.write_text("old")
    watching(path)
    save(path)
    assert seen.one() == [str(path)]
    # Backups and partial files are nobody's; a burst is few changes, not twenty.
    time.sleep(0.6)
    assert len(seen.changes) <= 2
    assert all(paths == [str(path)] for paths in seen.changes)


def test_what_is_written_through_a_link_is_seen(
    watching: Callable[..., Watcher], seen: Seen, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real").write_text("old")
    (tmp_path / "link").symlink_to(elsewhere / "real")
    watching(tmp_path / "link")
    (elsewhere / "real").write_text("new text")
    assert seen.one() == [str(tmp_path / "link")]


@pytest.mark.slow
def test_others_files_are_not(watching: Callable[..., Watcher], seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text("old")
    watching(tmp_path / "os.yml")
    (tmp_path / "other").write_text("x")
    (tmp_path / ".os.yml.swp").write_text("x")
    assert seen.none_for(0.6)


@pytest.mark.slow
def test_a_file_appears_and_goes(
    watching: Callable[..., Watcher], seen: Seen, tmp_path: Path
) -> None:
    """Also in a folder that is not there yet."""
    path = tmp_path / "a" / "b" / "page"
    watching(path)
    path.parent.mkdir(parents=True)
    path.write_text("x")
    assert seen.one() == [str(path)]
    path.unlink()
    assert seen.one() == [str(path)]


@pytest.mark.slow
def test_a_folder_goes_and_comes_back(
    watching: Callable[..., Watcher], seen: Seen, tmp_path: Path
) -> None:
    folder = tmp_path / "package"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    watching(folders=(folder,))
    shutil.rmtree(folder)
    assert str(folder / "deep" / "file") in seen.one()
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("y")
    found = set(seen.one())
    while str(folder / "deep" / "file") not in found:
        found.update(seen.one())
    time.sleep(0.6)
    seen.changes.clear()
    (folder / "deep" / "file").write_text("again")
    assert seen.one() == [str(folder / "deep" / "file")]


@pytest.mark.slow
def test_a_new_folder_is_watched_too(
    watching: Callable[..., Watcher], seen: Seen, tmp_path: Path
) -> None:
    (tmp_path / "package").mkdir()
    watching(folders=(tmp_path / "package",))
    (tmp_path / "package" / "more").mkdir()
    seen.one()
    (tmp_path / "package" / "more" / "file").write_text("x")
    assert str(tmp_path / "package" / "more" / "file") in seen.one()


def test_a_change_before_others_are_watched_counts(
    watching: Callable[..., Watcher], seen: Seen, tmp_path: Path
) -> None:
    """The YAML is saved while it is built, and the build names another file."""
    path, page = tmp_path / "os.yml", tmp_path / "page"
    path.write_text("old")
    page.write_text("old")
    watcher = Watcher(seen.tell)
    watcher.watch(Watched(frozenset((path,))))
    path.write_text("saved meanwhile")
    watcher.watch(Watched(frozenset((path, page))))
    watcher.start()
    try:
        assert seen.one() == [str(path)]
    finally:
        watcher.close()


def test_what_nobody_builds_from_is_left_out(tmp_path: Path) -> None:
    for name in (".git/index", "node_modules/x/y", "src/main.c"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    found = signature(Watched(folders=frozenset((tmp_path,))))
    assert {os.path.relpath(path, tmp_path) for path in found} == {".", "src", "src/main.c"}


@pytest.mark.slow
def test_no_thread_stays(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        watcher = watching(tmp_path / "os.yml")
        watcher.close()
    assert not [one for one in threading.enumerate() if one.name == "watch"]
    # The library's own thread, which holds inotify's descriptor, ends by itself.
    deadline = time.monotonic() + WAIT
    while len([*Path("/proc/self/fd").iterdir()]) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len([*Path("/proc/self/fd").iterdir()]) <= before
