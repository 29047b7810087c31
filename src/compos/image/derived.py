"""Derived results: made, found, sealed, counted as used in one place, for all kinds of them.

May touch: the files of a store. What a step of a build has made is kept under a kind
(`derived_kinds` has them all, and names the files) and a key made of digests of all that went in. A
result that is gone, or was touched and is not what it was, is made again (`seal`), unless it can be
had elsewhere.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from compos.image.derived_kinds import FOLDER, DerivedKind, is_derived_slice
from compos.image.ownership import check_owner, trusted_anyway
from compos.image.seal import Seals, checksum, is_ours
from compos.image.staging import disk_errors, staging
from compos.image.users import Users

if TYPE_CHECKING:
    from compos.image.model import Descriptor

__all__ = ["DerivedResults", "Elsewhere", "KindOfResults", "is_making", "is_stored_name"]

_BLOB = re.compile(r"blobs/[a-z0-9]+/[0-9a-f]+")


_making = threading.local()


def is_making() -> bool:
    """Whether this thread is inside of `DerivedResults.derive`: what it reads now, nobody needs who
    has the result."""
    return bool(getattr(_making, "depth", 0))


class Elsewhere(Protocol):
    """Where results are that other machines have made: the remote cache."""

    def bring(self, names: Sequence[str]) -> None:
        """Bring those of the stored files `names` that it has into the store. Raises nothing but
        what is wrong with the store itself."""

    def defers(self, name: str) -> bool:
        """Whether the stored file `name` is part of an image that is fetched only when it is
        read."""

    def defers_image(self, name: str, digest: str, layers: Sequence[Descriptor]) -> bool:
        """Whether the layers of the image `name` with the manifest `digest` need not be there, as
        what builds make of them is."""


def is_stored_name(name: str) -> bool:
    """Whether `name` is the path below a store's root of a file that can be sliced: a blob, or a
    derived result of bytes."""
    return _BLOB.fullmatch(name) is not None or is_derived_slice(name)


class DerivedResults(ABC):
    """The files of a store at `root`, of which its blobs are looked after by whoever inherits this.

    Raises `ImageError` (`store-foreign`, `store-writable`) when another user can write to it,
    unless it is `trusted` or the user has said so.
    """

    def __init__(self, root: Path, *, trusted: bool = False) -> None:
        self.root = root
        self.seals = Seals(root / "seals")
        self.users = Users(root / ".use")
        self.in_use: set[str] = set()
        """Names of the derived results that were used, and must not go for as long as they may be
        read."""
        self.has_derived = False
        """Whether anything was made, so that the store has grown."""
        self.elsewhere: Elsewhere | None = None
        """What is asked for results that are not here."""
        self._ingest = root / "ingest"
        self._trusted = trusted or trusted_anyway()
        self._check_owner()

    @abstractmethod
    def _prepare(self) -> None:
        """Make the store's folders."""

    @abstractmethod
    def _has_blob(self, name: str) -> bool:
        """Whether the blob that is the file `name` is there, and has its digest."""

    def derived(self, kind: DerivedKind, key: str) -> Path | None:
        """The finished result `key` of a kind, or None; none too when it was damaged."""
        name = kind.stored_name(key)
        return self.root / name if self.holds(((name, 0),)) else None

    def holds(self, files: Iterable[tuple[str, int]]) -> bool:
        """Whether each of these stored files is there, unharmed, with at least so many bytes; all
        have then been used now."""
        self.users.join()
        names = []
        lacking = []
        for name, size in files:
            if self._is_whole(name, size):
                names.append(name)
            elif self.elsewhere is None:
                return False
            else:
                lacking.append((name, size))
        if lacking and not self._brings(lacking):
            return False
        self.seals.used(names)
        self.in_use.update(names)
        return True

    def expect(self, kind: DerivedKind, keys: Iterable[str]) -> None:
        """Bring those results that are elsewhere in one go, as all of `keys` will be asked for."""
        if self.elsewhere is not None:
            names = [kind.stored_name(key) for key in keys]
            if lacking := [name for name in names if not self._is_whole(name, 0)]:
                self.elsewhere.bring(lacking)

    def _brings(self, lacking: Sequence[tuple[str, int]]) -> bool:
        """Whether files that are not here could be brought, or will be when they are read."""
        if self.elsewhere is None:
            return False
        self.elsewhere.bring([name for name, _ in lacking])
        for name, size in lacking:
            if self._is_whole(name, size):
                self.in_use.add(name)
            elif not self.elsewhere.defers(name):
                return False
        return True

    @contextmanager
    def derive(self, kind: DerivedKind, key: str) -> Iterator[Path]:
        """A path (not there yet) to make a result at, as a file; it is kept when the block ends
        well."""
        name = kind.stored_name(key)
        self._prepare()
        self.users.join()
        with ExitStack() as stack:
            with disk_errors(self.root):
                path = stack.enter_context(staging(self._ingest)) / key
            with disk_errors(self.root, only_full=True), _being_made():
                yield path
            with disk_errors(self.root):
                # Not synced: `seal` says what is done about a loss of power.
                total, _ = checksum(path)
                self._keep(path, name, total, derived=True)
        self.in_use.add(name)
        self.has_derived = True

    def results(self, *kinds: DerivedKind) -> Iterator[str]:
        """The stored names of all results of `kinds`; without any, of whatever is kept, by other
        versions of compos too."""
        for folder in {kind.folder for kind in kinds} or ("*",):
            for path in self.root.glob(f"{FOLDER}/{folder}/*"):
                yield f"{FOLDER}/{path.parent.name}/{path.name}"

    def _keep(self, staged: Path, name: str, total: int, *, derived: bool) -> None:
        """Give a finished file its place, and seal it there; raises `OSError`."""
        target = self.root / name
        for folder in (target.parent.parent, target.parent):
            folder.mkdir(mode=0o755, exist_ok=True)
        with staged.open("rb") as stream:
            # Whatever the umask: a store that others can write to is refused.
            os.fchmod(stream.fileno(), stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o755)
            staged.replace(target)
            # Renaming is the last change of a file's state. Its own, not the name's: that may be
            # another process's by now.
            self.seals.seal(
                name, os.fstat(stream.fileno()), total, derived=derived, synced=not derived
            )

    def _is_whole(self, name: str, size: int) -> bool:
        """Whether a stored file is there, unharmed, with at least `size` bytes; it is read when its
        seal does not hold."""
        try:
            status = os.lstat(f"{self.root}/{name}")
        except OSError:
            return False
        if status.st_size < size or not stat.S_ISREG(status.st_mode):
            return False
        if self.seals.holds(name, status) and self._is_ours(status):
            return True
        if name.startswith("blobs/"):
            return self._has_blob(name)
        return self._is_ours(status) and self._is_unharmed(name)

    def _is_unharmed(self, name: str) -> bool:
        """Whether a derived result has the content that it was sealed with; sealed again if it
        does."""
        known = self.seals.find(name)
        if known is None:
            return False
        try:
            total, status = checksum(self.root / name)
        except OSError:
            return False
        if (total, status.st_size) != (known.checksum, known.size):
            return False
        self.seals.seal(
            name, status, total, derived=True, synced=self.seals.was_sealed(name, status)
        )
        return True

    def _is_ours(self, status: os.stat_result) -> bool:
        return self._trusted or is_ours(status)

    def _check_owner(self) -> None:
        if not self._trusted:
            check_owner(self.root)


@contextmanager
def _being_made() -> Iterator[None]:
    _making.depth = getattr(_making, "depth", 0) + 1
    try:
        yield
    finally:
        _making.depth -= 1


class KindOfResults:
    """The results of one kind in a store, for code that knows neither stores nor kinds."""

    def __init__(self, store: DerivedResults, kind: DerivedKind) -> None:
        self.root = store.root
        self._store = store
        self._kind = kind

    def stored_name(self, key: str) -> str:
        """As `DerivedKind.stored_name`."""
        return self._kind.stored_name(key)

    def find(self, key: str) -> Path | None:
        """As `DerivedResults.derived`."""
        return self._store.derived(self._kind, key)

    def expect(self, keys: Iterable[str]) -> None:
        """As `DerivedResults.expect`."""
        self._store.expect(self._kind, keys)

    def make(self, key: str) -> AbstractContextManager[Path]:
        """As `DerivedResults.derive`."""
        return self._store.derive(self._kind, key)
