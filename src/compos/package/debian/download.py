"""Files from a mirror: whole and with the right hash, or not at all.

May touch: the network, local mirrors (file URLs), and the folder it is handed. An interrupted
transfer goes on where it stopped (RFC 9110 section 14.2); what is kept under its SHA-256 is
verified again whenever it is used.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from compos import http
from compos.errors import DiskFull, PackageError, Transient
from compos.package.debian.mirror import Mirror

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["Expected", "NotInMirror", "cache_errors", "fetch", "is_whole", "read"]

_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)

Advance = Callable[[int], None]
T = TypeVar("T")


class NotInMirror(PackageError):
    """The mirror does not have a file (`debian-not-found`)."""


class _Passing(PackageError, Transient):
    pass


class _CacheFull(PackageError, DiskFull):
    pass


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must be: its size in bytes and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


def read(mirror: Mirror, url: str, *, limit: int) -> bytes:
    """A small file of up to `limit` bytes, unverified; raises `ComposError` (`network-*`,
    `debian-*`)."""

    def attempt() -> bytes:
        content = bytearray()
        with _open(mirror, url, 0) as body:
            for piece in body.pieces:
                content.extend(piece)
                if len(content) > limit:
                    raise PackageError(
                        "debian-file-size",
                        f"the mirror's file is larger than {limit} bytes",
                        place=http.without_secrets(url),
                        hint="Name another mirror with --debian-mirror.",
                    )
        return bytes(content)

    return _attempts(mirror, attempt)


def fetch(
    mirror: Mirror, url: str, path: Path, *, expected: Expected, advance: Advance = lambda _: None
) -> None:
    """Download `url` into the new file `path`, calling `advance` with the bytes that arrive.

    Raises `ComposError` (`network-*`, `debian-not-found`, `debian-download-truncated`,
    `debian-hash-mismatch`, ...); `path` may then hold a part of the file.
    """
    with cache_errors(path.parent), path.open("wb") as stream:
        transfer = _Transfer(mirror, url, stream, expected, advance)
        _attempts(mirror, transfer.attempt)


def is_whole(path: Path, expected: Expected) -> bool:
    """Whether `path` exists and is the expected file; a file that is not is removed."""
    try:
        with path.open("rb") as stream:
            if (
                os.fstat(stream.fileno()).st_size == expected.size
                and hashlib.file_digest(stream, "sha256").hexdigest() == expected.sha256
            ):
                return True
    except FileNotFoundError:
        return False
    path.unlink(missing_ok=True)
    return False


@contextmanager
def cache_errors(directory: Path) -> Iterator[None]:
    """Turn an `OSError` met while writing below `directory` into a `PackageError` (`debian-cache`,
    `...-full`)."""
    try:
        yield
    except OSError as error:
        full = DiskFull.matches(error)
        raise (_CacheFull if full else PackageError)(
            "debian-cache-full" if full else "debian-cache",
            "the disk of the package cache is full"
            if full
            else f"the package cache cannot be used: {error.strerror or error}",
            place=str(directory),
            hint="Free some space, or set COMPOS_CACHE to a folder on a larger disk."
            if full
            else "Make the folder writable, or set COMPOS_CACHE to another one.",
        ) from error


class _Transfer:
    """A download that remembers what has arrived between attempts."""

    def __init__(
        self, mirror: Mirror, url: str, stream: BinaryIO, expected: Expected, advance: Advance
    ) -> None:
        self._mirror = mirror
        self._url = url
        self._stream = stream
        self._expected = expected
        self._advance = advance
        self._restart()

    def _restart(self) -> None:
        self._stream.seek(0)
        self._stream.truncate()
        self._hash = hashlib.sha256()
        self._size = 0

    def attempt(self) -> None:
        """Fetch what is missing, then verify the whole."""
        place = http.without_secrets(self._url)
        if self._size < self._expected.size or not self._size:
            self._receive(place)
        if self._size < self._expected.size:
            raise _Passing(
                "debian-download-truncated",
                f"{self._size} of {self._expected.size} bytes arrived",
                place=place,
                hint="Try again, or name another mirror with --debian-mirror.",
            )
        if self._hash.hexdigest() != self._expected.sha256:
            raise self._mismatch(
                place, f"SHA-256 {self._hash.hexdigest()}", f"SHA-256 {self._expected.sha256}"
            )

    def _receive(self, place: str) -> None:
        with _open(self._mirror, self._url, self._size) as body:
            if body.total not in (None, self._expected.size):
                # Not truncated but another version: trying again would not help.
                raise self._mismatch(place, f"{body.total} bytes", f"{self._expected.size} bytes")
            if body.start != self._size:
                self._advance(-self._size)
                self._restart()
            for piece in body.pieces:
                if self._size + len(piece) > self._expected.size:
                    raise self._mismatch(place, "more bytes", f"{self._expected.size} bytes")
                self._stream.write(piece)
                self._hash.update(piece)
                self._size += len(piece)
                self._advance(len(piece))

    def _mismatch(self, place: str, found: str, signed: str) -> PackageError:
        return PackageError(
            "debian-hash-mismatch",
            f"the mirror's file has {found}, but Debian's signed index says {signed}",
            place=place,
            hint="Try again later (the mirror may be updating), or name another with "
            "--debian-mirror.",
        )


def _attempts(mirror: Mirror, attempt: Callable[[], T]) -> T:
    for delay in mirror.delays:
        try:
            return attempt()
        except Transient:
            time.sleep(delay)
    return attempt()


@dataclass(frozen=True, slots=True)
class _Body:
    """What a server sends: from which byte on, of how many in all (if it says so)."""

    start: int
    total: int | None
    pieces: Iterator[bytes]


@contextmanager
def _open(mirror: Mirror, url: str, offset: int) -> Iterator[_Body]:
    """The bytes of `url` from `offset` on, or, if the server does not do that, from 0."""
    if url.startswith("file:"):
        with _open_local(url) as stream:
            stream.seek(offset)
            yield _Body(offset, os.fstat(stream.fileno()).st_size, _local_pieces(stream, url))
        return
    address, secrets = _credentials(url)
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    certificates = mirror.certificates
    with http.following(
        "GET", address, headers=wanted, private=secrets, certificates=certificates
    ) as answer:
        _check_status(answer.response, answer.url)
        yield _body(answer.response, answer.url)


def _body(response: BaseHTTPResponse, url: str) -> _Body:
    pieces = http.chunks(response, url)
    if response.status == 206 and (
        span := _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    ):
        return _Body(int(span[1]), int(span[2]), pieces)
    length = response.headers.get("Content-Length", "")
    return _Body(0, int(length) if _LENGTH.fullmatch(length) else None, pieces)


def _open_local(url: str) -> BinaryIO:
    with _local_errors(url):
        return Path(unquote(urlsplit(url).path)).open("rb")


def _local_pieces(stream: BinaryIO, url: str) -> Iterator[bytes]:
    piece = b" "
    while piece:
        # Not around the yield: the consumer's own errors are none of the mirror's.
        with _local_errors(url):
            piece = stream.read(http.CHUNK)
        yield piece


@contextmanager
def _local_errors(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _not_found(url) from error
    except OSError as error:
        raise PackageError(
            "debian-mirror-unreadable",
            f"the local mirror cannot be read: {error.strerror or error}",
            place=http.without_secrets(url),
            hint="Make the mirror's files readable.",
        ) from error


def _credentials(url: str) -> tuple[str, dict[str, str]]:
    """`url` without user and password, and the header that carries them (RFC 7617)."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    from base64 import b64encode

    token = b64encode(unquote(user).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}


def _check_status(response: BaseHTTPResponse, url: str) -> None:
    if response.status in (200, 206):
        return
    if response.status in (404, 410):
        raise _not_found(url)
    busy = response.status in _TRANSIENT_STATUS
    raise (_Passing if busy else PackageError)(
        "debian-mirror-busy" if busy else "debian-http",
        f"the mirror answers with status {response.status}",
        place=http.without_secrets(url),
        hint="Try again later, or name another mirror with --debian-mirror.",
    )


def _not_found(url: str) -> NotInMirror:
    return NotInMirror(
        "debian-not-found",
        "the mirror does not have this file",
        place=http.without_secrets(url),
        hint="Check the suite and the architecture, or name another mirror with --debian-mirror.",
    )
