"""What a container may do to the machine beside its capabilities: paths, system calls, devices
(docs/confinement.md).

Pure. The one place where this is decided, for `onboot`, `services` and `onshutdown` alike. A
container gets what containerd gives one that names nothing; each capability opens what it is for,
and the keys `maskedPaths`, `readonlyPaths`, `seccomp` and `noNewPrivileges` replace a part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from compos.compose.mounts import normal
from compos.compose.seccomp import profile
from compos.config.check import CAPABILITIES
from compos.config.model import Settings

__all__ = ["LINUXKIT", "MASKED", "READONLY", "Confinement", "confinement", "granted", "is_confined"]

LINUXKIT = "linuxkit"
"""The value of `confinement` that gives LinuxKit's defaults: none of this."""

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
"""Paths that nobody reads, as containerd's default specification has them (pkg/oci,
`populateDefaultUnixSpec`)."""

READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""Paths that nobody writes, likewise; `/sys` is mounted read-only beside them."""

NOT_NETWORK = tuple(
    f"/proc/sys/{name}"
    for name in ("abi", "crypto", "debug", "dev", "fs", "kernel", "sunrpc", "user", "vm", "xen")
)
"""The folders of /proc/sys beside `net` (Documentation/admin-guide/sysctl); a runtime passes over
those that are missing."""

UNMASKED = {"CAP_SYS_RAWIO": ("/proc/kcore",)}
WRITABLE = {"CAP_SYS_BOOT": ("/proc/sysrq-trigger",), "CAP_SYS_RAWIO": ("/proc/bus",)}
"""What a capability takes from those lists; CAP_SYS_ADMIN, which could undo such mounts itself,
takes all."""

CHANGES_USER = frozenset(("CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"))
"""With these a process leaves its user, and a setuid program brings it back: `sudo` and its like
have a point."""

DENY_DEVICES = {"allow": False, "access": "rwm"}
"""First rule of the devices control group. runc has it unsaid, crun does not."""


class Confinement(NamedTuple):
    """What of a runtime specification confines a container; `seccomp` is a profile's JSON, None
    without one."""

    masked: tuple[str, ...]
    readonly: tuple[str, ...]
    readonly_sys: bool
    no_new_privileges: bool
    seccomp: bytes | None
    device_rules: tuple[Mapping[str, Any], ...]


def granted(capabilities: Iterable[str] | None, ambient: Iterable[str] | None) -> frozenset[str]:
    """The bounding set of a container with these lists of the YAML."""
    names = (*(capabilities or ()), *(ambient or ()))
    if any(name.lower() == "all" for name in names):
        return frozenset(CAPABILITIES)
    return frozenset(name for name in names if name.lower() != "none")


def confinement(
    settings: Settings,
    uid: int,
    mounts: Sequence[Mapping[str, Any]],
    architecture: str,
    default: str,
) -> Confinement:
    """How the container with these merged settings is confined.

    It runs as `uid`; `mounts` are those that its entry and label ask for, completed
    (`mounts.own_mounts`); `architecture` is Go's name; `default` is what the whole system says
    (`LINUXKIT`, or anything else).
    """
    capabilities = granted(settings.capabilities, settings.ambient)
    free = default == LINUXKIT or capabilities.issuperset(CAPABILITIES)
    open_paths = free or "CAP_SYS_ADMIN" in capabilities
    masked, readonly = settings.masked_paths, settings.readonly_paths
    nothing_to_gain = not free and _nothing_to_gain(settings, uid, capabilities)
    return Confinement(
        masked=(() if open_paths else tuple(_masked(capabilities, mounts)))
        if masked is None
        else masked,
        readonly=(() if open_paths else tuple(_readonly(capabilities, mounts)))
        if readonly is None
        else readonly,
        readonly_sys=not open_paths and readonly is None,
        no_new_privileges=nothing_to_gain
        if settings.no_new_privileges is None
        else settings.no_new_privileges,
        seccomp=profile(capabilities, architecture) if _filtered(settings, free=free) else None,
        device_rules=() if free else (DENY_DEVICES,),
    )


def _filtered(settings: Settings, *, free: bool) -> bool:
    """Whether the default profile holds; `default` asks for it where nothing else is confined."""
    return settings.seccomp == "default" or (settings.seccomp is None and not free)


def is_confined(spec: Mapping[str, Any], default: str) -> bool:
    """Whether a finished specification was made under the rule that `default` (as for
    `confinement`) asks for.

    Raises `KeyError` or `TypeError` for documents that are not ours.
    """
    sets = spec["process"]["capabilities"]
    rules = spec["linux"]["resources"].get("devices") or [None]
    if default == LINUXKIT or set(sets.get("bounding", ())).issuperset(CAPABILITIES):
        return bool(rules[0] != DENY_DEVICES)
    return bool(rules[0] == DENY_DEVICES)


def _nothing_to_gain(settings: Settings, uid: int, capabilities: Collection[str]) -> bool:
    """Whether no program that it starts could honestly come to more than what the container has
    from the beginning.

    A user other than root has the capabilities that are ambient, and gets the others by programs
    that bring them.
    """
    if CHANGES_USER.intersection(capabilities):
        return False
    return uid == 0 or not set(capabilities) - granted((), settings.ambient)


def _masked(capabilities: Collection[str], mounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    opened = {path for name, paths in UNMASKED.items() if name in capabilities for path in paths}
    for path in MASKED:
        if path not in opened and not _own(path, mounts, inside=True):
            yield path


def _readonly(capabilities: Collection[str], mounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    opened = {path for name, paths in WRITABLE.items() if name in capabilities for path in paths}
    for path in READONLY:
        if path in opened or _own(path, mounts, inside=False):
            continue
        if path == "/proc/sys" and "CAP_NET_ADMIN" in capabilities:
            yield from NOT_NETWORK
        else:
            yield path


def _own(path: str, mounts: Iterable[Mapping[str, Any]], *, inside: bool) -> bool:
    """Whether the container has a mount of its own at `path`, or has bound a folder with it;
    `inside`: or one below it.

    What is bound is what the user wants to be seen. It is often shared with the machine, too: a
    mask would appear there.
    """
    for mount in mounts:
        place = normal(mount["destination"])
        if place == path or (inside and place.startswith(f"{path}/")):
            return True
        if mount["type"] == "bind" and path.startswith(f"{place.rstrip('/')}/"):
            return True
    return False
