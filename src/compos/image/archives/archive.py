"""Files of an image that lies in a folder or in a tar: found by name, read in pieces, never
unpacked.

May touch: the folder or tar that it is given (reading). Nothing outside is read: names are checked,
and links lead nowhere but to other members.
"""

from __future__ import annotations

import lzma
import os
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from compos.errors import BlobMissing, ImageError

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import WriteableBuffer

__all__ = ["Archive", "identity", "opened"]

MAX_DOCUMENT = 8 << 20
"""Bytes of a manifest, an index or a config that are read."""

MAX_MEMBERS = 100_000
"""Members of a tar: an image has one a layer and a document, and each is held in memory."""

MAX_HEADER = 1 << 20
"""Bytes of an extended header (pax, GNU), which is read into memory; honest ones hold a path and
some times."""

MAX_HOLES = 64 << 30
"""Bytes of a sparse file, whatever the archive says: layers become no larger than this when they
are unpacked, either."""

_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MAX_LINKS = 8
_BUFFER = 1 << 20


class Archive(Protocol):
    """Files by their names, relative and with slashes."""

    def has(self, name: str) -> bool:
        """Whether there is a regular file of this name."""

    def stream(self, name: str) -> BufferedReader:
        """The file, opened; raises `ImageError` (`archive-incomplete`)."""

    def position(self, name: str) -> int:
        """What to sort files by before they are read: going back in a compressed tar means to
        decompress it once more."""

    def document(self, name: str) -> bytes:
        """A whole small file; raises `ImageError` (`archive-incomplete`)."""


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The folder or tar (plain, gzip, bzip2, xz) at `path`. Raises `ImageError` (`archive-missing`,
    `archive-damaged`)."""
    # Not around the block: errors of whoever reads are not the archive's.
    with ExitStack() as stack:
        with _damage(path):
            if path.is_dir():
                archive: Archive = _Folder(path)
            else:
                archive = _Tar(path, stack.enter_context(tarfile.open(path, tarinfo=_Member)))
        yield archive


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the archive at `path` is read into `ImageError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(
            "archive-missing",
            "the file or folder does not exist",
            place=str(path),
            hint="Check the path of the image.",
        ) from error
    # zlib.error and lzma.LZMAError are of no family; tarfile lets ValueError and OverflowError of
    # hostile headers through.
    except (
        OSError,
        tarfile.TarError,
        EOFError,
        ValueError,
        ArithmeticError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(
            "archive-damaged",
            f"the image cannot be read: {reason}",
            place=str(path),
            hint="Save the image again.",
        ) from error


def identity(path: Path) -> str:
    """Changes when the file at `path` is written again: its path, inode, size and time of change.
    Raises `OSError`."""
    status = path.stat()
    return f"{path.absolute()} {status.st_ino} {status.st_size} {status.st_ctime_ns}"


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, name: str) -> bool:
        try:
            return stat.S_ISREG(self._find(name).stat().st_mode)
        except (OSError, ImageError):
            return False

    def stream(self, name: str) -> BufferedReader:
        path = self._find(name)
        # Not blocked by a FIFO that pretends to be a blob.
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _incomplete(self._path, name) from error
        except OSError as error:
            with _damage(self._path):
                raise error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _incomplete(self._path, name)
        return BufferedReader(
            _Guarded(os.fdopen(descriptor, "rb", buffering=0), self._path), _BUFFER
        )

    def position(self, name: str) -> int:
        return 0

    def document(self, name: str) -> bytes:
        return _whole(self, self._path, name)

    def _find(self, name: str) -> Path:
        path = self._path / name
        try:
            inside = path.resolve().is_relative_to(self._path.resolve())
        # Links in a circle; a name with a NUL.
        except (OSError, RuntimeError, ValueError):
            inside = False
        if not inside:
            raise _incomplete(self._path, name)
        return path


class _Member(tarfile.TarInfo):
    """A member whose headers take no more memory than they should."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As `tarfile` calls it for each header; raises `ValueError`."""
        made = super().frombuf(buf, encoding, errors)
        # Below zero it would be read again, and without end.
        if made.size < 0 or (made.type in _HEADERS and made.size > MAX_HEADER):
            raise ValueError(f"a header of {made.size} bytes")
        return made


class _Tar:
    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self._path = path
        self._archive = archive
        self._members: dict[str, tarfile.TarInfo] = {}
        for number, member in enumerate(archive):
            if number == MAX_MEMBERS:
                raise ValueError(f"it has more than {MAX_MEMBERS} members")
            self._members[posixpath.normpath(member.name)] = member

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def stream(self, name: str) -> BufferedReader:
        member = self._find(name)
        with _damage(self._path):
            if member is not None and member.issparse() and member.size > MAX_HOLES:
                raise ValueError(f"{name} is a sparse file of {member.size} bytes")
            stream = self._archive.extractfile(member) if member is not None else None
        if stream is None:
            raise _incomplete(self._path, name)
        return BufferedReader(_Guarded(stream, self._path), _BUFFER)

    def position(self, name: str) -> int:
        member = self._find(name)
        return member.offset_data if member is not None else 0

    def document(self, name: str) -> bytes:
        return _whole(self, self._path, name)

    def _find(self, name: str) -> tarfile.TarInfo | None:
        """The regular member that `name` means: `docker save` writes layers that several images
        share as links."""
        name = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(name)
            if member is None or member.isreg():
                return member
            if member.issym():
                name = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                name = posixpath.normpath(member.linkname)
            else:
                return None
        return None


class _Guarded(RawIOBase):
    """A file of the archive; what goes wrong while it is read is damage of the archive."""

    def __init__(self, stream: IO[bytes] | RawIOBase, path: Path) -> None:
        super().__init__()
        self._stream = stream
        self._path = path

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer`; raises `ImageError` (`archive-damaged`)."""
        view = memoryview(buffer).cast("B")
        with _damage(self._path):
            data = self._stream.read(len(view)) or b""
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_stream"):
            self._stream.close()
        super().close()


def _whole(archive: Archive, path: Path, name: str) -> bytes:
    with archive.stream(name) as stream:
        data = stream.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise ImageError(
            "archive-damaged",
            f"{name} is larger than {MAX_DOCUMENT >> 20} MiB",
            place=str(path),
            hint="Save the image again.",
        )
    return data


def _incomplete(path: Path, name: str) -> ImageError:
    # No path is longer, so none of that name can be there.
    return BlobMissing(
        "archive-incomplete",
        f"{name[:255]} is missing",
        place=str(path),
        hint="Save the image again, with all its layers.",
    )
