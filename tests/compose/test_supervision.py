"""The plan's lines about order, health, restarts and logs; and who waits for a health check that
nobody has."""

from __future__ import annotations

import pytest

from compos.compose.plan_lines import plan_line
from compos.compose.supervision import WORDS, require_health, supervision_lines
from compos.config.model import Dependency, Healthcheck, Logging, Settings
from compos.errors import ConfigError


def test_nothing_said_gives_no_line() -> None:
    assert supervision_lines(Settings()) == ()
    assert (
        supervision_lines(Settings(restart="no", on_failure="continue", stop_grace_period="10s"))
        == ()
    )


def test_everything_said() -> None:
    settings = Settings(
        depends_on={"db": Dependency("service_healthy", restart=True), "a": Dependency()},
        healthcheck=Healthcheck(("CMD-SHELL", "true"), interval="2s"),
        restart="on-failure:4",
        stop_signal="INT",
        logging=Logging("syslog", {"syslog-address": "udp://10.0.0.1:514", "max-size": "64k"}),
        timeout="1m",
        on_failure="reboot",
        unseal=True,
    )
    lines = supervision_lines(settings)
    assert {line[0] for line in lines} == WORDS, "each key of SERVICE_KEYS is among the settings"
    assert all(map(plan_line, lines))
    assert lines == (
        ("after", "a", "started", ""),
        ("after", "db", "healthy", "restart"),
        ("health", "2000", "30000", "3", "0", "5000"),
        ("test", "/bin/sh"),
        ("test", "-c"),
        ("test", "true"),
        ("restart", "on-failure", "4"),
        ("stop", "2", "10000"),
        ("log", "syslog", "65536", "3", "udp://10.0.0.1:514", ""),
        ("timeout", "60000"),
        ("failure", "reboot"),
        ("unseal",),
    )


def test_the_images_own_signal() -> None:
    assert supervision_lines(Settings(), "SIGQUIT") == (("stop", "3", "10000"),)
    assert supervision_lines(Settings(stop_signal="TERM"), "SIGQUIT") == ()
    assert supervision_lines(Settings(), "SIGWEIRD") == (), "of a system that has it"


def test_health_that_nobody_checks() -> None:
    lines: dict[str, list[tuple[str, ...]]] = {
        "web": [("after", "db", "healthy", "")],
        "db": [("restart", "always", "0")],
    }
    with pytest.raises(ConfigError) as caught:
        require_health(lines, {"web": "a.yml:3:5"})
    assert (caught.value.id, caught.value.place) == ("config-depends-on", "a.yml:3:5")
    require_health({**lines, "db": [("health", "1", "1", "1", "0", "1")]}, {})
