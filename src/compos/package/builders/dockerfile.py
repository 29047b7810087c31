"""Which images a Dockerfile uses, and the Dockerfile with other names in their place. Pure.

Read are `FROM`, `COPY --from`, `ADD --from` and `RUN --mount=from`, with what they need: parser
directives, line continuations, here-documents, global arguments. Everything else is the builder's
business. Source: the Dockerfile reference ("Parser directives", "FROM", "ARG", "Automatic platform
ARGs in the global scope", "Here-Documents").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compos.errors import ImageError, PackageError
from compos.image.platform import Platform

__all__ = ["MAX_DOCKERFILE", "Use", "images_used", "renamed"]

MAX_DOCKERFILE = 4 << 20
"""Bytes of a Dockerfile; BuildKit reads no longer one."""

SCRATCH = "scratch"

_DIRECTIVE = re.compile(r"#[ \t]*(?P<name>[A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(?P<value>.*?)[ \t]*")
_HEREDOC = re.compile(r"(?<![<])<<(?P<strip>-?)(?P<quote>['\"]?)(?P<word>[A-Za-z0-9_.]+)(?P=quote)")
_FROM = re.compile(
    r"\s*FROM\s+(?P<flags>(?:--\S+\s+)*)(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?\s*",
    re.IGNORECASE,
)
_COPY = re.compile(r"(?<!\S)--from=(?P<image>\S+)")
_MOUNT = re.compile(r"(?<!\S)--mount=(?P<options>\S+)")
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = re.compile(
    rf"(?P<escaped>\\\$)|\$(?P<plain>{_NAME})|\$\{{(?P<braced>{_NAME})"
    r"(?P<operator>:?[-+?])?(?P<word>[^{}]*)\}"
)


class Use(NamedTuple):
    """An image that a Dockerfile uses: `written` as it stands there, `image` with its arguments
    replaced, for `platform`. `line` counts from 1."""

    written: str
    image: str
    platform: Platform
    line: int


class _Instruction(NamedTuple):
    """An instruction: its lines, from `start` (counted from 0) up to `end`, and its text without
    continuations, comments and here-documents."""

    start: int
    end: int
    text: str

    @property
    def word(self) -> str:
        parts = self.text.split(None, 1)
        return parts[0].upper() if parts else ""


def images_used(
    text: str, arguments: Mapping[str, str], platform: Platform, builds_on: Platform, place: str
) -> list[Use]:
    """The images that building `text` for `platform` needs, in order; neither stages nor `scratch`.
    Raises `PackageError` (`dockerfile-image`), `ImageError` (`platform-syntax`)."""
    scope = _platforms(platform, builds_on)
    stages: set[str] = set()
    count = 0
    found: list[Use] = []
    for one in _instructions(text):
        line = one.start + 1
        if one.word == "ARG" and not count:
            scope |= _declared(one.text, arguments, scope)
        elif one.word == "FROM":
            count += 1
            use, stage = _from(one.text, scope, platform, f"{place}:{line}", line)
            if use.image.lower() not in (SCRATCH, *stages):
                found.append(use)
            if stage:
                stages.add(stage.lower())
        else:
            # Stages are also known by their numbers.
            found += [
                Use(written, image, platform, line)
                for written, image in ((word, _unquoted(word)) for word in _sources(one))
                if image.lower() not in (SCRATCH, *stages) and not image.isdecimal()
            ]
    if not count:
        raise PackageError(
            "dockerfile-image",
            "the Dockerfile has no FROM",
            place=place,
            hint="Begin it with FROM IMAGE, or FROM scratch.",
        )
    return found


def renamed(text: str, names: Mapping[Use, str]) -> str:
    """`text` with other images in place of those that `names` has. Lines keep their numbers."""
    lines = text.splitlines(keepends=True)
    ends = {one.start + 1: (one.end, one.word) for one in _instructions(text)}
    for use, name in names.items():
        end, word = ends[use.line]
        # The name of a stage may be that of the image.
        before, count = (r"(?<!\S)", 1) if word == "FROM" else ("(?<=from=)", 0)
        pattern = re.compile(before + re.escape(use.written) + r"(?=[\s,\\`]|$)")
        for number in range(use.line - 1, end):
            # Neither a name nor a digest has a backslash, which would be special here.
            lines[number], done = pattern.subn(name, lines[number], count)
            if done and count:
                break
    return "".join(lines)


def _platforms(platform: Platform, builds_on: Platform) -> dict[str, str]:
    """The automatic arguments."""
    return {
        f"{prefix}{name}": value
        for prefix, one in (("TARGET", platform), ("BUILD", builds_on))
        for name, value in (
            ("PLATFORM", str(one)),
            ("OS", one.os),
            ("ARCH", one.architecture),
            ("VARIANT", one.variant),
        )
    }


def _instructions(text: str) -> Iterator[_Instruction]:
    lines = text.splitlines()
    escape = _escape(lines)
    number = 0
    while number < len(lines):
        start = number
        parts: list[str] = []
        while number < len(lines):
            line = lines[number]
            number += 1
            stripped = line.strip()
            if stripped.startswith("#") or not stripped:
                # A comment, or an empty line, does not end an instruction that goes on.
                if not parts:
                    break
                continue
            body = line.rstrip()
            if not body.endswith(escape):
                parts.append(body)
                break
            parts.append(body[:-1])
        whole = "".join(parts)
        if not whole.strip():
            continue
        if whole.split(None, 1)[0].upper() in ("RUN", "COPY", "ADD"):
            number = _behind_heredocs(whole, lines, number)
        yield _Instruction(start, number, whole)


def _escape(lines: list[str]) -> str:
    """The character that continues a line: directives stand before all else, each once."""
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match["name"].lower() == "escape" and match["value"] in ("\\", "`"):
            return match["value"]
    return "\\"


def _behind_heredocs(text: str, lines: list[str], number: int) -> int:
    """The number of the line behind an instruction's here-documents; those that do not end are
    none."""
    for match in _HEREDOC.finditer(text):
        for end in range(number, len(lines)):
            line = lines[end].lstrip("\t") if match["strip"] else lines[end]
            if line == match["word"]:
                number = end + 1
                break
    return number


def _declared(text: str, arguments: Mapping[str, str], scope: Mapping[str, str]) -> dict[str, str]:
    """The global arguments that an ARG declares, with the values that they have."""
    found: dict[str, str] = {}
    for word in re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", text)[1:]:
        name, equals, default = word.partition("=")
        if name in arguments:
            found[name] = arguments[name]
        elif equals:
            found[name] = _expanded(_unquoted(default), {**scope, **found})
        elif name not in scope:
            found[name] = ""
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"""(["'])(.*?)\1""", r"\2", text)


def _from(
    text: str, scope: Mapping[str, str], platform: Platform, place: str, line: int
) -> tuple[Use, str]:
    """The image of a FROM, and the stage's name."""
    match = _FROM.fullmatch(text)
    if match is None:
        raise _no_image("FROM cannot be read", place)
    image = _expanded(_unquoted(match["image"]), scope)
    if not image:
        raise _no_image(f"{match['image'][:100]} stands for nothing: no image is named", place)
    for flag in match["flags"].split():
        name, _, value = flag.partition("=")
        if name.lower() == "--platform":
            try:
                platform = Platform.parse(_expanded(value, scope))
            except ImageError as error:
                error.place = place
                raise
    return Use(match["image"], image, platform, line), match["stage"] or ""


def _no_image(message: str, place: str) -> PackageError:
    return PackageError(
        "dockerfile-image",
        message,
        place=place,
        hint="Write FROM IMAGE, and give each global ARG in it a value.",
    )


def _sources(one: _Instruction) -> Iterator[str]:
    """What an instruction takes files from: stages and images."""
    if one.word in ("COPY", "ADD"):
        yield from (match["image"] for match in _COPY.finditer(one.text))
    elif one.word == "RUN":
        for match in _MOUNT.finditer(one.text):
            for option in match["options"].split(","):
                name, _, value = option.partition("=")
                if name == "from" and value:
                    yield value


def _expanded(text: str, scope: Mapping[str, str]) -> str:
    """`text` with its variables replaced; what is not set is empty."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        given = scope.get(match["plain"] or match["braced"])
        operator = match["operator"] or ""
        # With a colon, an empty value is as good as none.
        has = bool(given) if operator.startswith(":") else given is not None
        if operator.endswith("-") and not has:
            return _expanded(match["word"], scope)
        if operator.endswith("+"):
            return _expanded(match["word"], scope) if has else ""
        return given or ""

    return _VARIABLE.sub(value, text)
