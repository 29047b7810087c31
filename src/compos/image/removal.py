"""Making room in a store: images by name, what has not been used for long, what is above a bound.

May touch: the files of a store. A derived result was last used when a build last looked it up, made
it, or took pieces of it (`seal` knows, to the hour); a Debian package when it was last read or
written. Derived results are removed only while nobody uses the store's; what this process has used
itself stays, too. Images go by name only.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import Digest
from compos.image.locks import sweep_locks
from compos.image.staging import disk_errors, sweep
from compos.image.store import Store, name_of
from compos.progress import task

__all__ = [
    "LIMIT_VARIABLE",
    "clean",
    "clean_older",
    "clean_to",
    "keep_bound",
    "limit_of",
    "parse_age",
    "parse_size",
    "remove",
]

LIMIT_VARIABLE = "COMPOS_CACHE_LIMIT"

MAX_DERIVED, MAX_SHARE = 10 << 30, 10
"""Derived results have at most so many bytes, and at most one part in so many of the disk, unless
the user says otherwise."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECONDS = {"m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_MARK_LENGTH = len("sha256-") + 64
"""Keys of what was made of a blob begin with its digest."""

_CONTENT = ("blobs", "damaged", "derived", "ingest", "locks", "index.json", "oci-layout", "seals")
_FETCHED = ("debian/lists", "debian/packages", "damaged")
"""Folders of what can be fetched again, or is kept to be looked at. Debian's Release files stay:
older ones must not follow."""


class _File(NamedTuple):
    used: float
    name: str
    size: int


def parse_size(text: str) -> int:
    """Bytes: `500M`, `20G`, `1.5T`. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([KMGT]?)(?:i?B)?", text)
    if match is None:
        raise ValueError(f"a size must be a number with K, M, G or T, such as 20G, not {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_age(text: str) -> int:
    """Seconds: `30m`, `12h`, `7d`, `2w`. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if match is None:
        raise ValueError(f"an age must be a number with m, h, d or w, such as 7d, not {text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def remove(store: Store, *names: str) -> int:
    """Remove images by their exact names, with every blob that no other name needs; returns the
    bytes freed.

    All names are looked up before anything is removed; raises `ImageError` (`image-not-found`).
    """
    for name in names:
        store.named(name)
    with store.changed() as entries:
        gone = store.reachable(entry for entry in entries if name_of(entry) in names)
        entries[:] = [entry for entry in entries if name_of(entry) not in names]
        unused = gone - store.reachable(entries)
    marks = {digest.replace(":", "-") for digest in unused}
    paths = [
        *map(store.path, sorted(digest for digest in unused if Digest(digest).is_verifiable)),
        *(
            store.root / name
            for name in store.results(*(kind for kind in DerivedKind if kind.of_blob))
            if name.rpartition("/")[2][:_MARK_LENGTH] in marks
        ),
    ]
    freed = 0
    for path in paths:
        with disk_errors(store.root), suppress(FileNotFoundError):
            freed += path.stat().st_size
            path.unlink()
    return freed


def clean(store: Store) -> None:
    """Remove everything; whatever else lies in the folder stays."""
    import shutil

    with disk_errors(store.root), store.lock():
        for name in (*_CONTENT, *_FETCHED):
            path = store.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    store.forget()


def clean_older(store: Store, age: int) -> int:
    """Remove what no build has used for `age` seconds; waits for builds that are running. Returns
    the bytes freed."""
    before = time.time() - age
    return _cleaned(store, lambda files: [file for file in files if file.used < before])


def clean_to(store: Store, size: int) -> int:
    """Remove what was used least recently until `size` bytes are left; waits for builds. Returns
    the bytes freed."""
    return _cleaned(store, lambda files: _surplus(files, size))


def limit_of(root: Path) -> int | None:
    """How many bytes the derived results of a store may have; None is no limit. Raises `ImageError`
    (`cache-limit`)."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    if text == "none":
        return None
    if text:
        try:
            return parse_size(text)
        except ValueError as error:
            raise ImageError(
                "cache-limit",
                str(error),
                place=LIMIT_VARIABLE,
                hint=f"Set {LIMIT_VARIABLE} to a size, or to none.",
            ) from error
    try:
        disk = os.statvfs(root)
    except OSError:
        return None
    return min(MAX_DERIVED, disk.f_blocks * disk.f_frsize // MAX_SHARE)


def keep_bound(store: Store, limit: int | None) -> None:
    """Remove the derived results that were used least recently when this process has made some, and
    all are above `limit`.

    What is in use stays: by this process, and, as long as there is another one, all.
    """
    if limit is None or not store.has_derived or store.seals.derived_size() <= limit:
        return
    with suppress(OSError), store.users.alone(wait=False) as alone:
        if alone:
            _remove(store, _surplus([*_removable(store)], limit))


def _cleaned(store: Store, choose: Callable[[list[_File]], list[_File]]) -> int:
    sweep(store.root / "ingest")
    sweep_locks(store.root / "locks")
    with disk_errors(store.root), task("clean the store"), store.users.alone(wait=True):
        return _remove(store, choose([*_removable(store), *_fetched(store)]))


def _surplus(files: list[_File], size: int) -> list[_File]:
    """Those that have to go, least recently used first, for the others to have `size` bytes."""
    surplus = sum(file.size for file in files) - size
    chosen = []
    for file in sorted(files):
        if surplus <= 0:
            break
        chosen.append(file)
        surplus -= file.size
    return chosen


def _remove(store: Store, files: list[_File]) -> int:
    """Raises `OSError`."""
    freed = 0
    for file in files:
        if file.name not in store.in_use:
            with suppress(FileNotFoundError):
                (store.root / file.name).unlink()
                freed += file.size
    blobs = (f"blobs/{path.parent.name}/{path.name}" for path in store.root.glob("blobs/*/*"))
    store.seals.keep_only([*(file.name for file in _derived(store)), *blobs])
    return freed


def _derived(store: Store) -> Iterator[_File]:
    for name in store.results():
        with suppress(OSError):
            status = (store.root / name).lstat()
            seal = store.seals.find(name)
            yield _File(seal.used if seal else status.st_ctime, name, status.st_size)


def _removable(store: Store) -> Iterator[_File]:
    """Derived results that can be made again."""
    lasting = {*store.results(*(kind for kind in DerivedKind if kind.lasting))}
    return (file for file in _derived(store) if file.name not in lasting)


def _fetched(store: Store) -> Iterator[_File]:
    for folder in _FETCHED:
        for path in store.root.glob(f"{folder}/*"):
            with suppress(OSError):
                status = path.lstat()
                yield _File(
                    max(status.st_atime, status.st_mtime), f"{folder}/{path.name}", status.st_size
                )
