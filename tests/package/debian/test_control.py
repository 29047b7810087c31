"""Stanzas of fields."""

from __future__ import annotations

from compos.package.debian.control import fields, stanzas


def test_fields() -> None:
    text = "Package: a\n# a remark\nDESCRIPTION: short\n long\n .\n\tmore\nEmpty:\nList:\n one\n two\n"
    assert fields(text) == {
        "package": "a",
        "description": "short\nlong\n.\nmore",
        "empty": "",
        "list": "one\ntwo",
    }


def test_line_without_colon_and_orphan() -> None:
    assert fields(" orphan\nno colon here\n lost\nA: 1\n") == {"a": "1"}


def test_stanzas() -> None:
    assert list(stanzas("A: 1\n\n \n# only a remark\n\nA: 2\nB: 3")) == [{"a": "1"}, {"a": "2", "b": "3"}]
