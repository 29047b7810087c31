"""A suite's Release file: fetched, its signature verified, then read.

May touch: the network and the cache folder it is handed. Nothing of the file is used before its signature is verified,
and then only the text that was signed. Source: the repository format (DebianRepository/Format), OpenPGP (RFC 9580).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compos.errors import PackageError
from compos.http import without_secrets
from compos.image.staging import staging
from compos.package.debian.control import fields
from compos.package.debian.download import Expected, cache_errors, read
from compos.package.debian.mirror import Mirror

__all__ = ["Release", "load_release", "signed_text", "verify_release"]

_LARGEST = 8 << 20
"""Bytes that an InRelease may have; trixie's has 140 KB."""

_HASH_LINE = re.compile(r"([0-9a-f]{64})\s+([0-9]+)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Release:
    """What a suite holds: by path below `dists/SUITE`, the size and hash of each index.

    `by_hash` says that indexes are also found under their hash, where they never change during a mirror's update.
    """

    suite: str
    codename: str
    date: str
    by_hash: bool
    files: Mapping[str, Expected]


def load_release(mirror: Mirror, suite: str, directory: Path, *, offline: bool = False) -> Release:
    """The verified Release of `suite`, from the mirror, or with `offline` from the last visit kept in `directory`.

    Raises `ComposError` (`network-*`), `PackageError` (`debian-signature`, `debian-release-expired`,
    `debian-release-suite`, `debian-release`, `debian-offline`, `debian-not-found`, ...).
    """
    url = mirror.address(suite, f"dists/{suite}/InRelease")
    kept = directory / "releases" / hashlib.sha256(url.encode()).hexdigest()[:32]
    place = without_secrets(url)
    if not offline:
        data = read(mirror, url, limit=_LARGEST)
        release = verify_release(data, mirror.keyring, suite=suite, place=place)
        with cache_errors(directory), staging(directory / "staging") as stage:
            kept.parent.mkdir(exist_ok=True)
            (stage / kept.name).write_bytes(data)
            (stage / kept.name).replace(kept)
        return release
    try:
        data = kept.read_bytes()
    except OSError as error:
        raise PackageError(
            "debian-offline",
            f"no index of {suite} was kept from this mirror",
            place=place,
            hint="Run once with the network.",
        ) from error
    return verify_release(data, mirror.keyring, suite=suite, place=place)


def verify_release(data: bytes, keyring: Path, *, suite: str, place: str, now: float | None = None) -> Release:
    """Verify and read an InRelease file that was asked for as `suite`; `now` is in seconds since 1970.

    Raises `PackageError` (`debian-signature`, `debian-release-expired`, `debian-release-suite`, `debian-release`).
    """
    found = fields(signed_text(data, keyring, place=place))
    if suite not in (found.get("suite"), found.get("codename")):
        raise PackageError(
            "debian-release-suite",
            f"the mirror's index is signed for {found.get('codename') or 'no suite'}, not for {suite}",
            place=place,
            hint="Name another mirror with --debian-mirror.",
        )
    until = found.get("valid-until")
    if until and _seconds(until, place) < (time.time() if now is None else now):
        raise PackageError(
            "debian-release-expired",
            f"the mirror's index was valid until {until}",
            place=place,
            hint="Name a mirror that is kept up to date with --debian-mirror, or check this machine's clock.",
        )
    return Release(
        suite,
        found.get("codename", ""),
        found.get("date", ""),
        found.get("acquire-by-hash", "no").lower() == "yes",
        _files(found.get("sha256", ""), place),
    )


def signed_text(data: bytes, keyring: Path, *, place: str) -> str:
    """The text of a cleartext-signed message, if a certificate in `keyring` signed it.

    Raises `PackageError` (`debian-signature`, `debian-no-keyring`).
    """
    import pysequoia

    try:
        certificates = pysequoia.Cert.split_file(str(keyring))
    except (RuntimeError, OSError, ValueError) as error:
        raise PackageError(
            "debian-no-keyring",
            "the keyring cannot be read",
            place=str(keyring),
            hint="Install the package debian-archive-keyring, or name its file in COMPOS_DEBIAN_KEYRING.",
        ) from error
    wrong = PackageError(
        "debian-signature",
        "the mirror's index is not signed by a key of Debian's keyring",
        place=place,
        hint=f"Name another mirror with --debian-mirror, or update the keyring {keyring}.",
    )
    try:
        result = pysequoia.verify(data, store=lambda _: certificates)
    except (RuntimeError, OSError, ValueError) as error:
        # The reason is a native stack trace: it says no more than that nothing valid was found.
        raise wrong from error
    if not result.valid_sigs or result.bytes is None:
        raise wrong
    return bytes(result.bytes).decode("utf-8", "replace")


def _files(table: str, place: str) -> dict[str, Expected]:
    files: dict[str, Expected] = {}
    for line in table.splitlines():
        if match := _HASH_LINE.fullmatch(line.strip()):
            files[match[3]] = Expected(int(match[2]), match[1])
    if not files:
        raise PackageError(
            "debian-release",
            "the mirror's index has no table of SHA-256 hashes",
            place=place,
            hint="Name another mirror with --debian-mirror.",
        )
    return files


def _seconds(date: str, place: str) -> float:
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except ValueError as error:
        raise PackageError(
            "debian-release",
            f"the mirror's index has the date {date!r}, which cannot be read",
            place=place,
            hint="Name another mirror with --debian-mirror.",
        ) from error
