"""A container's mounts: LinuxKit's defaults, then `tmpfs`, `binds` and `mounts` of the YAML
(docs/linuxkit.md#1.9). Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from compos.config.model import Mount, Settings, Volume

__all__ = ["MountError", "normal", "own_mounts", "spec_mounts", "volume_path"]

DEFAULTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    ),
    ("/proc", "proc", "proc", ("nosuid", "nodev", "noexec", "relatime")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)
"""Destination, type, source, options."""

READONLY_DEFAULTS = ("/dev", "/sys")
"""Destinations that also get `ro` in a read-only container."""

SOURCE_IS_TYPE = ("mqueue", "devpts", "proc", "sysfs", "cgroup")
DESTINATIONS = {
    "proc": "/proc",
    "devpts": "/dev/pts",
    "sysfs": "/sys",
    "cgroup": "/sys/fs/cgroup",
    "mqueue": "/dev/mqueue",
}


class MountError(ValueError):
    """A mount that cannot be completed; the message says which."""


def volume_path(name: str) -> str:
    """Where a volume is mounted in the booted system."""
    return f"/containers/volumes/{name}/merged"


def normal(destination: str) -> str:
    """The place of a destination that may be written in other ways: absolute, without `.`, `..` and
    final slashes."""
    return posixpath.normpath(f"/{destination.lstrip('/')}")


def spec_mounts(
    own: Mapping[str, dict[str, Any]], *, readonly: Iterable[str]
) -> list[dict[str, Any]]:
    """The runtime spec's `mounts`, sorted by place: `own` ones (`own_mounts`), and LinuxKit's
    defaults where there is none.

    `readonly` are the places of defaults that get `ro`.
    """
    mounts = dict(own)
    for destination, kind, source, options in DEFAULTS:
        extra = ("ro",) if destination in readonly else ()
        mounts.setdefault(destination, _entry(destination, kind, source, [*options, *extra]))
    return [mounts[place] for place in sorted(mounts)]


def own_mounts(
    settings: Settings, volumes: Mapping[str, Volume], from_label: frozenset[str]
) -> dict[str, dict[str, Any]]:
    """The mounts that a container asks for, by place: the last one of a place counts, however that
    is written.

    `settings` are the merged ones; `from_label` names the fields that came from the image's label,
    where volume names are not translated. Raises `MountError`.
    """
    mounts: dict[str, dict[str, Any]] = {}
    for text in settings.tmpfs or ():
        destination, colon, flags = text.partition(":")
        mounts[normal(destination)] = _entry(
            destination, "tmpfs", "tmpfs", flags.split(",") if colon else None
        )
    for text in settings.binds or ():
        bind = _bind(text, volumes)
        mounts[normal(bind["destination"])] = bind
    known = {} if "mounts" in from_label else volumes
    for mount in settings.mounts or ():
        entry = _completed(mount, known, translate="mounts" not in from_label)
        mounts[normal(entry["destination"])] = entry
    return mounts


def _entry(destination: str, kind: str, source: str, options: list[str] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
    if options:
        entry["options"] = options
    return entry


def _bind(text: str, volumes: Mapping[str, Volume]) -> dict[str, Any]:
    source, destination, *rest = text.split(":")
    if not source.startswith("/") and source in volumes:
        if volumes[source].readonly and rest != ["ro"]:
            raise MountError(
                f"the volume {source} is read-only: bind it as {source}:{destination}:ro"
            )
        source = volume_path(source)
    options = [*rest[0].split(","), "rbind"] if rest else ["rw", "rbind", "rshared"]
    return _entry(destination, "bind", source, options)


def _completed(mount: Mount, volumes: Mapping[str, Volume], *, translate: bool) -> dict[str, Any]:
    """Fill in what LinuxKit fills in: rules (a) to (f) of the reference."""
    kind, source, destination = mount.type or "", mount.source or "", mount.destination or ""
    if not kind and source in SOURCE_IS_TYPE:
        kind = source
    if not kind and destination == "/dev":
        kind = "tmpfs"
    if not kind:
        raise MountError(f"the mount at {destination or '(no destination)'} has no type")
    options = list(mount.options or ())
    if kind == "bind" and translate and not source.startswith("/"):
        source, options = _volume_source(source, options, volumes)
    # A runtime binds where an option says so, whatever the type: without it, it looks for a file
    # system of that name.
    if kind == "bind" and not {"bind", "rbind"}.intersection(options):
        options.append("rbind")
    source = source or kind
    destination = destination or DESTINATIONS.get(kind, "")
    if not destination:
        raise MountError(f"the {kind} mount has no destination")
    return _entry(destination, kind, source, options)


def _volume_source(
    name: str, options: list[str], volumes: Mapping[str, Volume]
) -> tuple[str, list[str]]:
    """Where a volume is, and the options with which it may be mounted."""
    if name not in volumes:
        raise MountError(f"there is no volume named {name!r}")
    flags = [option for option in options if option in ("ro", "rw")]
    if volumes[name].readonly and flags[:1] != ["ro"]:
        raise MountError(f"the volume {name} is read-only: its mount needs the option ro")
    # LinuxKit looks at the first of them, a runtime takes the last.
    allowed = (
        [option for option in options if option != "rw"] if volumes[name].readonly else options
    )
    return volume_path(name), allowed
