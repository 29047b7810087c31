"""A TPM 2.0, or a TPM 1.2, for a guest, by swtpm, whose state lasts as long as the state directory.

May touch: starts swtpm; its state and socket in the state directory.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from compos.errors import RunError
from compos.run.daemons import Daemon, start_daemon, stop_daemons, wait_for

__all__ = ["find_swtpm", "start_tpm", "tpm_device", "tpm_socket"]

TPM_DEVICES = {"x86_64": "tpm-crb", "aarch64": "tpm-tis-device"}
"""What attaches it, by QEMU's names of architectures; its riscv64 machine has no place for one."""

TPM12_DEVICES = {"x86_64": "tpm-tis"}
"""For a TPM 1.2, whose interface is the older one; firmware of other architectures knows none."""


def tpm_device(arch: str, *, old: bool = False) -> str:
    """QEMU's device of a TPM 2.0, or of an `old` one of 1.2."""
    return (TPM12_DEVICES if old else TPM_DEVICES)[arch]


def find_swtpm(
    arch: str, which: Callable[[str], str | None] = shutil.which, *, old: bool = False
) -> str:
    """The program, for a TPM 2.0 or an `old` one of 1.2. Raises `RunError` (`tpm-missing`,
    `tpm-arch`)."""
    devices = TPM12_DEVICES if old else TPM_DEVICES
    if arch not in devices:
        raise RunError(
            "tpm-arch",
            f"a guest of the architecture {arch} cannot have a TPM {'1.2' if old else '2.0'}",
            hint=f"Use one of {', '.join(devices)}.",
        )
    if found := which("swtpm"):
        return found
    raise RunError("tpm-missing", "swtpm is not installed", hint="Install Debian's package swtpm.")


def tpm_socket(state: Path) -> Path:
    """The socket between QEMU and the TPM."""
    return state / "tpm.sock"


def start_tpm(
    program: str,
    state: Path,
    *,
    old: bool = False,
    start: Callable[..., Daemon] = subprocess.Popen,
) -> Daemon:
    """Start the TPM, an `old` one of 1.2, by `start`, and wait until it listens; it ends by itself
    when QEMU does. The two kinds have states of their own. Raises `RunError` (`daemon-failed`)."""
    folder, socket = state / ("tpm12" if old else "tpm"), tpm_socket(state)
    folder.mkdir(mode=0o700, exist_ok=True)
    command = [
        program,
        "socket",
        *([] if old else ["--tpm2"]),
        "--terminate",
        "--flags",
        "startup-clear",
    ]
    command += ["--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={socket}"]
    try:
        daemon = start_daemon(command, socket, start)
    except OSError as error:
        raise RunError(
            "daemon-failed", f"swtpm cannot be started: {error.strerror}", place=program
        ) from error
    try:
        wait_for(daemon, socket)
    except BaseException:
        stop_daemons([daemon])
        raise
    return daemon
