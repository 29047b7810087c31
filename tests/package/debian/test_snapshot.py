"""Where packages are looked for in an archive of the past."""

from __future__ import annotations

import pytest

from compos.errors import PackageError
from compos.http.client import Client
from compos.package.debian.package import parse_package
from compos.package.debian.snapshot import Snapshot
from tests.package.debian.archive_of import stanza

DATE = "2026-11-21T09:15:44Z"


@pytest.mark.parametrize(
    ("url", "suite", "expected"),
    [
        (
            "http://127.0.0.1/",
            "trixie",
            [
                "http://127.0.0.1/archive/debian/20261122T091544Z/pool/main/a_1.deb",
                "http://127.0.0.1/archive/debian/20261121T091544Z/pool/main/a_1.deb",
            ],
        ),
        (
            "http://127.0.0.1/past",
            "trixie-security",
            [
                "http://127.0.0.1/past/archive/debian-security/20261122T091544Z/pool/main/a_1.deb",
                "http://127.0.0.1/past/archive/debian-security/20261121T091544Z/pool/main/a_1.deb",
            ],
        ),
        (
            "file:///srv/by-hash/{sha256}",
            "trixie",
            ["file:///srv/by-hash/SHA"],
        ),
    ],
)
def test_addresses(url: str, suite: str, expected: list[str]) -> None:
    package = parse_package(stanza("a"), suite)
    found = Snapshot.parse(url, Client()).addresses(package, DATE)
    assert found == [one.replace("SHA", package.sha256) for one in expected]


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "host", "http://host/{sha1}", "http://user:secret@host/{", "http://a b"]
)
def test_what_is_no_snapshot_service(url: str) -> None:
    with pytest.raises(PackageError) as raised:
        Snapshot.parse(url, Client())
    assert raised.value.id == "debian-snapshot-url"
    assert "secret" not in str(raised.value)
