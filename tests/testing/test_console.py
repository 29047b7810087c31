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


def test_a_console_that_is_put_back(log: Path) -> None:
    """What came in between is forgotten, also by a second return to the same state."""
    log.write_bytes(b"boot \xc3\xa9 done\n")
    console = Console(log, lambda: True)
    console.expect("boot")
    mark = console.mark(len(log.read_bytes()))
    for number in range(2):
        with log.open("ab") as file:
            file.write(b"done by test %d\n" % number)
        assert f"test {number}" in console.text
        console.expect(f"test {number}")
        console.restore(mark, log.stat().st_size)
        assert console.text == "boot é done\n"
        assert console.expect("done").start() == 7
        console.restore(mark, log.stat().st_size)
    with log.open("ab") as file:
        file.write(b"after\n")
    assert console.text == "boot é done\nafter\n"
    assert console.mark(log.stat().st_size).shown == "boot é done\nafter\n".encode()


def test_lines_end_as_in_python(log: Path) -> None:
    """Terminals get a carriage return before each line feed; kernels end lines in both ways."""
    log.write_bytes(b"one\r\ntwo\nthree\r\n")
    assert Console(log, lambda: True).text == "one\ntwo\nthree\n"
