"""Cases of containers: settings in the YAML and in the image's label, and what a document of the
bundle must say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.lab import APP, Built, Lab

ABSENT = "(absent)"


@dataclass(frozen=True)
class Case:
    """One container: `yaml` are its settings in flow style; `where` is a path in `document`: keys
    with dots between them, `[/destination]` for a mount.
    """

    rule: str
    yaml: str
    where: str
    expected: Any
    label: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    document: str = "config.json"


def build_cases(lab: Lab, cases: Iterable[Case], rest: str = "") -> Built:
    """One build with a service for each case, named `cN`. LinuxKit's rules are looked at: nothing
    else confines them."""
    entries = []
    for number, case in enumerate(cases):
        # Contents of its own: containers with the same image would share its files.
        members = [*APP]
        lab.image(f"case{number:03d}", [members], case.config, case.label)
        entries.append(
            f"- {{name: c{number}, image: @case{number:03d}{', ' if case.yaml else ''}{case.yaml}}}"
        )
    return lab.build("services:\n" + "\n".join(entries) + "\n" + rest, confinement="linuxkit")


def found(built: Built, number: int, case: Case) -> Any:
    """What the case's document says."""
    value = built.json(f"containers/services/c{number}/{case.document}")
    where = case.where
    if where.endswith("]"):
        where, _, destination = where[:-1].partition("[")
        return next((one for one in value[where] if one["destination"] == destination), ABSENT)
    for key in where.split("."):
        if key not in value:
            return ABSENT
        value = value[key]
    return value
