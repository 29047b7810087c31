"""The rules of init's C sources, kept by the programs of the other bricks: the style of
`.clang-format`, short lines, functions that carry the name of their file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hatch_build import PROGRAMS
from tests.bricks.c_sources import (
    FUNCTION,
    require_formatted,
    require_own_guards,
    require_short_lines,
)
from tests.bricks.compiler import BRICKS, DRIVERS

OTHERS = sorted(brick for brick in PROGRAMS if brick != "init")


def sources(brick: str) -> list[Path]:
    return sorted((BRICKS / brick / "src").rglob("*.[ch]"))


@pytest.mark.parametrize("brick", OTHERS)
def test_functions_of_a_file_carry_its_name(brick: str) -> None:
    others = [
        f"{path.stem}: {name}"
        for path in sources(brick)
        if path.suffix == ".c"
        for name in FUNCTION.findall(path.read_text())
        if not name.startswith(f"{path.stem}_")
    ]
    assert sources(brick)
    assert others == []


@pytest.mark.parametrize("brick", OTHERS)
def test_a_header_is_guarded_by_its_own_name(brick: str) -> None:
    require_own_guards(sources(brick))


@pytest.mark.parametrize("brick", OTHERS)
def test_clang_format_would_change_nothing(brick: str) -> None:
    files = [*sources(brick), *sorted((DRIVERS / brick).glob("*.c"))]
    require_formatted(files)
    require_short_lines(files)


@pytest.mark.parametrize("brick", OTHERS)
def test_a_brick_takes_its_program(brick: str) -> None:
    """Its recipe, and a page that says what goes in."""
    assert f"source: bin/${{arch}}/{brick}\n" in (BRICKS / brick / "build.yml").read_text()
    readme = (BRICKS / brick / "README.md").read_text()
    assert re.search(r"^\| input \|", readme, re.MULTILINE)
    assert "## Differences from LinuxKit" in readme
