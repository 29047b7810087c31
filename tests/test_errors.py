"""The family of errors: what the command line needs of each."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from compos import errors
from compos.errors import CombinedError, ComposError

# One worker parses the source.
pytestmark = pytest.mark.xdist_group("errors")

SOURCE = Path(errors.__file__).parent
FAMILY = frozenset(errors.__all__)


def test_all_are_one_family() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), ComposError)


def test_text_has_sentence_place_and_id() -> None:
    assert (
        str(ComposError("some-id", "it is broken", place="here:1"))
        == "it is broken (here:1) [some-id]"
    )


def test_several_keep_their_order() -> None:
    first, second = ComposError("a-b", "one"), ComposError("c-d", "two")
    combined = CombinedError([first, second])
    assert combined.errors == (first, second)
    assert combined.id == "a-b"


def test_every_id_in_the_source_is_kebab_case() -> None:
    """Found where an error class is called with a literal id."""
    found = {id for id, _ in raised()}
    assert len(found) > 20
    assert {id for id in found if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id)} == set()


@cache
def raised() -> list[tuple[str, str]]:
    """Every literal id in the source and the class that it is raised with."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                value = node.args[0]
                known = node.func.id in FAMILY
                if known and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.append((value.value, node.func.id))
    return found


def test_an_id_that_has_a_class_is_raised_with_it() -> None:
    """Otherwise whoever catches the class misses some of them."""
    documented = {
        id: name
        for name in errors.__all__
        for id in re.findall(r"`([a-z-]+)`", getattr(errors, name).__doc__ or "")
    }
    assert len(documented) > 10
    for id, name in raised():
        if id in documented:
            family, expected = getattr(errors, name), getattr(errors, documented[id])
            assert issubclass(family, expected), (id, name)


def test_no_code_decides_by_an_id() -> None:
    pattern = re.compile(r"\.id(\s+(not\s+)?in\s|\s*[!=]=|\.startswith)")
    for path in SOURCE.rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not pattern.search(line), f"{path}: {line}"
