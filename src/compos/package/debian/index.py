"""The packages that a mirror offers: fetched with every hash checked, found by name without reading
the rest.

May touch: the network and the cache folder it is handed. A Packages file of trixie has 57 MB and
68,829 stanzas, of which a brick needs a few dozen: names and what is provided are indexed by a
regular expression over the mapped file, and a stanza is read when somebody asks for its package.
"""

from __future__ import annotations

import hashlib
import mmap
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compos import progress
from compos.errors import PackageError
from compos.http.address import without_secrets
from compos.image.staging import make_private, staging, sweep
from compos.package.debian.compressed import DecompressionError, decompressed
from compos.package.debian.download import (
    Expected,
    NotInMirror,
    OtherFile,
    cache_errors,
    fetch,
    is_whole,
)
from compos.package.debian.mirror import Mirror
from compos.package.debian.package import Package, parse_package
from compos.package.debian.release import MAX_LIST, Release, load_release
from compos.package.debian.version import version_key
from compos.suggestion import similar

__all__ = ["Package", "PackageIndex", "Table", "load_index"]

# Patterns that begin with a literal: 0.05 s for 57 MB; with an alternative at the start of a line
# it is 1 s.
_FIRST_NAME = re.compile(rb"Package: (\S+)")
_NAME = re.compile(rb"\nPackage: (\S+)")
_PROVIDES = re.compile(rb"\nProvides: ([^\n]+)")
_END = re.compile(rb"\n\n")
_SUFFIXES = (".xz", ".gz", "")


def load_index(
    mirror: Mirror,
    directory: Path,
    *,
    architecture: str,
    suites: Sequence[str] = ("trixie",),
    components: Sequence[str] = ("main",),
    offline: bool = False,
    missing: Callable[[str, PackageError], None] | None = None,
    unmatched: Callable[[str, PackageError], None] | None = None,
) -> PackageIndex:
    """The packages of `suites` and `components` for Debian's `architecture`.

    The Release files are fetched and verified at once, the lists of packages when the first one is
    asked for. `directory` is a cache, which any number of processes may share: what it holds is
    verified when it is used, and a list that did not change is not fetched again. By default there
    are neither updates nor security's: name `trixie-updates` and `trixie-security` to have them.
    `missing` is told of suites but the first that the mirror does not have, or not for this
    architecture; they are left out unless it raises. Without it, that is an error. `unmatched` is
    told, in the same way, of suites but the first whose list on the mirror is not the one that
    Debian signed; with it, their lists are fetched at once. With `offline`, nothing is asked of the
    mirror: the last Release that it gave is used.

    Raises `ComposError` (`network-*`) and `PackageError` (`debian-signature`,
    `debian-release-expired`, `debian-architecture`, ...; later `debian-hash-mismatch`,
    `debian-download-truncated`, ...).
    """
    with cache_errors(directory):
        make_private(directory)
        sweep(directory / "staging")
    sources: list[_Source] = []
    left_out: list[str] = []
    with progress.task(f"Debian index of {', '.join(suites)}"):
        for suite in suites:
            try:
                release = load_release(mirror, suite, directory, offline=offline)
                found = [
                    _Source(mirror, release, component, architecture, directory)
                    for component in components
                ]
                offered = _offered(found, strict=missing is None or not sources)
            except (NotInMirror, NoSuchArchitecture) as error:
                if missing is None or not sources:
                    raise
                missing(suite, error)
                left_out.append(suite)
                continue
            if unmatched is not None and sources:
                try:
                    for source in offered:
                        source.load(offline=offline)
                except (NotInMirror, OtherFile) as error:
                    unmatched(suite, error)
                    left_out.append(suite)
                    continue
            sources += offered
    return PackageIndex(architecture, sources, left_out, offline=offline)


def _offered(sources: list[_Source], *, strict: bool) -> list[_Source]:
    """Those of a suite's `sources` that there are; all, if `strict`. None at all is an error
    (`debian-architecture`).

    A component to which nothing was ever added in a suite of updates may not be there.
    """
    there = [source for source in sources if source.is_there]
    if strict or not there:
        for source in sources:
            source.packages  # noqa: B018  raises for what is not there
    return there


class NoSuchArchitecture(PackageError):
    """A suite has no packages for an architecture (`debian-architecture`)."""


