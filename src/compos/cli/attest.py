"""`compos attest`: attest something of images at their registry, and of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compos.cli.complete import complete_file
from compos.cli.outputs import format_option, root_option
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options
from compos.cli.sign import key_option

if TYPE_CHECKING:
    from compos.api.options import LoadOptions

__all__ = ["attest"]


@click.command
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME|FILE...", shell_complete=complete_file
)
@key_option
@click.option(
    "--predicate", type=click.Path(path_type=Path), metavar="FILE", help="JSON that is attested."
)
@click.option(
    "--type",
    "kind",
    metavar="TYPE",
    help="Its type: slsaprovenance1, spdxjson, cyclonedx or a URI [told by an SBOM itself].",
)
@click.option(
    "--provenance",
    "sources",
    multiple=True,
    metavar="YAML",
    help="Attest where outputs of this YAML come from (SLSA provenance v1); repeatable.",
)
@format_option(
    "With --provenance, the formats of the outputs, whose images are named, too [kernel+initrd]."
)
@root_option("Root of disks and ISOs, as in the build.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --provenance, the lock that the outputs were built from.",
)
@click.option("--builder-id", metavar="URI", help="Who built [urn:compos:local].")
@click.option(
    "--bundle",
    is_flag=True,
    help="Attach a sigstore bundle that refers to the image, instead of a tag beside it.",
)
@reading_options
@global_options
def attest(
    names: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    key: str,
    predicate: Path | None,
    kind: str | None,
    sources: tuple[str, ...],
    formats: tuple[str, ...],
    root: str,
    lock: Path | None,
    builder_id: str | None,
    bundle: bool,
) -> None:
    """Attest the provenance, an SBOM or anything else of images that a registry has, or of files:
    in-toto statements in signed envelopes, as cosign makes them.

    What is attested of a file is in a bundle beside it (FILE.TYPE.sigstore.json).
    """
    from compos.api.access import Access
    from compos.api.provenance import ProvenanceOptions, system_provenance
    from compos.image.reference import Reference
    from compos.output.place import put_file
    from compos.trust.dsse import PREDICATES
    from compos.trust.key_sources import signing_key
    from compos.trust.predicates import read_predicate, short_type
    from compos.trust.sign import Repository, attest_file, attest_image, bundle_path

    if predicate and (formats or lock):
        raise click.UsageError("--format and --lock require --provenance")
    if bool(predicate) == bool(sources):
        raise click.UsageError("one of --predicate and --provenance is required")
    private = signing_key(key)
    access = Access(settings.images)
    document: Any
    if predicate is not None:
        uri, document = read_predicate(predicate, kind)
    else:
        uri = PREDICATES["slsaprovenance1"]
        options = ProvenanceOptions(settings.trusted(reading), settings.images, formats, root, lock)
        if builder_id:
            options = options._replace(builder=builder_id)
        document = system_provenance(sources, options)
    for name in names:
        path = Path(name)
        if path.is_file():
            beside = bundle_path(path, short_type(uri))
            put_file(beside, attest_file(path, private, uri, document))
            click.echo(beside)
            continue
        reference = Reference.parse(name)
        repository = Repository(access.registry, access.store)
        digest = attest_image(repository, reference, private, uri, document, bundle=bundle)
        click.echo(f"{reference} {digest} {uri}")
