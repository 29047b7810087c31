"""Files from a mirror: whole and with the right hash, or not at all.

May touch: the network, local mirrors (file URLs), and the folder it is handed. What is kept under
its SHA-256 is verified again whenever it is used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from compos.errors import DiskFull, PackageError, Transient
from compos.http.address import without_secrets
from compos.http.client import CHUNK, Answer
from compos.http.download import Incomplete, WrongSize, download
from compos.http.retry import may_pass
from compos.package.debian.mirror import Mirror

__all__ = [
    "Expected",
    "NotInMirror",
    "OtherFile",
    "cache_errors",
    "fetch",
    "is_whole",
    "read",
]

Advance = Callable[[int], None]


class NotInMirror(PackageError):
    """The mirror does not have a file (`debian-not-found`)."""


class OtherFile(PackageError):
    """The mirror's file is not the one that Debian signed (`debian-hash-mismatch`,
    `debian-download-truncated`)."""


class _Busy(PackageError, Transient):
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
        if url.startswith("file:"):
            with _open_local(url) as stream:
                return _bounded(_local_chunks(stream, url), url, limit)
        with _request(mirror, url) as answer:
            return _bounded(answer.chunks(), answer.url, limit)

    return mirror.client.patiently(attempt)


def _bounded(chunks: Iterator[bytes], url: str, limit: int) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise PackageError(
                "debian-file-size",
                f"the file on the mirror is larger than {limit} bytes",
                place=without_secrets(url),
                hint="Choose another mirror with --debian-mirror.",
            )
    return bytes(content)


def fetch(
    mirror: Mirror, url: str, path: Path, *, expected: Expected, advance: Advance = lambda _: None
) -> None:
    """Download `url` into the new file `path`, calling `advance` with the bytes that arrive.

    Raises `ComposError` (`network-*`, `debian-not-found`, `debian-download-truncated`,
    `debian-hash-mismatch`, ...); `path` may then hold a part of the file.
    """
    with cache_errors(path.parent), path.open("wb") as stream:
        sink = _Verified(stream)
        if url.startswith("file:"):
            _copy(url, sink, expected.size, advance)
        else:
            _download(mirror, url, sink, expected.size, advance)
        sink.require(expected, url)


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


class _Verified:
    """The file under construction, and what it is so far."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)

    def require(self, expected: Expected, url: str) -> None:
        """Raise `PackageError` (`debian-hash-mismatch`) for another file than the expected one."""
        found = self._hash.hexdigest()
        if self.size != expected.size:
            raise _mismatch(url, f"{self.size} bytes", f"{expected.size} bytes")
        if found != expected.sha256:
            raise _mismatch(url, f"SHA-256 {found}", f"SHA-256 {expected.sha256}")


def _download(mirror: Mirror, url: str, sink: _Verified, size: int, advance: Advance) -> None:
    def send(headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
        return _request(mirror, url, headers)

    try:
        download(mirror.client, send, sink, size, advance=advance)
    except Incomplete as error:
        raise OtherFile(
            "debian-download-truncated",
            error.message,
            place=without_secrets(url),
            hint="Try again, or choose another mirror with --debian-mirror.",
        ) from error
    except WrongSize as error:
        found = "more" if error.found is None else str(error.found)
        raise _mismatch(url, f"{found} bytes", f"{size} bytes") from error


@contextmanager
def _request(
    mirror: Mirror, url: str, headers: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Answer]:
    """The answer for `url`, whose user and password go to its own server only; raises for
    refusals."""
    address, secrets = _credentials(url)
    with mirror.client.request("GET", address, headers=headers, private=secrets) as answer:
        allowed = (200, 206, 416) if "Range" in headers else (200,)
        if answer.status not in allowed:
            raise _refusal(answer)
        yield answer


def _mismatch(url: str, found: str, signed: str) -> OtherFile:
    return OtherFile(
        "debian-hash-mismatch",
        f"the file on the mirror has {found}, but Debian's signed index states {signed}",
        place=without_secrets(url),
        hint="Try again later (the mirror may be updating), or choose another with "
        "--debian-mirror.",
    )


def _copy(url: str, sink: _Verified, size: int, advance: Advance) -> None:
    """From a local mirror; at most as much as there should be."""
    with _open_local(url) as stream:
        found = os.fstat(stream.fileno()).st_size
        if found != size:
            raise _mismatch(url, f"{found} bytes", f"{size} bytes")
        for chunk in _local_chunks(stream, url):
            sink.write(chunk[: size - sink.size])
            advance(len(chunk))


def _open_local(url: str) -> BinaryIO:
    with _local_errors(url):
        return Path(unquote(urlsplit(url).path)).open("rb")


def _local_chunks(stream: BinaryIO, url: str) -> Iterator[bytes]:
    chunk = b" "
    while chunk:
        # Not around the yield: the consumer's own errors are none of the mirror's.
        with _local_errors(url):
            chunk = stream.read(CHUNK)
        yield chunk


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
            place=without_secrets(url),
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


def _refusal(answer: Answer) -> PackageError:
    if answer.status in (404, 410):
        return _not_found(answer.url)
    message = f"the mirror returned status {answer.status}"
    place = without_secrets(answer.url)
    hint = "Try again later, or choose another mirror with --debian-mirror."
    if not may_pass(answer.status):
        return PackageError("debian-http", message, place=place, hint=hint)
    return _Busy("debian-mirror-busy", message, place=place, hint=hint, delay=answer.delay)


def _not_found(url: str) -> NotInMirror:
    return NotInMirror(
        "debian-not-found",
        "the mirror does not have this file",
        place=without_secrets(url),
        hint="Check the suite and the architecture, or choose another mirror with --debian-mirror.",
    )
