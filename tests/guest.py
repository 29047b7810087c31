"""A booted guest on its serial console: what the boot tests drive."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from compos.testing.booted import free_port
from compos.testing.console import Console

__all__ = ["COMPOS", "Guest", "fetch", "free_port"]

COMPOS = [sys.executable, "-m", "compos"]


class Guest:
    """`compos run qemu` on a built system, under software emulation.

    The console goes to a file: whoever does not read a terminal stops QEMU, and with it the guest.
    Relative paths are relative to `folder`.
    """

    def __init__(
        self, prefix: Path | str, *options: str, log: Path, folder: Path | None = None
    ) -> None:
        self.log = log
        self._console = Console(log, lambda: self.process.poll() is None)
        command = [
            *COMPOS,
            "run",
            "qemu",
            "--accel",
            "tcg",
            "--mem",
            "1024",
            "--cpus",
            "2",
            *options,
            str(prefix),
        ]
        with log.open("wb") as console:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            # QEMU is the child of our child: ask it through the console's monitor (ctrl-a x), then
            # insist.
            self.type("\x01x")
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def type(self, text: str) -> None:
        """Send keys to the console."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def expect(self, pattern: str, timeout: float = 120) -> re.Match[str]:
        """Wait until the console shows `pattern` behind what was expected before."""
        return self._console.expect(pattern, timeout)

    def prompt(self, timeout: float = 120) -> None:
        """Wait for the shell. What is typed while getty sets the terminal up is lost, so ask until
        it answers."""
        deadline = time.monotonic() + timeout
        while not self._console.find(r"shell is \$-"):
            assert time.monotonic() < deadline, f"no shell on the console:\n{self.text()[-3000:]}"
            self.type("echo shell is '$'-\n")
            time.sleep(1)

    def run(self, command: str, timeout: float = 60) -> str:
        """Run a shell command at the console's prompt; returns its output."""
        start = len(self.text())
        # The marker is split so that the echo of the command line cannot be taken for its end.
        self.type(f"{command}; echo end-of-'output' $?\n")
        end = self.expect(r"end-of-output \d+", timeout)
        return self.text()[start : end.start()]

    def power_off(self) -> int:
        """Type `poweroff` and wait until QEMU has ended by itself; returns its exit status."""
        self.type("poweroff\n")
        return self.process.wait(90)

    def text(self) -> str:
        """Everything that the console has shown so far."""
        return self._console.text


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
