"""Writes the tables of docs/plan-format.md and init's `plan_words.h` from the build's own table of
words: `python docs/plan_format.py`."""

from __future__ import annotations

import re
from pathlib import Path

from compos.compose.plan_words import WORDS
from compos.config.kinds import PlanWord

TARGET = Path(__file__).with_name("plan-format.md")
INIT = TARGET.parents[1] / "bricks" / "init" / "src"
HEADER = next(INIT.rglob("plan.h")).with_name("plan_words.h")

TABLE = re.compile(r"(<!-- (outside|inside): [^\n]*-->\n\n)(?:\|[^\n]*\n)+")
"""A table of the page, with the mark in front of it that says which words are in it."""


def page() -> str:
    """The whole page: what is between the tables is left as it is."""
    return TABLE.sub(lambda found: found[1] + _table(found[2]), TARGET.read_text(encoding="utf-8"))


def header() -> str:
    """The C header with all words, sorted."""
    words = sorted(WORDS.values(), key=_identifier)
    lines = [f'    WORD({_identifier(word)}, "{word.name}", {_numbers(word)})' for word in words]
    # One logical line of the preprocessor, its ends below each other as clang-format wants them.
    continued = ["#define PLAN_WORDS(WORD)", *lines[:-1]]
    width = max(map(len, continued))
    macro = "\n".join([*(f"{line:{width}} \\" for line in continued), lines[-1]])
    return (
        "/* plan_words.h: the words of the boot plan, how many arguments each has, and where it may"
        " stand.\n * Made by docs/plan_format.py from the build's table"
        " (compos.compose.plan_words). */\n"
        f"#ifndef COMPOS_PLAN_WORDS_H\n#define COMPOS_PLAN_WORDS_H\n\n{macro}\n\n#endif\n"
    )


def _table(place: str) -> str:
    lines = ["| line | fields | meaning |", "|---|---|---|"]
    lines += [
        f"| `{word.name}` | {_fields(word)}| {meaning} |"
        for word in WORDS.values()
        if (meaning := getattr(word, place))
    ]
    return "\n".join(lines) + "\n"


def _fields(word: PlanWord) -> str:
    comma = any("," in re.sub(r"\(.*?\)", "", field) for field in word.fields)
    text = ("; " if comma else ", ").join(word.fields)
    return f"{text} " if text else ""


def _identifier(word: PlanWord) -> str:
    return word.name.replace("-", "_").replace("?", "_optional").upper()


def _numbers(word: PlanWord) -> str:
    places = [place.upper() for place in ("outside", "inside") if getattr(word, place)]
    return f"{len(word.fields)}, {' | '.join(places)}"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    HEADER.write_text(header(), encoding="utf-8")
