"""Dependencies, health checks, restarts and shared namespaces in the YAML: what is said of
mistakes, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compos.config.fields import SETTINGS
from compos.config.kinds import Field
from compos.config.model import Config, ImageEntry, Settings
from compos.config.order import check_order
from compos.config.problems import Problems
from compos.config.quantities import (
    MAX_COUNT,
    MAX_MILLISECONDS,
    milliseconds,
    octets,
    signal_number,
)
from tests.config.reading import errors


def service(settings: str, other: str = "") -> str:
    return (
        f"services:\n  - {{name: web, image: w, {settings}}}\n  - "
        f"{{name: db, image: d{other and ', ' + other}}}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        service("depends_on: [db]"),
        service(
            "depends_on: {db: {condition: service_healthy}}",
            "healthcheck: {test: [CMD, /bin/true]}",
        ),
        service(
            "depends_on: {db: {condition: service_completed_successfully, restart: true}}",
            "restart: on-failure:3",
        ),
        service("depends_on: {nobody: {required: false}}"),
        service("healthcheck: {test: exit 0, interval: 1m30s, start_period: 5s, retries: 2}"),
        service("restart: unless-stopped, stop_signal: SIGUSR1, stop_grace_period: 1m"),
        service(
            "logging: {driver: syslog, options: {syslog-address: 'tcp://[::1]:514', max-size: 64k}}"
        ),
        service("net: 'service:db', ipc: 'service:db'", "net: new"),
        "onboot: [{name: a, image: b, timeout: 30s, on_failure: reboot}]",
        "kernel: {image: k, modules: auto, firmware: ['i915/*']}",
    ],
)
def test_what_can_be_said(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    ("text", "id", "message"),
    [
        (service("depends_on: [dd]"), "config-depends-on", "there is no service named 'dd'"),
        (
            service("depends_on: [db]", "depends_on: [web]"),
            "config-depends-on",
            "the services wait for each other: web → db → web",
        ),
        (
            service("depends_on: [web]"),
            "config-depends-on",
            "the services wait for each other: web → web",
        ),
        (
            service(
                "depends_on: {db: {condition: service_completed_successfully}}", "restart: always"
            ),
            "config-depends-on",
            "'db' is always restarted (always) and never completes",
        ),
        (
            service(
                "depends_on: {db: {condition: service_healthy}}", "healthcheck: {disable: true}"
            ),
            "config-depends-on",
            "'db' has a disabled health check and never becomes healthy",
        ),
        (
            service("depends_on: {db: {condition: healthy}}"),
            "config-value",
            (
                "'healthy' is none of: service_started, service_healthy, "
                "service_completed_successfully"
            ),
        ),
        (
            service("healthcheck: {test: [/bin/true]}"),
            "config-healthcheck",
            "'/bin/true' is not a valid test",
        ),
        (
            service("healthcheck: {interval: 0s}"),
            "config-healthcheck",
            "interval is shorter than a millisecond",
        ),
        (service("healthcheck: {interval: '5'}"), "config-duration", "'5' is not a duration"),
        (service("restart: sometimes"), "config-restart", "'sometimes' is not a restart policy"),
        (service("restart: 'always:3'"), "config-restart", "'always:3' is not a restart policy"),
        (service("stop_signal: SIGNONE"), "config-signal", "unknown signal 'SIGNONE'"),
        (service("timeout: 5s"), "config-place", "timeout is not supported in services"),
        (
            "onboot: [{name: a, image: b, restart: always}]",
            "config-place",
            "restart is not supported in onboot",
        ),
        (
            service("logging: {driver: syslog}"),
            "config-logging",
            "the syslog driver requires the address of a server",
        ),
        (
            service("logging: {options: {max-sise: 1m}}"),
            "config-logging",
            "unknown logging option 'max-sise'",
        ),
        (service("net: 'service:dd'"), "config-namespace", "there is no service named 'dd'"),
        (
            service("net: 'service:web'"),
            "config-namespace",
            "a service cannot share its own namespace",
        ),
        (
            service("net: 'service:db'", "net: 'service:web'"),
            "config-namespace",
            "'db' itself shares 'service:web'",
        ),
        (
            service("userns: 'service:db'"),
            "config-namespace",
            "the userns namespace of a service cannot be shared by name",
        ),
        (
            service("pid: 'service:db'", "depends_on: [web]"),
            "config-depends-on",
            "the services wait for each other: web → db → web",
        ),
        (
            "onboot: [{name: a, image: b, net: 'service:x'}]",
            "config-namespace",
            "no service runs yet that could share its net namespace",
        ),
    ],
)
def test_mistakes(text: str, id: str, message: str) -> None:
    found = errors(text)
    assert (id, message) in [(error.id, error.message) for error in found]
    assert all(error.hint and error.place for error in found)


@pytest.mark.parametrize("row", SETTINGS.fields.values(), ids=lambda row: row.key)
@pytest.mark.parametrize("section", ["onboot", "onshutdown", "services"])
def test_a_key_is_refused_in_other_sections_than_its_own(section: str, row: Field) -> None:
    said: dict[str, Any] = {row.name: {}}
    entries: dict[str, Any] = {section: (ImageEntry("a", "b", Settings(**said)),)}
    problems = Problems()
    check_order(Config(**entries), problems)
    assert bool(problems) == bool(row.sections and section not in row.sections)


def test_the_place_is_the_dependency() -> None:
    text = (
        "services:\n- name: web\n  image: w\n  depends_on:\n    - db\n    - missing\n- {name: "
        "db, image: d}\n"
    )
    (error,) = errors(text)
    assert error.place is not None
    assert ":6:7" in error.place


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30s", 30000),
        ("1m30s", 90000),
        ("500ms", 500),
        ("1.5h", 5_400_000),
        ("10", None),
        ("", None),
        ("5s ", None),
    ],
)
def test_durations(text: str, value: int | None) -> None:
    assert milliseconds(text) == value


HUGE = "9" * 5000
"""More digits than int() takes."""


@pytest.mark.parametrize(
    ("read", "largest", "larger"),
    [
        (
            milliseconds,
            f"{MAX_MILLISECONDS}ms",
            (f"{MAX_MILLISECONDS + 1}ms", f"{HUGE}h", f"{HUGE}ms{HUGE}s"),
        ),
        (octets, str(2**63 - 1), (str(2**63), f"{2**33}g", HUGE, f"{HUGE}k")),
        (signal_number, "64", ("65", HUGE, f"RTMIN+{HUGE}", f"RTMAX-{HUGE}")),
    ],
)
def test_what_is_too_large(
    read: Callable[[str], int | None], largest: str, larger: tuple[str, ...]
) -> None:
    assert read(largest)
    assert read(f"{'0' * 5000}{largest}") == read(largest)
    assert [read(text) for text in larger] == [None] * len(larger)


@pytest.mark.parametrize(
    "text", [f"on-failure:{MAX_COUNT + 1}", f"on-failure:{HUGE}", "on-failure:0", "on-failure:٣"]
)
def test_what_no_restart_policy_is(text: str) -> None:
    (error,) = errors(service(f"restart: '{text}'"))
    assert error.id == "config-restart"


def test_sizes_and_signals() -> None:
    assert [octets(text) for text in ("1", "64k", "10MB", "1g", "x", "1.5m")] == [
        1,
        65536,
        10 << 20,
        1 << 30,
        None,
        None,
    ]
    assert [
        signal_number(text)
        for text in ("SIGTERM", "quit", "9", "RTMIN+3", "RTMAX", "0", "SIGX", "65")
    ] == [
        *(15, 3, 9, 37, 64),
        *(None, None, None),
    ]
