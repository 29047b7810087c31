"""Folders of this machine that a guest mounts by virtiofs: each served by a virtiofsd of its own.

May touch: starts virtiofsd, which reads and writes the shared folders; sockets in the state
directory. Reference: cli.md 4.2. Share N has the tag `virtiofsN`: `mount -t virtiofs virtiofs0
/mnt` in the guest.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from compos.errors import RunError

__all__ = ["find_virtiofsd", "socket_path", "start_shares", "stop_shares"]

PLACES = ("../lib/qemu/virtiofsd", "../libexec/virtiofsd", "../lib/virtiofsd")
"""Where distributions install it, relative to the folder of QEMU: none has it in PATH."""

MAX_START = 10.0
"""Seconds until a virtiofsd listens."""


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
    program: str, folders: Sequence[Path], state: Path
) -> list[subprocess.Popen[bytes]]:
    """Start a daemon for each folder and wait until all listen. Each ends by itself when QEMU goes.
    Raises `RunError`."""
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for number, folder in enumerate(folders):
            daemons.append(_start(program, folder, socket_path(state, number)))
        for number, (daemon, folder) in enumerate(zip(daemons, folders, strict=True)):
            _wait(daemon, folder, socket_path(state, number))
    except BaseException:
        stop_shares(daemons)
        raise
    return daemons


def stop_shares(daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what `start_shares` started."""
    for daemon in daemons:
        if daemon.poll() is None:
            daemon.terminate()
        daemon.wait()


def _start(program: str, folder: Path, socket: Path) -> subprocess.Popen[bytes]:
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
    socket.unlink(missing_ok=True)
    log = socket.with_name(f"{socket.name}.log")
    try:
        with log.open("wb") as output:
            return subprocess.Popen(
                [program, f"--socket-path={socket}", "-o", f"source={folder.resolve()}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A ctrl-c at the terminal is the guest's, not the daemon's.
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(
            "share-failed", f"virtiofsd cannot be started: {error.strerror}", place=program
        ) from error


def _wait(daemon: subprocess.Popen[bytes], folder: Path, socket: Path) -> None:
    deadline = time.monotonic() + MAX_START
    while not socket.is_socket():
        if daemon.poll() is not None or time.monotonic() > deadline:
            log = socket.with_name(f"{socket.name}.log").read_text(errors="replace").strip()
            reason = log.splitlines()[-1] if log else "virtiofsd does not listen"
            raise RunError(
                "share-failed",
                f"the folder cannot be shared: {reason}",
                place=str(folder),
                hint="Run virtiofsd as root, or install a newer version.",
            )
        time.sleep(0.01)
