"""Fixtures of the compose tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose.systems import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
