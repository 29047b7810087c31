"""The table of docs/linuxkit.md#1.0, row by row."""

from __future__ import annotations

import math

import pytest

from compos.config.scalars import Value, typed, value_of

CASES: list[tuple[str, Value]] = [
    *((text, True) for text in ("true", "True", "TRUE")),
    *((text, False) for text in ("false", "False", "FALSE")),
    *((text, text) for text in ("yes", "no", "on", "off", "y", "n", "Yes", "tRUE")),
    ("5", 5),
    ("+5", 5),
    ("-5", -5),
    ("0", 0),
    ("-0", 0),
    ("1_000", 1000),
    ("0b11", 3),
    ("0x1F", 31),
    ("-0x1f", -31),
    ("0o17", 15),
    ("0644", 420),
    ("-0644", -420),
    ("007", 7),
    ("08", 8.0),
    ("1e3", 1000.0),
    ("1.0", 1.0),
    ("1.5", 1.5),
    (".5", 0.5),
    ("5.", 5.0),
    ("-1.5e-2", -0.015),
    (".inf", math.inf),
    ("+.Inf", math.inf),
    ("-.INF", -math.inf),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("", None),
    *(
        (text, text)
        for text in (
            "2001-01-01",
            "2001-12-14t21:59:43.10-05:00",
            "1:30",
            "1.2.3",
            "127.0.0.1",
            "0b2",
        )
    ),
    *(
        (text, text)
        for text in (
            "0x",
            "0x_",
            "0b",
            "0o",
            "0o8",
            "-",
            "+",
            ".",
            "-.",
            "..",
            "_1",
            "1e",
            "e3",
            "+-1",
            "0xg",
        )
    ),
    *((text, text) for text in ("nan", "inf", "nUll", "/dev", "<<", "=", "-1s", "٣")),
]


@pytest.mark.parametrize(("text", "value"), CASES, ids=[text for text, _ in CASES])
def test_plain(text: str, value: Value) -> None:
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


def test_not_a_number() -> None:
    assert math.isnan(value_of(".nan"))  # type: ignore[arg-type]


def test_what_is_too_long_for_an_integer_is_a_float() -> None:
    assert value_of("9" * 5000) == math.inf
    assert value_of(str(2**64 - 1)) == 2**64 - 1


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("5", "str", "5"),
        ("", "str", ""),
        ("5", "int", 5),
        ("5", "float", 5.0),
        ("true", "bool", True),
        ("~", "null", None),
    ],
)
def test_tagged(text: str, tag: str, value: Value) -> None:
    found = typed(text, tag)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "tag"),
    [("x", "int"), ("yes", "bool"), ("1.5", "int"), ("x", "!own"), ("eA==", "binary")],
)
def test_tagged_wrongly(text: str, tag: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  it has no message
        typed(text, tag)