class PackageIndex:
    """Packages by name, of one architecture. Safe to use from several threads.

    `digest` identifies the lists that the packages are taken from: the same digest gives the same
    answers. `dates` says of each suite when its index was signed (ISO 8601, UTC), `lists` which
    lists it has: SHA-256 by path; `left_out` are the suites that were asked for and are not in it.
    """

    def __init__(
        self,
        architecture: str,
        sources: Iterable[_Source],
        left_out: Iterable[str] = (),
        *,
        offline: bool = False,
    ) -> None:
        self.architecture = architecture
        self.left_out = tuple(left_out)
        self._sources = tuple(sources)
        self._offline = offline
        identity = "".join(
            f"{source.suite} {architecture} {source.packages.sha256}\n" for source in self._sources
        )
        self.digest = f"sha256:{hashlib.sha256(identity.encode()).hexdigest()}"
        self.dates = {source.suite: _iso(source.release.seconds) for source in self._sources}
        self.lists: dict[str, dict[str, str]] = {}
        for source in self._sources:
            self.lists.setdefault(source.suite, {})[source.path] = source.packages.sha256
        self._lock = threading.Lock()
        self._tables: tuple[Table, ...] | None = None

    def candidates(self, name: str) -> tuple[Package, ...]:
        """The packages called `name`, the highest version first, of equal ones that of the first
        suite."""
        found = [package for table in self._loaded() for package in table.named(name)]
        return tuple(sorted(found, key=lambda package: version_key(package.version), reverse=True))

    def providers(self, name: str) -> tuple[Package, ...]:
        """The packages that provide `name`: the more important first, then by name, then the
        highest version first."""
        found = [package for table in self._loaded() for package in table.providing(name)]
        found.sort(key=lambda package: version_key(package.version), reverse=True)
        return tuple(sorted(found, key=lambda package: (package.priority, package.name)))

    def similar(self, name: str) -> list[str]:
        """Up to three names of packages that look like `name`, the most similar first."""
        # Comparing needs 1.5 s for all names; a slip in the first two letters is rare.
        start = name[:2].encode()
        names = sorted(
            {
                other.decode("utf-8", "replace")
                for table in self._loaded()
                for other in table.names
                if other.startswith(start)
            }
        )
        return similar(name, names)

    def _loaded(self) -> tuple[Table, ...]:
        with self._lock:
            if self._tables is None:
                self._tables = tuple(
                    Table(source.load(offline=self._offline), source.suite)
                    for source in self._sources
                )
            return self._tables


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass(frozen=True, slots=True)
class _Source:
    """A suite's list of packages for one architecture: what the Release says of it, and how to get
    it."""

    mirror: Mirror
    release: Release
    component: str
    architecture: str
    directory: Path

    @property
    def suite(self) -> str:
        return self.release.suite

    @property
    def path(self) -> str:
        """Where the list is, below `dists/SUITE`."""
        return f"{self.component}/binary-{self.architecture}/Packages"

    @property
    def is_there(self) -> bool:
        """Whether the suite has the component for the architecture."""
        return self.path in self.release.files

    @property
    def packages(self) -> Expected:
        """Size and hash of the uncompressed list."""
        try:
            found = self.release.files[self.path]
        except KeyError:
            raise NoSuchArchitecture(
                "debian-architecture",
                f"Debian's {self.suite} has no packages for {self.architecture}",
                place=without_secrets(self.mirror.address(self.suite, f"dists/{self.suite}")),
                hint="Choose another architecture or suite.",
            ) from None
        if found.size > MAX_LIST:
            raise PackageError(
                "debian-index",
                f"the package list of {self.suite} has {found.size} bytes",
                place=without_secrets(self.mirror.address(self.suite, f"dists/{self.suite}")),
                hint="Choose another mirror with --debian-mirror.",
            )
        return found

    def load(self, *, offline: bool) -> mmap.mmap | bytes:
        """The verified list, mapped; fetched first if the cache does not hold it."""
        kept = self.directory / "lists" / self.packages.sha256
        with cache_errors(self.directory):
            if not is_whole(kept, self.packages):
                if offline:
                    raise PackageError(
                        "debian-offline",
                        f"the package list of {self.suite} for {self.architecture} is not in the "
                        "store",
                        place=str(kept),
                        hint="Run the command once with network access.",
                    )
                self._fetch(kept)
            with kept.open("rb") as stream:
                return (
                    mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                    if self.packages.size
                    else b""
                )

    def _fetch(self, kept: Path) -> None:
        suffix = next(suffix for suffix in _SUFFIXES if self.path + suffix in self.release.files)
        expected = self.release.files[self.path + suffix]
        with (
            progress.task(
                f"Debian packages of {self.suite} {self.architecture}", expected.size
            ) as task,
            staging(self.directory / "staging") as stage,
        ):
            compressed, plain = stage / "compressed", stage / "plain"
            self._download(compressed, self.path + suffix, expected, task.advance)
            _decompress(compressed, plain, suffix, self.packages.size)
            if not is_whole(plain, self.packages):
                raise OtherFile(
                    "debian-hash-mismatch",
                    f"the decompressed package list of {self.suite} does not match the Release "
                    "file",
                    place=without_secrets(self.mirror.url),
                    hint="Try again later, or choose another mirror with --debian-mirror.",
                )
            kept.parent.mkdir(exist_ok=True)
            plain.replace(kept)

    def _download(
        self, target: Path, path: str, expected: Expected, advance: Callable[[int], None]
    ) -> None:
        base = f"dists/{self.suite}"
        if self.release.by_hash:
            by_hash = f"{base}/{path.rpartition('/')[0]}/by-hash/SHA256/{expected.sha256}"
            try:
                fetch(
                    self.mirror,
                    self.mirror.address(self.suite, by_hash),
                    target,
                    expected=expected,
                    advance=advance,
                )
            except NotInMirror:
                # A mirror may leave these files out; the name then serves.
                pass
            else:
                return
        fetch(
            self.mirror,
            self.mirror.address(self.suite, f"{base}/{path}"),
            target,
            expected=expected,
            advance=advance,
        )


