"""The command `compos`: which verbs there are, and how errors reach the user. Verbs are imported
when they are called."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

import click

from compos.cli.settings import Settings, global_options
from compos.cli.settings_file import apply_settings
from compos.suggestion import did_you_mean
from compos.version import __version__

__all__ = ["cli", "main"]

VERBS = {
    "attest": "Attest provenance, SBOMs and more of images and files.",
    "build": "Build a system from YAML and write it in one or more formats.",
    "clouds": "List and remove what compos has made in clouds.",
    "cache": "List, fill and clean the store of images and derived results.",
    "completion": "Print the completion script for a shell.",
    "dev": "Boot a system, and keep it as its YAML says while you edit.",
    "diff": "Show how two systems differ: files, packages, sizes, settings, powers.",
    "doctor": "Show what this machine can do, and what to install.",
    "exec": "Run a command in a running guest.",
    "inspect": "Show the size of a system's parts, its kernel modules and firmware, and why.",
    "install": "Put a system on a disk of this machine.",
    "console": "Connect the terminal to a running guest.",
    "config": "Print the merged YAML, with the origin of each value.",
    "help": "Show the help of a verb.",
    "keys": "Make the keys that systems are signed with.",
    "logs": "Print what a guest's console has shown.",
    "lock": "Write, update or check the lock of a system's images and packages.",
    "measure": "Print the PCRs that a TPM will have after a system has booted.",
    "metadata": "Create metadata images for guests.",
    "pkg": "Build images from packages (bricks).",
    "push": "Push an image to a cloud or a registry.",
    "ps": "List running guests.",
    "quote": "Ask machines what they have started, signed by their TPMs.",
    "screenshot": "Write a guest's screen to a picture.",
    "stop": "Power off guests.",
    "report": "Write a page about a system: sizes, boot, services, powers, packages.",
    "run": "Boot a system.",
    "schema": "Print the JSON schema of the YAML.",
    "serve": "Serve a folder over HTTP.",
    "sign": "Sign images at a registry, and files.",
    "test": "Boot a system, and check what its YAML expects of it.",
    "verify": "Verify who signed images and files.",
    "why": "Show why a file, a kernel module or a package is in a system.",
    "version": "Show the version.",
}


MODULES = {
    **dict.fromkeys(("console", "logs", "ps", "screenshot", "stop"), "guests"),
    "report": "page",
}
"""The modules of verbs that share one, or have another name."""


class Verbs(click.Group):
    """A group that imports a verb's module only when the verb is used, and answers `--help` without
    any."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All verbs, in alphabetical order."""
        return sorted(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if name not in VERBS:
            return None
        module = import_module(f"compos.cli.{MODULES.get(name, name)}")
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a word that is nearly a verb."""
        if args and args[0] not in VERBS and (hint := did_you_mean(args[0], VERBS, "")):
            raise click.UsageError(f"no such command {args[0]!r}. {hint}", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of verbs, from `VERBS`: help must not import them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@global_options
@click.version_option(__version__, "--version", message="compos version %(version)s")
def cli(settings: Settings) -> None:
    """Build minimal, immutable, bootable Linux systems from container images.

    Flags take precedence over environment variables, and these over settings files: the one that
    COMPOS_SETTINGS names, else ~/.config/compos/settings.yml and /etc/compos/settings.yml.
    """
    apply_settings(os.environ)
    click.get_current_context().obj = settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for any error, as LinuxKit has it, 130
    when interrupted."""
    from compos.cli import report
    from compos.errors import ComposError

    try:
        result = cli.main(arguments, prog_name="compos", standalone_mode=False)
    except ComposError as error:
        report.show(error)
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        report.show_usage(error)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except OSError as error:
        report.show(report.explained(error))
        return 1
    except Exception as error:
        if report.traces():
            raise
        report.show(report.unforeseen(error))
        return 1
    return result if isinstance(result, int) else 0


def run() -> None:
    """Entry point of the installed command."""
    status = main()
    # The interpreter looks for circles three times as it ends: a twentieth of a short run.
    gc.freeze()
    sys.exit(status)
