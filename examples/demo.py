"""`make demo`: compose `web.yml`, boot it in QEMU, fetch the page that the guest serves, and power
it down.

Exits 0 only if the page came from the guest and the guest went down by itself.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "build" / "demo"
COMPOS = sys.argv[1:] or [sys.executable, "-m", "compos"]
"""The command; another installation's may be named as arguments."""
BOOT_LIMIT = 180
"""Seconds until the page must be there; about 15 on an idle machine without hardware
virtualisation."""


def main() -> int:
    """Run the demo; returns the exit status."""
    OUT.mkdir(parents=True, exist_ok=True)
    times: list[tuple[str, float]] = []
    started = time.monotonic()
    subprocess.run(
        [*COMPOS, "build", "--dir", str(OUT), str(HERE / "web.yml")], check=True, cwd=HERE
    )
    times.append(("compose", time.monotonic() - started))

    port = free_port()
    started = time.monotonic()
    with (OUT / "console.log").open("wb") as console:
        guest = subprocess.Popen(
            [
                *COMPOS,
                "run",
                "qemu",
                "--publish",
                f"{port}:80",
                "--state",
                str(OUT / "state"),
                str(OUT / "web"),
            ],
            stdin=subprocess.PIPE,
            stdout=console,
            stderr=None,
        )
    watcher = Watcher(OUT / "console.log")
    watcher.start()
    try:
        page = fetch(guest, f"http://127.0.0.1:{port}/", started + BOOT_LIMIT)
        times.append(("boot to first page", time.monotonic() - started))
        print(page)
        started = time.monotonic()
        power_off(guest)
        times.append(("power off", time.monotonic() - started))
    finally:
        if guest.poll() is None:
            guest.kill()
            guest.wait()
    print(f"{'stage':>28}  seconds")
    for name, seconds in [*times[:1], *watcher.stages, *times[1:]]:
        print(f"{name:>28} {seconds:8.2f}")
    return 0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fetch(guest: subprocess.Popen[bytes], url: str, deadline: float) -> str:
    """The page, as soon as the guest serves it; leaves the program when it never does."""
    waiting = sys.stderr.isatty()
    while time.monotonic() < deadline:
        if guest.poll() is not None:
            sys.exit(
                f"error: the guest ended before it served the page (console: {OUT / 'console.log'})"
            )
        if waiting:
            print(
                f"\rbooting … {BOOT_LIMIT - (deadline - time.monotonic()):.0f} s",
                end="",
                file=sys.stderr,
            )
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if waiting:
                    print(file=sys.stderr)
                body: bytes = answer.read()
                return body.decode()
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    sys.exit(f"error: no page within {BOOT_LIMIT} s (console: {OUT / 'console.log'})")


def power_off(guest: subprocess.Popen[bytes]) -> None:
    """Type `poweroff` on the guest's console and wait until it has gone."""
    assert guest.stdin is not None
    deadline = time.monotonic() + 90
    while guest.poll() is None:
        if time.monotonic() > deadline:
            sys.exit(f"error: the guest does not power off (console: {OUT / 'console.log'})")
        try:
            os.write(guest.stdin.fileno(), b"\npoweroff\n")
            guest.wait(5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            continue
    if guest.returncode:
        sys.exit(f"error: the guest ended with status {guest.returncode}")
    if "so long and thanks for all the fish" not in (OUT / "console.log").read_text(
        errors="replace"
    ):
        sys.exit("error: the onshutdown container said nothing")


class Watcher(threading.Thread):
    """Reads the guest's console as it grows and notes when each stage was done, in seconds since
    the start."""

    def __init__(self, console: Path) -> None:
        super().__init__(daemon=True)
        self.console = console
        self.started = time.monotonic()
        self.stages: list[tuple[str, float]] = []

    def run(self) -> None:
        """Until the program ends."""
        with self.console.open(errors="replace") as stream:
            line = ""
            while True:
                line += stream.readline()
                if not line.endswith("\n"):
                    time.sleep(0.02)
                    continue
                if match := re.search(r"compos: (.*?)(?: done)? at [0-9.]+ s", line):
                    self.stages.append((f"guest: {match[1]}", time.monotonic() - self.started))
                line = ""


if __name__ == "__main__":
    sys.exit(main())
