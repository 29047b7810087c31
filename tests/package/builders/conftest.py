"""One engine of each kind for all tests of builders, started when the first one needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Engine, running, trixie_programs
from tests.image.conftest import docker_registry
from tests.machine import require_cgroups

__all__ = ["docker_registry"]


@pytest.fixture(scope="session")
def engine_of_bookworm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The installed engine, with its BuildKit and without a plugin."""
    require_cgroups()
    with running(tmp_path_factory.mktemp("bookworm")) as engine:
        yield engine


@pytest.fixture(scope="session")
def programs_of_trixie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trixie_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def engine_of_trixie(
    programs_of_trixie: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine with containerd's store of images, and a client with the plugin."""
    require_cgroups()
    with running(tmp_path_factory.mktemp("trixie"), programs_of_trixie) as engine:
        yield engine
