"""Fixtures of the tests of init."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_driver
from tests.bricks.containerd_client import PARTS
from tests.bricks.drivers import Run, driver


@pytest.fixture
def run() -> Run:
    def run(name: str, *arguments: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            [driver(name), *arguments],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="surrogateescape")

    return run


@pytest.fixture(name="driver", scope="session")
def containerd_driver() -> Path:
    """init's containerd client."""
    return compile_driver("containerd", parts=PARTS)
