"""`runtime.json`: what is done around a container before it starts (docs/linuxkit.md#1.14 and
#3.5)."""

from __future__ import annotations

from typing import Any

from compos.config.model import Runtime

__all__ = ["NAMESPACE_KINDS", "RootMounts", "root_mounts", "runtime_document"]

NAMESPACE_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")

RootMounts = list[dict[str, Any]]


def root_mounts(bundle: str, root: str, *, readonly: bool) -> RootMounts:
    """The mounts that make `bundle`/rootfs of the image's files at `root` (both relative to
    `/`)."""
    if readonly:
        return [{"destination": f"/{bundle}/rootfs", "source": f"/{root}", "options": ["bind"]}]
    return [
        {"destination": f"/{bundle}/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": f"/{bundle}/tmp", "options": ["remount", "private"]},
        {
            "destination": f"/{bundle}/rootfs",
            "type": "overlay",
            "source": "overlay",
            "options": [
                f"lowerdir=/{root}",
                f"upperdir=/{bundle}/tmp/upper",
                f"workdir=/{bundle}/tmp/work",
            ],
        },
    ]


def runtime_document(runtime: Runtime, mounts: RootMounts) -> dict[str, Any]:
    """The whole document: all keys are always there, in this order."""
    bind_ns = runtime.bind_ns
    return {
        "cgroups": list(runtime.cgroups or ()),
        "mounts": [*mounts, *(_mount(mount) for mount in runtime.mounts or ())],
        "mkdir": list(runtime.mkdir or ()),
        "interfaces": [_interface(interface) for interface in runtime.interfaces or ()],
        "bindNS": {
            kind: (getattr(bind_ns, kind) if bind_ns else None) or "" for kind in NAMESPACE_KINDS
        },
        "namespace": runtime.namespace or "",
    }


def _mount(mount: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"destination": mount.destination or ""}
    for key in ("type", "source"):
        if value := getattr(mount, key):
            entry[key] = value
    if mount.options:
        entry["options"] = list(mount.options)
    return entry


def _interface(interface: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for key in ("name", "add", "peer"):
        if value := getattr(interface, key):
            entry[key] = value
    entry["createInRoot"] = bool(interface.create_in_root)
    return entry
