"""Stanzas of fields."""

from __future__ import annotations

import pytest

from compos.package.debian.control import fields, stanzas


def test_fields() -> None:
    text = (
        "Package: a\n# a remark\nDESCRIPTION: short\n long\n .\n\tmore\nEmpty:\nList:\n one\n two\n"
    )
    assert fields(text) == {
        "package": "a",
        "description": "short\nlong\n.\nmore",
        "empty": "",
        "list": "one\ntwo",
    }


def test_line_without_colon_and_orphan() -> None:
    assert fields(" orphan\nno colon here\n lost\nA: 1\n") == {"a": "1"}


def test_only_line_feeds_end_lines() -> None:
    assert fields("A: 1\u2028B: 2\x0cC: 3\x85D: 4\n") == {"a": "1\u2028B: 2\x0cC: 3\x85D: 4"}


def test_a_field_that_occurs_twice_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="'a' occurs twice"):
        fields("A: 1\nB: 2\na: 3\n")
    # apt reads its own configuration in this way.
    assert list(stanzas("A: 1\nA: 2\n")) == [{"a": "2"}]


def test_stanzas() -> None:
    assert list(stanzas("A: 1\n\n \n# only a remark\n\nA: 2\nB: 3")) == [
        {"a": "1"},
        {"a": "2", "b": "3"},
    ]
