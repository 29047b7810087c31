"""Writing into a store so that nothing half-done is ever seen: staging folders, fsync, rename, and
disk errors.

May touch: files under the store's root. A staging folder is locked by the process that fills it;
what a killed process left behind can be locked by the next one, which is how it is recognised and
removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compos.errors import DiskFull, StoreError
from compos.image.locks import lock_file

__all__ = ["disk_errors", "make_private", "staging", "sweep", "write_atomically"]

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class _StoreFull(StoreError, DiskFull):
    pass


@contextmanager
def disk_errors(root: Path, *, only_full: bool = False) -> Iterator[None]:
    """Turn an `OSError` met while writing under `root` into `store-full`, `store-read-only` or
    `store-error`.

    `only_full` is for blocks that also do other things: there every other `OSError` passes.
    """
    try:
        yield
    except OSError as error:
        if DiskFull.matches(error):
            raise _StoreFull(
                "store-full",
                "the disk of the image store is full",
                place=str(root),
                hint="Free some space, or set COMPOS_CACHE to a folder on a larger disk.",
            ) from error
        if only_full:
            raise
        reason = error.strerror or str(error)
        if error.errno in _READ_ONLY:
            identity, message = "store-read-only", "the image store is not writable"
            hint = "Make the folder writable, or set COMPOS_CACHE to another one."
        else:
            identity, message = "store-error", f"the image store cannot be written: {reason}"
            hint = "Check the disk, or set COMPOS_CACHE to another folder."
        raise StoreError(identity, message, place=str(root), hint=hint) from error


def make_private(folder: Path) -> None:
    """Make a folder, and what is missing above it, for the user alone, whatever the umask; raises
    `OSError`.

    A store that others can write to is refused, and what a build puts into a system may be secret.
    """
    for path in reversed((folder, *folder.parents)):
        if not path.is_dir():
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new, empty, locked folder inside `folder` (made if needed), removed with all its content at
    the end."""
    make_private(folder)
    while True:
        # Not by tempfile: its imports take 4 ms of a build of one changed file.
        path = folder / os.urandom(8).hex()
        path.mkdir(mode=0o700)
        # A sweep may remove the folder between its creation and its lock.
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        lock_file(handle, fcntl.LOCK_EX)
        if path.exists():
            break
        os.close(handle)
    try:
        yield path
    finally:
        _remove(path)
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as possible."""
    try:
        folder.rmdir()
    except OSError:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`; without locks nobody knows that they were."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            with suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    if lock_file(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                        _remove(path)
                finally:
                    os.close(handle)


def write_atomically(path: Path, data: bytes, folder: Path) -> None:
    """Put `data` under `path`, whole or not at all, by way of a staging folder in `folder` on the
    same disk."""
    with staging(folder) as stage:
        new = stage / path.name
        with new.open("xb") as stream:
            # Whatever the umask: a store that others can write to is refused.
            os.fchmod(stream.fileno(), 0o644)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
