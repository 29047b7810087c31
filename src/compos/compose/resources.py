"""Control group limits and devices in the runtime spec (docs/linuxkit.md#1.10 and #1.12; keys that
LinuxKit drops work here)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compos.config.model import Device, HugepageLimit, Resources

__all__ = ["device_rules", "devices", "resources"]

KEYS = {
    "kernel_tcp": "kernelTCP",
    "disable_oom_killer": "disableOOMKiller",
    "realtime_runtime": "realtimeRuntime",
    "realtime_period": "realtimePeriod",
    "leaf_weight": "leafWeight",
    "weight_device": "weightDevice",
    "throttle_read_bps_device": "throttleReadBpsDevice",
    "throttle_write_bps_device": "throttleWriteBpsDevice",
    "throttle_read_iops_device": "throttleReadIOPSDevice",
    "throttle_write_iops_device": "throttleWriteIOPSDevice",
    "class_id": "classID",
    "blockio": "blockIO",
    "hugepage_limits": "hugepageLimits",
    "page_size": "pageSize",
}
"""Fields whose key in the runtime spec is spelled differently (config-linux.md)."""

ORDER = ("devices", "memory", "cpu", "pids", "blockio", "hugepage_limits", "network")


def resources(
    given: Resources | None, first: Iterable[Mapping[str, Any]], rules: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """`linux.resources`: always there, possibly empty.

    Device rules are those of the confinement (`first`), of `resources.devices`, and of `devices`
    (`rules`); later ones win.
    """
    given = given or Resources()
    document: dict[str, Any] = {}
    for name in ORDER:
        value = getattr(given, name)
        if name == "devices":
            value = [*map(dict, first), *map(_plain, value or ()), *rules] or None
        elif name == "hugepage_limits" and value is not None:
            value = [_hugepages(limit) for limit in value]
        elif value is not None:
            value = _plain(value)
        if value is not None:
            document[KEYS.get(name, name)] = value
    return document


def _hugepages(limit: HugepageLimit) -> dict[str, Any]:
    """The runtime spec names page sizes like `2MB`; LinuxKit's schema has them as numbers of
    bytes."""
    size = limit.page_size or ""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if isinstance(size, int) and size % factor == 0:
            size = f"{size // factor}{unit}"
    return {"pageSize": str(size), "limit": limit.limit}


def _plain(value: Any) -> Any:
    names = getattr(value, "_fields", None)
    if names is not None:
        return {
            KEYS.get(name, name): _plain(inner)
            for name, inner in zip(names, value, strict=True)
            if inner is not None
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def device_rules(given: Iterable[Device]) -> list[dict[str, Any]]:
    """The control group rules that let a container use its devices."""
    rules = []
    for device in given:
        rule: dict[str, Any] = {"allow": True, "type": device.type or ""}
        if device.path != "all":
            rule.update(major=device.major, minor=device.minor)
        rules.append({**rule, "access": "rwm"})
    return rules


def devices(given: Iterable[Device]) -> list[dict[str, Any]]:
    """`linux.devices`: the nodes themselves; `all` makes none."""
    return [
        {
            "path": device.path or "",
            "type": device.type or "",
            "major": device.major,
            "minor": device.minor,
            "fileMode": int(device.mode or "0", 8),
        }
        for device in given
        if device.path != "all"
    ]
