"""What the schema cannot say: names, syntax inside strings, and entries that refer to each other. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from compos.config.model import Config, Device, File, ImageEntry, Mark, Settings, Volume

__all__ = ["CAPABILITIES", "check"]

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())
"""All 41, in the kernel's numbering (include/uapi/linux/capability.h)."""

_RLIMITS = """
    CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME
"""
RLIMITS = frozenset(_RLIMITS.split())
_VOLUME = re.compile(r"[a-z0-9_-]+")
_CONTAINER = re.compile(r"[^/\0]+")

Fail = Callable[[str, str, Mark, str | None], None]


def check(config: Config, fail: Fail) -> None:
    """Report every mistake in `config` to `fail(id, message, mark, hint)`."""
    _unique("service", config.services, fail)
    _unique("volume", config.volumes, fail)
    for volume in config.volumes:
        if not _VOLUME.fullmatch(volume.name):
            message = f"{volume.name!r} is not a volume's name" if volume.name else "the volume has no name"
            fail("config-volume", message, volume.mark, "Use lower-case letters, digits, - and _.")
    volumes = {volume.name: volume for volume in config.volumes}
    for section in (config.onboot, config.onshutdown, config.services):
        for entry in section:
            _entry(entry, volumes, fail)
    for file in config.files:
        _file(file, fail)


def check_settings(settings: Settings, report: Callable[[str, str, str, str | None], None]) -> None:
    """Check what entries and labels share; `report` takes id, message, key and hint."""
    for key in ("capabilities", "capabilities_add", "ambient"):
        for name in getattr(settings, key) or ():
            if name not in CAPABILITIES and name.lower() not in ("all", "none"):
                near = f"CAP_{name.upper().removeprefix('CAP_')}"
                hint = f"Did you mean {near}?" if near in CAPABILITIES else "Names are those of capabilities(7)."
                report("config-capability", f"there is no capability {name!r}", key.replace("_", "."), hint)
    for text in settings.rlimits or ():
        _rlimit(text, report)
    for text in settings.tmpfs or ():
        if text.count(":") > 1 or not text.startswith("/"):
            report("config-mount", f"{text!r} is not DESTINATION[:OPTIONS]", "tmpfs", None)
    for key in ("binds", "binds_add"):
        for text in getattr(settings, key) or ():
            parts = text.split(":")
            if len(parts) not in (2, 3) or not all(parts[:2]):
                report("config-mount", f"{text!r} is not SOURCE:DESTINATION[:OPTIONS]", key.replace("_", "."), None)
    for device in settings.devices or ():
        _device(device, report)


def _rlimit(text: str, report: Callable[[str, str, str, str | None], None]) -> None:
    parts = [part.strip() for part in text.split(",", 2)]
    if len(parts) != 3:
        report("config-rlimit", f"{text!r} is not NAME,SOFT,HARD", "rlimits", None)
        return
    if parts[0].upper().removeprefix("RLIMIT_") not in RLIMITS:
        report(
            "config-rlimit", f"there is no limit {parts[0]!r}", "rlimits", f"Limits are: {', '.join(sorted(RLIMITS))}."
        )
    for value in parts[1:]:
        if value.lower() != "unlimited" and not (value.isdecimal() and int(value) < 2**64):
            report("config-rlimit", f"{value!r} is neither a number nor unlimited", "rlimits", None)


def _device(device: Device, report: Callable[[str, str, str, str | None], None]) -> None:
    if device.path == "all":
        return
    if not device.mode or not re.fullmatch(r"[0-7]{1,5}", device.mode):
        hint = "Write it in quotes, like '0666'."
        report("config-mode", f"the device {device.path} needs an octal mode", "devices", hint)


def _unique(what: str, entries: Iterable[ImageEntry | Volume], fail: Fail) -> None:
    first: dict[str, Mark] = {}
    for entry in entries:
        if entry.name in first:
            where = f"{first[entry.name].file}:{first[entry.name].line}"
            fail(
                "config-duplicate-name",
                f"there are two entries named {entry.name!r}: each {what}'s name must be its own",
                entry.mark,
                f"The first one stands at {where}; rename one.",
            )
        first.setdefault(entry.name, entry.mark)


def _entry(entry: ImageEntry, volumes: dict[str, Volume], fail: Fail) -> None:
    if not _CONTAINER.fullmatch(entry.name) or entry.name in (".", ".."):
        fail("config-name", f"{entry.name!r} cannot be a container's name", entry.mark, "It becomes a folder's name.")

    def report(id: str, message: str, key: str, hint: str | None) -> None:
        fail(id, message, entry.mark._replace(path=f"{entry.mark.path}.{key}"), hint)

    check_settings(entry.settings, report)
    for key in ("binds", "binds_add"):
        for text in getattr(entry.settings, key) or ():
            source = text.partition(":")[0]
            if not source.startswith("/") and source not in volumes:
                hint = f"Volumes are: {', '.join(volumes)}." if volumes else "A path on the system starts with /."
                report("config-volume", f"there is no volume named {source!r}", key.replace("_", "."), hint)


def _file(entry: File, fail: Fail) -> None:
    def report(id: str, message: str, hint: str | None = None) -> None:
        fail(id, message, entry.mark, hint)

    if not (entry.path or "").strip("/"):
        report("config-file", "the file has no path")
    elif ".." in (entry.path or "").split("/"):
        report("config-file", f"{entry.path!r} leaves the system's root")
    if entry.mode is not None and not re.fullmatch(r"[0-7]{1,5}", entry.mode):
        report("config-mode", f"{entry.mode!r} is not an octal mode", "Write it in quotes, like '0644'.")
    if entry.metadata is not None and entry.metadata not in ("yaml", "json"):
        report("config-file", f"the metadata format {entry.metadata!r} does not exist", "It is yaml or json.")
    placed = entry.directory or bool(entry.symlink) or entry.contents is not None
    given = [name for name in ("source", "metadata") if getattr(entry, name)]
    if placed and given:
        report("config-file", f"{given[0]} goes with neither directory, symlink nor contents")
    elif not placed and len(given) != 1:
        report("config-file", "exactly one of contents, source, symlink, directory and metadata is needed")
    if entry.directory and entry.contents is not None:
        report("config-file", "a directory has no contents")
