"""Locks between processes, where the file system has them: some network file systems do not.

May touch: the file or folder that the caller opened.
"""

from __future__ import annotations

import errno
import fcntl

__all__ = ["lock_file", "lock_records"]

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
