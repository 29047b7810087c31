"""The boot plan: everything that `init` will do, decided while building (docs/plan-format.md).
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compos.compose.container import Bundle
from compos.compose.daemon import CONTAINERD, daemon_lines
from compos.compose.plan_lines import PlanError, plan_line
from compos.compose.runtime import NAMESPACE_KINDS
from compos.config.model import Volume
from compos.errors import ConfigError
from compos.tree.node import DIRECTORY, Node

__all__ = ["LABEL", "PATH", "SECCOMP_LABEL", "boot_plan", "require_startable"]

LABEL = "org.compos.init.plan"
"""An init image with this label carries out the plan; its value is the plan's version."""

SECCOMP_LABEL = "org.compos.init.seccomp"
"""An init image with this label reads the plan's `seccomp` and `no-new-privileges` lines; for
others the profiles stand in each config.json."""

PATH = "etc/compos/plan"
HEADER = b"compos-plan\t1\n"

NAMESPACE = "services.linuxkit"
"""The containerd namespace of services that name none."""

CRUN = "usr/bin/crun"
"""Runs every container where it is: it starts in a tenth of runc's time."""

ABOVE_STATE = ("/var/lib/containerd", "/var/lib", "/var", "")
"""Where containerd keeps its state, and what that lies in; without final slashes."""

SAFE = "nodev,nosuid,noexec,relatime"

MOUNTS: tuple[tuple[str, ...], ...] = (
    ("mount", "proc", "/proc", "proc", SAFE),
    ("mount", "tmpfs", "/run", "tmpfs", f"{SAFE},size=10%,mode=755"),
    ("mount", "tmpfs", "/tmp", "tmpfs", f"{SAFE},size=10%,mode=1777"),
    ("mount", "tmpfs", "/var", "tmpfs", f"{SAFE},size=50%,mode=755"),
    *(
        ("directory", "0755", f"/var/{name}")
        for name in ("cache", "lib", "local", "lock", "log", "opt", "spool")
    ),
    ("directory", "0555", "/var/empty"),
    ("directory", "1777", "/var/tmp"),
    ("symlink", "/run", "/var/run"),
    (
        "mount",
        "dev",
        "/dev",
        "devtmpfs",
        "nosuid,noexec,relatime,size=10m,nr_inodes=248418,mode=755",
    ),
    ("node", "0600", "c", "5", "1", "/dev/console"),
    ("node", "0620", "c", "4", "1", "/dev/tty1"),
    ("node", "0666", "c", "5", "0", "/dev/tty"),
    ("node", "0666", "c", "1", "3", "/dev/null"),
    ("node", "0660", "c", "1", "11", "/dev/kmsg"),
    ("symlink", "/proc/self/fd", "/dev/fd"),
    ("symlink", "/proc/self/fd/0", "/dev/stdin"),
    ("symlink", "/proc/self/fd/1", "/dev/stdout"),
    ("symlink", "/proc/self/fd/2", "/dev/stderr"),
    ("symlink", "/proc/kcore", "/dev/kcore"),
    ("mount", "mqueue", "/dev/mqueue", "mqueue", "noexec,nosuid,nodev"),
    ("mount", "shm", "/dev/shm", "tmpfs", "noexec,nosuid,nodev,mode=1777"),
    ("mount", "devpts", "/dev/pts", "devpts", "noexec,nosuid,gid=5,mode=0620"),
    ("mount", "sysfs", "/sys", "sysfs", "noexec,nosuid,nodev"),
    ("mount?", "securityfs", "/sys/kernel/security", "securityfs", "noexec,nosuid,nodev"),
    ("mount?", "debugfs", "/sys/kernel/debug", "debugfs", "noexec,nosuid,nodev"),
    ("mount?", "configfs", "/sys/kernel/config", "configfs", "noexec,nosuid,nodev"),
    ("mount?", "fusectl", "/sys/fs/fuse/connections", "fusectl", "noexec,nosuid,nodev"),
    ("mount?", "selinuxfs", "/sys/fs/selinux", "selinuxfs", "noexec,nosuid"),
    ("mount?", "pstore", "/sys/fs/pstore", "pstore", "noexec,nosuid,nodev"),
    ("mount?", "bpf", "/sys/fs/bpf", "bpf", "noexec,nosuid,nodev"),
    ("mount?", "efivarfs", "/sys/firmware/efi/efivars", "efivarfs", "noexec,nosuid,nodev"),
    ("mount?", "binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc", "noexec,nosuid,nodev"),
    ("mount", "cgroup2", "/sys/fs/cgroup", "cgroup2", "noexec,nosuid,nodev"),
    ("limit", "nofile", "1048576", "1048576"),
    ("limit", "nproc", "unlimited", "unlimited"),
)

