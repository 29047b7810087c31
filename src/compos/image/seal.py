"""What a store knows of its own files: which of them are as they were when they were whole, and
when each was last used.

May touch: the file `seals` of a store. A seal is a file's length, inode and time of change, beside
the CRC-32 of its content. The time of change is set by the kernel with every write, cut, link and
restore, and by nobody else: a file whose seal holds is used without being read, after one stat. Any
other is read once, and sealed again if it is whole.

Blobs are on the disk before they are sealed. Derived results are not (syncing takes longer than
making them): their seals hold until the machine is started anew, then the content is read once. So
what a loss of power leaves, whatever the order in which a file system wrote it, is used only if it
is whole.

The file is a list of records of a fixed length behind a head; later ones replace earlier ones with
the same name.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, cast

__all__ = ["HOUR", "Seal", "Seals", "checksum", "is_ours"]

HOUR = 3600
"""Seconds: how exactly it is known when a file was last used. A build that uses the same files
again soon writes nothing."""

SYNCED = 0
"""In place of a boot's number: the content was on the disk when the file was sealed, or has been
read from there since."""

_RECORD = struct.Struct("<16sQQqIIQB")
_CHECKED = struct.Struct(f"<{_RECORD.size}sI")
_MAGIC = b"compos-seals 1\n"
"""The head's beginning. The rest of it is random, which tells one file from the next that gets its
inode."""

_SPARE = 1024
"""Replaced records that are not worth writing the file anew."""

_OTHERS = 0o022
_BUFFER = 256 << 10
_LARGE = 1 << 20
"""Bytes that are worth importing what sums them ten times faster."""


class Seal(NamedTuple):
    """A whole file: its length, inode and time of change; the CRC-32 of a derived result; its last
    use, in Unix seconds."""

    size: int
    inode: int
    changed: int
    checksum: int
    used: int
    boot: int
    derived: bool


class Seals:
    """The seals of a store's files, by their names below its root; any number of processes may add
    to them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[bytes, Seal | int] = {}
        """Seals by the digests of names; those that nobody asked for yet, as places in the file."""
        self._data = b""
        self._mutex = threading.Lock()
        self._boot = _boot()

    def holds(self, name: str, status: os.stat_result) -> bool:
        """Whether the file `name`, whose status this is, is as it was when it was sealed."""
        if (seal := self.find(name)) is None:
            return False
        # Another process may have made the file, and its seal, anew.
        return self._fits(seal, status) or (
            self._reread() and (seal := self.find(name)) is not None and self._fits(seal, status)
        )

    def was_sealed(self, name: str, status: os.stat_result) -> bool:
        """Whether a file whose seal does not hold has not been touched since: before the machine
        was last started.

        Its content, if it was read and found whole, comes from the disk.
        """
        seal = self.find(name)
        return seal is not None and self._fits(seal._replace(boot=SYNCED), status)

    def _fits(self, seal: Seal, status: os.stat_result) -> bool:
        return (
            seal.changed == status.st_ctime_ns
            and seal.size == status.st_size
            and seal.inode == status.st_ino
            and seal.boot in (SYNCED, self._boot)
        )

    def _reread(self) -> bool:
        with self._mutex:
            return self._load()

    def find(self, name: str) -> Seal | None:
        """The seal of the file `name`."""
        key = _key(name)
        with self._mutex:
            found = self._places.get(key)
            if found is None and self._load():
                found = self._places.get(key)
            if isinstance(found, int):
                found = self._read(found)
                if found is None:
                    del self._places[key]
                else:
                    self._places[key] = found
            return found

    def seal(
        self, name: str, status: os.stat_result, total: int, *, derived: bool, synced: bool
    ) -> None:
        """Remember that the file `name` is whole as it is; `total` is its CRC-32, if it is a
        derived result."""
        boot = SYNCED if synced else self._boot
        self._write(
            {
                name: Seal(
                    status.st_size, status.st_ino, status.st_ctime_ns, total, _now(), boot, derived
                )
            }
        )

    def used(self, names: Iterable[str]) -> None:
        """Remember that the files `names` have been used now."""
        now = _now()
        found = ((name, self.find(name)) for name in names)
        if stale := {
            name: seal._replace(used=now)
            for name, seal in found
            if seal and abs(now - seal.used) >= HOUR
        }:
            self._write(stale)

    def derived_size(self) -> int:
        """About how many bytes all derived results have: some may have been removed by others."""
        with self._mutex:
            self._load()
            seals = (
                self._read(one) if isinstance(one, int) else one for one in self._places.values()
            )
            return sum(seal.size for seal in seals if seal and seal.derived)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all files but `names`."""
        kept = {*map(_key, names)}
        with self._mutex, suppress(OSError):
            self._write_anew(kept)

    def _write(self, seals: dict[str, Seal]) -> None:
        made = {_key(name): seal for name, seal in seals.items()}
        with self._mutex:
            self._places.update(made)
            # A store that cannot be written is verified in every run.
            with suppress(OSError), self._locked() as descriptor:
                end = os.fstat(descriptor).st_size
                # What a full disk has cut off would shift all that follows.
                if end % _CHECKED.size:
                    os.ftruncate(descriptor, end - end % _CHECKED.size)
                os.write(descriptor, b"".join(_packed(key, seal) for key, seal in made.items()))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, opened for this process alone."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            descriptor = os.open(self._path, flags, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # While this process waited, another one may have written it anew.
                if os.fstat(descriptor).st_ino == self._path.stat().st_ino:
                    head = os.pread(descriptor, _CHECKED.size, 0)
                    if len(head) < _CHECKED.size or not head.startswith(_MAGIC):
                        os.ftruncate(descriptor, 0)
                        os.write(descriptor, _head())
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _load(self) -> bool:
        """Read what others have written since; says whether there was anything."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if not self._take(descriptor):
                    return False
            finally:
                os.close(descriptor)
            if len(self._data) // _CHECKED.size > 2 * len(self._places) + _SPARE:
                self._write_anew()
        except OSError:
            return False
        return True

    def _take(self, descriptor: int) -> bool:
        """Read what the open file has beyond what is known of it; says whether there was
        anything."""
        head = os.pread(descriptor, _CHECKED.size, 0)
        start = len(self._data) if self._data.startswith(head) else 0
        if not head.startswith(_MAGIC) or os.fstat(descriptor).st_size - start < _CHECKED.size:
            return False
        if not start:
            # Places in a file that is no more.
            self._places = {key: one for key, one in self._places.items() if isinstance(one, Seal)}
        with open(descriptor, "rb", closefd=False) as stream:
            stream.seek(start)
            data = stream.read()
        self._data = self._data[:start] + data[: len(data) - len(data) % _CHECKED.size]
        places = range(start or _CHECKED.size, len(self._data), _CHECKED.size)
        self._places.update(zip((self._data[at : at + 16] for at in places), places, strict=True))
        return True

    def _write_anew(self, kept: set[bytes] | None = None) -> None:
        """Leave out what was replaced, and all but `kept`; raises `OSError`."""
        with self._locked() as descriptor:
            self._take(descriptor)
            seals = dict(self._all(kept))
            new = self._path.with_name(f"{self._path.name}.new")
            new.unlink(missing_ok=True)
            with new.open("xb") as stream:
                os.fchmod(stream.fileno(), 0o644)
                stream.write(_head() + b"".join(_packed(key, seal) for key, seal in seals.items()))
            new.replace(self._path)
        self._places = {**seals}
        self._data = b""

    def _all(self, kept: set[bytes] | None) -> Iterator[tuple[bytes, Seal]]:
        for key, one in self._places.items():
            if kept is None or key in kept:
                seal = self._read(one) if isinstance(one, int) else one
                if seal is not None:
                    yield key, seal

    def _read(self, at: int) -> Seal | None:
        """The seal at a place in the file, if it is whole."""
        record, total = _CHECKED.unpack_from(self._data, at)
        if zlib.crc32(record) != total:
            return None
        _, size, inode, changed, content, used, boot, derived = _RECORD.unpack(record)
        return Seal(size, inode, changed, content, used, boot, bool(derived))


