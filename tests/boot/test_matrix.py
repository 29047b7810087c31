"""A sample of the boot matrix, a test a row: the format reaches its service under this firmware, on
this medium. A few more are in `make wide`; `make matrix` boots all rows, with containerd."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.boot.matrix import BRIEF, SAMPLE, Row, boot, build

LONGER = [row for row in SAMPLE if row.name not in {brief.name for brief in BRIEF}]


@pytest.mark.boot
@pytest.mark.parametrize(
    "row",
    # Both workers boot; each row is built where it boots.
    [
        pytest.param(row, marks=[pytest.mark.xdist_group(f"matrix{at % 2}"), *marks])
        for marks, rows in (
            ([], BRIEF),
            ([pytest.mark.wide], LONGER),
        )
        for at, row in enumerate(rows)
    ],
    ids=lambda row: row.name,
)
def test_it_boots(row: Row, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    boot(row, build(row, tmp_path), state)
    shutil.rmtree(tmp_path)
