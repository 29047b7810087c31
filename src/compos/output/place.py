"""Putting a finished file under the name that a user chose. May touch: the folder of that name.

The file is written without a name (O_TMPFILE), or where the file system has no such files, under
one that nobody can guess (O_EXCL). So nothing that others have put into the folder is written to or
through, and a build that is killed leaves nothing. Then it changes places with what is there: a
link is replaced, as ld(1) does it, and never followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compos.errors import DiskFull, OutputError

__all__ = ["SECRET", "Place", "explanations", "put_file", "require_name", "sweep"]

SECRET = 0o600
"""The mode of files that may hold secrets: a guest's metadata, its disks."""

_EXCHANGE = 2
"""RENAME_EXCHANGE (linux/fs.h)."""

_TEMPORARY = re.compile(r"\.compos-[0-9a-f]{32}\.part")
_AGE = 10
"""Seconds: what is younger may be another build's, which is about to remove it."""

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""How a folder is opened; without O_PATH, which is Linux's, one must be able to list it."""

_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS)
"""What open(2) says where O_TMPFILE is not known."""


class Place:
    """A file on its way to `path`: open as `descriptor`, `put` there when it is whole, `take_back`
    when others fail.

    Raises `OSError`, and `OutputError` (`output-name`, `output-special`), when it could not be put
    there. An earlier file's permissions stay if it is the user's own; others are made as the umask
    wants it. `secret` files are the user's alone.
    """

    def __init__(self, path: Path, *, secret: bool = False) -> None:
        require_name(path)
        self.path = path
        self.descriptor = -1
        self._name = path.name
        self._temporary = ""
        self._backup = ""
        self._was_there = False
        self._is_put = False
        # Paths may change their meaning meanwhile; this folder stays the same.
        self._folder = os.open(path.parent, _FOLDER)
        try:
            found = self._checked()
            mode = SECRET if secret else found
            self._open(0o644 if mode is None else mode)
            if mode is not None:
                os.fchmod(self.descriptor, mode)
        except BaseException:
            self.close()
            raise

    def _checked(self) -> int | None:
        """The permissions that the file is to have, if not the usual ones; raises as the class."""
        status = self._there()
        if status is None:
            return None
        # Another name of a file of the user's may have been put there by somebody else.
        own = (
            stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        )
        kept = stat.S_IMODE(status.st_mode) & 0o777 if own else None
        special = False
        if stat.S_ISLNK(status.st_mode):
            # /dev/stdout, whatever it is now.
            special = os.readlink(self._name, dir_fd=self._folder).startswith("/proc/")
            # Where a link leads nowhere, it is replaced as any other.
            with suppress(OSError):
                status = os.stat(self._name, dir_fd=self._folder)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
        if special or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise OutputError(
                "output-special",
                "the output would replace a device, a pipe or a socket",
                place=str(self.path),
                hint="Write to a file, or write a tar to standard output with --o -.",
            )
        return kept

    def _there(self) -> os.stat_result | None:
        try:
            return os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _open(self, mode: int) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            # Without /proc it could not be named; macOS does not know such files.
            if not os.path.exists("/proc/self/fd") or not hasattr(os, "O_TMPFILE"):  # noqa: PTH110
                raise OSError(errno.EOPNOTSUPP, "")
            self.descriptor = os.open(".", flags | os.O_TMPFILE, mode, dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _UNNAMED:
                raise
            self._temporary = _unguessable()
            flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self.descriptor = os.open(self._temporary, flags, mode, dir_fd=self._folder)
        # Says that somebody is at work; where no locks are, the file's age says so.
        with suppress(OSError):
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def put(self) -> None:
        """Let the file appear under its name; raises as the class."""
        self._checked()
        self._was_there = self._there() is not None
        if not self._temporary:
            name = _unguessable() if self._was_there else self._name
            os.link(
                f"/proc/self/fd/{self.descriptor}",
                name,
                dst_dir_fd=self._folder,
                follow_symlinks=True,
            )
            self._temporary = name if self._was_there else ""
        if self._was_there and not self._exchange():
            self._back_up()
            self._rename(self._temporary)
            self._temporary = ""
        elif not self._was_there and self._temporary:
            self._rename(self._temporary)
            self._temporary = ""
        self._is_put = True

    def _rename(self, name: str) -> None:
        os.rename(name, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def take_back(self) -> None:
        """Undo `put`: what was there before is there again."""
        if not self._is_put:
            return
        if self._backup:
            self._rename(self._backup)
            self._backup = ""
        elif not self._was_there:
            os.unlink(self._name, dir_fd=self._folder)
        elif not self._exchange():
            raise OSError(errno.EIO, "the earlier output cannot be restored", str(self.path))
        self._is_put = False

    def close(self) -> None:
        """Remove what is not to stay."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        for name in (self._temporary, self._backup):
            if name:
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)
        os.close(self._folder)

    def _exchange(self) -> bool:
        """Change places with what is there (renameat2(2)); says whether that is possible.

        As atomic as a replacement, which has ext4 write the new file to the disk at once: a second
        for each gigabyte.
        """
        import ctypes

        try:
            exchange = ctypes.CDLL(None).renameat2
        except (OSError, AttributeError):
            return False
        names = os.fsencode(self._temporary), os.fsencode(self._name)
        return bool(exchange(self._folder, names[0], self._folder, names[1], _EXCHANGE) == 0)

    def _back_up(self) -> None:
        """A second name for what is there, where nothing can change places; what has no second name
        is moved."""
        name = _unguessable()
        try:
            os.link(
                self._name,
                name,
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except OSError:
            os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._backup = name


def require_name(path: Path) -> None:
    """Raise `OutputError` (`output-name`) for `.`, `/` and nothing."""
    if not path.name:
        raise OutputError(
            "output-name",
            "the output is a folder, not a file name",
            place=str(path),
            hint="Write the name of a file in that folder.",
        )


def put_file(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Let `path` be a file of these bytes, whole or not at all; raises `OutputError`."""
    with explanations(path):
        place = Place(path, secret=secret)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(place.descriptor, view) :]
            place.put()
        finally:
            place.close()


def sweep(folder: Path) -> None:
    """Remove what builds have left in `folder` that were killed while they gave files their
    names."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if (
        not stat.S_ISREG(status.st_mode)
        or status.st_uid != os.geteuid()
        or time.time() - status.st_ctime < _AGE
    ):
        return
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(entry.path).unlink()
    finally:
        os.close(descriptor)


def _unguessable() -> str:
    return f".compos-{os.urandom(16).hex()}.part"


class _OutputDiskFull(OutputError, DiskFull):
    pass


@contextmanager
def explanations(path: Path | str) -> Iterator[None]:
    """Turn an `OSError` met while writing `path` into an `OutputError`."""
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error


def _explained(error: OSError, path: Path | str) -> OutputError:
    """An operating system error while writing `path`, in our words."""
    if DiskFull.matches(error):
        return _OutputDiskFull(
            "disk-full",
            "no space left for the output",
            place=str(path),
            hint="Free some space, or choose another folder.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            "output-denied",
            "the output folder is not writable",
            place=str(path),
            hint="Make the folder writable, or choose another folder.",
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(
            "output-folder",
            "the output folder does not exist",
            place=str(Path(path).parent),
            hint="Create it, or choose another folder.",
        )
    return OutputError(
        "output-failed",
        f"the output cannot be written: {(error.strerror or str(error)).lower()}",
        place=str(path),
    )
