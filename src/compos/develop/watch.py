"""Which files a system is made of, and when they have changed.

What has changed is found out by looking at the files themselves: names, inodes, sizes and times.
The kernel's events (inotify, by the library watchfiles) only say that it is time to look, so that
it does not matter how an editor saves, what is moved where, or which events get lost; without any,
files are looked at every second. May touch: the folders that the files are in (reading).
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from compos.extras import load_extra

__all__ = ["Watched", "Watcher", "signature"]

QUIET = 30
"""Milliseconds without an event after which a save is over."""
BURST = 400
"""Milliseconds after which files are looked at, however many events come."""
LOOK = 1000
"""Milliseconds between looks without any event."""
GAP = 0.3
"""Seconds that an editor may take to put a new file in the place of the old one."""
MAX_ENTRIES = 50_000
"""Files of folders that are looked at."""
SKIPPED = frozenset((".git", ".hg", "__pycache__", "node_modules", ".venv"))

Signature: TypeAlias = dict[str, tuple[int, ...]]


class Watched(NamedTuple):
    """What a system is made of: files, which need not exist, and folders with all that is in
    them. Paths are absolute."""

    files: frozenset[Path] = frozenset()
    folders: frozenset[Path] = frozenset()

    def joined(self, other: Watched) -> Watched:
        """Both."""
        return Watched(self.files | other.files, self.folders | other.folders)


def signature(watched: Watched) -> Signature:
    """What the files are like now, by path; those that do not exist have none."""
    found: Signature = {}
    for path in watched.files:
        _look(str(path), found)
    for folder in sorted(watched.folders):
        for name in _below(str(folder)):
            _look(name, found)
            if len(found) > MAX_ENTRIES:
                return found
    return found


def _look(path: str, found: Signature) -> None:
    with suppress(OSError, ValueError):
        # Links are followed: it is what they lead to that is read.
        status = os.stat(path)  # noqa: PTH116  thousands of them
        if stat.S_ISDIR(status.st_mode):
            found[path] = (status.st_ino,)
        else:
            found[path] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)


def _below(folder: str) -> Iterator[str]:
    """The folder and all that is in it, but for what nobody builds from."""
    yield folder
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - SKIPPED)
        yield from (f"{place}/{name}" for name in (*folders, *files))


def _places(watched: Watched, known: Signature) -> set[str]:
    """Folders in which something that is watched can appear, change or go: where one does not
    exist, the nearest that does. `known` is what there is."""
    places = {path for path, state in known.items() if len(state) == 1}
    for path in watched.files:
        places.add(_nearest(path.parent))
        if path.is_symlink():
            places.add(_nearest(Path(os.path.realpath(path)).parent))
    for folder in watched.folders:
        places.add(_nearest(folder.parent))
    return places


def _nearest(folder: Path) -> str:
    for place in (folder, *folder.parents):
        if place.is_dir():
            return str(place)
    return "/"


class Watcher:
    """A thread that calls `changed` when a watched file is not as it was. What is watched can be
    replaced at any time; whoever builds takes a new look first (`look`)."""

    def __init__(self, changed: Callable[[list[str]], None]) -> None:
        self._changed = changed
        self._watchfiles = load_extra("watchfiles", "dev")
        self._lock = threading.Lock()
        self._watched = Watched()
        self._known: Signature = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def watch(self, watched: Watched) -> None:
        """Watch other files. What was watched already is still compared with the last look, so that
        a change since then is one; the rest is what it is now."""
        with self._lock:
            now = signature(watched)
            self._known = {
                path: state for path, state in self._known.items() if _is_watched(path, watched)
            } | {path: state for path, state in now.items() if not _is_watched(path, self._watched)}
            self._watched = watched

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()
            watched, known = self._watched, self._known
            with suppress(FileNotFoundError):
                self._wait(watched, _places(watched, known))

    def _wait(self, watched: Watched, places: set[str]) -> None:
        """Look whenever something has happened in `places`, until others are to be watched."""
        for _ in self._watchfiles.watch(
            *sorted(places),
            watch_filter=None,
            debounce=BURST,
            step=QUIET,
            rust_timeout=LOOK,
            yield_on_timeout=True,
            stop_event=self._stop,
            recursive=False,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            self._look()
            if self._watched is not watched or _places(watched, self._known) != places:
                return

    def _look(self) -> None:
        """Tell what has changed since the last look."""
        with self._lock:
            now = signature(self._watched)
            if now == self._known:
                return
            if not self._known.keys() <= now.keys():
                # Editors move the old file away before the new one is there.
                self._stop.wait(GAP)
                now = signature(self._watched)
            changed = sorted(
                path
                for path in self._known.keys() | now.keys()
                if self._known.get(path) != now.get(path)
            )
            self._known = now
        if changed:
            self._changed(changed)


def _is_watched(path: str, watched: Watched) -> bool:
    return Path(path) in watched.files or any(
        path == folder or path.startswith(f"{folder}/") for folder in map(str, watched.folders)
    )
