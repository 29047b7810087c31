"""Locks between processes, where the file system has them: some network file systems do not.

May touch: the file or folder that the caller opened, or names.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["exclusive", "lock_file", "lock_records", "sweep_locks"]

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EBADF}
"""What flock(2) and fcntl(2) say where there are no locks; EBADF is NFS's answer for a file that is
not open for writing."""


def lock_file(descriptor: int, operation: int) -> bool:
    """Lock an open file as flock(2) does; returns False where there are no locks.

    Raises `BlockingIOError` for LOCK_NB when somebody else has the lock, `OSError` for the rest.
    """
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def lock_records(descriptor: int) -> None:
    """Wait for the lock of fcntl(2) on a whole file that is open for writing; raises `OSError`.

    Where there are no locks, processes that change the file at the same time may lose each other's
    changes, which is better than no change at all.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


@contextmanager
def exclusive(path: Path, pause: Callable[[], None]) -> Iterator[None]:
    """Hold the lock that the file `path` is, alone among threads and processes. The file is created
    for it, and removed at the end; a killed process leaves an empty file without a lock.

    While somebody else has the lock, `pause` is called again and again: it has to sleep, and ends
    the waiting by raising. Raises `OSError` if the file cannot be created.
    """
    while (descriptor := _locked(path)) is None:
        pause()
    try:
        yield
    finally:
        if _is_at(descriptor, path):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def sweep_locks(folder: Path) -> None:
    """Remove the files of `exclusive` that nobody has locked."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            with suppress(OSError):
                descriptor = _locked(path)
                if descriptor is not None:
                    path.unlink(missing_ok=True)
                    os.close(descriptor)


def _locked(path: Path) -> int | None:
    """The descriptor of the file at `path`, locked; None if somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        lock_file(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    # Whoever had the lock may have removed the file between opening and locking.
    if _is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
