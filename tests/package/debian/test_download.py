"""Transfers that break, lie, redirect or are refused."""

from __future__ import annotations

import errno
import hashlib
import random
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compos.errors import ComposError, PackageError
from compos.http.client import Client
from compos.package.debian.download import Expected, cache_errors, fetch, is_whole, read
from compos.package.debian.mirror import Mirror
from tests.package.debian.archive_of import Server, serve

CONTENT = random.Random(1).randbytes(3_000_000)
EXPECTED = Expected(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/file").write_bytes(CONTENT)
    with serve(tmp_path / "mirror") as server:
        yield server


def get(
    server: Server, tmp_path: Path, expected: Expected = EXPECTED, url: str | None = None
) -> int:
    """Fetch the file; how many bytes were reported as progress."""
    amounts: list[int] = []
    mirror = Mirror(server.url, tmp_path, client=Client(wait=lambda _: None))
    fetch(
        mirror,
        url or f"{server.url}/file",
        tmp_path / "got",
        expected=expected,
        advance=amounts.append,
    )
    assert (tmp_path / "got").read_bytes() == CONTENT
    return sum(amounts)


def failure(
    server: Server, tmp_path: Path, expected: Expected = EXPECTED, url: str | None = None
) -> ComposError:
    with pytest.raises(ComposError) as caught:
        get(server, tmp_path, expected, url)
    assert caught.value.hint
    return caught.value


def test_whole(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path) == len(CONTENT)
    assert server.requests == [("/file", None)]
    assert get(server, tmp_path, url=(server.root / "file").as_uri()) == len(CONTENT)


def test_resumed(server: Server, tmp_path: Path) -> None:
    server.break_after["/file"] = 2_000_000
    assert get(server, tmp_path) == len(CONTENT)
    (_, first), (_, second) = server.requests
    assert first is None
    assert second is not None
    assert second == "bytes=2000000-"


def test_started_again_when_the_server_cannot_resume(server: Server, tmp_path: Path) -> None:
    server.break_after["/file"] = 2_000_000
    server.ranges = False
    assert get(server, tmp_path) == len(CONTENT)


def test_truncated_again_and_again(server: Server, tmp_path: Path) -> None:
    server.break_after["/file"] = 1000
    server.always_break = True
    error = failure(server, tmp_path)
    assert error.id == "debian-download-truncated"
    assert "4000 of 3000000 bytes" in error.message
    assert len(server.requests) == 4


def test_other_content(server: Server, tmp_path: Path) -> None:
    assert (
        failure(server, tmp_path, replace(EXPECTED, sha256="0" * 64)).id == "debian-hash-mismatch"
    )
    assert failure(server, tmp_path, replace(EXPECTED, size=10)).id == "debian-hash-mismatch"
    assert len(server.requests) == 2
    error = failure(server, tmp_path, replace(EXPECTED, size=len(CONTENT) + 1))
    assert error.id == "debian-hash-mismatch"
    assert "3000000 bytes" in error.message
    assert server.requests[2:] == [("/file", None), ("/file", "bytes=3000000-")]


@pytest.mark.parametrize("size", [10, len(CONTENT) + 1])
def test_other_size_in_a_local_mirror(server: Server, tmp_path: Path, size: int) -> None:
    url = (server.root / "file").as_uri()
    error = failure(server, tmp_path, replace(EXPECTED, size=size), url)
    assert error.id == "debian-hash-mismatch"
    assert "3000000 bytes" in error.message


@pytest.mark.parametrize(
    ("statuses", "id", "requests"),
    [
        ([503, 429], None, 3),
        ([503] * 4, "debian-mirror-busy", 4),
        ([501], "debian-http", 1),
        ([206], "debian-http", 1),
        ([416], "debian-http", 1),
        ([403], "debian-http", 1),
        ([404], "debian-not-found", 1),
    ],
)
def test_statuses(
    server: Server, tmp_path: Path, statuses: list[int], id: str | None, requests: int
) -> None:
    server.statuses["/file"] = list(statuses)
    if id:
        assert failure(server, tmp_path).id == id
    else:
        get(server, tmp_path)
    assert len(server.requests) == requests


def test_redirects(server: Server, tmp_path: Path) -> None:
    server.redirects |= {"/moved": "/again", "/again": f"{server.url}/file"}
    get(server, tmp_path, url=f"{server.url}/moved")
    server.redirects |= {"/circle": "/circle", "/local": (server.root / "file").as_uri()}
    for path in ("circle", "local"):
        assert failure(server, tmp_path, url=f"{server.url}/{path}").id == "network-redirect"


@pytest.mark.parametrize(
    "target",
    [
        "http://[::1/",
        "http://127.0.0.1:99999999/",
        "http://127.0.0.1:-1/",
        "http://\x01/",
        "//",
        "ftp://x/",
    ],
)
def test_redirects_to_nonsense(server: Server, tmp_path: Path, target: str) -> None:
    server.redirects["/moved"] = target
    assert failure(server, tmp_path, url=f"{server.url}/moved").id == "network-redirect"


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "5 5", "\xb2"])
def test_lengths_that_are_none(server: Server, tmp_path: Path, length: str) -> None:
    server.lengths["/file"] = length
    assert get(server, tmp_path) == len(CONTENT)


def test_credentials_are_sent_and_not_shown(server: Server, tmp_path: Path) -> None:
    url = server.url.replace("://", "://user:p%40ss@")
    get(server, tmp_path, url=f"{url}/file")
    assert server.headers == ["Basic dXNlcjpwQHNz"]
    error = failure(server, tmp_path, url=f"{url}/missing")
    assert "ss" not in f"{error.message} {error.place} {error.hint}".replace("missing", "")


def test_local_mirror(server: Server, tmp_path: Path) -> None:
    uri = (server.root / "missing").as_uri()
    assert failure(server, tmp_path, url=uri).id == "debian-not-found"
    assert failure(server, tmp_path, url=server.root.as_uri()).id == "debian-mirror-unreadable"


def test_read_is_bounded(server: Server, tmp_path: Path) -> None:
    mirror = Mirror(server.url, tmp_path)
    assert read(mirror, f"{server.url}/file", limit=len(CONTENT)) == CONTENT
    with pytest.raises(PackageError) as caught:
        read(mirror, f"{server.url}/file", limit=1000)
    assert caught.value.id == "debian-file-size"


@pytest.mark.parametrize(
    ("number", "id"),
    [
        (errno.ENOSPC, "debian-cache-full"),
        (errno.EDQUOT, "debian-cache-full"),
        (13, "debian-cache"),
    ],
)
def test_cache_errors(tmp_path: Path, number: int, id: str) -> None:
    with pytest.raises(PackageError) as caught, cache_errors(tmp_path):
        raise OSError(number, "no")
    assert (caught.value.id, caught.value.place) == (id, str(tmp_path))


def test_write_errors_are_not_the_mirrors(server: Server, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        for url in (None, (server.root / "file").as_uri()):
            error = failure(server, tmp_path, url=url)
            assert (error.id, error.place) == ("debian-cache", str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not is_whole(path, EXPECTED)
    path.write_bytes(CONTENT)
    assert is_whole(path, EXPECTED)
    for damaged in (CONTENT[:-1], CONTENT[:-1] + b"x"):
        path.write_bytes(damaged)
        assert not is_whole(path, EXPECTED)
        assert not path.exists()
