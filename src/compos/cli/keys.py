"""`compos keys`: sets of keys with which systems are signed."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["keys"]


@click.group
def keys() -> None:
    """Make the keys that systems are signed with."""


@keys.command
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--organisation",
    metavar="NAME",
    default="compos",
    show_default=True,
    help="Organisation that stands in the certificates.",
)
@click.option(
    "--bits",
    type=click.Choice(["2048", "3072", "4096"]),
    default="2048",
    show_default=True,
    help="Length of the RSA keys; not every firmware takes more than 2048.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 36500),
    default=3650,
    show_default=True,
    help="Validity of the certificates.",
)
@click.option(
    "--microsoft-db",
    is_flag=True,
    help="Let db have Microsoft's certificates for third parties, too, which option ROMs may need "
    "(from Debian's package ovmf).",
)
@click.option(
    "--db-certificate",
    "db_certificates",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Let db have this certificate, too (PEM or DER); repeatable.",
)
def new(
    folder: Path,
    organisation: str,
    bits: str,
    days: int,
    *,
    microsoft_db: bool,
    db_certificates: tuple[Path, ...],
) -> None:
    """Make a set of keys in the new folder DIR: for Secure Boot (PK, KEK, db) with the files that
    enrol them, for PCR values, and for updates.

    COMPOS_KEYS_PASSWORD, if it is set, encrypts the private keys.
    """
    from compos.api.keys import KeyOptions, new_keys

    options = KeyOptions(organisation, int(bits), days, microsoft_db, db_certificates)
    for path in new_keys(folder, options):
        click.echo(path)


@keys.command
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("awaited", type=click.Path(path_type=Path), metavar="FOLDER")
def sign(folder: Path, awaited: Path) -> None:
    """Sign what builds with --sign-later FOLDER have left there, with the set of keys in DIR."""
    from compos.api.keys import sign_later

    for path in sign_later(folder, awaited):
        click.echo(path)


@keys.command
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def revoke(folder: Path) -> None:
    """Revoke all versions that were built so far: exchange the PCR key of the set in DIR.

    The next version opens what machines have sealed, and seals it to the new key; from then on no
    earlier version opens it.
    """
    from compos.api.keys import exchange_pcr_key

    for path in exchange_pcr_key(folder):
        click.echo(path)


@keys.command
@click.argument("private", type=click.Path(path_type=Path), metavar="KEY")
@click.argument(
    "envelopes", type=click.Path(path_type=Path), metavar="ENVELOPE...", nargs=-1, required=True
)
def recover(private: Path, envelopes: tuple[Path, ...]) -> None:
    """Read the recovery keys of data partitions in ENVELOPEs, with the private KEY that machines
    encrypt them for (`disk.escrow`): volume, recovery key and machine, a line each.

    COMPOS_KEYS_PASSWORD is the password of KEY, if it has one.
    """
    from compos.api.keys import recover_keys

    for one in recover_keys(private, envelopes):
        click.echo(f"{one.volume} {one.key} {one.machine}".rstrip())
