"""The table of rules names tests that exist, and covers the reference."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
SECTIONS = (
    [f"1.{n}" for n in range(16)]
    + [f"2.{n}" for n in range(1, 6)]
    + [f"3.{n}" for n in range(1, 11)]
    + ["4.1", "4.2"]
    + [f"cli-{n}" for n in ("2.3", "2.5", "2.6", "2.7", "2.9", "2.10", "2.11", "2.13", "3.6")]
)
QUIRKS = [f"M{n}" for n in range(1, 14)] + [f"N{n}" for n in range(1, 40)]
ELSEWHERE = {"N8": "docs/plan-format.md: a read-only volume is mounted so by init"}


def rows() -> dict[str, list[str]]:
    table = re.findall(r"^\| (\S+) \|.*\| (.*) \|$", (HERE / "rules.md").read_text(), re.MULTILINE)
    return {
        rule: re.findall(r"`([^`]+)`", tests)
        for rule, tests in table
        if rule not in ("rule", "---")
    }


def test_every_rule_has_a_test() -> None:
    missing = [
        rule for rule in (*SECTIONS, *QUIRKS) if rule not in rows() and rule not in ELSEWHERE
    ]
    assert missing == []


def test_every_test_exists() -> None:
    for rule, tests in rows().items():
        assert tests, rule
        for test in tests:
            file, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (HERE / file).read_text(), re.MULTILINE), (
                f"{rule}: {test}"
            )
