"""`compos doctor`: what this machine can do, and what to install."""

from __future__ import annotations

import click

from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

__all__ = ["doctor"]

MARKS = {"ok": ("ok", "green"), "absent": ("--", "yellow"), "problem": ("!!", "red")}


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@global_options
def doctor(settings: Settings, *, as_json: bool) -> int:
    """Show what this machine can do: build, run, publish; and commands that add what is missing.

    The exit status is 1 if systems cannot be built or run at all. What is merely absent (--) is
    needed for what its line says.
    """
    from compos.api.doctor import Verdict, examine

    findings = []
    for finding in examine(settings.images):
        findings.append(finding)
        if as_json:
            continue
        mark, colour = MARKS[finding.verdict.value]
        line = f"{click.style(mark, fg=colour)}  {finding.name:18}  {visible(finding.text)}"
        click.echo(line)
        if finding.remedy:
            click.echo(f"    {'':18}  {click.style(visible(finding.remedy), fg='cyan')}")
    if as_json:
        import json

        document = [{**one._asdict(), "verdict": one.verdict.value} for one in findings]
        click.echo(json.dumps(document, indent=2))
    return int(any(one.verdict is Verdict.PROBLEM for one in findings))
