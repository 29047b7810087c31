"""Fixtures of the compose tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.compose.kernel_tree import make_kernel_tree
from tests.compose.systems import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="session")
def _kernel_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_kernel_tree(tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def tree(_kernel_tree: Path, tmp_path: Path) -> Path:
    """A copy of `lib/modules/VERSION` with modules that the compiler made, indexed by depmod."""
    return shutil.copytree(_kernel_tree, tmp_path / "lib/modules" / _kernel_tree.name)
