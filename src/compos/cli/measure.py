"""`compos measure`: what a TPM will say of a system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from compos.boot.measurements import Measured

__all__ = ["measure"]


@click.command
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--cmdline",
    metavar="TEXT",
    help="Command line that the machine gives, which the image takes without Secure Boot.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the events of each PCR.")
def measure(file: Path, as_json: bool, cmdline: str | None) -> None:
    """Print the expected PCRs 4, 9, 11 and 12 (SHA-256) of a machine that boots FILE: a unified
    kernel image or a raw disk for UEFI.

    PCR 4 depends on how many boot options the firmware tries before, and on Secure Boot: the values
    of the first attempts follow it.
    """
    from compos.api.measure import measurements

    found = measurements(file, cmdline)
    if as_json:
        _print_json(found)
        return
    for one in found:
        click.echo(f"{one.pcr:2}  {'':12}  {one.value.hex()}")
        for number, secure, value in one.attempts:
            with_what = "" if secure else "  without Secure Boot"
            click.echo(f"    {f'attempt {number}':12}  {value.hex()}{with_what}")
        signed = {phase for phase, _ in one.signed}
        for phase, value in one.phases:
            mark = "  signed" if phase in signed else ""
            click.echo(f"    {phase:12}  {value.hex()}{mark}")


def _print_json(found: tuple[Measured, ...]) -> None:
    import json

    pcrs = [
        {
            "pcr": one.pcr,
            "sha256": one.value.hex(),
            "events": [{"event": event.text, "sha256": event.digest.hex()} for event in one.events],
            **(
                {
                    "attempts": [
                        {"attempt": number, "secure_boot": secure, "sha256": value.hex()}
                        for number, secure, value in one.attempts
                    ]
                }
                if one.attempts
                else {}
            ),
            **({"kernel": one.kernel.hex()} if one.kernel else {}),
            **({"phases": {name: value.hex() for name, value in one.phases}} if one.phases else {}),
            **(
                {
                    "signed": [
                        {"phase": phase, "policy": made.policy.hex(), "key": made.key}
                        for phase, made in one.signed
                    ]
                }
                if one.signed
                else {}
            ),
        }
        for one in found
    ]
    click.echo(json.dumps({"pcrs": pcrs}, indent=2))
