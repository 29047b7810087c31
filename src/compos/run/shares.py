"""Folders of this machine that a guest mounts by virtiofs: each served by a virtiofsd of its own.

May touch: starts virtiofsd, which reads and writes the shared folders; sockets in the state
directory. Reference: cli.md 4.2. Share N has the tag `virtiofsN`: `mount -t virtiofs virtiofs0
/mnt` in the guest.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from compos.errors import RunError
from compos.run.daemons import Daemon, start_daemon, stop_daemons, wait_for

__all__ = ["find_virtiofsd", "socket_path", "start_shares"]

PLACES = ("../lib/qemu/virtiofsd", "../libexec/virtiofsd", "../lib/virtiofsd")
"""Where distributions install it, relative to the folder of QEMU: none has it in PATH."""


def find_virtiofsd(qemu: str, given: str, which: Callable[[str], str | None] = shutil.which) -> str:
    """The virtiofsd program: `given`, one in PATH, or one that is installed beside `qemu`. Raises
    `RunError`."""
    folder = Path(qemu).resolve().parent
    candidates = (
        [given] if given else ["virtiofsd", *(str((folder / place).resolve()) for place in PLACES)]
    )
    for candidate in candidates:
        if found := which(candidate):
            return found
    raise RunError(
        "virtiofsd-missing",
        f"{given or 'virtiofsd'} is not installed",
        hint="Install Debian's package virtiofsd (Debian 12: qemu-system-common), or set it with "
        "--virtiofsd.",
    )


def socket_path(state: Path, number: int) -> Path:
    """The socket between QEMU and the virtiofsd of share `number`."""
    return state / f"virtiofs{number}"


def start_shares(
    program: str,
    folders: Sequence[Path],
    state: Path,
    *,
    start: Callable[..., Daemon] = subprocess.Popen,
) -> list[Daemon]:
    """Start a daemon for each folder by `start`, and wait until all listen. Each ends by itself
    when QEMU goes. Raises `RunError`."""
    daemons: list[Daemon] = []
    try:
        for number, folder in enumerate(folders):
            daemons.append(_start(program, folder, socket_path(state, number), start))
        for number, (daemon, folder) in enumerate(zip(daemons, folders, strict=True)):
            _wait(daemon, folder, socket_path(state, number))
    except BaseException:
        stop_daemons(daemons)
        raise
    return daemons


def _start(program: str, folder: Path, socket: Path, start: Callable[..., Daemon]) -> Daemon:
    if not folder.is_dir():
        raise RunError("share-missing", "the folder to share does not exist", place=str(folder))
    if "," in str(folder):
        # `-o source=` is the one spelling that both implementations understand, and a comma ends
        # it.
        raise RunError(
            "share-name",
            "virtiofsd cannot share a folder with a comma in its name",
            place=str(folder),
        )
    try:
        command = [program, f"--socket-path={socket}", "-o", f"source={folder.resolve()}"]
        return start_daemon(command, socket, start)
    except OSError as error:
        raise RunError(
            "share-failed", f"virtiofsd cannot be started: {error.strerror}", place=program
        ) from error


def _wait(daemon: Daemon, folder: Path, socket: Path) -> None:
    try:
        wait_for(daemon, socket)
    except RunError as error:
        raise RunError(
            "share-failed",
            f"the folder cannot be shared: {error.message}",
            place=str(folder),
            hint="Run virtiofsd as root, or install a newer version.",
        ) from error
