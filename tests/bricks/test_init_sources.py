"""The rules that init's C sources keep: names that grep finds, includes by the path from `src`, and
the style of `.clang-format`."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.bricks.c_sources import (
    FUNCTION,
    require_formatted,
    require_own_guards,
    require_short_lines,
)
from tests.bricks.compiler import DRIVERS, SOURCES

VARIABLE = re.compile(
    r"^(?:static (?!struct \{)[\w *]*?\b|\} )(\w+)(?:\[[^\]\n]*\])*(?: =|;|, )", re.MULTILINE
)
TYPE = re.compile(r"^(?:struct|enum) (\w+) \{", re.MULTILINE)


def sources() -> list[Path]:
    return sorted(SOURCES.rglob("*.[ch]"))


def own(path: Path, pattern: re.Pattern[str]) -> list[str]:
    """The names at a file's own scope that `pattern` finds; a type's fields and locals are indented."""
    return pattern.findall(path.read_text())


def test_functions_of_a_file_carry_its_name() -> None:
    found = {path: own(path, FUNCTION) for path in sources() if path.suffix == ".c"}
    assert sum(map(len, found.values())) > 200
    others = {
        f"{path.stem}: {name}"
        for path, names in found.items()
        for name in names
        if not name.startswith(f"{path.stem}_")
    }
    assert others == set()


@pytest.mark.parametrize("pattern", [VARIABLE, TYPE])
def test_no_two_files_have_a_variable_or_type_of_one_name(pattern: re.Pattern[str]) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        for name in own(path, pattern):
            places[name].append(path.stem)
    assert len(places) > 40
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_headers_stand_by_the_path_from_src() -> None:
    for path in sources():
        for name in re.findall(r'#include "([^"]+)"', path.read_text()):
            assert (SOURCES / name).exists(), f"{path}: {name}"
            assert "/" in name, f"{path}: {name}"


def test_a_header_is_guarded_by_its_own_name() -> None:
    require_own_guards(sources())


def test_clang_format_would_change_nothing() -> None:
    require_formatted([*sources(), *sorted((DRIVERS / "init").glob("*.c"))])


def test_lines_are_short() -> None:
    require_short_lines([*sources(), *sorted((DRIVERS / "init").glob("*.c"))])
