"""The examples, built once a session from real bricks into a store of the checkout's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from hatch_build import PROGRAMS, compile_program, host_architecture
from tests.image.conftest import docker_registry

__all__ = ["ROOT", "STORE", "built", "docker_registry"]

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "build" / "test-store"
"""Kept between runs: the bricks' Debian packages are fetched once."""


@pytest.fixture(scope="session", autouse=True)
def _store() -> None:
    os.environ["COMPOS_CACHE"] = str(STORE)
    # Guests run the programs of these sources, not those of the last `make`.
    for brick in PROGRAMS:
        compile_program(brick, host_architecture())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds an example, or YAML text; gives the prefix of its outputs."""
    folder = tmp_path_factory.mktemp("systems")

    def build(source: str) -> Path:
        path = ROOT / "examples" / f"{source}.yml"
        if "\n" in source:
            path = folder / f"system{len(list(folder.iterdir()))}.yml"
            path.write_text(source)
        prefix = folder / path.stem
        if not prefix.with_name(f"{path.stem}-kernel").exists():
            assert main(["build", "--dir", str(folder), str(path)]) == 0
        return prefix

    return build
