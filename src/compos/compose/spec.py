"""`config.json`: a container's merged settings as an OCI runtime specification 1.2.1 document
(docs/linuxkit.md#1.5 to #1.15)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compos.compose.capabilities import process_capabilities
from compos.compose.confinement import Confinement, confinement
from compos.compose.container import Container
from compos.compose.mounts import READONLY_DEFAULTS, MountError, own_mounts, spec_mounts
from compos.compose.resources import device_rules, devices, resources
from compos.config.ids import resolve_id
from compos.config.model import IdMapping, Settings, Volume
from compos.errors import ConfigError

__all__ = ["VERSION", "runtime_spec"]

VERSION = "1.2.1"

NAMESPACES = (
    ("network", "net", False),
    ("ipc", "ipc", False),
    ("uts", "uts", False),
    ("pid", "pid", True),
    ("user", "userns", False),
)
"""Kind, setting, and whether a container gets its own where nothing is said; in the order of the
document."""

UNLIMITED = 2**64 - 1


def runtime_spec(
    container: Container,
    ids: Mapping[str, int],
    volumes: Mapping[str, Volume],
    from_label: frozenset[str],
    confined: str = "",
) -> tuple[dict[str, Any], bytes | None]:
    """The document for `container`, keys in LinuxKit's order, and the seccomp profile that belongs
    into its `linux`.

    `confined` is what the system says of `confinement`. Raises `ConfigError`.
    """
    settings = container.settings
    try:
        own = own_mounts(settings, volumes, from_label)
    except MountError as error:
        raise ConfigError("config-mount", str(error), place=str(container.entry.mark)) from error
    uid = resolve_id(settings.uid, ids)
    limits = confinement(
        settings, uid, tuple(own.values()), container.image.config.architecture, confined
    )
    readonly = READONLY_DEFAULTS if settings.readonly else ("/sys",) if limits.readonly_sys else ()
    mounts = spec_mounts(own, readonly=readonly)
    root: dict[str, Any] = {"path": "rootfs"}
    if settings.readonly:
        root["readonly"] = True
    spec: dict[str, Any] = {
        "ociVersion": VERSION,
        "process": _process(settings, ids, limits),
        "root": root,
    }
    if settings.hostname:
        spec["hostname"] = settings.hostname
    spec["mounts"] = mounts
    if settings.annotations:
        spec["annotations"] = dict(sorted(settings.annotations.items()))
    spec["linux"] = _linux(settings, limits)
    return spec, limits.seccomp


def _process(settings: Settings, ids: Mapping[str, int], limits: Confinement) -> dict[str, Any]:
    user: dict[str, Any] = {
        "uid": resolve_id(settings.uid, ids),
        "gid": resolve_id(settings.gid, ids),
    }
    if settings.additional_gids:
        user["additionalGids"] = [resolve_id(gid, ids) for gid in settings.additional_gids]
    process: dict[str, Any] = {"user": user}
    if settings.command:
        process["args"] = list(settings.command)
    if settings.env:
        process["env"] = list(settings.env)
    process["cwd"] = settings.cwd
    process["capabilities"] = process_capabilities(
        settings.capabilities or (), settings.ambient or ()
    )
    if settings.rlimits:
        process["rlimits"] = [_rlimit(text) for text in settings.rlimits]
    if limits.no_new_privileges:
        process["noNewPrivileges"] = True
    if settings.oom_score_adj is not None:
        process["oomScoreAdj"] = settings.oom_score_adj
    return process


def _rlimit(text: str) -> dict[str, Any]:
    name, soft, hard = (part.strip() for part in text.split(",", 2))
    name = name.upper()
    return {
        "type": name if name.startswith("RLIMIT_") else f"RLIMIT_{name}",
        "hard": _limit(hard),
        "soft": _limit(soft),
    }


def _limit(text: str) -> int:
    return UNLIMITED if text.lower() == "unlimited" else int(text)


def _linux(settings: Settings, limits: Confinement) -> dict[str, Any]:
    linux: dict[str, Any] = {}
    if settings.uid_mappings:
        linux["uidMappings"] = _mappings(settings.uid_mappings)
    if settings.gid_mappings:
        linux["gidMappings"] = _mappings(settings.gid_mappings)
    if settings.sysctl:
        linux["sysctl"] = dict(sorted(settings.sysctl.items()))
    linux["resources"] = resources(
        settings.resources, limits.device_rules, device_rules(settings.devices or ())
    )
    if settings.cgroups_path:
        linux["cgroupsPath"] = settings.cgroups_path
    linux["namespaces"] = _namespaces(settings)
    if nodes := devices(settings.devices or ()):
        linux["devices"] = nodes
    if settings.rootfs_propagation:
        linux["rootfsPropagation"] = settings.rootfs_propagation
    if limits.masked:
        linux["maskedPaths"] = list(limits.masked)
    if limits.readonly:
        linux["readonlyPaths"] = list(limits.readonly)
    return linux


def _mappings(mappings: Iterable[IdMapping]) -> list[dict[str, int]]:
    return [
        {"containerID": mapping.container_id, "hostID": mapping.host_id, "size": mapping.size}
        for mapping in mappings
    ]


def _namespaces(settings: Settings) -> list[dict[str, str]]:
    """Own namespaces, and those joined by path; `none` means an own one, but only for the
    network."""
    namespaces = []
    for kind, setting, own in NAMESPACES:
        value = getattr(settings, setting) or ("new" if own else "root")
        if value in ("host", "root"):
            continue
        if value == "new" or (value == "none" and kind == "network"):
            namespaces.append({"type": kind})
        else:
            namespaces.append({"type": kind, "path": value})
    return [*namespaces, {"type": "mount"}]
