"""Linux capabilities: LinuxKit's list and how YAML and label become `process.capabilities` (reference 1.8)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["CAPABILITIES", "process_capabilities"]

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""

CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())
"""All 41, in the kernel's numbering (include/uapi/linux/capability.h)."""


def process_capabilities(capabilities: Sequence[str], ambient: Sequence[str]) -> dict[str, list[str]]:
    """The five sets; empty ones are left out. `all` absorbs other names, `none` is the empty list."""
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
    if lowered == ["none"]:
        return []
    return list(dict.fromkeys(names))
