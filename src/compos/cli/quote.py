"""`compos quote`: remote attestation, machine by machine."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["quote"]

expected_option = click.option(
    "--expected",
    "expected",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Expected PCRs, as compos measure --json writes them; repeatable, one must fit.",
)


@click.group
def quote() -> None:
    """Ask machines what they have started: their TPM signs the answer."""


@quote.command
@click.argument("url", metavar="URL")
@click.argument("machine", type=click.Path(path_type=Path), metavar="MACHINE")
@expected_option
@click.option(
    "--pcr",
    "pcrs",
    multiple=True,
    type=click.IntRange(0, 7),
    metavar="N",
    help="PCR of the firmware that has to stay as it is now; repeatable [0, 2, 3, 7].",
)
@click.option(
    "--ek-ca",
    "authorities",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Authorities that issue certificates of TPMs, one of which must have issued the "
    "machine's; repeatable [no certificate is asked for].",
)
def enrol(
    url: str,
    machine: Path,
    expected: tuple[Path, ...],
    pcrs: tuple[int, ...],
    authorities: tuple[Path, ...],
) -> None:
    """Write the file MACHINE of the machine whose agent (the brick attest) answers at URL.

    It has to prove that the key that it signs with is in the TPM whose endorsement key it shows.
    """
    from compos.api.quote import FIRMWARE, EnrolOptions, enrol

    record = enrol(url, machine, EnrolOptions(expected, pcrs or FIRMWARE, authorities))
    click.echo(machine)
    if not record.certificate:
        click.echo("its TPM has no certificate: it is known by its key alone", err=True)


@quote.command
@click.argument("url", metavar="URL")
@click.argument("machine", type=click.Path(path_type=Path), metavar="MACHINE")
@expected_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(url: str, machine: Path, expected: tuple[Path, ...], as_json: bool) -> int:
    """Verify that the enrolled MACHINE, whose agent answers at URL, runs what was expected.

    Prints what differs, a line each; the exit status is 1 if anything does.
    """
    import json

    from compos.api.quote import verify_machine
    from compos.cli.text import visible

    found = verify_machine(url, machine, expected)
    if as_json:
        click.echo(json.dumps({"differences": found.differences, "phase": found.phase}))
    elif found.differences:
        for line in found.differences:
            click.echo(visible(line))
    else:
        click.echo(f"as expected, in phase {found.phase or 'before the first'}")
    return int(bool(found.differences))


@quote.command
@click.option(
    "--expected",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Expected PCRs of the system, as compos measure --json writes them.",
)
@click.option(
    "--machine",
    type=click.Path(path_type=Path),
    metavar="MACHINE",
    help="Enrolled machine whose firmware all of them have.",
)
def policy(expected: Path, machine: Path | None) -> None:
    """Print a TPM policy for Keylime (JSON): the PCRs of machines that have started what was
    expected with Secure Boot, after all services are started.
    """
    import json

    from compos.api.quote import keylime

    click.echo(json.dumps(keylime(expected, machine), indent=2))
