"""Power over the machine that an image's label grants to its container, without a word of the YAML.

Pure. Not every setting is one: a capability for ports below 1024 is none, the machine's processes
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from compos.compose.confinement import granted
from compos.compose.mounts import normal
from compos.compose.settings import label_settings, surviving_label
from compos.config.check import CAPABILITIES
from compos.config.model import Config, ImageEntry, Mount, Runtime, Settings
from compos.errors import CombinedError, ConfigError
from compos.image.model import Image

__all__ = ["Power", "grant_message", "label_powers", "powers", "refuse_powers"]

MIGHTY = (
    "CAP_SYS_ADMIN",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_BOOT",
    "CAP_DAC_READ_SEARCH",
    "CAP_BPF",
)
"""Capabilities that are as good as all, or end the machine."""

PLACES = (
    "/",
    "/boot",
    "/containers",
    "/dev",
    "/etc",
    "/init",
    "/root",
    "/run",
    "/usr",
    "/var",
    "/var/run",
)
"""Folders of the machine that hold others' files, or sockets that are obeyed."""

BELOW = (
    "/proc",
    "/sys",
    "/run/compos",
    "/run/containerd",
    "/var/run/compos",
    "/var/run/containerd",
)
"""Folders of which everything is the machine's."""

HARMLESS = ("devpts", "mqueue", "proc", "tmpfs")
"""File systems in which a container sees its own."""


class Power(NamedTuple):
    """What a label grants: the key of the setting, and a few words."""

    key: str
    what: str


def powers(label: Settings) -> list[Power]:
    """What of these settings is power over the machine."""
    return [
        *(
            Power(key, what)
            for key in ("capabilities", "ambient")
            for what in _capabilities(label, key)
        ),
        *_namespaces(label),
        *(
            Power("binds", what)
            for bind in label.binds or ()
            for what in _source(bind.partition(":")[0])
        ),
        *(Power("mounts", what) for mount in label.mounts or () for what in _mount(mount)),
        *_devices(label),
        *_confinement(label),
        *(Power("runtime", what) for what in _runtime(label.runtime or Runtime())),
    ]


def _capabilities(label: Settings, key: str) -> Iterator[str]:
    names = granted(getattr(label, key), ())
    if names.issuperset(CAPABILITIES):
        yield "all capabilities"
    else:
        yield from (f"the capability {name}" for name in MIGHTY if name in names)


def _namespaces(label: Settings) -> Iterator[Power]:
    """The machine's network, IPC and host name are what every container has in LinuxKit; its
    processes are not."""
    if label.pid in ("host", "root"):
        yield Power("pid", "the machine's processes")
    for key in ("net", "ipc", "uts", "pid", "userns"):
        value = getattr(label, key) or ""
        if value.startswith("/"):
            yield Power(key, f"the namespace {value}")


def _source(path: str) -> Iterator[str]:
    place = normal(path)
    if path.startswith("/") and (
        place in PLACES or any(f"{place}/".startswith(f"{one}/") for one in BELOW)
    ):
        yield f"the machine's {place}"


def _mount(mount: Mount) -> Iterator[str]:
    kind, options = mount.type or mount.source or "", mount.options or ()
    if kind == "bind" or {"bind", "rbind", "move"}.intersection(options):
        yield from _source(mount.source or "")
    elif kind not in HARMLESS and not (kind in ("cgroup", "sysfs") and "ro" in options):
        yield f"a file system {kind} at {mount.destination or kind}"


def _devices(label: Settings) -> Iterator[Power]:
    for device in label.devices or ():
        what = "every device" if device.path == "all" else f"the device {device.path}"
        yield Power("devices", what)
    for rule in (label.resources.devices if label.resources else None) or ():
        if rule.allow:
            yield Power("resources", "devices by a rule")


def _confinement(label: Settings) -> Iterator[Power]:
    if label.rootfs_propagation not in (None, "", "private", "slave", "rprivate", "rslave"):
        yield Power("rootfsPropagation", "mounts that the machine sees")
    if label.seccomp not in (None, "default"):
        yield Power("seccomp", "its own choice of system calls")
    if label.masked_paths is not None:
        yield Power("maskedPaths", "its own choice of masked paths")
    if label.readonly_paths is not None:
        yield Power("readonlyPaths", "its own choice of read-only paths")


def _runtime(runtime: Runtime) -> Iterator[str]:
    """What `init` does on the machine before the container starts."""
    for mount in runtime.mounts or ():
        place = mount.destination or ""
        if place.startswith("/") or ".." in place.split("/"):
            yield f"a mount on the machine's {normal(place)}"
        yield from _mount(mount)
    for interface in runtime.interfaces or ():
        if not interface.add and not interface.peer:
            yield f"the machine's interface {interface.name or ''}"
    for path in runtime.bind_ns or ():
        if path and not normal(path).startswith("/run/netns/"):
            yield f"a namespace at the machine's {normal(path)}"


def label_powers(
    config: Config, images: Mapping[str, Image]
) -> list[tuple[ImageEntry, Image, list[Power]]]:
    """The containers to which their images' labels grant power that the YAML does not name.

    `images` has those that are looked at, by their names in `config`. Raises `ConfigError` for a
    label that cannot be read.
    """
    found = []
    for entry in (*config.onboot, *config.services, *config.onshutdown):
        image = images.get(entry.image)
        if image is None:
            continue
        if granting := powers(surviving_label(entry.settings, label_settings(image))):
            found.append((entry, image, granting))
    return found


def grant_message(entry: ImageEntry, image: Image, granting: Iterable[Power]) -> str:
    """A sentence for people."""
    what = ", ".join(dict.fromkeys(power.what for power in granting))
    return f"{entry.name}: the label of {image.name} grants {what}"


def refuse_powers(found: Iterable[tuple[ImageEntry, Image, list[Power]]]) -> None:
    """Raises `ConfigError` or `CombinedError` (`label-powers`) if there is any."""
    errors = [
        ConfigError(
            "label-powers",
            grant_message(entry, image, granting),
            place=str(entry.mark),
            hint=f"Set {', '.join(dict.fromkeys(power.key for power in granting))} in the entry, "
            "to the values that you want.",
        )
        for entry, image, granting in found
    ]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise CombinedError(errors)
