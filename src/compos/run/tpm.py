"""A TPM 2.0 for a guest, by swtpm, whose state lasts as long as the state directory.

May touch: starts swtpm; its state and socket in the state directory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from compos.errors import RunError
from compos.run.daemons import Daemon, start_daemon, stop_daemons, wait_for

__all__ = ["TPM_DEVICES", "find_swtpm", "start_tpm", "tpm_socket"]

TPM_DEVICES = {"x86_64": "tpm-crb", "aarch64": "tpm-tis-device"}
"""What attaches it, by QEMU's names of architectures; its riscv64 machine has no place for one."""


def find_swtpm(arch: str, which: Callable[[str], str | None] = shutil.which) -> str:
    """The program. Raises `RunError` (`tpm-missing`, `tpm-arch`)."""
    if arch not in TPM_DEVICES:
        raise RunError(
            "tpm-arch",
            f"a guest of the architecture {arch} cannot have a TPM",
            hint=f"Use one of {', '.join(TPM_DEVICES)}.",
        )
    if found := which("swtpm"):
        return found
    raise RunError("tpm-missing", "swtpm is not installed", hint="Install Debian's package swtpm.")


def tpm_socket(state: Path) -> Path:
    """The socket between QEMU and the TPM."""
    return state / "tpm.sock"


def start_tpm(program: str, state: Path) -> Daemon:
    """Start the TPM and wait until it listens; it ends by itself when QEMU does. Raises `RunError`
    (`daemon-failed`)."""
    folder, socket = state / "tpm", tpm_socket(state)
    folder.mkdir(mode=0o700, exist_ok=True)
    command = [program, "socket", "--tpm2", "--terminate", "--flags", "startup-clear"]
    command += ["--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={socket}"]
    try:
        daemon = start_daemon(command, socket)
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
