"""Every value of the model is in the digest, whatever it is and wherever it stands; places are
not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from time import process_time
from types import MappingProxyType
from typing import Any

import pytest

from compos.config.digest import digest
from compos.config.model import Config, File, ImageEntry, Mark, Settings
from tests.config.reading import config
from tests.config.values import records


def moved(value: Any) -> Any:
    """The same value at other places."""
    if isinstance(value, Mark):
        return Mark("b.yml", 7, 9, "services[1]", {"image": Mark("c.yml", 2, 2)}, "TAG from --set")
    if hasattr(value, "_fields"):
        return type(value)(*map(moved, value))
    if isinstance(value, tuple):
        return tuple(map(moved, value))
    return (
        {name: moved(inner) for name, inner in value.items()}
        if isinstance(value, Mapping)
        else value
    )


@pytest.mark.slow
def test_every_value_counts() -> None:
    found: dict[bytes, Config] = {}
    first = next(records(Config))
    for one in records(Config):
        key = digest(one)
        if one.test != first.test:
            assert key == digest(first)  # how a system is tested changes nothing of it
            continue
        assert key not in found, (one, found[key])
        found[key] = one
    assert len(found) > 500


@pytest.mark.slow
def test_places_do_not_count() -> None:
    for one in records(Config):
        assert digest(moved(one)) == digest(one)


def test_the_same_yaml_elsewhere_is_the_same() -> None:
    text = "kernel: {image: a}\nservices:\n- {name: a, image: b, sysctl: {x: '1'}}\n"
    assert digest(config(text)) == digest(config("\n\n# far down\n" + text))
    assert digest(config(text)) != digest(config(text.replace("'1'", "'2'")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"annotations": {"a": "b", "c": "d"}}, {"annotations": {"c": "d", "a": "b"}}),
        ({"command": ("a b",)}, {"command": ("a", "b")}),
        ({"command": ('a","b',)}, {"command": ("a", "b")}),
        ({"uid": 1}, {"uid": "1"}),
        ({"cwd": "\udc80"}, {"cwd": "\x80"}),
        ({"env": ()}, {"env": None}),
    ],
)
def test_what_looks_alike_is_not(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (
        digest(Config(services=(ImageEntry("a", "b", Settings(**settings)),)))
        for settings in (one, other)
    )
    assert first != second


def test_mappings_of_any_kind() -> None:
    plain, proxy = ({"a": "b"}, MappingProxyType({"a": "b"}))
    assert digest(Config(services=(ImageEntry("a", "b", Settings(sysctl=plain)),))) == digest(
        Config(services=(ImageEntry("a", "b", Settings(sysctl=proxy)),))
    )


@pytest.mark.parametrize("value", [b"bytes", {1}, object()])
def test_a_type_that_the_model_does_not_have_fails(value: Any) -> None:
    with pytest.raises(TypeError):
        digest(Config(files=(File(contents=value),)))


def test_it_is_about_as_quick_as_a_repr() -> None:
    """A thousand services; both in this process, the best of five. Other tests share the caches of
    the processor: only twice as slow is slow."""
    entry = ImageEntry(
        "a",
        "b",
        Settings(
            capabilities=("all",), binds=("/a:/b", "/c:/d"), command=("/bin/x", "-y"), net="host"
        ),
        Mark("a"),
    )
    many = Config(
        services=tuple(entry._replace(name=f"service-{number}") for number in range(1000))
    )

    def best(work: Any) -> float:
        times = []
        for _ in range(5):
            start = process_time()
            work()
            times.append(process_time() - start)
        return min(times)

    plain = best(lambda: hashlib.sha256(repr(many).encode()).digest())
    assert best(lambda: digest(many)) < 2 * plain
