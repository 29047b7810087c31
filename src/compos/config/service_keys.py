"""The YAML's keys about order, health, restarts, ends and logs: one row a key.

A row has the key's type, its meaning, the sections in which it may stand, and what it becomes in
the boot plan. Decoding, the checks of sections, `compos schema`, the plan's writer, init's table of
words (`plan_words.h`) and the pages docs/yaml-reference.md and docs/plan-format.md follow from
these rows. What is left to write is the field of `model.Settings`, and what init does. Pure.

Source of the keys and their defaults: the Compose specification.
"""

from __future__ import annotations

from collections.abc import Iterator

from compos.config import check, model
from compos.config.kinds import (
    Flag,
    MapOf,
    Number,
    PlanLine,
    PlanWord,
    Text,
    TextMap,
    Words,
    key,
    table,
)
from compos.config.model import Settings
from compos.config.quantities import milliseconds, octets, signal_number

__all__ = ["SERVICE_KEYS", "SERVICE_WORDS"]

SERVICES = ("services",)
ONBOOT = ("onboot",)
RUN_TO_END = ("onboot", "onshutdown")

CONDITIONS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
"""Conditions of the YAML, and how the plan calls them."""

INTERVAL, TIMEOUT, RETRIES, START_PERIOD, START_INTERVAL = "30s", "30s", 3, "0s", "5s"
SIGNAL, GRACE_PERIOD = "SIGTERM", "10s"
LOG_SIZE, LOG_FILES = "1m", "3"

FLAG = Flag()
DURATION = Text(check.duration)

DEPENDENCY = table(
    model.Dependency,
    "What a service waits for before it starts.",
    key(
        "condition",
        Text(choices=tuple(CONDITIONS)),
        "When the other service counts as ready [service_started].",
    ),
    key("required", FLAG, "Whether the other service must exist [true]."),
    key("restart", FLAG, "Restart when the other service is restarted by request [false]."),
)
HEALTHCHECK = table(
    model.Healthcheck,
    "How to check that a service works.",
    key(
        "test",
        Words(("CMD-SHELL",), check.health_test),
        "Program in the container: [CMD, …], [CMD-SHELL, …] or NONE.",
    ),
    key("interval", DURATION, "Time between checks [30s]."),
    key("timeout", DURATION, "Time limit for a check [30s]."),
    key("retries", Number(1, 1000), "Consecutive failures that make the service unhealthy [3]."),
    key("start_period", DURATION, "Time after the start during which failures do not count [0s]."),
    key("start_interval", DURATION, "Time between checks during the start period [5s]."),
    key("disable", FLAG, "Disable the check, even if the image's label has one [false]."),
    complaints=check.healthcheck,
)
LOGGING = table(
    model.Logging,
    "Where a service's output goes.",
    key(
        "driver",
        Text(choices=check.LOG_DRIVERS),
        "file: to files in /var/log only; console, kmsg, syslog: to files and there; none: "
        "nowhere [file].",
    ),
    key("options", TextMap(), "max-size [1m], max-file [3], tag; for syslog, syslog-address."),
    complaints=check.logging,
)


def _after(settings: Settings) -> Iterator[PlanLine]:
    for name, dependency in sorted((settings.depends_on or {}).items()):
        condition = CONDITIONS[dependency.condition or "service_started"]
        yield ("after", name, condition, "restart" if dependency.restart else "")


def _health(settings: Settings) -> Iterator[PlanLine]:
    given = settings.healthcheck
    test = (given and given.test) or ()
    if given is None or given.disable or not test or test[0] == "NONE":
        return
    yield (
        "health",
        _milliseconds(given.interval or INTERVAL),
        _milliseconds(given.timeout or TIMEOUT),
        str(given.retries or RETRIES),
        _milliseconds(given.start_period or START_PERIOD),
        _milliseconds(given.start_interval or START_INTERVAL),
    )
    arguments = ("/bin/sh", "-c", test[1]) if test[0] == "CMD-SHELL" else test[1:]
    yield from (("test", argument) for argument in arguments)


def _restart(settings: Settings) -> Iterator[PlanLine]:
    policy, _, times = (settings.restart or "no").partition(":")
    if policy != "no":
        yield ("restart", policy, times or "0")


def _stop(settings: Settings) -> Iterator[PlanLine]:
    # An image may name a signal that only its own system knows.
    number = signal_number(settings.stop_signal or SIGNAL) or signal_number(SIGNAL)
    grace = settings.stop_grace_period or GRACE_PERIOD
    if (number, grace) != (signal_number(SIGNAL), GRACE_PERIOD):
        yield ("stop", str(number), _milliseconds(grace))


