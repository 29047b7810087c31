"""A laboratory for each test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.lab import Lab
from tests.registry import FakeRegistry


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with FakeRegistry() as registry:
        yield Lab(tmp_path_factory.mktemp("lab"), registry)
