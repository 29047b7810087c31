"""`compos verify`: who signed images and files, and what is attested of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.access import Access
    from compos.trust.policy import Signed
    from compos.trust.verify import Verified

__all__ = ["verify"]


@click.command
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME|FILE...", shell_complete=complete_file
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Public key: a PEM file, env://NAME or pkcs11:…; repeatable, one must have signed.",
)
@click.option("--identity", metavar="SUBJECT", help="Address or URI that was certified as signer.")
@click.option("--issuer", metavar="URL", help="Who identified the signer.")
@click.option(
    "--trusted-root", metavar="FILE", help="Sigstore's trusted_root.json: authorities and logs."
)
@click.option(
    "--log-key",
    "log_keys",
    multiple=True,
    metavar="PEM",
    help="Key of a transparency log that must have an entry; repeatable.",
)
@click.option(
    "--signed-name",
    type=click.Choice(("repository", "exact", "any")),
    default="repository",
    show_default=True,
    help="Which name a signature must have.",
)
@click.option("--type", "kind", metavar="TYPE", help="Verify what is attested, of this type.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Bundle of a file [FILE.sigstore.json, FILE.TYPE.sigstore.json].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with what is attested.")
@global_options
def verify(
    names: tuple[str, ...],
    *,
    settings: Settings,
    keys: tuple[str, ...],
    identity: str | None,
    issuer: str | None,
    trusted_root: str | None,
    log_keys: tuple[str, ...],
    signed_name: str,
    kind: str | None,
    bundle: Path | None,
    as_json: bool,
) -> None:
    """Verify who signed images or files, by keys, an identity, or the policy that builds use.

    Prints each digest with its signer; the exit status is 1 unless all are signed.
    """
    import json

    from compos.api.access import Access
    from compos.trust.verify import required_of

    if bool(identity) != bool(issuer):
        raise click.UsageError("--identity and --issuer belong together")
    required = None
    if keys or identity:
        required = required_of(keys, identity, issuer, trusted_root, log_keys, signed_name)
    access = Access(settings.images)
    for name in names:
        one = _verified(access, name, required, kind, bundle)
        if as_json:
            click.echo(json.dumps({"name": name, **one._asdict()}))
        else:
            click.echo(f"{name} {one.digest} {one.signer}")


def _verified(
    access: Access, name: str, required: Signed | None, kind: str | None, bundle: Path | None
) -> Verified:
    from compos.image.reference import Reference
    from compos.trust.predicates import predicate_uri, short_type
    from compos.trust.sign import Repository
    from compos.trust.verify import verify_attestation, verify_file, verify_image

    uri = predicate_uri(kind) if kind else ""
    path = Path(name)
    if path.is_file() or kind:
        if required is None:
            raise click.UsageError("files and attestations are verified by --key or --identity")
        if path.is_file():
            short = short_type(uri) if uri else ""
            return verify_file(path, required, bundle=bundle, kind=short, predicate=uri)
        repository = Repository(access.registry, access.store)
        return verify_attestation(repository, Reference.parse(name), required, uri)
    judge = required or access.trust
    if judge is None:
        raise click.UsageError("there is no policy: use --key, --identity or --policy")
    return verify_image(access.store, lambda: access.registry, name, judge)
