"""What services wait for and share: names that exist, conditions that can come, no circles. Pure.

Source: the Compose specification, `depends_on`, `healthcheck`, `restart`, `network_mode:
service:NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compos.config.fields import SETTINGS
from compos.config.model import Config, ImageEntry, Settings
from compos.config.problems import Problems
from compos.suggestion import did_you_mean

__all__ = ["SHAREABLE", "check_order", "shared_service"]

SHARED = "service:"
"""Begins the name of a namespace that is another service's."""

SHAREABLE = ("net", "ipc", "uts")
"""Namespaces that outlive the service that owns them; `pid` ends with it, and whoever shares it
too."""

NOT_SHAREABLE = ("userns",)

LIMITED = tuple(row for row in SETTINGS.fields.values() if row.sections)
"""Keys of containers that not every section may have."""


def shared_service(value: str | None) -> str | None:
    """The service whose namespace `value` names, if it does: `service:web`."""
    return value.removeprefix(SHARED) if value and value.startswith(SHARED) else None


def check_order(config: Config, problems: Problems) -> None:
    """Everything above, with the places in the YAML."""
    services = {entry.name: entry for entry in config.services}
    for section in ("onboot", "onshutdown", "services"):
        for entry in getattr(config, section):
            _misplaced(section, entry, problems)
            _namespaces(section, entry, services, problems)
    _unsealing(config.onboot, problems)
    for entry in config.services:
        _dependencies(entry, services, problems)
    _circles(services, problems)


def _misplaced(section: str, entry: ImageEntry, problems: Problems) -> None:
    for row in LIMITED:
        if section not in row.sections and getattr(entry.settings, row.name) is not None:
            problems.add(
                "config-place",
                f"{row.key} is not supported in {section}",
                entry.mark.at(row.key),
                hint=f"It is a key of {' and '.join(row.sections)}; remove it here.",
            )


def _unsealing(entries: Sequence[ImageEntry], problems: Problems) -> None:
    """Nothing may run before what unseals: it could take the place of what is unsealed."""
    later = False
    for entry in entries:
        if entry.settings.unseal and later:
            problems.add(
                "config-unseal",
                f"{entry.name} unseals, and a container before it does not",
                entry.mark.at("unseal"),
                hint="Move it to the beginning of `onboot`.",
            )
        later = later or not entry.settings.unseal


def _namespaces(
    section: str, entry: ImageEntry, services: Mapping[str, ImageEntry], problems: Problems
) -> None:
    for key in (*SHAREABLE, "pid", *NOT_SHAREABLE):
        name = shared_service(getattr(entry.settings, key))
        if name is None:
            continue
        mark = entry.mark.at(key)
        if section != "services":
            message = f"no service runs yet that could share its {key} namespace"
            problems.add("config-namespace", message, mark, hint="Share namespaces in services.")
        elif key in NOT_SHAREABLE:
            message = f"the {key} namespace of a service cannot be shared by name"
            problems.add(
                "config-namespace",
                message,
                mark,
                hint="Share net, ipc, uts or pid, or write host.",
            )
        elif name not in services:
            problems.add(
                "config-namespace",
                f"there is no service named {name!r}",
                mark,
                hint=_unknown(name, services),
            )
        elif name == entry.name:
            problems.add(
                "config-namespace",
                "a service cannot share its own namespace",
                mark,
                hint="Write new.",
            )
        elif shared_service(getattr(services[name].settings, key)) is not None:
            other = getattr(services[name].settings, key)
            problems.add(
                "config-namespace",
                f"{name!r} itself shares {other!r}",
                mark,
                hint=f"Write {other}.",
            )


def _dependencies(
    entry: ImageEntry, services: Mapping[str, ImageEntry], problems: Problems
) -> None:
    for name, dependency in (entry.settings.depends_on or {}).items():
        mark = entry.mark.at(f"depends_on.{name}")
        other = services.get(name)
        if other is None:
            if dependency.required is not False:
                message = f"there is no service named {name!r}"
                problems.add("config-depends-on", message, mark, hint=_unknown(name, services))
        elif never := _never(dependency.condition, other.settings):
            problems.add("config-depends-on", f"{name!r} {never[0]}", mark, hint=never[1])


def _never(condition: str | None, settings: Settings) -> tuple[str, str] | None:
    """Why a service cannot come to `condition`, and what to do. A health check may also come from
    an image's label."""
    check = settings.healthcheck
    if condition == "service_healthy" and check and (check.disable or check.test == ("NONE",)):
        return "has a disabled health check and never becomes healthy", "Wait for service_started."
    if condition == "service_completed_successfully" and settings.restart in (
        "always",
        "unless-stopped",
    ):
        return (
            f"is always restarted ({settings.restart}) and never completes",
            "Set its `restart` to on-failure, or remove it.",
        )
    return None


def _circles(services: Mapping[str, ImageEntry], problems: Problems) -> None:
    """Each circle once, at the dependency that closes it."""
    done: set[str] = set()
    for name in services:
        _visit(name, services, done, problems)


def _visit(
    first: str, services: Mapping[str, ImageEntry], done: set[str], problems: Problems
) -> None:
    """Follow what `first` waits for, without recursion: a chain may be as long as there are
    services."""
    above: dict[str, Iterator[str]] = {}
    waiting = [] if first in done else [first]
    while waiting:
        name = waiting[-1]
        others = above.setdefault(name, _known(services[name], services))
        other = next((one for one in others if one not in done), None)
        if other is None:
            done.add(waiting.pop())
            del above[name]
        elif other in above:
            circle = " → ".join((*waiting[waiting.index(other) :], other))
            key = (
                f"depends_on.{other}"
                if other in (services[name].settings.depends_on or {})
                else "pid"
            )
            mark = services[name].mark.at(key)
            problems.add(
                "config-depends-on",
                f"the services wait for each other: {circle}",
                mark,
                hint="Break the cycle.",
            )
        else:
            waiting.append(other)


def _known(entry: ImageEntry, services: Mapping[str, ImageEntry]) -> Iterator[str]:
    yield from (name for name in entry.settings.depends_on or {} if name in services)
    owner = shared_service(entry.settings.pid)
    if owner and owner in services and owner not in (entry.settings.depends_on or {}):
        yield owner


def _unknown(name: str, services: Mapping[str, ImageEntry]) -> str:
    return did_you_mean(name, services, "Write the name of an entry in services.")
