"""A booted guest on its serial console: what the boot tests drive."""

from __future__ import annotations

import socket
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType

import pexpect

COMPOS = f"{sys.executable} -m compos"


def free_port() -> int:
    """A port on loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Guest:
    """`compos run qemu` on a built system, under software emulation; its console is a pseudo-terminal."""

    def __init__(self, prefix: Path, *options: str, log: Path) -> None:
        self.log = log
        self._stream = log.open("wb")
        command = f"{COMPOS} run qemu --accel tcg --mem 1024 --cpus 2 {' '.join(options)} {prefix}"
        self.console = pexpect.spawn(command, timeout=120, logfile=self._stream, echo=False, dimensions=(50, 200))

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.isalive():
            self.console.close(force=True)
        self._stream.close()

    def expect(self, pattern: str, timeout: float = 120) -> str:
        """Wait until the console shows `pattern`; returns the match."""
        self.console.expect(pattern, timeout=timeout)
        found: bytes = self.console.after
        return found.decode(errors="replace")

    def run(self, command: str, timeout: float = 60) -> str:
        """Run a shell command at the console's prompt; returns its output."""
        # The marker is split so that the echo of the command line cannot be taken for its end.
        self.console.sendline(f"{command}; echo end-of-'output' $?")
        self.console.expect(r"end-of-output (\d+)\r\n", timeout=timeout)
        output: bytes = self.console.before
        return output.decode(errors="replace")

    def power_off(self) -> int | None:
        """Type `poweroff` and wait until QEMU has ended by itself; returns its exit status."""
        self.console.sendline("poweroff")
        self.console.expect(pexpect.EOF, timeout=60)
        self.console.close()
        status: int | None = self.console.exitstatus
        return status

    def text(self) -> str:
        """Everything that the console has shown so far."""
        self._stream.flush()
        return self.log.read_text(errors="replace")


def fetch(port: int, seconds: float = 120, path: str = "/") -> str:
    """The page that the guest serves on a published port, as soon as it does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
                body: bytes = answer.read()
                return body.decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
