"""`compos.api.keys`: sets of keys for systems that prove what they are, with what enrols them in
firmware.

May touch: the folder of keys.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from compos.errors import OutputError

if TYPE_CHECKING:
    from compos.trust.escrow import Recovered

__all__ = ["KeyOptions", "exchange_pcr_key", "new_keys", "recover_keys", "sign_later"]


class KeyOptions(NamedTuple):
    """`organisation` stands in the certificates, which are valid for `days`; keys have `bits`.

    With `microsoft_db`, `db` has Microsoft's certificates for third parties, too: they are taken
    from a variable store of the host's firmware. `db_certificates` are files with others.
    """

    organisation: str = "compos"
    bits: int = 2048
    days: int = 3650
    microsoft_db: bool = False
    db_certificates: tuple[Path, ...] = ()


DEFAULTS = KeyOptions()

SHARE = Path("/usr/share")
MICROSOFT_STORES = ("OVMF/OVMF_VARS_4M.ms.fd", "OVMF/OVMF_VARS.ms.fd", "AAVMF/AAVMF_VARS.ms.fd")
"""Debian's variable stores with Microsoft's keys."""
MAX_CERTIFICATE = 64 << 10
NOBODY = UUID(int=0)
"""SignatureOwner of a certificate of which nothing else is known."""


def new_keys(folder: Path, options: KeyOptions = DEFAULTS) -> list[Path]:
    """Make a set of keys in the new `folder`; returns its files.

    `PK.auth`, `KEK.auth` and `db.auth` enrol the keys in a firmware that is in setup mode. Raises
    `OutputError` (`keys-folder`, `keys-size`), and `ImageError` (`signature-support`) without the
    package `cryptography`.
    """
    from compos.boot.enrolment import updates
    from compos.output.place import put_file
    from compos.trust.key_set import make_keys

    now = datetime.now(UTC).replace(microsecond=0)
    others = _others(options)
    keys = make_keys(
        folder, options.organisation, bits=options.bits, days=options.days, now=now, others=others
    )
    for name, data in updates(keys).items():
        put_file(folder / name, data)
    return sorted(folder.iterdir())


def exchange_pcr_key(folder: Path) -> list[Path]:
    """Have a new key sign PCR policies; the old one stays as the previous one, by which machines
    change over. Returns the files of both. Raises `OutputError` (`keys-missing`,
    `keys-previous`)."""
    from compos.trust.key_set import KeySet, exchange_policy_key
    from compos.trust.roles import PCR, PREVIOUS

    exchange_policy_key(KeySet(folder))
    return sorted(path for role in (PCR, PREVIOUS) for path in folder.glob(f"{role}.*"))


def _others(options: KeyOptions, share: Path = SHARE) -> bytes:
    """Signature lists for `db` beside the set's own."""
    from compos.boot.foreign_keys import MICROSOFT, foreign_lists

    found = [(MICROSOFT, one) for one in _microsoft(share)] if options.microsoft_db else []
    found += [(NOBODY, _certificate(path)) for path in options.db_certificates]
    return foreign_lists(found)


def _microsoft(share: Path) -> list[bytes]:
    from compos.boot.foreign_keys import microsoft_certificates

    stores = [share / name for name in MICROSOFT_STORES if (share / name).is_file()]
    if not stores:
        raise OutputError(
            "keys-microsoft",
            "no firmware with Microsoft's certificates is installed",
            place=str(share),
            hint="Install Debian's package ovmf, or name the files: --db-certificate FILE.",
        )
    try:
        return microsoft_certificates(stores[0].read_bytes())
    except (ValueError, OSError) as error:
        raise OutputError(
            "keys-microsoft",
            f"the firmware's variables cannot be used: {error}",
            place=str(stores[0]),
            hint="Name the certificates' files: --db-certificate FILE.",
        ) from error


def _certificate(path: Path) -> bytes:
    from compos.boot.foreign_keys import read_certificate

    try:
        with path.open("rb") as stream:
            return read_certificate(stream.read(MAX_CERTIFICATE))
    except (ValueError, OSError) as error:
        raise OutputError(
            "signing-certificate",
            f"the certificate cannot be used: {getattr(error, 'strerror', None) or error}",
            place=str(path),
            hint="Name a file with an X.509 certificate, in PEM or DER.",
        ) from error


def sign_later(folder: Path, awaited: Path) -> list[Path]:
    """Sign what builds left in `awaited` (`BuildOptions.sign_later`) with the keys in `folder`;
    returns the signatures. Raises `OutputError` and `ImageError`."""
    from compos.trust.key_set import KeySet
    from compos.trust.later import sign_awaited

    return sign_awaited(KeySet(folder), awaited)


def recover_keys(private: Path, envelopes: Sequence[Path]) -> list[Recovered]:
    """The recovery keys of data partitions in `envelopes`, which the owner of `private` can read.
    Raises `OutputError` and `ImageError`."""
    from compos.trust.escrow import open_envelope
    from compos.trust.key_set import VARIABLE

    password = os.environ.get(VARIABLE) or None
    return [open_envelope(private, envelope, password) for envelope in envelopes]
