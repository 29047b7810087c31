"""What a user may have meant who wrote a name that does not exist. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["did_you_mean", "question", "similar"]

MAX_WORD = 200
"""Characters of a word that may be misspelt; comparing takes the square of it."""

SIMILARITY = 0.7
"""Of two words that may be the same, as `difflib` measures it (0 to 1)."""


def similar(text: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the `known` names that `text` may stand for, in any case of letters: those
    that begin with it, else those that are most similar, the nearest first."""
    # Needed only after a mistake.
    from difflib import get_close_matches

    if len(text) > MAX_WORD:
        return []
    lowered = {name.lower(): name for name in known}
    text = text.lower()
    begun = [name for name in lowered if len(text) > 3 and name.startswith(text)]
    near = begun[:count] or get_close_matches(text, lowered, count, SIMILARITY)
    return [lowered[name] for name in near]


def question(names: Sequence[str]) -> str:
    """The hint that asks for one of `names`; empty without any."""
    return f"Did you mean {' or '.join(map(repr, names))}?" if names else ""


def did_you_mean(text: str, known: Iterable[str], otherwise: str) -> str:
    """The hint for a name that is not `known`: what it may stand for, else `otherwise`."""
    return question(similar(text, known, 1)) or otherwise
