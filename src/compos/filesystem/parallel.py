"""Compressing in two threads, in order, with a bounded number of blocks under way. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["in_parallel"]

THREADS = 2
WINDOW = 32

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Iterator[tuple[K, T]], function: Callable[[T], R]) -> Iterator[tuple[K, R]]:
    """Each key with `function` of its value, in the order of `work`, which one thread reads. No
    thread shows in the result."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[tuple[K, Future[R]]] = deque(
            (key, pool.submit(function, value)) for key, value in islice(work, WINDOW)
        )
        while waiting:
            key, future = waiting.popleft()
            result = future.result()
            waiting.extend((key_, pool.submit(function, value)) for key_, value in islice(work, 1))
            yield key, result
