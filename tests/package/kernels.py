"""Kernels and modules as far as a kernel image looks at them, and what a kernel's package holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from compos.tree.node import Tree, file

__all__ = ["BASE", "CONFIG", "KERNEL", "VERMAGIC", "bzimage", "image", "module", "zboot"]

VERMAGIC = "6.12 SMP preempt mod_unload modversions "

MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}
MAGICS = {"arm64": b"ARM\x64", "riscv64": b"RSC\x05"}


def bzimage(version: str = "6.12") -> bytes:
    """x86's header, and the version where it says (boot.rst)."""
    data = bytearray(1024)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, 0x100)
    data[0x300:0x380] = f"{version} (builder@host) #1 SMP".encode().ljust(128, b"\0")
    return bytes(data)


def image(architecture: str, version: str = "6.12", config: bytes = b"") -> bytes:
    """An uncompressed Image with the banner."""
    data = bytearray(0x40)
    data[0x38:0x3C] = MAGICS[architecture]
    return bytes(data) + f"Linux version {version} (builder@host) #1".encode() + config


def zboot(payload: bytes, machine: int) -> bytes:
    """An EFI program that unpacks a kernel (zboot-header.S), for a machine of PE's numbers."""
    data = bytearray(0x80)
    data[:2] = b"MZ"
    struct.pack_into("<4sII", data, 4, b"zimg", len(data), len(payload))
    struct.pack_into("<I4sH", data, 0x3C, 0x40, b"PE\0\0", machine)
    return bytes(data) + payload


def module(
    *records: str, vermagic: str = VERMAGIC, architecture: str = "amd64", body: bytes = b""
) -> bytes:
    """An ELF file with the section `.modinfo`, which holds `records` (`depends=…`)."""
    info = b"".join(f"{one}\0".encode() for one in (*records, f"vermagic={vermagic}"))
    names = b"\0.modinfo\0.shstrtab\0"
    sections: Sequence[tuple[int, int, bytes]] = ((0, 0, b""), (1, 1, info), (10, 3, names))
    offset, table, data = 64, b"", b""
    for name, kind, content in sections:
        table += struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, len(content), 0, 0, 1, 0)
        data += content
        offset += len(content)
    data += body
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        *("<HHIQQQIHHHHHH", 1, MACHINES[architecture], 1, 0, 0, 64 + len(data), 0),
        *(64, 0, 0, 64, len(sections), 2),
    )
    return ident + header + data + table


CONFIG = "".join(
    f"CONFIG_{name}=y\n"
    for name in (
        *("BLK_DEV_INITRD", "DEVTMPFS", "TMPFS", "PROC_FS", "SYSFS", "BINFMT_ELF", "UNIX"),
        *("FUTEX", "EPOLL", "SIGNALFD", "CGROUPS", "UTS_NS", "IPC_NS", "PID_NS", "NET_NS"),
        *("SECCOMP_FILTER",),
    )
) + ("CONFIG_OVERLAY_FS=m\n")

BASE = "usr/lib/modules/6.12"
KERNEL: Tree = {
    "boot/vmlinuz-6.12": file(bzimage(), 0o600, 0),
    f"{BASE}/modules.builtin": file(b"kernel/lib/built-in.ko\n", 0o644, 0),
}
