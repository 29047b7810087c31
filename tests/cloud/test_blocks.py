"""Blocks of sparse files: which are read and sent, in how much memory."""

from __future__ import annotations

import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from compos.cloud.blocks import Block, data_blocks, data_runs, send_blocks

SIZE = 1 << 16


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(10 * SIZE + 100)
        for number in (0, 1, 5):
            stream.seek(number * SIZE + 9)
            stream.write(b"x")
        stream.seek(7 * SIZE)
        stream.write(bytes(SIZE))
        stream.seek(10 * SIZE + 50)
        stream.write(b"end")
    return path


def test_zeros_are_left_out_whether_they_are_stored_or_not(sparse: Path) -> None:
    found = list(data_blocks(sparse, SIZE))
    assert [one.number for one in found] == [0, 1, 5, 10]
    whole = sparse.read_bytes().ljust(11 * SIZE, b"\0")
    for number, data in found:
        assert data == whole[number * SIZE : (number + 1) * SIZE]


def test_a_limit_ends_it(sparse: Path) -> None:
    """What is behind it belongs to the container, as a VHD's footer does."""
    assert [one.number for one in data_blocks(sparse, SIZE, limit=10 * SIZE)] == [0, 1, 5]


def test_neighbours_are_one_run(sparse: Path) -> None:
    found = list(data_runs(sparse, SIZE, 8 * SIZE))
    assert [(one.number, len(one.data)) for one in found] == [
        (0, 2 * SIZE),
        (5, SIZE),
        (10, 100),
    ]
    assert [one.number for one in data_runs(sparse, SIZE, SIZE)] == [0, 1, 5, 10]


def test_memory_is_flat_for_twenty_gibibytes(tmp_path: Path) -> None:
    path = tmp_path / "large"
    block = 512 << 10
    with path.open("wb") as stream:
        stream.truncate(20 << 30)
        for number in range(120):
            stream.seek(number * (20 << 30) // 120)
            stream.write(b"data")
    sent: list[int] = []
    tracemalloc.start()
    try:
        total = send_blocks(
            "send",
            data_blocks(path, block),
            lambda one: sent.append(one.number),
            total=0,
            at_once=4,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sent) == 120
    assert total == 120 * block
    assert peak < 20 * block


def test_several_are_sent_at_a_time() -> None:
    together = threading.Barrier(4, timeout=20)
    blocks = (Block(number, b"x") for number in range(8))
    assert send_blocks("send", blocks, lambda one: _pass(together), total=8, at_once=4) == 8


def _pass(barrier: threading.Barrier) -> None:
    barrier.wait()


def test_the_first_failure_stops_the_rest() -> None:
    sent: list[int] = []

    def send(block: Block) -> None:
        if block.number == 3:
            raise ValueError("no")
        sent.append(block.number)
        time.sleep(0.01)

    blocks = (Block(number, b"x") for number in range(10_000))
    with pytest.raises(ValueError, match="no"):
        send_blocks("send", blocks, send, total=0, at_once=2)
    assert len(sent) < 20
