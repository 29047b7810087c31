"""Fixtures: a registry on loopback, and somebody who has keys and pushes images to it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.image.conftest import _no_credentials, started_registries
from tests.trust.pairs import require_cryptography
from tests.trust.team import Team

__all__ = ["_no_credentials"]

_NUMBERS = count()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry: starting and ending one takes longer than most tests."""
    for start in started_registries(tmp_path_factory.mktemp("registry")):
        yield start()


@pytest.fixture
def team(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Team:
    """With a part of the registry that no other test uses."""
    require_cryptography()
    for name in ("COMPOS_POLICY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Team(tmp_path, f"{host}/t{next(_NUMBERS)}", capsys)
