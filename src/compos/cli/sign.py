"""`compos sign`: sign images at their registry, and files."""

from __future__ import annotations

from pathlib import Path

import click

from compos.cli.complete import complete_file
from compos.cli.settings import Settings, global_options

__all__ = ["key_option", "sign"]

key_option = click.option(
    "--key",
    required=True,
    metavar="KEY",
    help="Private key: a PEM file, env://NAME, or pkcs11:token=T;object=O?module-path=FILE.so. "
    "Passwords are read from COMPOS_SIGN_PASSWORD or COSIGN_PASSWORD, PINs from COMPOS_PKCS11_PIN.",
)


@click.command
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME|FILE...", shell_complete=complete_file
)
@key_option
@click.option(
    "--bundle",
    is_flag=True,
    help="Attach a sigstore bundle that refers to the image, instead of a tag beside it.",
)
@click.option(
    "--recursive", is_flag=True, help="Sign each image of an index, too, as skopeo checks them."
)
@global_options
def sign(
    names: tuple[str, ...], *, settings: Settings, key: str, bundle: bool, recursive: bool
) -> None:
    """Sign images that a registry has, as cosign does, or files, with a bundle beside each
    (FILE.sigstore.json)."""
    from compos.api.access import Access
    from compos.image.reference import Reference
    from compos.output.place import put_file
    from compos.trust.key_sources import signing_key
    from compos.trust.sign import Repository, bundle_path, sign_file, sign_image

    access = Access(settings.images)
    private = signing_key(key)
    for name in names:
        path = Path(name)
        if path.is_file():
            put_file(bundle_path(path), sign_file(path, private))
            click.echo(bundle_path(path))
            continue
        reference = Reference.parse(name)
        repository = Repository(access.registry, access.store)
        digest, new = sign_image(repository, reference, private, bundle=bundle, recursive=recursive)
        click.echo(f"{reference} {digest} {'signed' if new else 'up to date'}")
