"""What this machine's apt is configured with: Debian's archive and the one of its security updates.

May touch: apt's configuration (reading). Source: sources.list(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from compos.package.debian.control import stanzas

__all__ = ["Entry", "archive", "security_archive"]

_NAMES = {"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}
_NAMES |= {"buster", "bullseye", "bookworm", "trixie", "forky", "duke"}
_SECURITY = {f"{name}-security" for name in _NAMES}
_KEYS = ("types", "uris", "suites", "components", "signed-by", "check-valid-until", "enabled")
_NO = ("no", "false", "0", "off", "without", "disable")
"""What apt takes for no (apt.conf(5))."""


class Entry(NamedTuple):
    """An archive that apt asks; `expired` says that its indexes may be out of date
    (`Check-Valid-Until: no`)."""

    url: str
    expired: bool


def archive(apt: Path) -> Entry | None:
    """Debian's main archive, as the configuration in the folder `apt` names it."""
    return _best(apt, _NAMES, "debian")


def security_archive(apt: Path) -> Entry | None:
    """The archive of Debian's security updates, likewise."""
    return _best(apt, _SECURITY, "debian-security")


def _best(apt: Path, suites: set[str], folder: str) -> Entry | None:
    """The first entry of the best kind: third parties' archives stand in the same folder and use
    the same suites."""
    entries = list(_entries(apt, suites))
    best = max(
        entries,
        key=lambda entry: (
            "debian-archive" in entry["signed-by"],
            folder in urlsplit(entry["uris"]).path.split("/"),
        ),
        default=None,
    )
    return Entry(best["uris"], best["check-valid-until"].lower() in _NO) if best else None


def _entries(apt: Path, wanted: set[str]) -> Iterator[dict[str, str]]:
    """apt's entries for suites that are `wanted`, over http(s), one URI each."""
    for entry in _all_entries(apt):
        suites = wanted & set(entry["suites"].split())
        if (
            not suites
            or "deb" not in entry["types"].split()
            or "main" not in entry["components"].split()
        ):
            continue
        for uri in entry["uris"].split():
            if uri.startswith(("http://", "https://")) and _is_url(uri):
                yield {**entry, "uris": uri}


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _all_entries(apt: Path) -> Iterator[dict[str, str]]:
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in stanzas(_text(path)):
            if stanza.get("enabled", "yes").lower() not in _NO:
                yield {key: stanza.get(key, "") for key in _KEYS}
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))):
        for line in _text(path).splitlines():
            if (entry := _one_line(line)) is not None:
                yield entry


def _one_line(line: str) -> dict[str, str] | None:
    """An entry of the old format: `deb [ option=value ... ] URI SUITE COMPONENT...`."""
    head, bracket, rest = line.partition("#")[0].partition("[")
    options, _, tail = rest.partition("]")
    words = [*head.split(), *tail.split()] if bracket else head.split()
    if len(words) < 4:
        return None
    given = {
        key: value
        for key, equals, value in (option.partition("=") for option in options.split())
        if equals
    }
    main = {
        "types": words[0],
        "uris": words[1],
        "suites": words[2],
        "components": " ".join(words[3:]),
    }
    return {key: main.get(key) or given.get(key, "") for key in _KEYS}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
