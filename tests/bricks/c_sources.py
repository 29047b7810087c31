"""The rules that bricks' sources in C keep, and what is looked for in them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FUNCTION", "require_formatted", "require_own_guards", "require_short_lines"]

FUNCTION = re.compile(r"^static [\w *]*?\b(\w+)\((?=[^;]*?\)\n\{|[^;{]*\);)", re.MULTILINE)
"""The name of a function that is static: defined, or declared."""


def require_own_guards(paths: Sequence[Path]) -> None:
    """Each header is guarded by its own name."""
    for path in paths:
        if path.suffix == ".h":
            guard = f"COMPOS_{path.stem.upper()}_H"
            assert f"#ifndef {guard}\n#define {guard}\n" in path.read_text(), path


def require_formatted(paths: Sequence[Path]) -> None:
    """clang-format would change nothing; says which lines deviate. `make format` mends them."""
    done = subprocess.run(
        ["clang-format", "--dry-run", "--Werror", "--style=file", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def require_short_lines(paths: Sequence[Path]) -> None:
    """What clang-format leaves alone is short, too: comments, and tables between its marks."""
    long = [
        f"{path.name}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    assert long == []
