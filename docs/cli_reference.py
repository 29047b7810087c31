"""Writes docs/cli.md from the commands themselves: `python docs/cli_reference.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from compos.cli.main import VERBS, cli
from compos.cli.settings import global_options

TARGET = Path(__file__).with_name("cli.md")
INTRODUCTION = """\
# The command line

This page is generated from the commands by `docs/cli_reference.py`. `compos VERB --help` prints the
same text. Brackets show the default, or the environment variables that provide it.

Global flags can be given before or after the verb. Flags take precedence over environment
variables, variables over the [settings file](settings.md), and this over defaults. Results are
written to standard output, everything else to standard error. The exit status is 0 on success, 1
for any error (including usage errors, as LinuxKit does), and 130 when interrupted. Each error is
reported once, with a stable id. LinuxKit's `$HOME/.moby/linuxkit/config.yml` is not read.

| verbosity | output |
|---|---|
| `-q`, `-v 0` | errors |
| `-v 1` (default) | long steps, outputs, fallbacks |
| `-v 2` | every step with its time |
| `-v 3` | also the traceback of an unexpected error |
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "\n## Global flags\n\n", _table(_global_flags())]
    context = click.Context(cli, info_name="compos")
    for verb in sorted(VERBS):
        command = cli.get_command(context, verb)
        parts += (
            _sections(command, click.Context(command, info_name=verb, parent=context))
            if command
            else ()
        )
    return "".join(parts)


def _global_flags() -> list[click.Parameter]:
    @click.command
    @global_options
    def flags(**_: object) -> None:
        """Nothing."""

    return flags.params


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    shared = {parameter.name for parameter in _global_flags()}
    pieces = [piece for piece in command.collect_usage_pieces(context) if piece]
    usage = " ".join([context.command_path, *pieces])
    yield f"\n## {context.command_path}\n\n    {usage}\n\n{_paragraphs(command.help or '')}\n"
    own = [
        one
        for one in command.params
        if isinstance(one, click.Option) and not one.hidden and one.name not in shared
    ]
    if own:
        yield "\n" + _table(own)
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            inner = command.get_command(context, name)
            if inner is None:
                continue
            yield from _sections(inner, click.Context(inner, info_name=name, parent=context))


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _table(options: list[click.Parameter]) -> str:
    lines = ["| flag | |", "|---|---|"]
    for option in options:
        if not isinstance(option, click.Option):
            continue
        value = (
            ""
            if option.is_flag
            else f" {option.metavar or option.make_metavar(click.Context(cli))}"
        )
        flags = ", ".join((*option.opts, *option.secondary_opts))
        default = (
            f" [{option.default}]"
            if option.show_default and option.default not in (None, False, True)
            else ""
        )
        cells = (f"`{flags}{value}`", f"{option.help or ''}{default}")
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
