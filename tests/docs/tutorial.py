"""A tutorial as the steps that its reader takes: its fenced blocks, in order.

| block | step |
|---|---|
| first line is a comment with a path | the file of that name |
| `sh` | commands, in the tutorial's folder; `compos run qemu` boots a guest and goes on |
| `console` | after `# `: commands for the guest's shell; other lines: what it prints |
| `text` | what the step before has printed; `…` stands for anything |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TUTORIALS", "Commands", "Console", "File", "Output", "Step", "pattern", "steps"]

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"(?:#|<!--) (?P<path>[\w./-]+)(?: -->)?\n")


@dataclass(frozen=True)
class File:
    """A file that the reader writes."""

    path: str
    contents: str


@dataclass(frozen=True)
class Commands:
    """Shell commands on the reader's machine."""

    text: str


@dataclass(frozen=True)
class Console:
    """One command for the guest's shell, and the output that the page shows."""

    command: str
    output: str


@dataclass(frozen=True)
class Output:
    """What the step before has printed."""

    text: str


Step = File | Commands | Console | Output


def steps(page: str) -> list[Step]:
    """The steps of a page. Raises `ValueError` for a block that is none."""
    return [step for block in _BLOCK.finditer(page) for step in _steps_of(block)]


def _steps_of(block: re.Match[str]) -> Iterator[Step]:
    language, text = block["language"], block["text"]
    if language == "sh":
        yield Commands(text)
    elif language == "text":
        yield Output(text)
    elif language == "console":
        for part in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Console(command, output)
    elif named := _PATH.match(text):
        yield File(named["path"], text)
    else:
        raise ValueError(f"a block that is neither a file nor a command:\n{block[0]}")


def pattern(shown: str) -> str:
    """A regular expression for what a page shows, whatever the width of columns."""
    words = (re.escape(word).replace("…", ".*?") for word in shown.split())
    return "(?s)" + r"\s+".join(words).replace(r"\s+.*?\s+", r"\s.*?")
