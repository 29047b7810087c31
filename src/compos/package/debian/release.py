"""A suite's Release file: fetched, its signature verified, then read.

May touch: the network and the cache folder it is handed. Nothing of the file is used before its
signature is verified, and then only the text that was signed. Source: the repository format
(DebianRepository/Format), OpenPGP (RFC 9580).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compos.errors import PackageError
from compos.http.address import without_secrets
from compos.image.staging import staging
from compos.package.debian.control import fields
from compos.package.debian.download import Expected, cache_errors, read
from compos.package.debian.mirror import EXPIRED_VARIABLE, Mirror

__all__ = ["Release", "load_release", "read_release", "signed_text", "verify_release"]

MAX_RELEASE = 8 << 20
"""Bytes that an InRelease may have; trixie's has 140 KB."""

MAX_LIST = 1 << 30
"""Bytes that a list of packages may have, uncompressed; the longest of Debian's have 60 MB."""

MAX_AGE = 3 * 366 * 86400
"""Seconds after which an index without Valid-Until is refused. Stable's main suite has none: it is
signed at each point release, the last time when regular support ends, and serves two years of
long-term support from then on."""

GRACE = 86400
"""Seconds by which an index may be of the future: clocks differ."""

_HASH_LINE = re.compile(r"([0-9a-f]{64})\s+([0-9]{1,18})\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Release:
    """What a suite holds: by path below `dists/SUITE`, the size and hash of each index.

    `date` is when it was signed, as it says so, and `seconds` the same since 1970. `by_hash` says
    that indexes are also found under their hash, where they never change during a mirror's update.
    """

    suite: str
    codename: str
    date: str
    seconds: float
    by_hash: bool
    files: Mapping[str, Expected]


def load_release(mirror: Mirror, suite: str, directory: Path, *, offline: bool = False) -> Release:
    """The verified Release of `suite`, from the mirror, or with `offline` from the last visit kept
    in `directory`.

    An index that is older than the one kept is refused: whoever answers for a mirror could
    otherwise bring back packages with known holes, all of them signed. Raises `ComposError`
    (`network-*`), `PackageError` (`debian-signature`, `debian-release-expired`,
    `debian-release-older`, `debian-release-future`, `debian-release-suite`, `debian-release`,
    `debian-offline`, `debian-not-found`, ...).
    """
    url = mirror.address(suite, f"dists/{suite}/InRelease")
    kept = directory / "releases" / hashlib.sha256(url.encode()).hexdigest()[:32]
    place = without_secrets(url)
    if not offline:
        data = read(mirror, url, limit=MAX_RELEASE)
        release = verify_release(
            data, mirror.keyring, suite=suite, place=place, expired=mirror.expired
        )
        with cache_errors(directory), staging(directory / "staging") as stage:
            _check_not_older(release, kept, mirror.keyring, place)
            kept.parent.mkdir(exist_ok=True)
            (stage / kept.name).write_bytes(data)
            (stage / kept.name).replace(kept)
        return release
    try:
        data = kept.read_bytes()
    except OSError as error:
        raise PackageError(
            "debian-offline",
            f"no index of {suite} from this mirror is in the store",
            place=place,
            hint="Run the command once with network access.",
        ) from error
    return verify_release(data, mirror.keyring, suite=suite, place=place, expired=mirror.expired)


def _check_not_older(release: Release, kept: Path, keyring: Path, place: str) -> None:
    """Raise `PackageError` if the index in `kept` was signed later than `release`; what is damaged
    there counts nothing."""
    try:
        found = fields(signed_text(kept.read_bytes(), keyring, place=str(kept)))
        seconds = _seconds(found.get("date", ""), str(kept))
    except (FileNotFoundError, ValueError, PackageError):
        return
    if seconds > release.seconds:
        raise PackageError(
            "debian-release-older",
            f"the mirror's index is dated {release.date}, older than its previous one of "
            f"{found['date']}",
            place=place,
            hint=f"Try again later, choose another mirror with --debian-mirror, or remove {kept} "
            "to go back on purpose.",
        )


def verify_release(
    data: bytes,
    keyring: Path,
    *,
    suite: str,
    place: str,
    now: float | None = None,
    expired: bool = False,
) -> Release:
    """Verify and read an InRelease file that was asked for as `suite`; `now` is in seconds since
    1970.

    `expired` accepts one that is out of date. Raises `PackageError` (`debian-signature`,
    `debian-release-expired`, `debian-release-future`, `debian-release-suite`, `debian-release`).
    """
    text = signed_text(data, keyring, place=place)
    return read_release(
        text, suite=suite, place=place, now=time.time() if now is None else now, expired=expired
    )


def read_release(
    text: str, *, suite: str, place: str, now: float, expired: bool = False
) -> Release:
    """The Release in `text`, whose signature has been verified. Raises as `verify_release`."""
    try:
        found = fields(text)
    except ValueError as error:
        raise _unreadable(str(error), place) from error
    if suite not in (found.get("suite"), found.get("codename")):
        raise PackageError(
            "debian-release-suite",
            f"the mirror's index is signed for {found.get('codename') or 'no suite'}, not for "
            f"{suite}",
            place=place,
            hint="Choose another mirror with --debian-mirror.",
        )
    seconds = _seconds(found.get("date", ""), place)
    _check_dates(found, seconds, now, place, expired=expired)
    return Release(
        suite,
        found.get("codename", ""),
        found["date"],
        seconds,
        found.get("acquire-by-hash", "no").lower() == "yes",
        _files(found.get("sha256", ""), place),
    )


def _check_dates(
    found: Mapping[str, str], seconds: float, now: float, place: str, *, expired: bool
) -> None:
    if seconds > now + GRACE:
        raise PackageError(
            "debian-release-future",
            f"the mirror's index is dated {found['date']}, which is in the future",
            place=place,
            hint="Check this machine's clock.",
        )
    until = found.get("valid-until")
    end = _seconds(until, place) if until else seconds + MAX_AGE
    if end < now and not expired:
        raise PackageError(
            "debian-release-expired",
            f"the mirror's index was valid until {until}"
            if until
            else f"the mirror's index is dated {found['date']}, older than any that Debian still "
            "maintains",
            place=place,
            hint="Choose an up-to-date mirror with --debian-mirror, or check this machine's "
            f"clock. {EXPIRED_VARIABLE}=1 accepts old indexes, such as those of an archive of the "
            "past.",
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
            hint="Install the package debian-archive-keyring, or set COMPOS_DEBIAN_KEYRING to the "
            "path of a keyring.",
        ) from error
    wrong = PackageError(
        "debian-signature",
        "the mirror's index is not signed with a key from Debian's keyring",
        place=place,
        hint=f"Choose another mirror with --debian-mirror, or update the keyring {keyring}.",
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
    for line in table.split("\n"):
        if match := _HASH_LINE.fullmatch(line.strip()):
            expected = Expected(int(match[2]), match[1])
            if files.setdefault(match[3], expected) != expected:
                raise _unreadable(f"it names {match[3][:100]!r} twice", place)
    if not files:
        raise _unreadable("it has no table of SHA-256 hashes", place)
    return files


def _seconds(date: str, place: str) -> float:
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise _unreadable(
            f"it has the invalid date {date[:100]!r}" if date else "it has no date", place
        ) from error


def _unreadable(reason: str, place: str) -> PackageError:
    return PackageError(
        "debian-release",
        f"the mirror's index cannot be used: {reason}",
        place=place,
        hint="Choose another mirror with --debian-mirror.",
    )
