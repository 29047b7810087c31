"""Fixtures of the lock's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.conftest import docker_registry
from tests.package.debian.archive_of import serve
from tests.package.lock.team import Team
from tests.registry import FakeRegistry

__all__ = ["docker_registry"]


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("COMPOS_CACHE", "COMPOS_DEBIAN_SNAPSHOT", "COMPOS_DEBIAN_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "srv").mkdir()
    with serve(tmp_path / "srv") as server, FakeRegistry() as registry:
        made = Team(tmp_path, server, registry)
        monkeypatch.setenv("COMPOS_DEBIAN_KEYRING", str(made.keyring))
        yield made