SETTINGS: tuple[tuple[str, ...], ...] = (
    # Buttons are input devices, whose nodes a module makes that no device of a bus asks for.
    ("modules", "evdev"),
    ("coldplug-early",),
    ("clock",),
    ("loopback",),
    ("hostname",),
    ("resolvconf",),
    ("issue",),
)
"""Reference runtime-and-packages.md 4.1 to 4.4; options are LinuxKit's."""

BUILT_IN = ("000-issue", "005-volumes", "010-onboot", "020-containerd")
"""Scripts of LinuxKit's own packages whose work the plan does itself."""

BEFORE_ONBOOT = "010"

MAX_ID = 255 - len("shutdown.") - len(".out.log")
"""Bytes of a container's id, of which the names of its logs are made (NAME_MAX, linux/limits.h)."""

MAX_CONTAINERD_ID = 76
"""Likewise, of a service's (pkg/identifiers/validate.go of containerd)."""

CONTAINERD_ID = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
"""Names that containerd takes (the same file)."""

RUNC_ID = re.compile(r"[A-Za-z0-9_+.-]+")
"""Names that runc takes (libcontainer/factory_linux.go)."""

MAX_PLAN = 16 << 20
"""Bytes of a plan that init reads (`MAX_PLAN`, bricks/init/src/main.c)."""

MAX_SPECIFICATION = 1020 << 10
"""Bytes of a container's specification that init reads, its profile included (`MAX_SPEC`,
bricks/init/src/containers/spec.h)."""


def boot_plan(
    bundles: Mapping[str, Sequence[Bundle]],
    volumes: Iterable[Volume],
    root: Mapping[str, Node],
    namespaces: Mapping[str, str],
    runtime_config: bytes = b"",
) -> bytes:
    """The plan for the containers in `bundles` (by section), for a root with the files `root`.

    `namespaces` are paths of namespaces that services share, with their kinds; `runtime_config` is
    what the root's runtime-config.toml says (compose/daemon.py). Raises `ConfigError`
    (`plan-line`).
    """
    scripts = _scripts(root, "etc/init.d")
    early = [name for name in scripts if name < BEFORE_ONBOOT]
    late = [name for name in scripts if name >= BEFORE_ONBOOT]
    containerd = daemon_lines(runtime_config) if CONTAINERD in root else ()
    soon = (
        bool(bundles["services"])
        and not early
        and not any(map(_may_cover_state, bundles["onboot"]))
    )
    lines: list[tuple[str, ...]] = [("stage", "boot"), *MOUNTS]
    # It starts while drivers are loaded and onboot runs.
    lines += [*(containerd if soon else ()), *SETTINGS]
    # Drivers of disks wait for them; so does whoever may use one, and nobody else.
    if early:
        lines.append(("disks",))
    lines += [("script", f"/etc/init.d/{name}") for name in early]
    lines += [
        ("volume-readonly" if volume.readonly else "volume", volume.name) for volume in volumes
    ]
    lines.append(("stage", "onboot"))
    if CRUN in root:
        lines.append(("runtime", f"/{CRUN}"))
    lines += _containers(bundles["onboot"], waiting=not early)
    lines += [("stage", "services"), *(() if soon else containerd)]
    if late or any(bundle.disks for bundle in bundles["services"]):
        lines.append(("disks",))
    lines += [("namespace", kind, path) for path, kind in sorted(namespaces.items())]
    lines += _containers(bundles["services"])
    lines += [("script", f"/etc/init.d/{name}") for name in late]
    lines += [("stage", "shutdown"), *_containers(bundles["onshutdown"])]
    shutdown = _scripts(root, "etc/shutdown.d")
    lines += [
        ("script", f"/etc/shutdown.d/{name}") for name in shutdown if name != "010-onshutdown"
    ]
    plan = HEADER + b"".join(_written(lines))
    if len(plan) > MAX_PLAN:
        raise ConfigError(
            "plan-long",
            f"the boot plan has {len(plan):,} bytes, but init reads at most {MAX_PLAN:,}",
            place="the boot plan",
            hint="Split the system, or shorten its health checks and mounts.",
        )
    return plan


