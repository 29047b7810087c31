"""Rules of compatibility that the code names are in docs/linuxkit.md, where anybody finds them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = "linuxkit.md"


def tracked(*folders: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    texts = (".py", ".c", ".h", ".md", ".yml")
    return [ROOT / name for name in done.stdout.splitlines() if name.endswith(texts)]


@pytest.fixture(scope="module")
def anchors() -> list[str]:
    return re.findall(r'<a id="([^"]+)">', (ROOT / "docs" / PAGE).read_text())


def test_anchors_stand_once(anchors: list[str]) -> None:
    assert len(set(anchors)) == len(anchors) > 60


def test_what_the_code_refers_to_is_there(anchors: list[str]) -> None:
    found = set()
    for path in tracked("src", "bricks", "tests", "docs"):
        # "linuxkit.md#1.10 and #1.12" names two.
        for first, more in re.findall(
            rf"{PAGE}#([\w.-]*\w)((?:(?:,| and| to)\s+#[\w.-]*\w)*)", path.read_text()
        ):
            found |= {first, *re.findall(r"#([\w.-]*\w)", more)}
    assert len(found) > 40
    assert found - set(anchors) == set()


def test_rules_with_tests_are_described(anchors: list[str]) -> None:
    rules = (ROOT / "tests/conformance/rules.md").read_text()
    named = set(re.findall(r"^\| ([MN\d][\d.]*) \|", rules, re.MULTILINE))
    assert len(named) > 60
    assert named - set(anchors) == set()


@pytest.mark.parametrize("folder", ["src", "bricks"])
def test_no_reference_leads_nowhere(folder: str) -> None:
    """A number without its page: `(N24)`, `defect N16`, `reference 3.7`."""
    pattern = re.compile(r"(?<![#\w])[MN]\d{1,2}(?=[).,; ])|\breference \d|\breference [a-z-]+\.md")
    for path in tracked(folder):
        for line in path.read_text().splitlines():
            if "noqa" not in line:
                assert not pattern.search(line), f"{path}: {line}"
