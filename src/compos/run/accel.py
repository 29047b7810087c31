"""Does KVM truly work here? On some machines `/dev/kvm` opens and a guest then hangs, so a real kernel is asked.

May touch: `/dev/kvm`; a folder for the verdict; starts a QEMU of its own and ends it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from compos.progress import notice

__all__ = ["choose_accel", "kernel_boots"]

PATIENCE = 12.0
"""Seconds until a guest that shows nothing more counts as hung; a working one needs about one."""

DEVICE = Path("/dev/kvm")


def choose_accel(qemu: str, kernel: Path | None, arch: str, verdicts: Path, device: Path = DEVICE) -> str:
    """`kvm` when it works for `arch` here, else `tcg`.

    The verdict is kept in `verdicts`, under everything that can change it: the host's kernel, its CPU, QEMU, and this boot
    of the machine (nested virtualisation comes and goes with the hypervisor). Without a `kernel` to try (disks, ISOs) only
    a remembered verdict counts: a boot sector that runs proves nothing about a kernel.
    """
    if arch != platform.machine() or not device.exists():
        return "tcg"
    if not os.access(device, os.R_OK | os.W_OK):
        notice(f"no access to {device}: the guest is emulated, which is slower (join the group kvm)")
        return "tcg"
    remembered = verdicts / _key(qemu)
    if not remembered.exists():
        if kernel is None:
            notice("KVM has not been tried on this machine yet (run a kernel+initrd once): the guest is emulated")
            return "tcg"
        works = kernel_boots(qemu, kernel)
        verdicts.mkdir(parents=True, exist_ok=True)
        remembered.write_text("kvm" if works else "tcg")
    if remembered.read_text() == "kvm":
        return "kvm"
    notice("KVM does not work on this machine: the guest is emulated, which is slower")
    return "tcg"


def _key(qemu: str) -> str:
    def text(path: str) -> str:
        try:
            return Path(path).read_text()
        except OSError:
            return ""

    model = next((line for line in text("/proc/cpuinfo").splitlines() if line.startswith("model name")), "")
    status = Path(qemu).stat()
    parts = (
        platform.release(),
        text("/proc/sys/kernel/random/boot_id"),
        model,
        qemu,
        status.st_size,
        status.st_mtime_ns,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def kernel_boots(
    qemu: str, kernel: Path, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE
) -> bool:
    """Whether `kernel` runs under KVM: it has no root filesystem here, so it panics, and `-no-reboot` ends QEMU."""
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console"
        command = [
            *(qemu, "-accel", "kvm", "-cpu", "host", "-m", "256", "-display", "none", "-no-reboot", "-nodefaults"),
            *("-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", f"file:{console}"),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = clock() + patience
            while clock() < deadline:
                if process.poll() is not None:
                    break
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        seen = console.read_bytes() if console.exists() else b""
        return process.returncode == 0 and b"Kernel panic" in seen