def _log(settings: Settings) -> Iterator[PlanLine]:
    if settings.logging is None:
        return
    options = settings.logging.options or {}
    driver = settings.logging.driver or "file"
    yield (
        "log",
        driver,
        str(octets(options.get("max-size", LOG_SIZE))),
        options.get("max-file", LOG_FILES),
        options.get("syslog-address", "") if driver == "syslog" else "",
        options.get("tag", ""),
    )


def _timeout(settings: Settings) -> Iterator[PlanLine]:
    if settings.timeout:
        yield ("timeout", _milliseconds(settings.timeout))


def _failure(settings: Settings) -> Iterator[PlanLine]:
    if (settings.on_failure or "continue") != "continue":
        yield ("failure", settings.on_failure or "")


def _unseal(settings: Settings) -> Iterator[PlanLine]:
    if settings.unseal:
        yield ("unseal",)


def _milliseconds(text: str) -> str:
    return str(milliseconds(text) or 0)


SERVICE_KEYS = (
    key(
        "depends_on",
        MapOf(DEPENDENCY),
        "Services that must be ready first.",
        sections=SERVICES,
        plan=_after,
        words=(
            PlanWord(
                "after",
                (
                    "service",
                    "`started`, `healthy`, `completed` or `running` (now, not once)",
                    "`restart` or empty",
                ),
                inside="`services`: start when the other service has reached that state; with "
                "`restart`, restart when the other one is restarted by request. A name that is "
                "not a service counts as ready",
            ),
        ),
    ),
    key(
        "healthcheck",
        HEALTHCHECK,
        "How to check that the service works.",
        sections=SERVICES,
        plan=_health,
        words=(
            PlanWord(
                "health",
                ("interval", "timeout", "retries", "start period", "start interval"),
                inside="in milliseconds (`retries` is a count): when `test` runs",
            ),
            PlanWord(
                "test",
                ("argument",),
                inside="an argument of the check's program, in order; run by the runtime's `exec`",
            ),
        ),
    ),
    key(
        "restart",
        Text(check.restart),
        "no, always, unless-stopped, on-failure or on-failure:TIMES [no].",
        sections=SERVICES,
        plan=_restart,
        words=(
            PlanWord(
                "restart",
                ("`no`, `always`, `on-failure`, `unless-stopped`", "times"),
                inside="policy; maximum number of consecutive restarts (0: no limit)",
            ),
        ),
    ),
    key(
        "stop_signal",
        Text(check.signal),
        "Signal that asks the service to stop [the image's, else SIGTERM].",
        sections=SERVICES,
        plan=_stop,
        words=(
            PlanWord(
                "stop",
                ("signal's number", "milliseconds"),
                inside="how to ask the service to stop, and time to SIGKILL (default 15, 10000)",
            ),
        ),
    ),
    # The line of stop_signal has it, too.
    key("stop_grace_period", DURATION, "Time until it is killed [10s].", sections=SERVICES),
    key(
        "logging",
        LOGGING,
        "Where the service's output goes.",
        sections=SERVICES,
        plan=_log,
        words=(
            PlanWord(
                "log",
                (
                    "`file`, `console`, `kmsg`, `syslog` or `none`",
                    "bytes",
                    "files",
                    "address",
                    "tag",
                ),
                inside="default `file`, 1048576, 3",
            ),
        ),
    ),
    key(
        "timeout",
        DURATION,
        "Time after which the container is killed [none].",
        sections=RUN_TO_END,
        plan=_timeout,
        words=(
            PlanWord(
                "timeout",
                ("milliseconds",),
                inside="`onboot`, `shutdown`: the container is killed after this time",
            ),
        ),
    ),
    key(
        "on_failure",
        Text(choices=check.FAILURES),
        "What happens to the machine after a failure or a timeout [continue].",
        sections=ONBOOT,
        plan=_failure,
        words=(
            PlanWord(
                "failure",
                ("`continue`, `halt`, `reboot`",),
                inside="`onboot`: what happens to the machine if the container fails",
            ),
        ),
    ),
    key(
        "unseal",
        FLAG,
        "Run before the phase leave-initrd is measured, so that it can open what the TPM keeps "
        "from the system; only the first containers may have it [false].",
        sections=ONBOOT,
        plan=_unseal,
        words=(
            PlanWord(
                "unseal",
                (),
                inside="`onboot`: run before `leave-initrd` is measured (docs/measured-boot.md), "
                "which init does before the first container without this line",
            ),
        ),
    ),
)

SERVICE_WORDS = tuple(word for row in SERVICE_KEYS for word in row.words)
"""The plan's words that come from these keys."""
