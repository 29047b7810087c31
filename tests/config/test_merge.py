"""Merging: every field of the model has a rule, by the model's own list of fields."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from compos.config.merge import merge
from compos.config.model import Config, Kernel, Mark
from tests.config.values import variants

NEVER_MERGED = {"overlays"}
"""`load` merges the part for the wanted architecture, and drops the others."""


def given(kind: Any, name: str) -> Any:
    return kind(**{name: next(variants(get_type_hints(kind)[name]))})


@pytest.mark.parametrize("name", [name for name in Config._fields if name not in NEVER_MERGED])
def test_what_either_file_says_is_kept(name: str) -> None:
    one = given(Config, name)
    for merged in (merge(one, Config()), merge(Config(), one)):
        assert getattr(merged, name) == getattr(one, name)


@pytest.mark.parametrize("name", [name for name in Kernel._fields if name != "mark"])
def test_what_either_kernel_says_is_kept(name: str) -> None:
    one, none = Config(kernel=given(Kernel, name)), Config(kernel=Kernel())
    for merged in (merge(one, none), merge(none, one)):
        assert merged.kernel == one.kernel


@pytest.mark.parametrize(
    ("name", "base", "over", "merged"),
    [
        ("image", "a", "b", "b"),
        ("image", "a", "", "a"),
        ("cmdline", "a", "", "a"),
        ("binary", "a", "", "a"),
        ("tar", "a", "", ""),
        ("ucode", "a", "", ""),
        ("modules", ("a",), (), ()),
        ("firmware", ("a",), ("b",), ("b",)),
    ],
)
def test_kernels(name: str, base: Any, over: Any, merged: Any) -> None:
    kernel = merge(
        Config(kernel=Kernel(**{name: base})), Config(kernel=Kernel(**{name: over}))
    ).kernel
    assert getattr(kernel, name) == merged


def test_places_come_along() -> None:
    base = Kernel(image="a", mark=Mark("a.yml", 1, 1, "kernel", {"image": Mark("a.yml", 2, 3)}))
    over = Kernel(
        image="", cmdline="x", mark=Mark("b.yml", 1, 1, "kernel", {"cmdline": Mark("b.yml", 2, 3)})
    )
    kernel = merge(Config(kernel=base), Config(kernel=over)).kernel
    assert kernel is not None
    assert (kernel.mark.at("image").file, kernel.mark.at("cmdline").file) == ("a.yml", "b.yml")


def test_a_mark_is_equal_or_unequal() -> None:
    one, other = Mark("a", 1), Mark("b", 2)
    assert one == other
    assert not one != other  # noqa: SIM202  tuple has a `!=` of its own
    assert one != ("a", 1, 0, "", None, "")
    assert not one == ("a", 1, 0, "", None, "")  # noqa: SIM201
