"""The build context of a package: one tar stream of its folder and its extra sources, made on the
way to the builder, and a digest of all that an image can depend on in it.

May touch: these folders (reading). As LinuxKit does (docs/linuxkit.md#cli-2.7): the whole folder at
`/`, then each extra source at its destination, in lexical order, with nothing left out:
`.dockerignore` has no effect. Owners, modes and times are those on disk.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from compos.errors import PackageError

__all__ = ["context_digest", "write_context"]

MAX_MEMBERS = 1_000_000
"""Files of a context."""

_GIT = ".git"


class _Member(NamedTuple):
    """A file of the context: its name there, and where it is."""

    name: str
    path: Path
    status: os.stat_result


def write_context(
    out: BinaryIO,
    folder: Path,
    extra_sources: Sequence[str] = (),
    *,
    instead: Mapping[str, bytes] | None = None,
    added: Mapping[str, Path] | None = None,
    without: Sequence[str] = (),
) -> None:
    """Write the context as a tar. `instead` has other contents for some files, `added` has further
    files by their names, `without` names files and folders that are left out. Raises
    `PackageError` (`package-extra-source`, `package-context`, `package-changed`)."""
    replaced = dict(instead or {})
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for member in _members(folder, extra_sources):
            if any(member.name == one or member.name.startswith(f"{one}/") for one in without):
                continue
            data = replaced.pop(member.name, None)
            if data is None:
                _add(archive, member)
            else:
                info = _header(archive, member)
                # What was a link becomes what it led to.
                info.type, info.linkname = tarfile.REGTYPE, ""
                info.size = len(data)
                archive.addfile(info, BytesIO(data))
        for name, path in (added or {}).items():
            _add(archive, _Member(name, path, path.lstat()))


def context_digest(folder: Path, extra_sources: Sequence[str] = ()) -> str:
    """The SHA-256 of what is in the context: names, kinds, permissions, contents. Neither owners
    nor times nor git's own files: they differ from checkout to checkout."""
    hasher = hashlib.sha256()
    for member in _members(folder, extra_sources):
        if _GIT in member.name.split("/"):
            continue
        mode = member.status.st_mode
        # Of the permissions git keeps whether a file is executable.
        kind = f"{stat.S_IFMT(mode):o} {bool(mode & 0o100):d}"
        content = b""
        if stat.S_ISLNK(mode):
            content = hashlib.sha256(os.fsencode(_link(member))).digest()
        elif stat.S_ISREG(mode):
            with _opened(member) as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        hasher.update(f"{kind} {len(content)} ".encode() + os.fsencode(member.name) + b"\0")
        hasher.update(content)
    return hasher.hexdigest()


def _members(folder: Path, extra_sources: Sequence[str]) -> Iterator[_Member]:
    count = 0
    for source, prefix in ((folder, ""), *_extra(folder, extra_sources)):
        for member in _below(source, prefix):
            count += 1
            if count > MAX_MEMBERS:
                raise PackageError(
                    "package-context",
                    f"the build context has more than {MAX_MEMBERS} files",
                    place=str(folder),
                    hint="Move what is not needed out of the package's folder.",
                )
            yield member


def _extra(folder: Path, extra_sources: Sequence[str]) -> Iterator[tuple[Path, str]]:
    for extra in extra_sources:
        source, _, destination = extra.partition(":")
        parts = [part for part in destination.split("/") if part not in ("", ".")]
        path = folder / source
        reason = ""
        if ".." in parts:
            reason = "the destination leaves the build context"
        elif not path.is_dir():
            reason = f"{source} is not a folder"
        if reason:
            raise PackageError(
                "package-extra-source",
                f"{extra[:200]!r}: {reason}",
                place=str(folder / "build.yml"),
                hint="Write ../common:/common, with a folder that exists.",
            )
        yield path.resolve(), "/".join(parts)


def _below(folder: Path, prefix: str) -> Iterator[_Member]:
    """A folder and what is in it, each folder before its files, in lexical order."""
    waiting = [(prefix, folder)]
    while waiting:
        name, path = waiting.pop()
        try:
            # The top may be a link to the package.
            status = path.stat() if path is folder else path.lstat()
            names = (
                sorted(one.name for one in path.iterdir()) if stat.S_ISDIR(status.st_mode) else []
            )
        except OSError as error:
            raise _unreadable(path, error) from error
        if name:
            yield _Member(name, path, status)
        inner = f"{name}/" if name else ""
        waiting += [(inner + one, path / one) for one in reversed(names)]


def _add(archive: tarfile.TarFile, member: _Member) -> None:
    # A socket has no place in a tar.
    if stat.S_ISSOCK(member.status.st_mode):
        return
    info = _header(archive, member)
    if info.isreg():
        with _opened(member) as stream:
            try:
                archive.addfile(info, stream)
            except OSError as error:
                # tarfile's complaint about a file that ends early has no number.
                if error.errno is None:
                    raise _changed(member.path) from error
                raise
    else:
        archive.addfile(info)


def _header(archive: tarfile.TarFile, member: _Member) -> tarfile.TarInfo:
    status = member.status
    info = archive.tarinfo(member.name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = status.st_mtime_ns // 1_000_000_000
    kinds = (
        (stat.S_ISREG, tarfile.REGTYPE),
        (stat.S_ISDIR, tarfile.DIRTYPE),
        (stat.S_ISLNK, tarfile.SYMTYPE),
        (stat.S_ISFIFO, tarfile.FIFOTYPE),
        (stat.S_ISCHR, tarfile.CHRTYPE),
        (stat.S_ISBLK, tarfile.BLKTYPE),
    )
    info.type = next(kind for matches, kind in kinds if matches(status.st_mode))
    if info.isreg():
        info.size = status.st_size
    elif info.issym():
        info.linkname = _link(member)
    elif info.isdev():
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info


def _link(member: _Member) -> str:
    try:
        return str(member.path.readlink())
    except OSError as error:
        raise _unreadable(member.path, error) from error


def _opened(member: _Member) -> BufferedReader:
    try:
        # Neither waits for a FIFO that took the file's place, nor follows a link.
        descriptor = os.open(member.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(member.path, error) from error
    stream = os.fdopen(descriptor, "rb")
    if not os.path.samestat(os.fstat(descriptor), member.status):
        stream.close()
        raise _changed(member.path)
    return stream


def _changed(path: Path) -> PackageError:
    return PackageError(
        "package-changed",
        "the file changed while it was read",
        place=str(path),
        hint="Build it again.",
    )


def _unreadable(path: Path, error: OSError) -> PackageError:
    return PackageError(
        "package-context",
        f"the build context cannot be read: {(error.strerror or str(error)).lower()}",
        place=str(path),
        hint="Make the file readable, or move it out of the package's folder.",
    )
