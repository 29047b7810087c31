"""Variables in the YAML: `${NAME}`, `${NAME:-value}`, from the command line, env files and the YAML
itself.

May touch: the env files that are named (reading).

LinuxKit has no variables, and its users' scripts are full of `${...}`. So in `contents` and
`command`, where scripts stand, only variables that somebody has given or declared are put in; the
rest stays as it is, as it does for LinuxKit. Elsewhere the words and meaning are those of the
Compose specification ("Interpolation"), except that the process environment says nothing: the same
files and flags give the same system everywhere. A file without `variables:`, built without any, may
have `${NAME}` for its own reasons anywhere: then it stays, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compos.config.model import Mark
from compos.config.nodes import Entry, List, Map, Node, Scalar
from compos.config.problems import Problems
from compos.config.scalars import value_of
from compos.errors import ConfigError
from compos.suggestion import did_you_mean

__all__ = ["SCRIPTS", "Variable", "Variables", "escaped", "given_variables", "substitute"]

SCRIPTS = frozenset(("contents", "command"))
"""Keys below which a `$` usually belongs to a shell."""

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_USE = re.compile(r"\$(\$?)\{(?:([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?])([^{}]*))?\})?")
_MALFORMED = re.compile(r"\$\{[^}\s]{0,100}\}?")
MAX_VALUE = 1 << 20
"""Characters that one value may grow to."""

MAX_GROWTH = 16 << 20
"""Characters that all values of one file together may grow to, as long as a file may be: a variable
may be used often."""


class Variable(NamedTuple):
    """What a name stands for, and who says so (`--set`, an env file, a YAML file's line)."""

    value: str
    source: str


Variables = Mapping[str, Variable]


def given_variables(settings: Sequence[str], env_files: Sequence[str]) -> dict[str, Variable]:
    """Variables of `NAME=VALUE` flags and of env files; later files win over earlier ones, flags
    over files.

    An env file has a `NAME=VALUE` a line; blank lines and lines that begin with # are skipped,
    `export ` before the name and quotes around the whole value are taken off. Raises `ConfigError`.
    """
    found: dict[str, Variable] = {}
    for name in env_files:
        found.update(_env_file(name))
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not NAME.fullmatch(name):
            # The value may be a secret: only what stands before it is shown.
            raise ConfigError(
                "variable-syntax",
                f"{name!r} is not NAME=VALUE",
                place="--set",
                hint="Write --set TAG=v1.",
            )
        found[name] = Variable(value, "--set")
    return found


def _env_file(file: str) -> dict[str, Variable]:
    try:
        text = Path(file).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "the file is not UTF-8").lower()
        raise ConfigError(
            "variable-file",
            f"the env file cannot be read: {reason}",
            place=file,
            hint="Check --env-file.",
        ) from error
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not NAME.fullmatch(name):
            raise ConfigError(
                "variable-syntax",
                "the line is not NAME=VALUE",
                place=f"{file}:{number}",
                hint="Write TAG=v1.",
            )
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name] = Variable(value, f"{file}:{number}")
    return found


def substitute(
    node: Node, variables: Variables, file: str, problems: Problems, *, strict: bool
) -> Node:
    """`node` with the variables in its values put in; keys stay. Mistakes go to `problems`.

    `strict` says that variables are in use: then what looks like one and is none is a mistake.
    """
    return _Substitution(variables, file, problems, strict=strict).node(node, script=False)


def escaped(value: Any, *, script: bool = False) -> Any:
    """A plain value (mappings, lists, strings) that `substitute` turns into what `value` is now."""
    if isinstance(value, dict):
        return {
            key: escaped(inner, script=script or key in SCRIPTS) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [escaped(item, script=script) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) and not script else value


class _Substitution:
    def __init__(
        self, variables: Variables, file: str, problems: Problems, *, strict: bool
    ) -> None:
        self._variables = variables
        self._strict = strict
        self._file = file
        self._problems = problems
        self._grown = 0
        self._done: dict[tuple[int, bool], tuple[Node, Node]] = {}
        """What became of containers that aliases share, by identity (kept alive beside it)."""

    def node(self, node: Node, *, script: bool) -> Node:
        if isinstance(node, Scalar):
            return self._scalar(node, script=script) if "${" in node.text else node
        known = self._done.get((id(node), script))
        if known is not None:
            return known[1]
        made: Node
        if isinstance(node, List):
            made = node._replace(items=[self.node(item, script=script) for item in node.items])
        else:
            made = Map(
                node.span,
                {
                    name: Entry(entry.key, self.node(entry.value, script=script or name in SCRIPTS))
                    for name, entry in node.entries.items()
                },
                node.size,
            )
        self._done[id(node), script] = (node, made)
        return made

    def _scalar(self, node: Scalar, *, script: bool) -> Scalar:
        notes: dict[str, None] = {}
        parts = []
        position = 0
        for use in _USE.finditer(node.text):
            parts += [
                node.text[position : use.start()],
                self._value(node, use, notes, script=script),
            ]
            position = use.end()
        # Before they are joined: a short text can ask for any number of copies.
        size = sum(map(len, parts)) + len(node.text) - position
        self._grown += size
        if size > MAX_VALUE or self._grown > MAX_GROWTH:
            what, most = (
                ("the value expands", MAX_VALUE)
                if size > MAX_VALUE
                else ("the values in this file expand", MAX_GROWTH)
            )
            self._fail(
                node, "config-variable", f"{what} to more than {most} characters", "Shorten them."
            )
            return node
        text = "".join((*parts, node.text[position:]))
        if text == node.text:
            return node
        value = value_of(text) if node.is_plain else text
        return node._replace(value=value, text=text, note=", ".join(notes))

    def _value(
        self, node: Scalar, use: re.Match[str], notes: dict[str, None], *, script: bool
    ) -> str:
        escape, name, operator, word = use.groups()
        if name is None:
            return self._other(node, use, script=script)
        variable = self._variables.get(name)
        if variable is None and (script or (not self._strict and (escape or not operator))):
            return use[0]
        if escape:
            return use[0][1:]
        # With a colon, an empty value is as if there were none.
        if variable is not None and (variable.value or not (operator or "").startswith(":")):
            notes[f"{name} from {variable.source}"] = None
            return variable.value
        if operator in ("-", ":-"):
            notes[f"{name} by default"] = None
            return str(word)
        message = f"unknown variable {name!r}"
        if operator:
            self._fail(
                node,
                "config-variable",
                f"{message}: {word}" if word else message,
                f"Set it with --set {name}=VALUE.",
            )
        else:
            otherwise = (
                f"Set it with --set {name}=VALUE, or write ${{{name}:-value}}; for a literal ${{, "
                "write $${."
            )
            hint = did_you_mean(name, self._variables, otherwise)
            self._fail(node, "config-variable", message, hint)
        return ""

    def _other(self, node: Scalar, use: re.Match[str], *, script: bool) -> str:
        """`${` without a name: a mistake where variables are in use, unless it is escaped."""
        if script or not self._strict:
            return use[0]
        if not use[1]:
            odd = _MALFORMED.match(node.text, use.start())
            hint = "Write ${NAME} or ${NAME:-value}; for a literal ${, write $${."
            self._fail(node, "config-variable", f"{(odd or use)[0]!r} is not a variable", hint)
        return "${"

    def _fail(self, node: Scalar, id: str, message: str, hint: str) -> None:
        mark = Mark(self._file, node.span.line, node.span.column)
        self._problems.add(id, message, mark, hint=hint, width=node.span.width)
