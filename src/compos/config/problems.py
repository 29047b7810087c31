"""Collecting mistakes: every one with its place and the source line, reported together in the
order of the files. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compos.config.model import Mark
from compos.errors import CombinedError, ComposError, ConfigError

__all__ = ["Problems"]

MAX_MISTAKES = 100
"""Mistakes that are kept: a file with more is not YAML of ours at all."""

MAX_MESSAGE = 1000
"""Characters of a message: what it quotes may be megabytes long."""

AFTER_ALL_LINES = 1 << 30
"""A line number beyond those of any source."""

MAX_EXCERPT = 110
"""Characters of a source line that are shown."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Problems:
    """The mistakes of one run, over all its sources."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int, int, str, str], ComposError] = {}
        self._sources: list[str] = []
        self._lines: dict[str, list[str]] = {}

    def source(self, name: str, text: str) -> None:
        """Tell the text of a source, for excerpts; sources come in the order in which the user
        named them."""
        if name not in self._lines:
            self._sources.append(name)
        self._lines[name] = _BREAK.split(text)

    def add(
        self, id: str, message: str, mark: Mark, *, hint: str | None = None, width: int = 1
    ) -> None:
        """Note a mistake at `mark`. The same mistake at the same place (through aliases) counts
        once."""
        self._keep(
            self.error(id, message, mark, hint=hint, width=width), mark.file, mark.line, mark.column
        )

    def stop(self, error: ComposError, source: str) -> None:
        """Note an error after which `source` could not be read on: it comes last of that
        source's."""
        self._keep(error, source, AFTER_ALL_LINES, 0)

    def error(
        self, id: str, message: str, mark: Mark, *, hint: str | None = None, width: int = 1
    ) -> ConfigError:
        """The error for a mistake at `mark`, with its source line; it is not noted."""
        if len(message) > MAX_MESSAGE:
            message = f"{message[:MAX_MESSAGE]}…"
        return ConfigError(
            id, message, place=str(mark), hint=hint, excerpt=self._excerpt(mark, width)
        )

    def _keep(self, error: ComposError, source: str, line: int, column: int) -> None:
        if source not in self._lines:
            self.source(source, "")
        if len(self._found) < MAX_MISTAKES:
            key = (self._sources.index(source), line, column, error.id, error.message)
            self._found.setdefault(key, error)

    @property
    def is_full(self) -> bool:
        """Whether further mistakes are not kept: no work need go into them."""
        return len(self._found) >= MAX_MISTAKES

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise the one mistake, or `CombinedError` with all of them in the order of the input."""
        errors: Sequence[ComposError] = [self._found[key] for key in sorted(self._found)]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise CombinedError(errors)

    def _excerpt(self, mark: Mark, width: int) -> str | None:
        """The line with its number, and carets below what is meant."""
        lines = self._lines.get(mark.file, [])
        if not 0 < mark.line <= len(lines):
            return None
        line = "".join(
            character if character.isprintable() else " " for character in lines[mark.line - 1]
        )
        column = min(mark.column - 1, len(line))
        start = max(0, column - MAX_EXCERPT // 2) if len(line) > MAX_EXCERPT else 0
        line = line[start : start + MAX_EXCERPT]
        carets = "^" * max(1, min(width, len(line) - (column - start)))
        margin = " " * len(str(mark.line))
        return f"{margin} |\n{mark.line} | {line}\n{margin} | {' ' * (column - start)}{carets}"
