"""Packages that no mirror has any more: from an archive of the past, such as Debian's snapshot
service.

May touch: the network, through the client that it is given.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from compos.errors import PackageError
from compos.http.client import Client
from compos.package.debian.archive import Advance, expected_file
from compos.package.debian.download import NotInMirror, fetch
from compos.package.debian.mirror import SECURITY, Mirror, is_address
from compos.package.debian.package import Package

__all__ = ["SNAPSHOT_VARIABLE", "Snapshot"]

SNAPSHOT_VARIABLE = "COMPOS_DEBIAN_SNAPSHOT"

_DATED = "/archive/{archive}/{date}/{path}"
"""Where snapshot services have the state of an archive at a date: the last one before it."""

_FIELD = re.compile(r"\{(archive|date|path|sha256)\}")

_SETTLED = timedelta(days=1)
"""After the signing of an index, the snapshots hold what it names; Debian's service takes four a
day. Mirrors keep superseded packages longer."""


class Snapshot(NamedTuple):
    """An archive of the past at `url`: the folder that holds `archive`, or an address with the
    fields {archive} (debian, debian-security), {date} (20261128T120000Z), {path} and {sha256}."""

    url: str
    client: Client

    @classmethod
    def parse(cls, url: str, client: Client) -> Snapshot:
        """Raises `PackageError` (`debian-snapshot-url`)."""
        plain = _FIELD.sub("x", url)
        if not is_address(plain) or "{" in plain or "}" in plain:
            raise PackageError(
                "debian-snapshot-url",
                "the snapshot service is not an http, https or file URL",
                # What is no address may still hold a password.
                place=url if "@" not in url else None,
                hint="Use the folder that contains archive, such as http://HOST, or an address "
                "with {archive}, {date}, {path} or {sha256}.",
            )
        return cls(url, client)

    def bring(self, package: Package, date: str, path: Path, advance: Advance) -> None:
        """Download `package`, which an index that was signed at `date` (ISO 8601) names, into
        `path`. Raises `ComposError`."""
        mirror = Mirror(self.url, Path(os.devnull), self.client)
        addresses = self.addresses(package, date)
        for number, url in enumerate(addresses):
            try:
                fetch(mirror, url, path, expected=expected_file(package), advance=advance)
            except NotInMirror:
                if number == len(addresses) - 1:
                    raise
            else:
                return

    def addresses(self, package: Package, date: str) -> list[str]:
        """Where `package` is looked for, in this order."""
        signed = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        template = self.url if _FIELD.search(self.url) else self.url.rstrip("/") + _DATED
        security = package.suite.endswith(SECURITY)
        found = []
        for moment in (signed + _SETTLED, signed):
            values = {
                "archive": "debian-security" if security else "debian",
                "date": moment.strftime("%Y%m%dT%H%M%SZ"),
                "path": quote(package.filename, safe="/+~:"),
                "sha256": package.sha256,
            }
            found.append(_FIELD.sub(lambda field, values=values: values[field[1]], template))  # type: ignore[misc]
        return list(dict.fromkeys(found))
