"""The project's own rules as tests: lint, format, strict types, one-way layers, small modules,
quick start."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON_FOLDERS = [
    name
    for name in ("src", "tests", "bench", "docs", "examples", "scripts", "hatch_build.py")
    if (ROOT / name).exists()
]


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint() -> None:
    run("ruff", "check", *PYTHON_FOLDERS)


def test_format() -> None:
    run("ruff", "format", "--check", *PYTHON_FOLDERS)


def test_types() -> None:
    # The oldest supported Python counts (`pyproject.toml`). The backport of zstd, which it would
    # be checked with, is not installed where the standard library has zstd.
    current = (f"--python-version={sys.version_info[0]}.{sys.version_info[1]}",)
    run("mypy", *(current if sys.version_info >= (3, 14) else ()))


def test_layers() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def modules() -> list[Path]:
    return sorted(path for path in (ROOT / "src").rglob("*.py") if "bricks" not in path.parts)


def test_every_module_says_what_it_is_for() -> None:
    for path in modules():
        assert path.read_text().startswith('"""'), path


def test_nothing_needs_a_newer_python_than_debians() -> None:
    """3.11.2, which has no filters for archives; typeshed thinks so of 3.11.4 on only."""
    newer = re.compile(r"\.extract(all)?\([^)]*\bfilter=|\bmember\.replace\(")
    for path in [*modules(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        assert not newer.search(path.read_text()), path


def test_no_merge_is_unfinished() -> None:
    """Git's markers of a conflict, in a file that Git has."""
    line = ["git", "grep", "-nIE", "^(<{7}|>{7}) "]
    found = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("", 1)


def test_no_file_of_everything() -> None:
    sources = [*modules(), *(ROOT / "bricks").rglob("*.[ch]")]
    limits = {**dict.fromkeys(sources, 600), **dict.fromkeys((ROOT / "tests").rglob("*.py"), 750)}
    lengths = {path: len(path.read_text().splitlines()) for path in limits}
    assert {str(path): lines for path, lines in lengths.items() if lines > limits[path]} == {}


def test_starting_up_imports_nothing_heavy() -> None:
    code = "import sys, compos.cli.main as m; m.main(['--version']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {
        "urllib3",
        "yaml",
        "rich",
        "ssl",
        "pysequoia",
        "tarfile",
        "asyncio",
        "backports.zstd",
        "hashlib",
    }
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_starting_up_is_quick(arguments: list[str]) -> None:
    """Processor time, the least of seven: what else the machine does counts little. `make bench`
    tells the truth."""

    def best(*command: str) -> float:
        times = []
        for _ in range(7):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, *command], capture_output=True, check=True, env={**os.environ}
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)

    assert best("-m", "compos", *arguments) < best("-c", "pass") + 0.12
