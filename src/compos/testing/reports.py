"""Outcomes for other programs: JUnit's XML, and annotations of GitHub's.

Sources: the schema that Jenkins and GitLab read (junit-10.xsd); GitHub's workflow commands. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from compos.testing.expectations import Outcome

__all__ = ["annotation", "junit"]

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 section 2.2 does not allow; consoles have escape sequences."""


def junit(suites: Sequence[tuple[str, Sequence[Outcome]]]) -> bytes:
    """The document: suites by their names, a case for each outcome."""
    root = Element("testsuites", _counts([one for _, outcomes in suites for one in outcomes]))
    for suite, outcomes in suites:
        _add(root, suite, outcomes)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    failed = sum(bool(one.reason) for one in outcomes)
    return {"tests": str(len(outcomes)), "failures": str(failed), "errors": "0"}


def _add(root: Element, suite: str, outcomes: Sequence[Outcome]) -> None:
    seconds = f"{sum(one.seconds for one in outcomes):.3f}"
    counts = {"name": suite, **_counts(outcomes), "time": seconds}
    element = SubElement(root, "testsuite", counts)
    for one in outcomes:
        where = {"file": one.file, "line": str(one.line)} if one.line else {}
        case = SubElement(
            element,
            "testcase",
            {"classname": suite, "name": _clean(one.name), "time": f"{one.seconds:.3f}", **where},
        )
        if one.reason:
            first = _clean(one.reason.splitlines()[0])
            SubElement(case, "failure", {"message": first}).text = _clean(one.reason)
            texts = [f"== {title} ==\n{text}" for title, text in one.evidence.items()]
            SubElement(case, "system-out").text = _clean("\n\n".join(texts))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def annotation(one: Outcome) -> str:
    """GitHub's workflow command for a failure: it is shown at the line of the YAML."""
    values = {"file": one.file, "line": str(one.line), "title": one.name}
    properties = ",".join(f"{key}={_property(value)}" for key, value in values.items() if value)
    return f"::error {properties}::{_data(one.reason)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
