"""LinuxKit's test cases: the table names tests that exist, the page has every row of it, and a
judge takes no single success for all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.linuxkit_cases import CASES, Case
from scripts.linuxkit_examples import NOT_NOW
from scripts.linuxkit_judges import PASSED, verdict
from scripts.linuxkit_tests import PAGE, row

TESTS = Path(__file__).resolve().parents[1]
LINES = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
IDS = [case.name for case in CASES]


def test_all_cases_of_linuxkit_are_counted() -> None:
    assert sum(case.cases for case in CASES) == 191
    assert len({*IDS}) == len(IDS)


def test_the_page_has_the_tables_rows() -> None:
    """A row that is older than the table says something else."""
    last = [line.removesuffix(" |").rpartition(" | ")[2] for line in LINES]
    assert [row(case, said) for case, said in zip(CASES, last, strict=True)] == LINES


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_case_is_run_or_says_why_not(case: Case) -> None:
    assert bool(case.judge) != bool(case.why)
    last = LINES[CASES.index(case)].removesuffix(" |").rpartition(" | ")[2]
    if case.judge:
        assert last in ("passes", NOT_NOW) or last.startswith("**fails**: ")
    else:
        assert last == f"not run: {case.why}"


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_test_exists(case: Case) -> None:
    assert case.shown or case.why
    for test in case.shown:
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), test


@pytest.mark.parametrize(
    ("console", "missing"),
    [
        ("a suite PASSED\r\n[ 1.0] reboot: Power down\r\nb suite PASSED\r\n", ""),
        ("+ printf 'a suite PASSED\\n'\r\na suite PASSED\r\n", "is said 1 times, not 2"),
        ("a suite PASSED\r\nb suite PASSED\r\nc suite FAILED\r\n", "a container says FAILED"),
        ("", "it did not power itself off"),
    ],
)
def test_verdicts(console: str, missing: str) -> None:
    assert verdict(console, PASSED, 2).endswith(missing)
    assert bool(verdict(console, PASSED, 2)) == bool(missing)
