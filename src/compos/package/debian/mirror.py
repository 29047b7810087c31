"""Which Debian mirror is asked, and whose signature it must carry.

May touch: apt's configuration and the folder of keyrings, to read them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from compos.errors import ComposError, PackageError
from compos.http.address import web_address
from compos.http.client import Client
from compos.package.debian.apt import Entry, archive, security_archive

__all__ = [
    "EXPIRED_VARIABLE",
    "INCOMPLETE_VARIABLE",
    "NO_SECURITY",
    "SECURITY",
    "Mirror",
    "accepts_incomplete",
    "default_mirror",
    "is_address",
]

MIRROR_VARIABLE = "COMPOS_DEBIAN_MIRROR"
SECURITY_VARIABLE = "COMPOS_DEBIAN_SECURITY_MIRROR"
KEYRING_VARIABLE = "COMPOS_DEBIAN_KEYRING"
EXPIRED_VARIABLE = "COMPOS_DEBIAN_EXPIRED"
INCOMPLETE_VARIABLE = "COMPOS_DEBIAN_INCOMPLETE"

LAGGING = ("riscv64",)
"""Architectures whose lists of updates mirrors hold in an older version than the signed index
names, for weeks."""

NO_SECURITY = "none"
"""Stands for no archive of security updates, where one can be named."""

SECURITY = "-security"
"""Ends the names of suites that the archive of security updates holds, and of the folder that it is
in."""

_APT = Path("/etc/apt")
_KEYRINGS = Path("/usr/share/keyrings")
_KEYRING_NAMES = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of Debian's archive.

    `url` (http, https or file) is the folder that holds `dists` and `pool`. `security` is that of
    the suites named `...-security`: None for where Debian has it, beside the folder `debian`, as
    `debian-security`; empty when the user does without. `keyring` holds the OpenPGP certificates
    that may sign a Release file. `client` is how it is asked. `expired` accepts indexes that are
    out of date.
    """

    url: str
    keyring: Path
    client: Client = Client()
    security: str | None = None
    expired: bool = False

    def address(self, suite: str, path: str) -> str:
        """The URL of `path` (below the folder of `dists`) in the archive that holds `suite`."""
        from urllib.parse import quote

        base = self.url.rstrip("/")
        if suite.endswith(SECURITY):
            base = (self.security or _beside(base)).rstrip("/")
        return f"{base}/{quote(path, safe='/+~:')}"


def _beside(url: str) -> str:
    """The archive of security updates that belongs to the one at `url`, also where a folder names a
    date below both."""
    parts = urlsplit(url)
    folders = parts.path.split("/")
    if any(folder.endswith(SECURITY) for folder in folders):
        return url
    named = [number for number, folder in enumerate(folders) if folder == "debian"]
    folders[named[-1] if named else -1] += SECURITY
    return urlunsplit(parts._replace(path="/".join(folders)))


def default_mirror(
    url: str | None = None,
    security: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    apt: Path = _APT,
    keyrings: Path = _KEYRINGS,
    certificates: tuple[str, ...] = (),
    signed: bool = True,
) -> Mirror:
    """The mirror to use: `url` (the option), else `COMPOS_DEBIAN_MIRROR`, else the one that this
    machine's apt uses.

    `security` (the option), else `COMPOS_DEBIAN_SECURITY_MIRROR`, names the archive of security
    updates, or `none`; else it is apt's if the mirror is, or stands beside the mirror. The keyring
    is `COMPOS_DEBIAN_KEYRING`, else the one that Debian installs, and none without `signed`: for
    files whose digests are known. Raises `PackageError` (`debian-no-mirror`, `debian-mirror-url`,
    `debian-no-keyring`).
    """
    named = url or environment.get(MIRROR_VARIABLE)
    found = None if named else archive(apt)
    chosen = Entry(named, expired=False) if named else found
    if chosen is None:
        raise PackageError(
            "debian-no-mirror",
            "no Debian mirror is known: this machine's apt configuration has none",
            place=str(apt),
            hint="Set a mirror with --debian-mirror or the environment variable "
            f"{MIRROR_VARIABLE}.",
        )
    other = security or environment.get(SECURITY_VARIABLE)
    if not other and found and (entry := security_archive(apt)):
        other = entry.url
    for address in (chosen.url, other):
        if address and address != NO_SECURITY:
            _check_url(address)
    expired = chosen.expired or environment.get(EXPIRED_VARIABLE, "") not in ("", "0")
    return Mirror(
        chosen.url.rstrip("/"),
        _keyring(environment, keyrings) if signed else Path(os.devnull),
        Client(certificates),
        security="" if other == NO_SECURITY else other,
        expired=expired,
    )


def accepts_incomplete(architecture: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a brick may be built without updates whose list on the mirror is not the one that
    Debian signed.

    Whoever stands between us and the mirror can garble a list, and so keep security updates out.
    `COMPOS_DEBIAN_INCOMPLETE` decides (`1`, `0`). Otherwise only `LAGGING` architectures are built,
    and none in a CI job (`CI` is set), where nobody reads notices.
    """
    if stated := environment.get(INCOMPLETE_VARIABLE):
        return stated != "0"
    return architecture in LAGGING and not environment.get("CI")


def is_address(url: str) -> bool:
    """Whether `url` is a web address, or a file URL with an absolute path."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "file":
            parts = web_address(url)
    except (ValueError, ComposError):
        return False
    elsewhere = parts.scheme == "file" and (
        parts.netloc not in ("", "localhost") or not parts.path.startswith("/")
    )
    return url.isprintable() and not elsewhere


def _check_url(url: str) -> None:
    if not is_address(url) or "?" in url or "#" in url:
        raise PackageError(
            "debian-mirror-url",
            "the Debian mirror is not an http, https or file URL",
            # A text that is no URL may still hold a password.
            place=url if "@" not in url else None,
            hint="Use the folder that contains dists and pool, such as http://HOST/debian.",
        )


def _keyring(environment: Mapping[str, str], keyrings: Path) -> Path:
    named = environment.get(KEYRING_VARIABLE)
    candidates = [Path(named)] if named else [keyrings / name for name in _KEYRING_NAMES]
    for path in candidates:
        if path.is_file():
            return path
    raise PackageError(
        "debian-no-keyring",
        "the keyring for Debian's signatures is not on this machine",
        place=str(candidates[0]),
        hint=f"Install the package debian-archive-keyring, or set {KEYRING_VARIABLE} to the path "
        "of a keyring.",
    )
