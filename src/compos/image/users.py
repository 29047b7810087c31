"""Who uses a store's derived results right now: a lock that all share, so that nobody removes what
another one needs.

May touch: the file `.use` of a store.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compos.image.locks import lock_file

__all__ = ["Users"]

_NOT_YET, _NEVER = -1, -2


class Users:
    """The users of a store. Where the lock's file cannot be written nothing can be removed, and no
    lock is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _NOT_YET

    def join(self) -> None:
        """Keep others from removing derived results for as long as this object lives."""
        if self._descriptor != _NOT_YET:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            # No store yet: nothing is used.
            return
        except OSError:
            self._descriptor = _NEVER
            return
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    @contextmanager
    def alone(self, *, wait: bool) -> Iterator[bool]:
        """Whether nobody else is a user; nobody becomes one in the block. With `wait`, not before
        that is so."""
        self.join()
        if self._descriptor < 0:
            yield False
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            # A lock that could not grow may have been lost (flock(2)).
            lock_file(self._descriptor, fcntl.LOCK_SH)
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __del__(self) -> None:
        """Closing the file gives the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
