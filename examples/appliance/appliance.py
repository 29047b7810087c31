"""`make appliance`: a machine that updates itself, from keys to the second version's page.

Makes keys, builds version 1.0.0 as a disk with two slots and 1.1.0 as a bundle, serves the bundle
on loopback and boots the disk. The machine finds the bundle within a minute, writes it into its
other slot, restarts, and serves the new page. Exits 0 only if it did.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from socket import socket

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "appliance"
COMPOS = [sys.executable, "-m", "compos"]
LIMIT = 600
"""Seconds for each page; a tenth of that on an idle machine without hardware virtualisation."""


def main() -> int:
    """Run it; returns the exit status."""
    out = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else OUT
    out.mkdir(parents=True, exist_ok=True)
    keys = out / "keys"
    if not keys.exists():
        run("keys", "new", str(keys))
    served, web = free_port(), free_port()
    source = f"http://10.0.2.2:{served}/appliance-1.1.0.raucb"
    for version, form in (("1.0.0", "raw-efi"), ("1.1.0", "update")):
        print(f"building version {version} as {form}", flush=True)
        build(out, keys, source, version, form)
    with ExitStack() as stack:
        start(stack, "serve", "--port", f"127.0.0.1:{served}", "--directory", str(out))
        guest = boot(stack, out, web)
        for version in ("1.0.0", "1.1.0"):
            seconds = wait_for(guest, web, f"this is version {version}")
            print(f"the machine serves version {version} after {seconds:.0f} s", flush=True)
    return 0


def build(out: Path, keys: Path, source: str, version: str, form: str) -> None:
    """One version in one format: `appliance-VERSION` and the format's suffix."""
    options = ["-f", form, "--root", "erofs-verity-appended", "--size", "1G", "--keys", str(keys)]
    for name, value in (("VERSION", version), ("KEYS", str(keys)), ("SOURCE", source)):
        options += ["--set", f"{name}={value}"]
    options += ["--dir", str(out), "--name", f"appliance-{version}"]
    run("build", *options, str(HERE / "appliance.yml"))


def boot(stack: ExitStack, out: Path, web: int) -> subprocess.Popen[bytes]:
    """The machine, whose firmware starts as it came from the factory."""
    console = stack.enter_context((out / "console.log").open("wb"))
    (out / "state" / "efi-vars.fd").unlink(missing_ok=True)
    options = ["--uefi", "--publish", f"{web}:80", "--state", str(out / "state"), "--mem", "1024"]
    disk = str(out / "appliance-1.0.0-efi.img")
    return start(stack, "run", "qemu", *options, disk, output=console.fileno())


def run(*words: str) -> None:
    """A command of compos that has to succeed."""
    subprocess.run([*COMPOS, *words], check=True)


def start(stack: ExitStack, *words: str, output: int | None = None) -> subprocess.Popen[bytes]:
    """One that runs until the end of the demonstration."""
    process = subprocess.Popen([*COMPOS, *words], stdin=subprocess.PIPE, stdout=output)
    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it; QEMU through its console's monitor (ctrl-a x), because it is the child of our
    child."""
    if process.poll() is None and process.stdin is not None:
        process.stdin.write(b"\x01x")
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()


def wait_for(guest: subprocess.Popen[bytes], port: int, text: str) -> float:
    """Until the machine's page has `text`: how many seconds that took."""
    began = time.monotonic()
    while time.monotonic() < began + LIMIT:
        if guest.poll() is not None:
            sys.exit(f"error: the machine has ended with status {guest.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                if text in answer.read().decode():
                    return time.monotonic() - began
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(1)
    sys.exit(f"error: the machine does not say {text!r}")


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
