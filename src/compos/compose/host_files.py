"""Files of this machine on their way into a system: read once, before anything is made of them.

May touch: the files that it is asked for (reading); the store (`HOST`). What a build is
remembered under, and what it is composed of, are the same bytes, whoever writes to the file
meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from compos.config.model import File
from compos.errors import ConfigError
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree.node import Piece, Slice

__all__ = ["HostFile", "has_source", "read_sources", "stored"]

INLINE = 64 << 10
"""Files up to this many bytes stay in memory; larger ones go through the store."""

MAX_STREAM = 64 << 20
"""Bytes of a pipe or a device, which can be read but once: they are held in memory. Some never
end."""

TRIES = 3
"""How often a file is read that changes while it is copied."""

CHUNK = 1 << 20


class HostFile(NamedTuple):
    """What a file held when it was read: the SHA-256 of its bytes in hexadecimal digits, their
    number, and themselves."""

    digest: str
    size: int
    content: tuple[Piece, ...]


def has_source(entry: File) -> bool:
    """Whether what is in an entry's file comes from this machine."""
    return not (entry.directory or entry.symlink or entry.contents is not None or entry.metadata)


def read_sources(store: Store, entries: Iterable[File]) -> Mapping[str, HostFile | None]:
    """What `entries` name as their sources, by that name; None for an optional file that is not
    there.

    Raises `ConfigError` (`files-source`).
    """
    found: dict[str, HostFile | None] = {}
    for entry in entries:
        name = entry.source or ""
        # One entry may want what another one can do without.
        if has_source(entry) and (
            name not in found or (found[name] is None and not entry.optional)
        ):
            found[name] = _read(store, entry, Path(os.path.expanduser(name)))  # noqa: PTH111  "~/x" only, as LinuxKit
    return found


def _read(store: Store, entry: File, path: Path) -> HostFile | None:
    try:
        with path.open("rb") as stream:
            return _taken(store, stream)
    except OSError as error:
        if entry.optional and isinstance(error, FileNotFoundError | NotADirectoryError):
            return None
        raise _unreadable(entry, path, error) from error
    except ValueError as error:
        raise _unreadable(entry, path, OSError(errno.EINVAL, str(error))) from error


def _taken(store: Store, stream: io.BufferedReader) -> HostFile:
    """Raises `OSError`."""
    data = stream.read(INLINE + 1)
    if len(data) > INLINE:
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            made = stored(store, DerivedKind.HOST, stream)
            return HostFile(made.source.rpartition("/")[2], made.size, (made,))
        data += stream.read(MAX_STREAM + 1 - len(data))
        if len(data) > MAX_STREAM:
            raise OSError(
                errno.EFBIG, f"it is not a file, and has more than {MAX_STREAM >> 20} MiB"
            )
        made = stored(store, DerivedKind.HOST, io.BytesIO(data))
        return HostFile(made.source.rpartition("/")[2], made.size, (made,))
    return HostFile(hashlib.sha256(data).hexdigest(), len(data), (data,) if data else ())


def stored(store: Store, kind: DerivedKind, stream: io.BufferedReader | io.BytesIO) -> Slice:
    """A copy of a whole file in the store, by its SHA-256; read twice only when the store does not
    have it.

    Raises `OSError`, when it does not stay the same for as long as it is read, too.
    """
    for _ in range(TRIES):
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        source = kind.stored_name(digest)
        if known := store.derived(kind, digest):
            return Slice(source, 0, known.stat().st_size)
        stream.seek(0)
        try:
            with store.derive(kind, digest) as path, path.open("wb") as copy:
                return Slice(source, 0, _copy(stream, copy, digest))
        except _ChangedError:
            continue
    raise OSError(errno.EBUSY, "it changed while it was read")


class _ChangedError(Exception):
    pass


def _copy(stream: BinaryIO, copy: BinaryIO, digest: str) -> int:
    """Copy what has the SHA-256 `digest`; returns its size. Raises `_ChangedError` for anything
    else."""
    hasher = hashlib.sha256()
    size = 0
    while chunk := stream.read(CHUNK):
        hasher.update(chunk)
        copy.write(chunk)
        size += len(chunk)
    if hasher.hexdigest() != digest:
        raise _ChangedError
    return size


def _unreadable(entry: File, source: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "files-source",
        f"the source file {str(source)!r} cannot be read: {(error.strerror or str(error)).lower()}",
        place=str(entry.mark),
        hint="Check the path, which is relative to the folder in which you run compos, or add "
        "`optional: true` if the file may be missing.",
    )
