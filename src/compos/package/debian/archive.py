"""Debian packages as files: fetched in parallel, opened as streams.

May touch: the network, the cache folder it is handed, the packages in it. No maintainer script is
ever run. Source: deb(5), ar(5).
"""

from __future__ import annotations

import io
import itertools
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from compos import progress
from compos.errors import PackageError
from compos.image.staging import make_private, staging
from compos.package.debian.compressed import DecompressionError, decompressed
from compos.package.debian.control import fields
from compos.package.debian.download import Expected, cache_errors, fetch, is_whole
from compos.package.debian.mirror import Mirror
from compos.package.debian.package import Package
from compos.tree.decompress import RATIO_VARIABLE, SIZE_VARIABLE, Bounds

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "Advance",
    "Bring",
    "control_fields",
    "data_tar",
    "expected_file",
    "fetch_packages",
    "from_mirror",
    "gather",
]

_THREADS = 8
_MAGIC = b"!<arch>\n"
_HEADER = 60
_DATA = "data.tar"
_CONTROL = "control.tar"

MAX_CONTROL = 1 << 20
"""Bytes of a control file; the longest have a few thousand."""

MAX_MEMBERS = 64
"""Members of a package that are looked at: deb(5) has three, and lets others whose names begin with
`_` stand between."""


Advance = Callable[[int], None]

Bring = Callable[[Package, Path, Advance], None]
"""Brings a package into a new file, and reports the number of bytes as they arrive. Nothing but the
package may be there when it returns. Raises `ComposError`."""


def fetch_packages(mirror: Mirror, packages: Sequence[Package], directory: Path) -> list[Path]:
    """As `gather`, from `mirror`."""
    return gather(packages, directory, partial(from_mirror, mirror))


def from_mirror(mirror: Mirror, package: Package, path: Path, advance: Advance) -> None:
    """A `Bring`: from where the mirror's index says that the package is."""
    url = mirror.address(package.suite, package.filename)
    fetch(mirror, url, path, expected=expected_file(package), advance=advance)


def gather(packages: Sequence[Package], directory: Path, bring: Bring) -> list[Path]:
    """Bring `packages` into the cache `directory`, several at once; returns their files in the
    same order.

    A file that is there already is verified, and fetched again if it is damaged. Raises
    `ComposError` (`network-*`) and `PackageError` (`debian-hash-mismatch`,
    `debian-download-truncated`, `debian-not-found`, `debian-cache-full`, ...).
    """
    paths = {package.sha256: directory / "packages" / package.sha256 for package in packages}
    with cache_errors(directory):
        make_private(directory / "packages")
        unique = {package.sha256: package for package in packages}.values()
        missing = [
            package
            for package in unique
            if not is_whole(paths[package.sha256], expected_file(package))
        ]
        if missing:
            _fetch_all(bring, missing, directory, paths)
    return [paths[package.sha256] for package in packages]


def _fetch_all(
    bring: Bring, packages: Sequence[Package], directory: Path, paths: dict[str, Path]
) -> None:
    name = (
        f"{len(packages)} Debian packages"
        if len(packages) > 1
        else f"Debian package {packages[0].name}"
    )
    # The largest first, so that none of them is left alone at the end.
    ordered = sorted(packages, key=lambda package: (-package.size, package.name))
    failures: list[BaseException] = []
    with (
        progress.task(name, sum(package.size for package in packages)) as task,
        staging(directory / "staging") as stage,
        progress.threads(_THREADS) as executor,
    ):

        def advance(amount: int) -> None:
            if failures:
                raise _StoppedError
            task.advance(amount)

        def download(package: Package) -> None:
            staged = stage / package.sha256
            try:
                advance(0)
                bring(package, staged, advance)
                staged.replace(paths[package.sha256])
            except BaseException as error:
                failures.append(error)

        try:
            wait([executor.submit(download, package) for package in ordered])
        except BaseException as error:
            failures.append(error)
            raise
    if failures:
        raise failures[0]


class _StoppedError(Exception):
    """Another download has failed: this one ends too."""


def expected_file(package: Package) -> Expected:
    """Size and hash that the package's index states."""
    return Expected(package.size, package.sha256)


