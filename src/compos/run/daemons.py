"""Programs that serve a guest beside QEMU, such as virtiofsd and swtpm: started with a socket in
the state directory, waited for, and ended.

May touch: starts them; their sockets and logs in the state directory.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from compos.errors import RunError

__all__ = ["Daemon", "start_daemon", "stop_daemons", "wait_for"]

Daemon = subprocess.Popen[bytes]

MAX_START = 10.0
"""Seconds until a daemon listens."""


def start_daemon(
    command: Sequence[str], socket: Path, start: Callable[..., Daemon] = subprocess.Popen
) -> Daemon:
    """Start `command`, which listens on `socket`, by `start`; what it says goes into a log beside
    the socket. Raises `OSError`."""
    socket.unlink(missing_ok=True)
    with _log(socket).open("wb") as output:
        return start(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A ctrl-c at the terminal is the guest's, not the daemon's.
            start_new_session=True,
        )


def wait_for(daemon: Daemon, socket: Path) -> None:
    """Wait until `daemon` listens. Raises `RunError` (`daemon-failed`), with the last line of its
    log."""
    deadline = time.monotonic() + MAX_START
    while not socket.is_socket():
        if daemon.poll() is not None or time.monotonic() > deadline:
            log = _log(socket).read_text(errors="replace").strip()
            reason = log.splitlines()[-1] if log else "it does not listen"
            program = Path(str(daemon.args[0] if isinstance(daemon.args, list) else daemon.args))
            raise RunError(
                "daemon-failed",
                f"{program.name} failed: {reason}",
                place=str(program),
                hint=f"See {_log(socket)}.",
            )
        time.sleep(0.01)


def stop_daemons(daemons: Sequence[Daemon]) -> None:
    """End them now, those that still run."""
    for daemon in daemons:
        if daemon.poll() is None:
            daemon.terminate()
        daemon.wait()


def _log(socket: Path) -> Path:
    return socket.with_name(f"{socket.name}.log")
