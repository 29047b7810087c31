"""The page of what boots where has a line for each row that is booted, and for the one that need
not be."""

from __future__ import annotations

from docs.boot_matrix import PAGE, cells
from tests.boot.matrix import ROWS, SAME_KERNEL, WEB


def test_the_page_has_every_row() -> None:
    table = PAGE.read_text().partition("|---|---|---|---|---|---|---|\n")[2]
    lines = [line.rpartition(" | ")[0] + " |" for line in table.splitlines()]
    assert lines == [cells(row) for row in (*ROWS, *WEB, SAME_KERNEL)]
    assert "**fails**" not in table
