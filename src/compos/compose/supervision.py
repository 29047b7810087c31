"""What the boot plan says of a container beside its bundle: order, health, restarts, end, logs
(docs/plan-format.md). Pure.

Source of the words and defaults: the Compose specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compos.config.model import Dependency, Healthcheck, Logging, Settings
from compos.config.quantities import milliseconds, octets, signal_number
from compos.errors import ConfigError

__all__ = ["NAMESPACES", "WORDS", "Lines", "namespace_path", "require_health", "supervision_lines"]

Lines = tuple[tuple[str, ...], ...]

NAMESPACES = "/run/compos/namespaces"
"""Where namespaces that services share are bound."""

WORDS = frozenset(("after", "failure", "health", "log", "restart", "stop", "test", "timeout"))
"""The plan's words that `supervision_lines` gives."""

CONDITIONS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
INTERVAL, TIMEOUT, RETRIES, START_PERIOD, START_INTERVAL = "30s", "30s", 3, "0s", "5s"
SIGNAL, GRACE_PERIOD = "SIGTERM", "10s"
LOG_SIZE, LOG_FILES = "1m", "3"


def namespace_path(service: str, kind: str) -> str:
    """Where the namespace of `kind` (net, ipc, uts) that `service` shares is bound."""
    return f"{NAMESPACES}/{service}.{kind}"


def supervision_lines(settings: Settings, stop_signal: str = "") -> Lines:
    """The plan's lines for a container with these merged settings; `stop_signal` is its image's
    own."""
    lines: list[tuple[str, ...]] = []
    for name, dependency in sorted((settings.depends_on or {}).items()):
        lines.append(_after(name, dependency))
    if settings.healthcheck:
        lines += _health(settings.healthcheck)
    if settings.restart and settings.restart != "no":
        policy, _, times = settings.restart.partition(":")
        lines.append(("restart", policy, times or "0"))
    # An image may name a signal that only its own system knows.
    number = signal_number(settings.stop_signal or stop_signal or SIGNAL) or signal_number(SIGNAL)
    grace = settings.stop_grace_period or GRACE_PERIOD
    if (number, grace) != (signal_number(SIGNAL), GRACE_PERIOD):
        lines.append(("stop", str(number), _milliseconds(grace)))
    if settings.logging:
        lines.append(_log(settings.logging))
    if settings.timeout:
        lines.append(("timeout", _milliseconds(settings.timeout)))
    if settings.on_failure and settings.on_failure != "continue":
        lines.append(("failure", settings.on_failure))
    return tuple(lines)


def require_health(
    lines: Mapping[str, Sequence[tuple[str, ...]]], places: Mapping[str, str]
) -> None:
    """Whoever waits for a service's health waits for one that has a check; `lines` and `places` by
    service.

    Raises `ConfigError` (`config-depends-on`).
    """
    checked = {name for name, own in lines.items() if any(line[0] == "health" for line in own)}
    for name, own in lines.items():
        for line in own:
            if (
                line[0] == "after"
                and line[2] == "healthy"
                and line[1] in lines
                and line[1] not in checked
            ):
                raise ConfigError(
                    "config-depends-on",
                    f"{line[1]!r} has no health check, so {name!r} would wait for ever",
                    place=places.get(name),
                    hint=f"Give {line[1]!r} a `healthcheck`, or wait for service_started.",
                )


def _after(name: str, dependency: Dependency) -> tuple[str, ...]:
    condition = CONDITIONS[dependency.condition or "service_started"]
    return ("after", name, condition, "restart" if dependency.restart else "")


def _health(check: Healthcheck) -> Iterator[tuple[str, ...]]:
    test = check.test or ()
    if check.disable or not test or test[0] == "NONE":
        return
    yield (
        "health",
        _milliseconds(check.interval or INTERVAL),
        _milliseconds(check.timeout or TIMEOUT),
        str(check.retries or RETRIES),
        _milliseconds(check.start_period or START_PERIOD),
        _milliseconds(check.start_interval or START_INTERVAL),
    )
    arguments = ("/bin/sh", "-c", test[1]) if test[0] == "CMD-SHELL" else test[1:]
    yield from (("test", argument) for argument in arguments)


def _log(logging: Logging) -> tuple[str, ...]:
    options = logging.options or {}
    return (
        "log",
        logging.driver or "file",
        str(octets(options.get("max-size", LOG_SIZE))),
        options.get("max-file", LOG_FILES),
        options.get("syslog-address", "") if logging.driver == "syslog" else "",
        options.get("tag", ""),
    )


def _milliseconds(text: str) -> str:
    return str(milliseconds(text) or 0)
