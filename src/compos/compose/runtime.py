"""`runtime.json`: what is done around a container before it starts (docs/linuxkit.md#1.14 and
#3.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compos.compose.mounts import normal
from compos.compose.root import IN_EVERY_ROOT
from compos.config.model import Runtime
from compos.tree.node import ancestors

__all__ = [
    "NAMESPACE_KINDS",
    "RootMounts",
    "own_root",
    "places",
    "root_mounts",
    "runtime_document",
]

NAMESPACE_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")

RootMounts = list[dict[str, Any]]


def own_root(bundle: str, *, overlaid: bool) -> str:
    """Where `bundle` has the files of its image (both relative to `/`)."""
    return f"{bundle}/{'lower' if overlaid else 'rootfs'}"


def places(mounts: Iterable[Mapping[str, Any]], runtime: Runtime) -> list[str]:
    """What a container's root has to have at its start, besides what every root has: a place for
    each of `mounts` of the runtime spec and of `runtime`, except inside another mount.

    Only the runtime sees whether a place is for a file or a folder: what binds have bound may be
    made by then. Where an image lacks one, it is made in an overlay, and then the root is
    read-only.
    """
    inside = (*(mount.destination or "" for mount in runtime.mounts or ()), *(runtime.mkdir or ()))
    found = [
        normal(path).strip("/")
        for path in (
            *(mount["destination"] for mount in mounts),
            *(path for path in inside if not path.startswith("/")),
        )
    ]
    mounted = frozenset(found)
    return [
        path
        for path in found
        if path and path not in IN_EVERY_ROOT and mounted.isdisjoint(ancestors(path))
    ]


def root_mounts(bundle: str, root: str, *, overlaid: bool) -> RootMounts:
    """The mounts that make `bundle`/rootfs of the image's files at `root` (both relative to
    `/`)."""
    if not overlaid:
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
