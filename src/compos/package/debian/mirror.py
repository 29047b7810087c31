"""Which Debian mirror is asked, and whose signature it must carry.

May touch: apt's configuration and the folder of keyrings, to read them. Source: sources.list(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from compos.errors import PackageError
from compos.package.debian.control import stanzas

__all__ = ["Mirror", "default_mirror"]

MIRROR_VARIABLE = "COMPOS_DEBIAN_MIRROR"
KEYRING_VARIABLE = "COMPOS_DEBIAN_KEYRING"

_APT = Path("/etc/apt")
_KEYRINGS = Path("/usr/share/keyrings")
_KEYRING_NAMES = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
_NAMES = {"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}
_NAMES |= {"buster", "bullseye", "bookworm", "trixie", "forky", "duke"}


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of Debian's archive.

    `url` (http, https or file) is the folder that holds `dists` and `pool`; suites named `...-security` are looked for
    in its sibling `<url>-security`, as Debian lays them out. `keyring` holds the OpenPGP certificates that may sign a
    Release file. `certificates` are PEM files trusted for TLS beside the system's. `delays` are the seconds before the
    second and each later attempt at a transfer that failed for a reason that may pass.
    """

    url: str
    keyring: Path
    certificates: tuple[str, ...] = ()
    delays: tuple[float, ...] = (0.5, 1.0, 2.0)

    def address(self, suite: str, path: str) -> str:
        """The URL of `path` (below the folder of `dists`) in the archive that holds `suite`."""
        from urllib.parse import quote

        base = self.url.rstrip("/")
        if suite.endswith("-security") and not base.endswith("-security"):
            base += "-security"
        return f"{base}/{quote(path, safe='/+~:')}"


def default_mirror(
    url: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    apt: Path = _APT,
    keyrings: Path = _KEYRINGS,
    certificates: tuple[str, ...] = (),
) -> Mirror:
    """The mirror to use: `url` (the option), else `COMPOS_DEBIAN_MIRROR`, else the one that this machine's apt uses.

    The keyring is `COMPOS_DEBIAN_KEYRING`, else the one that Debian installs. Raises `PackageError`
    (`debian-no-mirror`, `debian-mirror-url`, `debian-no-keyring`).
    """
    chosen = url or environment.get(MIRROR_VARIABLE) or _mirror_of_apt(apt)
    if not chosen:
        raise PackageError(
            "debian-no-mirror",
            "no Debian mirror is known: this machine's apt configuration names none",
            place=str(apt),
            hint=f"Name a mirror with --debian-mirror or the variable {MIRROR_VARIABLE}.",
        )
    _check_url(chosen)
    return Mirror(chosen.rstrip("/"), _keyring(environment, keyrings), certificates)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(parts.hostname if parts.scheme in ("http", "https") else parts.path)
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https", "file") or parts.query or parts.fragment:
        raise PackageError(
            "debian-mirror-url",
            "the Debian mirror is no http, https or file URL",
            # A text that is no URL may still hold a password.
            place=url if "@" not in url else None,
            hint="Name the folder that holds dists and pool, such as http://HOST/debian.",
        )


def _keyring(environment: Mapping[str, str], keyrings: Path) -> Path:
    named = environment.get(KEYRING_VARIABLE)
    candidates = [Path(named)] if named else [keyrings / name for name in _KEYRING_NAMES]
    for path in candidates:
        if path.is_file():
            return path
    raise PackageError(
        "debian-no-keyring",
        "the keyring with which Debian's signatures are checked is not on this machine",
        place=str(candidates[0]),
        hint=f"Install the package debian-archive-keyring, or name its file in the variable {KEYRING_VARIABLE}.",
    )


def _mirror_of_apt(apt: Path) -> str | None:
    """The first entry of the best kind: third parties' archives stand in the same folder and use the same suites."""
    entries = list(_entries(apt))
    for kind in (
        lambda entry: "debian-archive" in entry["signed-by"],
        lambda entry: urlsplit(entry["uris"]).path.rstrip("/").endswith("/debian"),
        lambda entry: True,
    ):
        for entry in entries:
            if kind(entry):
                return entry["uris"]
    return None


def _entries(apt: Path) -> Iterator[dict[str, str]]:
    """apt's entries for main suites of Debian over http(s), one URI each."""
    for entry in _all_entries(apt):
        suites = [suite for suite in entry["suites"].split() if suite in _NAMES]
        if not suites or "deb" not in entry["types"].split() or "main" not in entry["components"].split():
            continue
        for uri in entry["uris"].split():
            if uri.startswith(("http://", "https://")):
                yield {**entry, "uris": uri}


def _all_entries(apt: Path) -> Iterator[dict[str, str]]:
    keys = ("types", "uris", "suites", "components", "signed-by")
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in stanzas(_text(path)):
            if stanza.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable"):
                yield {key: stanza.get(key, "") for key in keys}
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))):
        for line in _text(path).splitlines():
            if (entry := _one_line(line)) is not None:
                yield dict(zip(keys, entry, strict=True))


def _one_line(line: str) -> tuple[str, str, str, str, str] | None:
    """An entry of the old format: `deb [ option=value ... ] URI SUITE COMPONENT...`."""
    head, bracket, rest = line.partition("#")[0].partition("[")
    options, _, tail = rest.partition("]")
    words = [*head.split(), *tail.split()] if bracket else head.split()
    if len(words) < 4:
        return None
    signed = [option.partition("=")[2] for option in options.split() if option.startswith("signed-by=")]
    return words[0], words[1], words[2], " ".join(words[3:]), " ".join(signed)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
