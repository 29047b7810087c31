"""Whether a system is within its budget, and the largest reasons if it is not.

May touch: the store, which keeps each part's compressed archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compos.compose.confinement import granted
from compos.compose.settings import merge_settings
from compos.config.check import CAPABILITIES
from compos.config.images import SECTIONS, location_marks
from compos.config.model import Budget, Config, ImageEntry, Mark
from compos.config.quantities import octets
from compos.errors import CombinedError, ConfigError
from compos.image.model import Image
from compos.output.job import Job
from compos.report.sizes import Part, entry_names, system_parts
from compos.suggestion import did_you_mean
from compos.tree.gate import shown
from compos.tree.node import FILE

__all__ = ["require_budget"]

REASONS = 3
"""The largest reasons that an error names."""


def require_budget(job: Job, config: Config, images: Mapping[str, Image]) -> None:
    """See that the system of `job`, composed of `config`, is within its budget. `images` has those
    of its containers by reference.

    Raises `ConfigError` (`budget-exceeded`, `budget-component`), or `CombinedError` for several.
    """
    budget = config.budget
    if budget is None:
        return
    errors = [*_capabilities(budget, config, images)]
    if budget.total or budget.unpacked or budget.components:
        parts = system_parts(job, config)
        places = _places(config)
        errors += _totals(budget, parts, places)
        errors += _components(budget, parts, job, config)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise CombinedError(errors)


def _places(config: Config) -> dict[str, Mark]:
    """The place of each part by its name."""
    names = entry_names(config)
    return {
        names.get(location, location): mark for location, mark in location_marks(config).items()
    }


def _exceeded(message: str, place: Mark, reasons: Iterable[str]) -> ConfigError:
    return ConfigError(
        "budget-exceeded",
        message,
        place=str(place),
        hint="Make it smaller, or raise the budget. `compos inspect` shows all parts.",
        excerpt="\n".join(f"  {reason}" for reason in reasons),
    )


def _totals(budget: Budget, parts: list[Part], places: Mapping[str, Mark]) -> Iterator[ConfigError]:
    for key, text, what in (
        ("total", budget.total, "compressed"),
        ("unpacked", budget.unpacked, "unpacked"),
    ):
        limit = octets(text) if text else None
        sizes = {part: part.packed if key == "total" else part.size for part in parts}
        total = sum(sizes.values())
        if limit is not None and total > limit:
            largest = sorted(parts, key=lambda part: -sizes[part])[:REASONS]
            yield _exceeded(
                f"the system has {_mebibytes(total)} {what}, {_mebibytes(total - limit)} more than "
                f"its budget of {text}",
                budget.mark.at(key),
                (_part(part, sizes[part], places) for part in largest),
            )


def _part(part: Part, size: int, places: Mapping[str, Mark]) -> str:
    place = places.get(part.location)
    return f"{_mebibytes(size):>12}  {part.location}  {part.source}" + (
        f"  {place}" if place else ""
    )


def _components(
    budget: Budget, parts: list[Part], job: Job, config: Config
) -> Iterator[ConfigError]:
    known = {part.location: part for part in parts}
    for name, text in (budget.components or {}).items():
        mark = budget.mark.at(f"components.{name}")
        part = known.get(name)
        if part is None:
            yield ConfigError(
                "budget-component",
                f"the system has no part {name[:100]!r}",
                place=str(mark),
                hint=did_you_mean(name, known, f"Use one of: {', '.join(known)[:400]}."),
            )
            continue
        limit = octets(text) or 0
        if part.packed > limit:
            yield _exceeded(
                f"{name} has {_mebibytes(part.packed)} compressed, "
                f"{_mebibytes(part.packed - limit)} more than its budget of {text}",
                mark,
                _largest_files(name, job, config),
            )


def _largest_files(name: str, job: Job, config: Config) -> list[str]:
    names = entry_names(config)
    sizes = {
        path: node.size
        for path, node, component in job.system.with_boot()
        if node.kind == FILE
        and names.get(component.location, component.location.partition("[")[0]) == name
    }
    largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:REASONS]
    return [f"{_mebibytes(sizes[path]):>12}  {shown('/' + path)}, unpacked" for path in largest]


def _capabilities(
    budget: Budget, config: Config, images: Mapping[str, Image]
) -> Iterator[ConfigError]:
    if budget.capabilities is None:
        return
    allowed = granted(budget.capabilities, ())
    found: list[tuple[int, str]] = []
    for section in SECTIONS:
        for entry in getattr(config, section):
            more = sorted(_granted(entry, images) - allowed)
            if more:
                names = "all" if len(more) > len(CAPABILITIES) // 2 else ", ".join(more)
                text = f"{section}[{entry.name}]: {names}  {entry.mark.at('capabilities')}"
                found.append((len(more), text))
    if found:
        count = f"{len(found)} containers have" if len(found) > 1 else "one container has"
        yield ConfigError(
            "budget-exceeded",
            f"{count} capabilities beyond the budget",
            place=str(budget.mark.at("capabilities")),
            hint="Take them from the containers, or add them to the budget.",
            excerpt="\n".join(
                f"  {text}" for _, text in sorted(found, key=lambda one: -one[0])[:REASONS]
            ),
        )


def _granted(entry: ImageEntry, images: Mapping[str, Image]) -> frozenset[str]:
    image = images.get(entry.image)
    settings = merge_settings(entry.settings, image)[0] if image else entry.settings
    return granted(settings.capabilities, settings.ambient)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.2f} MiB"
