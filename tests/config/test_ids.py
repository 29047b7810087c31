"""Numbers of containers: docs/linuxkit.md#1.7."""

from __future__ import annotations

import pytest

from compos.config.ids import id_map, resolve_id
from compos.config.model import Id
from compos.errors import ConfigError
from tests.config.reading import config

SYSTEM = """\
services: [{name: s, image: i}, {name: a, image: i}]
onshutdown: [{name: d, image: i}]
onboot: [{name: a, image: i}, {name: b, image: i}]
volumes: [{name: v}]
"""


def test_counted_over_onboot_onshutdown_services() -> None:
    """From 100; the later of equals wins; volumes have none."""
    assert id_map(config(SYSTEM)) == {"a": 104, "b": 101, "d": 102, "s": 103}


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, 0), ("", 0), ("root", 0), (0, 0), (5, 5), ("a", 100), (2**32 - 1, 2**32 - 1)],
)
def test_resolved(value: Id | None, number: int) -> None:
    assert resolve_id(value, {"a": 100}) == number


@pytest.mark.parametrize("value", ["b", "100", "A"])
def test_not_a_container(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_id(value, {"a": 100})
    assert caught.value.id == "config-id"
    assert caught.value.hint