def require_startable(bundle: Bundle, size: int, root: Mapping[str, Node], place: str) -> None:
    """Refuse a `bundle` that init, or what the files `root` bring to run it, would not take.

    Its `config.json` has `size` bytes; `place` is where the container stands. Raises `ConfigError`
    (`container-name`, `container-long`).
    """
    _require_id(bundle, root, place)
    # A runtime reads the others itself.
    if bundle.section != "services" and bundle.profile is None:
        return
    folder = (
        len(f"/{bundle.path}/rootfs".encode("utf-8", "surrogateescape")) + 2 - bundle.root_path[1]
    )
    profile = len('"seccomp":,') + len(bundle.profile.text) if bundle.profile else 0
    whole = size + folder + profile
    if whole > MAX_SPECIFICATION:
        raise ConfigError(
            "container-long",
            f"the configuration of {bundle.id!r} has {whole:,} bytes, but init reads at most "
            f"{MAX_SPECIFICATION:,}",
            place=place,
            hint="Shorten its environment, command, annotations or mounts; put large data into a "
            "file of the system.",
        )


def _require_id(bundle: Bundle, root: Mapping[str, Node], place: str) -> None:
    name, most, hint = bundle.id, MAX_ID, ""
    if bundle.section == "services" and CONTAINERD in root:
        most = MAX_CONTAINERD_ID
        hint = (
            ""
            if CONTAINERD_ID.fullmatch(name)
            else "containerd requires letters and digits, with single -, _ and . between them"
        )
    elif CRUN not in root and not RUNC_ID.fullmatch(name):
        hint = "runc requires letters, digits, -, _, + and ."
    if name.startswith("."):
        hint = "init does not support names with a leading dot"
    if len(name.encode("utf-8", "surrogateescape")) > most:
        hint = f"the name can have at most {most} bytes"
    if hint:
        raise ConfigError(
            "container-name",
            f"{name!r} is not a valid container name here",
            place=place,
            hint=f"{hint}.",
        )


def _written(lines: Iterable[tuple[str, ...]]) -> Iterator[bytes]:
    """The lines as init reads them. Raises `ConfigError` (`plan-line`) for one that it would not:
    it drops the container."""
    container = ""
    for line in lines:
        container = line[1] if line[0] == "container" else "" if line[0] == "stage" else container
        try:
            yield plan_line(line)
        except PlanError as error:
            raise ConfigError(
                "plan-line",
                f"init cannot read a line of the plan: {error}",
                place=f"the container {container}" if container else "the boot plan",
                hint="Shorten the value in the YAML or in the image's label.",
            ) from error


def _may_cover_state(bundle: Bundle) -> bool:
    """Whether an onboot container may mount a disk where containerd keeps its state: then it has to
    wait for that."""
    mounted = [mount["destination"] for mount in bundle.runtime["mounts"]]
    return any(place.rstrip("/") in ABOVE_STATE for place in (*bundle.binds, *mounted))


def _scripts(root: Mapping[str, Node], folder: str) -> list[str]:
    """Scripts that init images bring, in byte order; LinuxKit's own are done by the plan."""
    prefix = f"{folder}/"
    return sorted(
        name
        for path, node in root.items()
        if path.startswith(prefix)
        and "/" not in (name := path[len(prefix) :])
        and name not in BUILT_IN
        and node.kind != DIRECTORY
    )


def _containers(bundles: Sequence[Bundle], *, waiting: bool = False) -> Iterator[tuple[str, ...]]:
    """`waiting`: the first that may see disks waits for them."""
    for bundle in bundles:
        if waiting and bundle.disks:
            yield ("disks",)
            waiting = False
        runtime = bundle.runtime
        namespace = (runtime["namespace"] or NAMESPACE) if bundle.section == "services" else ""
        yield ("container", bundle.id, f"/{bundle.path}", namespace)
        yield from map(_mount, runtime["mounts"])
        for path in runtime["mkdir"]:
            yield ("directory", "0755", path)
        for name in runtime["cgroups"]:
            yield ("cgroup", name)
        yield from bundle.supervision
        if bundle.no_new_privileges and any(line[0] == "test" for line in bundle.supervision):
            yield ("no-new-privileges",)
        if bundle.section == "services" or bundle.profile:
            yield ("rootpath", *map(str, bundle.root_path))
        if bundle.profile:
            yield ("seccomp", str(bundle.linux), bundle.profile.path)
        for interface in runtime["interfaces"]:
            yield _interface(interface)
        for kind in NAMESPACE_KINDS:
            if runtime["bindNS"][kind]:
                yield ("bindns", kind, runtime["bindNS"][kind])


def _mount(mount: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        "mount",
        mount.get("source", ""),
        mount["destination"],
        mount.get("type", ""),
        ",".join(mount.get("options", ())),
    )


def _interface(interface: Mapping[str, Any]) -> tuple[str, ...]:
    # LinuxKit: a peer without a type means veth.
    kind = interface.get("add", "") or ("veth" if interface.get("peer") else "")
    return (
        "interface",
        interface.get("name", ""),
        kind,
        interface.get("peer", ""),
        "root" if interface["createInRoot"] else "",
    )
