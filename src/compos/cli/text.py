"""Text of other people on a terminal: names in archives, registries' messages, paths. Pure."""

from __future__ import annotations

__all__ = ["visible"]


def visible(text: str) -> str:
    """`text` with everything that does not print, apart from line breaks and tabs, as an escape
    sequence of Python's.

    What a stranger wrote must neither move the cursor, colour what stands around it nor turn the
    direction of writing, and no byte that is not UTF-8 ends in an error when it is printed.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
