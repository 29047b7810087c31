"""`make demo`: compose `web.yml`, boot it in QEMU, fetch the page that the guest serves, and power it down.

Exits 0 only if the page came from the guest and the guest went down by itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "build" / "demo"
COMPOS = [sys.executable, "-m", "compos"]
BOOT_LIMIT = 180
"""Seconds until the page must be there; about 15 on an idle machine without hardware virtualisation."""


def main() -> int:
    """Run the demo; returns the exit status."""
    OUT.mkdir(parents=True, exist_ok=True)
    times: list[tuple[str, float]] = []
    started = time.monotonic()
    subprocess.run([*COMPOS, "build", "--dir", str(OUT), str(HERE / "web.yml")], check=True, cwd=HERE)
    times.append(("compose", time.monotonic() - started))

    port = free_port()
    started = time.monotonic()
    with (OUT / "console.log").open("wb") as console:
        guest = subprocess.Popen(
            [*COMPOS, "run", "qemu", "--publish", f"{port}:80", "--state", str(OUT / "state"), str(OUT / "web")],
            stdin=subprocess.PIPE,
            stdout=console,
            stderr=None,
        )
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
    for stage in stages(OUT / "console.log"):
        print(f"  guest: {stage}")
    for name, seconds in times:
        print(f"{name:>20} {seconds:7.2f} s")
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
            sys.exit(f"error: the guest ended before it served the page (console: {OUT / 'console.log'})")
        if waiting:
            print(f"\rbooting … {BOOT_LIMIT - (deadline - time.monotonic()):.0f} s", end="", file=sys.stderr)
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
    if "so long and thanks for all the fish" not in (OUT / "console.log").read_text(errors="replace"):
        sys.exit("error: the onshutdown container said nothing")


def stages(console: Path) -> list[str]:
    """The lines in which the guest's init says when a stage was done."""
    lines = console.read_text(errors="replace").splitlines()
    return [line.strip() for line in lines if line.startswith("compos: ") and " done at " in line]


if __name__ == "__main__":
    sys.exit(main())
