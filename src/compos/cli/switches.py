"""Flags as LinuxKit's users write them (Go's packages flag and cobra): switches with values,
`--push=false`, and flags before the verb, `pkg --dev show-tag`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

__all__ = ["Command", "Group"]

_VALUES = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""Go's strconv.ParseBool."""


class Command(click.Command):
    """A command whose switches may have a value behind `=`. Those with the type bool, which are on
    by default, may stand without one; they never take the next word."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click does, with values taken off."""
        return super().parse_args(context, [*_plain(args, self._switches(context))])

    def _switches(self, context: click.Context) -> Mapping[str, bool]:
        """The switches that can be turned on, and whether they need a value."""
        return {
            name: not one.is_flag
            for one in self.get_params(context)
            if isinstance(one, click.Option)
            and (one.is_flag or one.type is click.BOOL)
            and not one.is_eager
            for name in one.opts
            if name.startswith("--")
        }


class Group(click.Group):
    """A group of such commands, whose flags may stand before the command's name."""

    command_class = Command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click does, with the name in front."""
        values = {
            name
            for command in self.commands.values()
            for one in command.params
            if isinstance(one, click.Option) and not one.is_flag
            for name in one.opts
        }
        # What stands behind a flag may be called like a command.
        names = (
            number
            for number, one in enumerate(args)
            if one in self.commands and (number == 0 or args[number - 1] not in values)
        )
        place = next(names, 0)
        return super().parse_args(context, [*args[place:][:1], *args[:place], *args[place + 1 :]])


def _plain(args: list[str], switches: Mapping[str, bool]) -> Iterator[str]:
    for number, arg in enumerate(args):
        if arg == "--":
            yield from args[number:]
            return
        name, equals, value = arg.partition("=")
        if name not in switches:
            yield arg
        elif not equals:
            yield f"{name}=true" if switches[name] else name
        elif value not in _VALUES:
            raise click.UsageError(f"{name} is true or false, not {value[:100]!r}")
        elif switches[name]:
            yield f"{name}={'true' if _VALUES[value] else 'false'}"
        elif _VALUES[value]:
            yield name
