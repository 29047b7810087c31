"""Outcomes as JUnit's XML, read by a parser, and as GitHub's annotations."""

from __future__ import annotations

from xml.etree import ElementTree

from compos.testing.expectations import Outcome
from compos.testing.reports import annotation, junit

GOOD = Outcome("http 80/", 0.25, file="os.yml", line=7)
BAD = Outcome(
    'a <b> & "c"',
    1.5,
    "not 'x':\n\x1b[31mred\x00]]>",
    "os.yml",
    9,
    {"console": "boot\x1b[6n\ufffe\ud800", "services": "none"},
)


def test_several_suites() -> None:
    root = ElementTree.fromstring(junit([("a", [GOOD]), ("b", [BAD, GOOD])]))
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root] == [
        ("a", "1", "0"),
        ("b", "2", "1"),
    ]
    assert (root.get("tests"), root.get("failures")) == ("3", "1")


def test_junit() -> None:
    root = ElementTree.fromstring(junit([("os", [GOOD, BAD])]))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("2", "1", "1.750")
    good, bad = suite
    assert (good.get("name"), good.get("file"), good.get("line"), list(good)) == (
        "http 80/",
        "os.yml",
        "7",
        [],
    )
    assert bad.get("name") == 'a <b> & "c"'
    failure, output = bad
    assert failure.get("message") == "not 'x':"
    assert failure.text == "not 'x':\n\ufffd[31mred\ufffd]]>"
    assert output.text == ("== console ==\nboot\ufffd[6n\ufffd\ufffd\n\n== services ==\nnone")


def test_annotation() -> None:
    text = annotation(Outcome("a: b, c", 0, "50 %\nless", "dir/os.yml", 9))
    assert text == "::error file=dir/os.yml,line=9,title=a%3A b%2C c::50 %25%0Aless"
    assert "\n" not in text
