"""`python -m tests.missing CALL:HOW... -- ARGUMENTS` is compos where calls of Linux are missing, as
they are on macOS, under old kernels, in containers and on network file systems.

HOW is `absent`, the name of an error, or `0` for the result. At the end one line on standard error
says how often each call was asked for in vain.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

LINUX_ONLY = (
    *("O_DIRECT", "O_NOATIME", "O_PATH", "O_TMPFILE", "copy_file_range", "eventfd", "fdatasync"),
    *("getxattr", "listxattr", "memfd_create", "pidfd_open", "posix_fadvise", "posix_fallocate"),
    *("removexattr", "sched_getaffinity", "setxattr", "splice"),
)
"""Names of `os` that macOS's Python lacks."""

asked: Counter[str] = Counter()


def _failing(name: str, how: str) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        asked[name] += 1
        if how == "0":
            return 0
        number = getattr(errno, how)
        raise OSError(number, os.strerror(number))

    return call


def _range_copy(how: str) -> None:
    if how == "absent":
        del os.copy_file_range
    else:
        os.copy_file_range = _failing("copy_file_range", how)


def _unnamed_files(how: str) -> None:
    if how == "absent":
        del os.O_TMPFILE
        return
    unnamed, opened, failing = os.O_TMPFILE, os.open, _failing("O_TMPFILE", how)

    def call(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        asks = flags & unnamed == unnamed
        return failing() if asks else opened(path, flags, *arguments, **options)

    os.open = call


def _exchange(how: str) -> None:
    library: Any = ctypes.CDLL

    def call(*_: object) -> int:
        asked["renameat2"] += 1
        return -1

    class OldLibrary:
        """The C library's functions, of which compos asks for two."""

        if how != "absent":
            renameat2 = staticmethod(call)

    def load(name: str | None, *arguments: Any, **options: Any) -> Any:
        return OldLibrary() if name is None else library(name, *arguments, **options)

    ctypes.CDLL = load  # type: ignore[assignment,misc]


def _proc(how: str) -> None:
    failing = _failing("/proc", "ENOENT")

    def hidden(function: Any) -> Any:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | os.PathLike) and str(path).startswith("/proc/"):
                return failing()
            return function(path, *arguments, **options)

        return call

    for module in (builtins, io, os):
        module.open = hidden(module.open)  # type: ignore[attr-defined]
    for name in ("stat", "lstat", "readlink", "link"):
        setattr(os, name, hidden(getattr(os, name)))


def _locks(how: str) -> None:
    for name in ("flock", "lockf"):
        setattr(fcntl, name, _failing("locks", how))


def _sendfile(how: str) -> None:
    if how == "absent":
        del os.sendfile
    else:
        os.sendfile = _failing("sendfile", how)


def _holes(how: str) -> None:
    """What is skipped is written, and nothing finds holes."""
    del os.SEEK_DATA, os.SEEK_HOLE
    seek, write = os.lseek, os.write

    def call(descriptor: int, offset: int, whence: int) -> int:
        if whence == os.SEEK_CUR and offset > 0:
            asked["holes"] += 1
            for start in range(0, offset, 1 << 20):
                write(descriptor, bytes(min(1 << 20, offset - start)))
            return seek(descriptor, 0, whence)
        return seek(descriptor, offset, whence)

    os.lseek = call


def _linux(how: str) -> None:
    for name in LINUX_ONLY:
        if hasattr(os, name):
            delattr(os, name)


CALLS: dict[str, Callable[[str], None]] = {
    "/proc": _proc,
    "O_TMPFILE": _unnamed_files,
    "copy_file_range": _range_copy,
    "holes": _holes,
    "linux": _linux,
    "locks": _locks,
    "renameat2": _exchange,
    "sendfile": _sendfile,
}


if __name__ == "__main__":
    end = sys.argv.index("--")
    for argument in sys.argv[1:end]:
        name, _, how = argument.partition(":")
        CALLS[name](how)
    # Now, so that it and what it imports see nothing of what was taken away.
    from compos.cli.main import main

    status = main(sys.argv[end + 1 :])
    print("asked:", *sorted(asked), file=sys.stderr)
    raise SystemExit(status)
