"""The fuzzer: seeds from a corpus, mutated by a seeded generator, fed to a target in a child
process that is watched.

A target is a function from bytes to nothing. A `ComposError` (or an error that the target's module
documents) is a right answer; any other exception, a hang, a child that dies or outgrows its memory
is a finding, told with the input that caused it.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finding", "Target", "fuzz", "mutated"]

HANG = 5
"""Seconds that one input may take."""

MEMORY = 1 << 30
"""Bytes of address space beyond what the child starts with."""

NUMBERS = (
    b"0",
    b"-1",
    b"00000000000",
    b"77777777777",
    b"18446744073709551616",
    b"9" * 30,
    b"\x80" + b"\xff" * 10,
    b"\xff" * 12,
)
BATCH = 400


@dataclass(frozen=True)
class Target:
    """What is fuzzed: `run` takes an input; `corpus` are valid ones; `words` are put in whole."""

    name: str
    run: Callable[[bytes], None]
    corpus: Sequence[bytes]
    words: Sequence[bytes] = ()


@dataclass(frozen=True)
class Finding:
    """An input that must not do what it did."""

    data: bytes
    what: str


def mutated(source: random.Random, target: Target) -> bytes:
    """A corpus entry with a few changes."""
    data = bytearray(source.choice(target.corpus))
    for _ in range(source.choice((1, 1, 2, 3, 5, 10))):
        _mutate(source, target, data)
    return bytes(data)


def _mutate(source: random.Random, target: Target, data: bytearray) -> None:
    at = source.randrange(len(data) + 1)
    length = min(source.choice((1, 1, 2, 4, 12, 100, 512, 1024)), len(data) - at)
    kind = source.randrange(10)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << source.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = source.randrange(256)
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length] * source.choice((1, 2, 50))
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        other = source.choice(target.corpus)
        start = source.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + source.choice((10, 100, 512, 2000))]
    elif kind == 6:
        word = source.choice(NUMBERS)
        data[at : at + len(word)] = word
    elif kind == 7 and target.words:
        data[at:at] = source.choice(target.words)
    elif kind == 8 and target.words:
        word = source.choice(target.words)
        data[at : at + len(word)] = word
    else:
        data[at : at + length] = source.randbytes(length)


def fuzz(target: Target, *, seed: int, seconds: float, most: int = 5) -> tuple[int, list[Finding]]:
    """Run `target` for `seconds`; gives how many inputs it took and what was found (at most
    `most`)."""
    deadline = time.monotonic() + seconds
    findings: list[Finding] = []
    count = batch = 0
    while time.monotonic() < deadline and len(findings) < most:
        done, finding = _batch(target, seed, batch, deadline)
        count += done
        batch += 1
        if finding is not None:
            findings.append(finding)
    return count, findings


def _inputs(target: Target, seed: int, batch: int) -> list[bytes]:
    source = random.Random(f"{target.name} {seed} {batch}")
    return [mutated(source, target) for _ in range(BATCH)]


def _batch(target: Target, seed: int, batch: int, deadline: float) -> tuple[int, Finding | None]:
    """Some inputs in a child of their own; the number of the one under way goes through a pipe."""
    inputs = _inputs(target, seed, batch)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(target, inputs, writing, deadline)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    lines, _, trace = said.partition(b"!")
    numbers = lines.split()
    last = int(numbers[-1]) if numbers else 0
    if trace:
        return last, Finding(inputs[last], trace.decode("utf-8", "replace"))
    if status != 0:
        return last, Finding(
            inputs[last],
            f"the process ended with status {status} (SIGALRM is a hang, SIGKILL too much memory)",
        )
    return last + 1, None


def _child(target: Target, inputs: Sequence[bytes], pipe: int, deadline: float) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for number, data in enumerate(inputs):
        os.write(pipe, b"%d " % number)
        signal.alarm(HANG)
        try:
            target.run(data)
        except BaseException:
            os.write(pipe, b"!" + traceback.format_exc().encode()[-4000:])
            os._exit(0)
        signal.alarm(0)
        if time.monotonic() > deadline:
            break
    os._exit(0)