def checksum(path: Path) -> tuple[int, os.stat_result]:
    """The CRC-32 of a file's content, and the file's status before it was read; raises `OSError`,
    for a link too."""
    total = 0
    buffer = bytearray(_BUFFER)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        crc32 = _crc32(large=status.st_size > _LARGE)
        while count := os.readv(descriptor, (buffer,)):
            total = crc32(memoryview(buffer)[:count], total)
    finally:
        os.close(descriptor)
    return total, status


def _crc32(*, large: bool) -> Callable[[memoryview, int], int]:
    """The function of zlib, or the same one of ISA-L, which riscv64 lacks."""
    if large:
        with suppress(ImportError):
            from isal import isal_zlib

            return cast("Callable[[memoryview, int], int]", isal_zlib.crc32)
    return zlib.crc32


def is_ours(status: os.stat_result) -> bool:
    """Whether a file belongs to us or root, and nobody else can write to it: so it changes only
    when we change it."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & _OTHERS


def _packed(key: bytes, seal: Seal) -> bytes:
    record = _RECORD.pack(key, *seal)
    return _CHECKED.pack(record, zlib.crc32(record))


def _head() -> bytes:
    return _MAGIC + os.urandom(_CHECKED.size - len(_MAGIC))


def _key(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _now() -> int:
    return min(max(int(time.time()), 0), 0xFFFF_FFFF)


def _boot() -> int:
    """A number for the time since this machine was started; another one for each process where
    nobody knows."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        text = os.urandom(16)
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little") or 1
