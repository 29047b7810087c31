"""The section `test`: what an entry may say, where it is printed, and what does not depend on it."""

from __future__ import annotations

import pytest

from compos.config.dump import metadata_document, to_yaml
from compos.config.model import Expectation
from tests.config.reading import config, mistakes

GOOD = """
test:
- {http: 80/a?b=c, status: 404, contains: "not (found|here)", timeout: 1m30s}
- {exec: [svc, ps], within: web, status: 3}
- {console: "started at [0-9.]+ s"}
- {file: /etc/os-release, contains: ID}
- {name: it lives, service: web, state: healthy}
- {metric: memory, within: web, most: 16m, fresh: true}
- {metric: restarts, most: 0}
"""


def test_what_an_entry_says() -> None:
    found = config(GOOD).test
    assert found is not None
    assert [one._replace(mark=Expectation().mark) for one in found] == [
        Expectation(http="80/a?b=c", status=404, contains="not (found|here)", timeout="1m30s"),
        Expectation(exec=("svc", "ps"), within="web", status=3),
        Expectation(console="started at [0-9.]+ s"),
        Expectation(file="/etc/os-release", contains="ID"),
        Expectation(name="it lives", service="web", state="healthy"),
        Expectation(metric="memory", within="web", most="16m", fresh=True),
        Expectation(metric="restarts", most=0),
    ]
    assert [one.mark.line for one in found] == [3, 4, 5, 6, 7, 8, 9]


def test_it_is_printed_but_not_in_the_system() -> None:
    found = config(GOOD)
    assert config(to_yaml(found)).test is not None
    assert b"test" not in metadata_document(found, "yaml")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{}", "config-test"),
        ("{name: a}", "config-test"),
        ("{http: 80/, file: /a}", "config-test"),
        ("{http: '0/'}", "config-test"),
        ("{http: 65536/}", "config-test"),
        ("{http: 80 /}", "config-test"),
        ('{http: "80/\\r\\nHost: x"}', "config-test"),
        ("{http: http://localhost/}", "config-test"),
        ("{console: '('}", "config-test"),
        ("{console: a, contains: b}", "config-test"),
        ("{console: a, status: 0}", "config-test"),
        ("{service: a, within: b}", "config-test"),
        ("{http: 80/, state: running}", "config-test"),
        ("{service: a, state: happy}", "config-value"),
        ("{file: a}", "config-path"),
        ("{http: 80/, status: 1000}", "config-range"),
        ("{http: 80/, timeout: soon}", "config-duration"),
        ("{metric: mood, most: 1}", "config-value"),
        ("{metric: memory}", "config-test"),
        ("{metric: memory, most: much}", "config-test"),
        ("{metric: memory, most: -1}", "config-range"),
        ("{metric: processes, most: 1}", "config-test"),
        ("{metric: boot, most: 1s, within: web}", "config-test"),
        ("{metric: boot, most: 1}", "config-test"),
        ("{metric: restarts, most: 1s}", "config-test"),
        ("{metric: memory, most: 1m, contains: a}", "config-test"),
        ("{service: a, most: 1}", "config-test"),
        ("{service: a, fresh: maybe}", "config-type"),
        ("{https: 80/}", "config-unknown-key"),
    ],
)
def test_mistakes(entry: str, expected: str) -> None:
    found = mistakes(f"test: [{entry}]")
    assert found, entry
    assert {id for id, _ in found} == {expected}, found
