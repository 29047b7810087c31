"""A minute of fuzzing in all, always with the same seeds; `COMPOS_FUZZ_SEED=random` takes one that
nobody has seen, and `python -m tests.fuzz --seconds 600` goes on for longer."""

from __future__ import annotations

import os
import time

import pytest

from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS

SECONDS = {"tar": 10, "yaml": 10}
"""The rest get less."""

GIVEN = os.environ.get("COMPOS_FUZZ_SEED", "2")
SEEDS = (1, int(time.time()) if GIVEN == "random" else int(GIVEN))


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str) -> None:
    for seed in SEEDS:
        count, findings = fuzz(TARGETS[name], seed=seed, seconds=SECONDS.get(name, 3) / 2)
        assert count > 20
        told = "\n".join(f"seed {seed}: {finding.data!r}\n{finding.what}" for finding in findings)
        assert not findings, told
