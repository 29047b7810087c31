"""Reading YAML: places, aliases, merge keys, first document, and what cannot be read."""

from __future__ import annotations

import contextlib
import time

import pytest

from compos.config.nodes import List, Map, Node, Scalar, read_nodes
from compos.config.problems import Problems
from compos.errors import ConfigError
from compos.progress import Silent, listen
from tests.config.reading import config, errors, mistakes


def read(text: str) -> Node | None:
    problems = Problems()
    problems.source("f", text)
    node = read_nodes(text, "f", problems)
    problems.raise_if_any()
    return node


def plain(node: Node | None) -> object:
    if isinstance(node, Map):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, List):
        return [plain(item) for item in node.items]
    return node.value if node else "nothing"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 'y', \"z\"]\n", {"a": 1, "b": ["x", "y", "z"]}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
        (
            "['5', \"true\", '~', ! 7, !!str 8, !!int '9', !!str yes, !!str 0o17]",
            ["5", "true", "~", "7", "8", 9, "yes", "0o17"],
        ),
        ("a: &x [1, 2]\nb: *x\n", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x 5\nb: *x\n", {"a": 5, "b": 5}),
        ("- &k {a: 1, b: 2}\n- <<: *k\n  b: 3\n", [{"a": 1, "b": 2}, {"a": 1, "b": 3}]),
        ("- &k {a: 1}\n- b: 3\n  <<: *k\n", [{"a": 1}, {"a": 1, "b": 3}]),
        (
            "- &k {a: 1}\n- &l {a: 2, c: 4}\n- {<<: [*k, *l]}\n",
            [{"a": 1}, {"a": 2, "c": 4}, {"a": 1, "c": 4}],
        ),
        ("{'<<': x}", {"<<": "x"}),
        ("a\n---\n[broken\n", "a"),
        ("# only a comment\n", "nothing"),
        ("", "nothing"),
        ("---\n", None),
        ("\ufeffa", "a"),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
    ],
)
def test_values(text: str, value: object) -> None:
    assert plain(read(text.removeprefix("\ufeff"))) == value


def test_spans() -> None:
    node = read("a:\n  - 'bcd'\n  - x\n")
    assert isinstance(node, Map)
    items = node.entries["a"].value.items
    assert [item.span for item in items] == [(2, 5, 5), (3, 5, 1)]
    assert node.entries["a"].key.span == (1, 1, 1)
    assert isinstance(items[0], Scalar)


@pytest.mark.parametrize(
    ("text", "id", "place"),
    [
        ("a: [1\nb: 2\n", "yaml-syntax", "f:2:2"),
        ("a:\n\t- b\n", "yaml-syntax", "f:2:1"),
        ("a: @pkg:x\n", "yaml-syntax", "f:1:4"),
        ("a: b: c\n", "yaml-syntax", "f:1:5"),
        ("a: 'b\n", "yaml-syntax", "f:1:4"),
        ("ä: b\x07\n", "yaml-syntax", "f:1:5"),
        ('a: "\\ud800"\n', "yaml-syntax", "f:1:7"),
        ("a: *b\n", "yaml-alias", "f:1:4"),
        ("a: &a [*a]\n", "yaml-alias", "f:1:8"),
        ("a: {b: 1, b: 2}\n", "yaml-duplicate-key", "f:1:11"),
        ("a: 1\n'a': 2\n", "yaml-duplicate-key", "f:2:1"),
        ("[a]: b\n", "config-type", "f:1:1"),
        ("<<: 5\n", "config-type", "f:1:5"),
        ("a: !own b\n", "yaml-tag", "f:1:4"),
        ("a: !!set {b}\n", "yaml-tag", "f:1:4"),
        ("a: !!int b\n", "yaml-tag", "f:1:4"),
        ("%YAML 3.0\n---\na\n", "yaml-syntax", "f:1:1"),
    ],
)
def test_mistakes(text: str, id: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert (caught.value.id, caught.value.place) == (id, place)
    assert caught.value.excerpt is None or "^" in caught.value.excerpt


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("init:\n\t- b\n", "Indent with spaces: YAML does not allow tabs here."),
        ("init: [@pkg:x]\n", "Put quotes around a value that begins with @, ` or %."),
        (
            "init: b: c\n",
            (
                "Put quotes around a value that contains a colon and a space, or check the "
                "indentation."
            ),
        ),
    ],
)
def test_hints(text: str, hint: str) -> None:
    assert [error.hint for error in errors(text)] == [hint]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n"
            for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        ),
        "- &m0 {k: v}\n" + "".join(f"- &m{n + 1} {{<<: *m{n}, k{n}: v}}\n" for n in range(2000)),
        "[" * 100_000,
        "- " * 100_000,
        "{a: " * 100_000,
        "? " * 100_000,
        "a: &a " * 1000,
    ],
    ids=["laughs", "merges", "brackets", "dashes", "braces", "questions", "anchors"],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    started = time.process_time()
    assert mistakes(text)[-1][0].startswith("yaml-")
    assert time.process_time() - started < 5


def test_what_is_not_utf8() -> None:
    assert mistakes(b"init:\n- a\n- \xff\n") == [("yaml-encoding", "3")]
    assert mistakes("init: [a]".encode("utf-16")) == [("yaml-encoding", "1")]
    assert config("\ufeffinit: [a]").init == ("a",)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a: 'x\nb: 1\n\nc: 2\n", "1:4", "not closed (found unexpected end of stream in line 5)"),
        ('a:\n  - "x\nb: 1\n', "2:5", "not closed"),
        ("a: [1,\n 'x\n", "2:2", "not closed"),
        ("{init: [a], files: [{path: a, contents: 'x}]}\n", "1:41", "not closed"),
        ("a: 'x\n---\nb: c\n", "1:4", "not closed (found unexpected document indicator in line 2)"),
        (
            "a: 'x\nb: 'y'\n",
            "2:5",
            "Close the quote that begins in line 1, column 4: it does not end until here.",
        ),
        ("a: [1, 2\nb: 3\n", "2:2", "Close the [ in line 1, column 4."),
        ("a: {x: 1\nb: 3\n", "2:2", "Close the { in line 1, column 4."),
        ("a: [1, {x: 2]\n", "1:13", "Close the { in line 1, column 8."),
        ("a: [\n", "2:1", "Close the [ in line 1, column 4."),
        ("a:\n- [x]\n- {b: [c,\n  d: e}\n", "4:7", "Close the [ in line 3, column 7."),
    ],
)
def test_where_what_is_not_closed_began(text: str, place: str, said: str) -> None:
    (error,) = errors(text)
    assert (error.id, error.place) == ("yaml-syntax", f"<stdin>:{place}")
    assert said in f"{error.message} {error.hint}"


class Notices(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\n---\nb\n", ["f:2"]),
        ("a\n---\n{b: c}\n", ["f:2"]),
        ("a\n---\n[broken\n", ["f:2"]),
        ("a\n---\n'x\n", ["f:2"]),
        ("---\n---\na: 1\n", ["f:2"]),
        ("a\n---\n---\nb\n", ["f:3"]),
        ("a\n", []),
        ("a\n---\n", []),
        ("a\n...\n", []),
        ("a\n---\n# nothing\n", []),
        ("--- a\n", []),
        ("", []),
    ],
)
def test_a_second_document_is_said(text: str, lines: list[str]) -> None:
    heard = Notices()
    listen(heard)
    try:
        with contextlib.suppress(ConfigError):
            read(text)
    finally:
        listen(Silent())
    assert [one.partition(": ")[0] for one in heard.texts] == lines
