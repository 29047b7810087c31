"""Each brick's command and label are those of LinuxKit's package, except where the brick's README
says so: a YAML that was written for LinuxKit relies on what it does not say.

`LINUXKIT` is a record of LinuxKit's labels at revision 3bf33c3a.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from compos.config.load import SETTINGS_LABEL
from compos.package.bricks import bricks_folder
from compos.package.recipe import load_recipe

BLOCK, CHARACTER, ALL = "all b", "all c", "all a"
"""Devices: all of a type, as `device` spells them."""

LOGIN = [
    *("/etc/resolv.conf", "/run", "/tmp", "/etc:/hostroot/etc", "/usr/bin/ctr", "/usr/bin/runc"),
    *("/containers", "/var/log", "/var/lib/containerd", "/dev", "/sys"),
]
CONSOLES = ["console 5:1", "tty0 4:0", "ttyS0 4:64", "ttyAMA0 204:64", "hvc0 229:0"]
NEW = {"net": "new", "ipc": "new"}

LINUXKIT: dict[str, tuple[str, dict[str, Any]]] = {
    "acpid": ("/sbin/acpid -f -d", {"pid": "host", "binds": ["/dev"], "devices": [CHARACTER]}),
    "auditd": (
        "/sbin/tini /usr/bin/runaudit.sh",
        {
            "pid": "host",
            "binds": ["/var/log"],
            "capabilities": ["AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "SYS_NICE"],
        },
    ),
    "binfmt": ("/usr/bin/binfmt", {"readonly": True, "capabilities": ["SYS_ADMIN"], **NEW}),
    "cadvisor": (
        "/usr/bin/cadvisor.sh",
        {
            "binds": ["/var/lib/docker:ro", "/var/run", "/sys:ro", "/etc/resolv.conf:ro"],
            "capabilities": ["all"],
        },
    ),
    "dhcpcd": (
        "/sbin/dhcpcd --nobackground -f /dhcpcd.conf",
        {
            "binds": ["/run/resolvconf:/etc"],
            "capabilities": ["NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SYS_ADMIN"],
        },
    ),
    "dm-crypt": (
        "/usr/bin/crypto",
        {
            "binds": ["/dev", "/etc/dm-crypt"],
            "devices": [ALL],
            "capabilities": ["SYS_ADMIN", "MKNOD"],
        },
    ),
    "dummy": ("", {}),
    "extend": (
        "/usr/bin/extend",
        {"binds": ["/dev"], "devices": [BLOCK], "capabilities": ["SYS_ADMIN", "MKNOD"], **NEW},
    ),
    "format": (
        "/usr/bin/format",
        {"binds": ["/dev"], "devices": [BLOCK], "capabilities": ["SYS_ADMIN", "MKNOD"], **NEW},
    ),
    "getty": (
        "/sbin/tini -s -v -- /usr/bin/rungetty.sh",
        {
            "pid": "host",
            "net": "host",
            "binds": LOGIN,
            "devices": [f"/dev/{one}" for one in CONSOLES],
            "capabilities": ["all"],
        },
    ),
    "host-timesync-daemon": (
        "/usr/bin/host-timesync-daemon -port 0xf3a4",
        {"binds": ["/dev/rtc0"], "capabilities": ["SYS_TIME"]},
    ),
    "ip": ("", {"capabilities": ["NET_ADMIN", "NET_RAW"]}),
    "kmsg": (
        "/usr/bin/kmsg",
        {"binds": ["/dev/kmsg"], "devices": ["/dev/kmsg 1:11"], "capabilities": ["SYSLOG"]},
    ),
    "logwrite": ("/usr/bin/logwrite", {"binds": ["/var/run", "/var/log"]}),
    "losetup": (
        "/usr/bin/loopy",
        {"binds": ["/dev", "/var"], "devices": [BLOCK], "capabilities": ["SYS_ADMIN"]},
    ),
    "memlogd": ("", {"binds": ["/var/run"]}),
    "metadata": (
        "/usr/bin/metadata",
        {
            "binds": ["/dev", "/var", "/run", "/sys", "/etc/resolv.conf", "/etc/ssl/certs"],
            "devices": [BLOCK],
            "tmpfs": ["/tmp"],
            "readonly": True,
            "capabilities": ["SYS_ADMIN", "NET_ADMIN", "NET_BIND_SERVICE"],
        },
    ),
    "mkimage": (
        "/mkimage.sh",
        {
            "readonly": True,
            "binds": ["/dev"],
            "devices": [BLOCK],
            "capabilities": ["SYS_ADMIN", "MKNOD"],
        },
    ),
    "modprobe": ("", {"binds": ["/lib/modules", "/sys"], "capabilities": ["SYS_MODULE"]}),
    "mount": (
        "/usr/bin/mountie",
        {
            "binds": ["/dev", "/var:/var:rshared,rbind", "/:/hostroot"],
            "devices": [BLOCK],
            "capabilities": ["SYS_ADMIN"],
            "rootfsPropagation": "shared",
            **NEW,
        },
    ),
    "node_exporter": (
        "/bin/node_exporter",
        {
            "pid": "host",
            "binds": ["/proc:/host/proc", "/sys:/host/sys", "/:/rootfs"],
            "capabilities": ["all"],
        },
    ),
    "open-vm-tools": ("/usr/bin/vmtoolsd", {"pid": "host", "capabilities": ["SYS_BOOT"]}),
    "openntpd": (
        "/usr/sbin/ntpd -d",
        {
            "binds": ["/etc/resolv.conf"],
            "capabilities": ["SYS_TIME", "SYS_NICE", "SYS_CHROOT", "SETUID", "SETGID"],
        },
    ),
    "poweroff": (
        "/bin/sh /poweroff.sh",
        {"pid": "host", "readonly": True, "capabilities": ["SYS_BOOT"]},
    ),
    "qemu-ga": ("/usr/bin/qemu-ga -p /dev/vport0p1", {"net": "host"}),
    "rngd": (
        "/sbin/rngd",
        {"capabilities": ["SYS_ADMIN"], "oomScoreAdj": -800, "readonly": True, **NEW},
    ),
    "sshd": (
        "/sbin/tini -s /usr/bin/ssh.sh",
        {"pid": "host", "binds": LOGIN, "devices": [ALL], "capabilities": ["all"]},
    ),
    "swap": (
        "/swap.sh",
        {
            "binds": ["/dev", "/var"],
            "devices": [ALL],
            "capabilities": ["SYS_ADMIN", "MKNOD"],
            **NEW,
        },
    ),
    "sysctl": (
        "/usr/bin/sysctl",
        {"pid": "host", "readonly": True, "capabilities": ["SYS_ADMIN", "NET_ADMIN"]},
    ),
    "sysfs": ("/usr/bin/sysfs", NEW),
    "trim-after-delete": (
        "/usr/bin/trim-after-delete -- /sbin/fstrim /var/lib/docker",
        {"binds": ["/var/run", "/var/lib/docker"], "capabilities": ["SYS_ADMIN"]},
    ),
    "tss": (
        "/sbin/tcsd -f",
        {"pid": "host", "net": "host", "binds": ["/dev"], "capabilities": ["all"]},
    ),
    "vsudd": ("/vsudd", {}),
}
"""Command, and label; in it, a bind that is a path is of that path to the same, capabilities are
without `CAP_`."""


LISTS = ("binds", "capabilities", "devices", "tmpfs")

TABLE = re.compile(
    r"^\| label \| LinuxKit's \| here \|\n\|---\|---\|---\|\n((?:\|.+\|\n)+)", re.MULTILINE
)
"""In a README: what of the label is not LinuxKit's, what it is there, what here and why."""

ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


