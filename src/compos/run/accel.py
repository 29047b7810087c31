"""Which accelerator works here: KVM on Linux, Hypervisor.framework (`hvf`) on macOS, else TCG.

On some machines `/dev/kvm` opens and a guest then hangs, so KVM is tried with a real kernel.

May touch: `/dev/kvm`; `/boot`; the store, for the verdict; starts a QEMU of its own and ends it; on
macOS starts sysctl(8).
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.progress import notice, task
from compos.run.qemu import NICKNAMES
from compos.run.virtual_machine import ARCHITECTURES, VirtualMachine, arguments

if TYPE_CHECKING:
    from compos.image.store import Store

__all__ = ["choose_accel", "kernel_boots"]

KIND = DerivedKind.ACCEL

STALL = 6.0
"""Seconds in which a guest's console shows nothing new until it counts as hung; a working one
writes all the time."""

LIMIT = 30.0
"""Seconds until a guest that still writes is given up; a working one needs about one (2.6 even when
emulated)."""

PROOF = (b"Unable to mount root fs", b"No working init found")
"""What only a kernel that has come all the way through its start says. A guest that merely ends may
have crashed."""

SLOW = "the guest is emulated, which is slower"
DEVICE = Path("/dev/kvm")
HOST_KERNELS = Path("/boot")
DARWIN = "Darwin"
"""What uname(2) calls macOS."""
HYPERVISOR = ("sysctl", "-n", "kern.hv_support")
"""Prints 1 where Hypervisor.framework works: not in most virtual machines."""


def choose_accel(
    qemu: str,
    kernel: Path | None,
    arch: str,
    store: Callable[[], Store],
    *,
    asked: str = "",
    device: Path = DEVICE,
    host_kernels: Path = HOST_KERNELS,
    system: str = "",
    machine: str = "",
) -> str:
    """`asked` when the guest can have it; by default `kvm` or `hvf` when it works for `arch` here,
    else `tcg`. Reports a fall-back. `system` and `machine` are the host's (uname(2)).

    The verdict is kept in what `store` returns, under everything that can change it: the host's
    kernel, its CPU, QEMU, and this boot of the machine (nested virtualisation comes and goes with
    the hypervisor); a store that cannot be used costs a probe a run, no more. Disks and ISOs bring
    no `kernel` that could be tried; the verdict of an earlier kernel holds for them, else the
    host's own kernel is tried. No small program made up for the purpose stands in: on a machine
    where KVM is broken it would run, and the kernel after it would not.
    """
    machine = machine or platform.machine()
    host = NICKNAMES.get(machine, machine)
    if arch != host:
        notice(f"this machine is {host}, the guest {arch}: {SLOW}")
        return asked if asked.startswith("tcg") else "tcg"
    if asked:
        return asked
    if (system or platform.system()) == DARWIN:
        return _hypervisor_framework()
    if not device.exists():
        notice(f"there is no {device}: {SLOW}")
        return "tcg"
    if not os.access(device, os.R_OK | os.W_OK):
        notice(f"no access to {device}: {SLOW} (join the group kvm)")
        return "tcg"
    key = _key(qemu)
    verdict = _recall(store, key)
    if verdict is None:
        probe = kernel or _host_kernel(host_kernels)
        if probe is None:
            notice(
                f"KVM has not been tested on this machine yet (run a kernel+initrd once): {SLOW}"
            )
            return "tcg"
        with task("testing KVM"):
            verdict = "kvm" if kernel_boots(qemu, probe, arch=arch) else "tcg"
        _remember(store, key, verdict)
    if verdict != "kvm":
        notice(f"KVM does not work on this machine: {SLOW}")
    return verdict


def _hypervisor_framework() -> str:
    """`hvf` where macOS says that it works, else `tcg`. It is not tried with a kernel: unlike an
    open `/dev/kvm`, macOS's own answer takes nested virtualisation into account."""
    try:
        done = subprocess.run(HYPERVISOR, capture_output=True, check=False)
    except OSError:
        supported = False
    else:
        supported = done.stdout.strip() == b"1"
    if not supported:
        notice(f"this machine has no Hypervisor.framework: {SLOW}")
    return "hvf" if supported else "tcg"


def _host_kernel(folder: Path) -> Path | None:
    """The running kernel's file, or the newest name there, if this user may read it."""
    own = folder / f"vmlinuz-{platform.release()}"
    found = [own, *sorted(folder.glob("vmlinuz-*"), reverse=True)]
    return next((path for path in found if path.is_file() and os.access(path, os.R_OK)), None)


def _key(qemu: str) -> str:
    def text(path: str) -> str:
        try:
            return Path(path).read_text()
        except OSError:
            return ""

    model = next(
        (line for line in text("/proc/cpuinfo").splitlines() if line.startswith("model name")), ""
    )
    # A file's size and time stand for QEMU's version: asking it would cost 30 ms in every run.
    status = Path(qemu).stat()
    program = (qemu, status.st_size, status.st_mtime_ns)
    parts = (platform.release(), text("/proc/sys/kernel/random/boot_id"), model, program)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _recall(store: Callable[[], Store], key: str) -> str | None:
    try:
        path = store().derived(KIND, key)
        text = path.read_text() if path else ""
    except (OSError, ImageError):
        return None
    return text if text in ("kvm", "tcg") else None


def _remember(store: Callable[[], Store], key: str, verdict: str) -> None:
    with suppress(OSError, ImageError), store().derive(KIND, key) as path:
        path.write_text(verdict)


def kernel_boots(
    qemu: str, kernel: Path, *, arch: str, stall: float = STALL, limit: float = LIMIT
) -> bool:
    """Whether `kernel` runs under KVM: it has no root filesystem here, so it comes to the point
    where it says so.

    `stall` and `limit` in seconds. The first of these ends it: the proof, QEMU's end, KVM's own
    complaint, silence.
    """
    with tempfile.TemporaryDirectory() as folder:
        console, complaints = Path(folder, "console"), Path(folder, "stderr")
        with complaints.open("wb") as stderr:
            process = subprocess.Popen(
                _probe(qemu, kernel, arch, console),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        try:
            return _watch(process, console, complaints, stall, limit)
        finally:
            process.kill()
            process.wait()


def _probe(qemu: str, kernel: Path, arch: str, console: Path) -> list[str]:
    port = ARCHITECTURES[arch].console
    early = f"earlyprintk={port}" if arch == "x86_64" else "earlycon"
    machine = VirtualMachine(
        arch,
        qemu,
        "kvm",
        memory=256,
        kernel=kernel,
        cmdline=f"{early} console={port} panic=-1",
        networking="none",
        console=console,
        defaults=False,
        reboot=False,
    )
    return arguments(machine)


def _watch(
    process: subprocess.Popen[bytes], console: Path, complaints: Path, stall: float, limit: float
) -> bool:
    started = changed = time.monotonic()
    length = 0
    while True:
        ended = (
            process.poll() is not None
        )  # asked before the console is read, so that its last words count
        seen = console.read_bytes() if console.exists() else b""
        if any(words in seen for words in PROOF):
            return True
        # After this one QEMU keeps the guest stopped for ever.
        if ended or b"KVM internal error" in complaints.read_bytes():
            return False
        now = time.monotonic()
        if len(seen) > length:
            length, changed = len(seen), now
        if now - changed > stall or now - started > limit:
            return False
        time.sleep(0.02)
