"""Linux capabilities: how YAML and label become `process.capabilities` (docs/linuxkit.md#1.8)."""

from __future__ import annotations

from collections.abc import Sequence

from compos.config.check import CAPABILITIES

__all__ = ["process_capabilities"]


def process_capabilities(
    capabilities: Sequence[str], ambient: Sequence[str]
) -> dict[str, list[str]]:
    """The five sets; empty ones are left out. `all` absorbs other names, `none` is the empty
    list."""
    effective = _expanded(capabilities)
    raised = _expanded(ambient)
    everything = sorted({*effective, *raised})
    sets = {
        "bounding": everything,
        "effective": effective,
        "inheritable": everything,
        "permitted": everything,
        "ambient": raised,
    }
    return {name: values for name, values in sets.items() if values}


def _expanded(names: Sequence[str]) -> list[str]:
    lowered = [name.lower() for name in names]
    if "all" in lowered:
        return list(CAPABILITIES)
    return [name for name in dict.fromkeys(names) if name.lower() != "none"]