def data_tar(path: Path) -> BinaryIO:
    """The tar stream of the files that the package at `path` installs, decompressed while it is
    read.

    Raises `PackageError` (`debian-archive`), also while reading. The package's other tar, with its
    scripts, is not read.
    """
    return _tar(path, _DATA)


def control_fields(path: Path) -> Mapping[str, str]:
    """What the package at `path` says of itself: its control file's fields, in lower case. Raises
    `PackageError` (`debian-archive`)."""
    with _tar(path, _CONTROL) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in itertools.islice(archive, MAX_MEMBERS):
                    if member.name.removeprefix("./") == "control" and member.isfile():
                        found = cast("IO[bytes]", archive.extractfile(member))
                        return fields(found.read(MAX_CONTROL).decode("utf-8", "replace"))
        except (tarfile.TarError, ValueError) as error:
            raise _damaged(path, f"its {_CONTROL} is damaged") from error
    raise _damaged(path, "it has no control file")


def _tar(path: Path, wanted: str) -> BinaryIO:
    """One of the package's two tars, decompressed while it is read."""
    stream = path.open("rb")
    try:
        for index, (name, size) in enumerate(_members(stream, path)):
            if index == 0:
                if name != "debian-binary" or not stream.read(min(size, 2)).startswith(b"2."):
                    raise _damaged(path, "it does not begin with a debian-binary of version 2")
            elif name == wanted or name.startswith(f"{wanted}."):
                return _decompressed(_Slice(stream, size, path), name.removeprefix(wanted), path)
            elif index == MAX_MEMBERS:
                break
        raise _damaged(path, f"it has no {wanted}")
    except BaseException:
        stream.close()
        raise


def _members(stream: BinaryIO, path: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each member of an ar archive; the stream then stands at its content."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise _damaged(path, "it is not an ar archive")
    position = len(_MAGIC)
    while header := stream.read(_HEADER):
        # ar(5): name 16, time 12, user 6, group 6, mode 8, size 10, two magic bytes.
        size = header[48:58].strip()
        if len(header) != _HEADER or header[58:] != b"`\n" or not size.isdigit():
            raise _damaged(path, f"the header at byte {position} is not an ar header")
        position += _HEADER
        yield header[:16].decode("ascii", "replace").rstrip().removesuffix("/"), int(size)
        position += int(size) + int(size) % 2
        stream.seek(position)


class _Slice(io.RawIOBase):
    """The next `size` bytes of a file, which it closes in the end."""

    def __init__(self, stream: BinaryIO, size: int, path: Path) -> None:
        super().__init__()
        self._stream = stream
        self._left = size
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")[: self._left]
        count = cast("io.BufferedReader", self._stream).readinto(view)
        if self._left and not count:
            raise _damaged(self._path, "it ends inside a member")
        self._left -= count
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Data(io.RawIOBase):
    """A decompressed member whose errors name the package."""

    def __init__(self, stream: BinaryIO, source: BinaryIO, path: Path) -> None:
        super().__init__()
        self._stream = stream
        self._source = source
        self._path = path
        self._left = Bounds.of(os.environ).most(path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            count = cast("io.BufferedReader", self._stream).readinto(buffer)
        except DecompressionError as error:
            raise _damaged(self._path, str(error)) from error
        self._left -= count
        if self._left < 0:
            raise PackageError(
                "debian-archive",
                "the Debian package is too large when it is unpacked",
                place=str(self._path),
                hint=f"If you trust the archive, set {SIZE_VARIABLE} or {RATIO_VARIABLE} "
                "(docs/layers.md).",
            )
        return count

    def close(self) -> None:
        self._stream.close()
        self._source.close()
        super().close()


def _decompressed(source: _Slice, suffix: str, path: Path) -> BinaryIO:
    """`source` as what its suffix says (deb(5))."""
    buffered = cast("BinaryIO", io.BufferedReader(source, 1 << 17))
    try:
        stream = decompressed(buffered, suffix)
    except DecompressionError as error:
        raise _damaged(path, str(error)) from error
    return cast("BinaryIO", io.BufferedReader(_Data(stream, buffered, path), 1 << 18))


def _damaged(path: Path, reason: str) -> PackageError:
    return PackageError(
        "debian-archive",
        f"the Debian package cannot be read: {reason}",
        place=str(path),
        hint="Remove the file and try again.",
    )
