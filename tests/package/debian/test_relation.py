"""Relations as they stand in Debian's lists."""

from __future__ import annotations

import pytest

from compos.errors import PackageError
from compos.package.debian.relation import Dependency, Relation, parse_alternatives, parse_relations


def test_relations() -> None:
    text = "libc6 (>= 2.38), perl:any, foo (<<1:2~),  g++ ( = 4:1-2 ),"
    assert parse_relations(text) == (
        Relation("libc6", ">=", "2.38"),
        Relation("perl", qualifier="any"),
        Relation("foo", "<<", "1:2~"),
        Relation("g++", "=", "4:1-2"),
    )


def test_alternatives() -> None:
    parsed = parse_alternatives("a (>= 1) | b:amd64|c, d")
    assert parsed == (
        Dependency((Relation("a", ">=", "1"), Relation("b", qualifier="amd64"), Relation("c"))),
        Dependency((Relation("d"),)),
    )
    assert [str(dependency) for dependency in parsed] == ["a (>= 1) | b:amd64 | c", "d"]
    assert parse_alternatives("") == ()


@pytest.mark.parametrize("text", ["a (1)", "a (>= 1", "a b", "(>= 1)", "a (== 1)", "a || b"])
def test_unreadable(text: str) -> None:
    with pytest.raises(PackageError) as caught:
        parse_alternatives(text)
    assert caught.value.id == "debian-index"


@pytest.mark.parametrize(("version", "accepted"), [("1.9", False), ("2", True), ("2~rc", False)])
def test_accepts(version: str, accepted: bool) -> None:
    assert Relation("a", ">=", "2").accepts(version) is accepted
    assert Relation("a").accepts(version)
