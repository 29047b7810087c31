"""A console's log: what is expected follows in order, and is waited for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from compos.testing.console import Console


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_each_is_found_behind_the_last(log: Path) -> None:
    log.write_bytes(b"one two \xff one\n")
    console = Console(log, lambda: True)
    assert console.expect("one").start() == 0
    assert console.find("two") is not None
    assert console.expect("one").start() == 10
    with pytest.raises(AssertionError, match="did not show 'one' within 0 s"):
        console.expect("one", timeout=0)
    assert "two" in console.text


def test_it_waits(log: Path) -> None:
    console = Console(log, lambda: True)
    threading.Timer(0.2, lambda: log.write_text("late")).start()
    assert console.expect("late", timeout=30)


def test_the_last_words_of_a_guest_are_read(log: Path) -> None:
    ended = threading.Event()

    def alive() -> bool:
        runs = not ended.is_set()
        if runs:  # it writes and ends between the question and the reading
            log.write_text("last words")
            ended.set()
        return runs

    assert Console(log, alive).expect("last words")
    started = time.monotonic()
    with pytest.raises(AssertionError, match="the guest ended before"):
        Console(log, alive).expect("never", timeout=1000)
    assert time.monotonic() - started < 100