def spelled(key: str, value: Any) -> Any:
    """A value of a label in one way, whichever of several it is written in."""
    if key == "binds":
        return sorted(map(bind, value))
    if key == "capabilities":
        return sorted(name.removeprefix("CAP_") for name in value)
    return sorted(value) if key in LISTS else value


def bind(text: str) -> str:
    """In full: source, destination, and options in order."""
    source, *rest = text.split(":")
    destination = rest.pop(0) if rest and rest[0].startswith("/") else source
    return f"{source}:{destination}:{','.join(sorted(','.join(rest).split(',')))}"


def device(one: dict[str, Any]) -> str:
    number = f"{one['major']}:{one['minor']}" if "major" in one else one["type"]
    return f"{one['path']} {number}"


def command_and_label(name: str) -> dict[str, Any]:
    """What the brick has of both."""
    settings = load_recipe(bricks_folder() / name).settings
    found = json.loads(settings.labels.get(SETTINGS_LABEL, "{}"))
    if "devices" in found:
        found["devices"] = [device(one) for one in found["devices"]]
    return {"command": " ".join((*settings.entrypoint, *settings.cmd)), **found}


@pytest.mark.parametrize("name", LINUXKIT)
def test_differences_are_written_with_a_reason(name: str) -> None:
    command, label = LINUXKIT[name]
    theirs = {"command": command, **label}
    own = command_and_label(name)
    different = {
        key
        for key in theirs | own
        if spelled(key, theirs.get(key) or []) != spelled(key, own.get(key) or [])
    }
    table = TABLE.search((bricks_folder() / name / "README.md").read_text())
    assert set(ROW.findall(table[1]) if table else ()) == different, own


def test_no_brick_of_theirs_is_left_out() -> None:
    """Bricks with a label are in the table, or LinuxKit has no such package."""
    labelled = {
        folder.name
        for folder in bricks_folder().iterdir()
        if (folder / "build.yml").exists() and len(command_and_label(folder.name)) > 1
    }
    others = {
        *("attest", "chrony", "data-partition", "docker", "escrow", "installer", "nftables"),
        *("postgresql", "redis", "tpm2-tools", "update", "wireguard"),
    }
    assert labelled - set(LINUXKIT) == others
