"""JSON of other people: whatever it is, a value or a `ValueError`."""

from __future__ import annotations

import pytest

from compos.image.json_document import canonical_json, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        ("[1]", [1]),
        (b'"\\u00e4"', "ä"),
        (b"\xef\xbb\xbf{}", {}),
        (b"1e400", float("inf")),
    ],
)
def test_values(text: bytes | str, value: object) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b"{} {}",
        b"\xff",
        b"\xff\xfe{",
        b"NaN",
        b"[-Infinity]",
        b"9" * 10_000,
        b"[" * 500_000,
        b'{"a":' * 500_000,
        b"[" * 500_000 + b"]" * 500_000,
        b'"\n"',
        b" " * 101 + b"1",
        "\ud800",
    ],
    ids=lambda text: repr(text[:10]),
)
def test_nonsense(text: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text, limit=100 if len(text) == 102 else 1 << 24)


def test_equal_values_have_one_spelling() -> None:
    assert canonical_json({"b": [1, "ä"], "a": None}) == b'{"a":null,"b":[1,"\\u00e4"]}'
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
