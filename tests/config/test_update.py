"""`update`: what may be said, and what is said of mistakes."""

from __future__ import annotations

import pytest

from compos.config.model import Update
from tests.config.reading import config, errors


def test_what_it_says() -> None:
    text = "update: {compatible: acme-gateway, version: 2.0.0-rc.1+7, downgrade: true}"
    assert config(text).update == Update("acme-gateway", "2.0.0-rc.1+7", downgrade=True)


@pytest.mark.parametrize("version", ["1", "1.4", "2026.11.29", "1.0.0-alpha.1", "0.0.0+x"])
def test_versions(version: str) -> None:
    assert config(f"update: {{compatible: a, version: '{version}'}}").update == Update("a", version)


@pytest.mark.parametrize("name", ["''", "a b", "'a;b'", "-a", "a" * 65, '"a\\n"'])
def test_no_compatible(name: str) -> None:
    (error,) = errors(f"update: {{compatible: {name}, version: 1.0.0}}")
    assert error.id == "config-update"


@pytest.mark.parametrize(
    "version", ["", "v1", "1.02", "1.0.0.0", "1.0-", "1;", "1\\n", "9999999999", "1" + "0" * 64]
)
def test_no_version(version: str) -> None:
    (error,) = errors(f'update: {{compatible: a, version: "{version}"}}')
    assert error.id == "config-update"
