"""Which files under the outputs' names are already what a build would write there.

May touch: the store (`OUTPUT`); outputs (reading their state, never their content).

A file that compos has written is recognised by its state: device, inode, length, time of
modification and time of change, to the nanosecond. The time of change is set by the kernel with
every write, cut, link, rename and change of permissions, and by nobody else. The store keeps a
digest of that state together with the pieces that were written, as git's index does for files of
a work tree. Outputs are not synced, so this holds until the machine is started anew.

Time stamps advance in ticks of some milliseconds, in which a file could change twice (git calls
that "racy"). A new output's time of modification is set just below the tick in which it gets its
name: whatever is written to it from then on shows in that time. Nothing is returned before that
tick is over: whatever a later command does shows in the time of change. A file whose time of
change is not later than its time of modification is never recognised: either it lies on a file
system that keeps no time of change (FAT), or it was written to in the same tick.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path

from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree import record
from compos.tree.node import Hole, Piece
from compos.tree.packed import BLOCK

__all__ = ["WrittenFiles", "contents_key", "set_modified"]

KIND = DerivedKind.OUTPUT
"""Its version counts up when the digest of a file's state is made in another way."""

KEY = "written"

MAX_FILES = 2048
"""States that are kept, the newest: a quarter of a megabyte at most for builds into any number of
folders."""

_COARSE = 5
"""CLOCK_REALTIME_COARSE (linux/time.h): what file systems take their time stamps from."""

_SLOWEST_TICK = 0.010
"""Seconds, with CONFIG_HZ=100."""

_BATCH = 4096
"""Pieces that are described at a time, unless they have much inline."""


def contents_key(pieces: Iterable[Piece]) -> str:
    """A name for the bytes that `pieces` are; other pieces may be the same bytes.

    The stored files that are sliced have names made of digests, so nothing is read.
    """
    hasher = sha256()
    described: list[bytes] = []
    inline = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            described += (b"b%d " % len(piece), piece)
            inline += len(piece)
        elif isinstance(piece, Hole):
            described.append(b"h%d " % piece.size)
        else:
            described.append(b"s%s %d %d " % (os.fsencode(piece.source), piece.offset, piece.size))
        if len(described) >= _BATCH or inline >= BLOCK:
            hasher.update(b"".join(described))
            described.clear()
            inline = 0
    hasher.update(b"".join(described))
    return hasher.hexdigest()


def set_modified(descriptor: int) -> None:
    """Let a finished file's time of modification be just below the present tick."""
    with suppress(OSError):
        before = time.clock_gettime_ns(_COARSE) - 1
        os.utime(descriptor, ns=(before, before))


class WrittenFiles:
    """The states of the files that builds with this store have written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._boot = _boot()
        self._known = frozenset(self._load())

    def has(self, path: Path, key: str) -> bool:
        """Whether the file at `path` is the one that was written there from contents of this
        `key`, untouched since."""
        if not self._known:
            return False
        try:
            status = _status(path)
        except OSError:
            return False
        return status is not None and self._state(status, key) in self._known

    def add(self, files: Iterable[tuple[os.stat_result, str]]) -> None:
        """Remember files, by their status as they got their names and the keys of their contents.

        Returns when no later change can leave a file as it is now. Where the store cannot be
        written, or another build writes to it at the same moment, files are not recognised later.
        """
        files = list(files)
        states = [state for status, key in files if (state := self._state(status, key))]
        if states:
            with suppress(ImageError), self._store.derive(KIND, KEY) as path:
                # Read now: other builds may have added theirs since this one began.
                record.save_texts(path, KIND, [*self._load(), *states][-MAX_FILES:])
            _wait_beyond(max(status.st_ctime_ns for status, _ in files))

    def _load(self) -> list[str]:
        return record.load_texts(self._store.derived(KIND, KEY), KIND) or []

    def _state(self, status: os.stat_result, key: str) -> str:
        """The digest of a file's state; empty for one that cannot be recognised."""
        if not self._boot or status.st_nlink != 1 or status.st_ctime_ns <= status.st_mtime_ns:
            return ""
        numbers = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        text = f"{self._boot} {key} {numbers}"
        return blake2b(text.encode(), digest_size=16).hexdigest()


def _status(path: Path) -> os.stat_result | None:
    """The state of a regular file of the user's own. Opening it has network file systems ask their
    server. Raises `OSError`."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return status if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() else None


def _wait_beyond(changed: int) -> None:
    """Wait until the tick in which a file changed is over: a tick at most, unless a server's clock
    is ahead of ours."""
    end = time.monotonic() + _SLOWEST_TICK
    while time.monotonic() < end:
        if time.clock_gettime_ns(_COARSE) > changed:
            return
        time.sleep(0.0005)


def _boot() -> str:
    """What this start of the machine is called; empty where nobody knows."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
