"""`compos doctor`: what this machine can do, and what to install; and what a system has of what
`secure: true` stands for."""

from __future__ import annotations

import click

from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

__all__ = ["doctor"]

MARKS = {"ok": ("ok", "green"), "absent": ("--", "yellow"), "problem": ("!!", "red")}


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--secure",
    metavar="TARGET",
    help="Show instead what a UKI, a raw disk or a running guest has of a secure system.",
)
@global_options
def doctor(settings: Settings, *, as_json: bool, secure: str | None) -> int:
    """Show what this machine can do: build, run, publish; and commands that add what is missing.

    The exit status is 1 if systems cannot be built or run at all. What is merely absent (--) is
    needed for what its line says. With --secure it is 1 if anything of a secure system is missing.
    """
    if secure is not None:
        return _secure(secure, as_json=as_json)
    from compos.api.doctor import Verdict, examine

    findings = []
    for finding in examine(settings.images):
        findings.append(finding)
        if as_json:
            continue
        _show(finding.verdict.value, finding.name, finding.text)
        if finding.remedy:
            click.echo(f"    {'':18}  {click.style(visible(finding.remedy), fg='cyan')}")
    if as_json:
        import json

        document = [{**one._asdict(), "verdict": one.verdict.value} for one in findings]
        click.echo(json.dumps(document, indent=2))
    return int(any(one.verdict is Verdict.PROBLEM for one in findings))


def _show(verdict: str, name: str, text: str) -> None:
    mark, colour = MARKS[verdict]
    click.echo(f"{click.style(mark, fg=colour)}  {visible(name):18}  {visible(text)}")


def _secure(target: str, *, as_json: bool) -> int:
    from compos.api.secure import examine_secure

    found = examine_secure(target)
    if as_json:
        import json

        click.echo(json.dumps([one._asdict() for one in found], indent=2))
    else:
        for one in found:
            _show("ok" if one.on else "problem", one.name, one.text)
    return int(not all(one.on for one in found))