class Table:
    """Where in one list the stanzas stand: by name, and by what they provide."""

    def __init__(self, data: mmap.mmap | bytes, suite: str) -> None:
        self._data = data
        self._suite = suite
        self._packages: dict[int, Package] = {}
        self.names: dict[bytes, list[int]] = {}
        starts: list[int] = []
        if first := _FIRST_NAME.match(data):
            starts.append(0)
            self.names[first[1]] = [0]
        for match in _NAME.finditer(data):
            starts.append(match.start())
            self.names.setdefault(match[1], []).append(match.start())
        self._provided = _provided(data, starts)

    def named(self, name: str) -> list[Package]:
        """The packages called `name`, as listed. Raises `PackageError`."""
        return [self._package(start) for start in self.names.get(name.encode(), ())]

    def providing(self, name: str) -> list[Package]:
        """The packages that provide `name`, likewise."""
        return [self._package(start) for start in self._provided.get(name.encode(), ())]

    def _package(self, start: int) -> Package:
        package = self._packages.get(start)
        if package is None:
            # The match begins with the newline before the stanza.
            end = _END.search(self._data, start + 1)
            stanza = self._data[start : end.start() if end else None]
            package = parse_package(stanza.decode("utf-8", "replace"), self._suite)
            package = self._packages.setdefault(start, package)
        return package


def _provided(data: mmap.mmap | bytes, starts: Sequence[int]) -> dict[bytes, list[int]]:
    """Where the stanzas start that provide a name."""
    from bisect import bisect_right

    provided: dict[bytes, list[int]] = {}
    for match in _PROVIDES.finditer(data):
        number = bisect_right(starts, match.start())
        if not number:
            continue  # before the first package
        start = starts[number - 1]
        for part in match[1].split(b","):
            name = part.partition(b"(")[0].partition(b":")[0].strip()
            places = provided.setdefault(name, [])
            if start not in places[-1:]:
                places.append(start)
    return provided


def _decompress(source: Path, target: Path, suffix: str, size: int) -> None:
    """Decompress up to one byte more than `size`; the caller compares size and hash."""
    if not suffix:
        source.replace(target)
        return
    try:
        with (
            source.open("rb") as packed,
            target.open("wb") as plain,
            decompressed(packed, suffix) as stream,
        ):
            left = size + 1
            while left > 0 and (piece := stream.read(min(left, 1 << 20))):
                plain.write(piece)
                left -= len(piece)
    except DecompressionError as error:
        raise PackageError(
            "debian-index",
            f"the package list cannot be read: {error}",
            hint="Choose another mirror with --debian-mirror.",
        ) from error
