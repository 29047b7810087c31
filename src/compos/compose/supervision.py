"""What the boot plan says of a container beside its bundle: order, health, restarts, end, logs
(docs/plan-format.md). Pure.

The lines are those of the keys' rows (`config.service_keys`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compos.config.kinds import PlanLine
from compos.config.model import Settings
from compos.config.service_keys import SERVICE_KEYS, SERVICE_WORDS
from compos.errors import ConfigError

__all__ = ["NAMESPACES", "WORDS", "Lines", "namespace_path", "require_health", "supervision_lines"]

Lines = tuple[PlanLine, ...]

NAMESPACES = "/run/compos/namespaces"
"""Where namespaces that services share are bound."""

WORDS = frozenset(word.name for word in SERVICE_WORDS)
"""The plan's words that `supervision_lines` returns."""


def namespace_path(service: str, kind: str) -> str:
    """Where the namespace of `kind` (net, ipc, uts) that `service` shares is bound."""
    return f"{NAMESPACES}/{service}.{kind}"


def supervision_lines(settings: Settings, stop_signal: str = "") -> Lines:
    """The plan's lines for a container with these merged settings; `stop_signal` is its image's
    own."""
    ends = settings._replace(stop_signal=settings.stop_signal or stop_signal)
    return tuple(line for row in SERVICE_KEYS if row.plan for line in row.plan(ends))


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
                    f"{line[1]!r} has no health check, so {name!r} would wait forever",
                    place=places.get(name),
                    hint=f"Add a `healthcheck` to {line[1]!r}, or wait for service_started.",
                )
