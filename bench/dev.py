"""From a save to its effect in the guest of `compos dev`: a page, a service's settings and image,
what services there are, the kernel's command line and modules.

A command: `make bench-dev`. Prints a table of medians and writes it to docs/benchmarks-dev.md. The
machine is QEMU's q35 without hardware acceleration.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compos.run.guests import find_guest  # noqa: E402
from compos.run.remote import read_file  # noqa: E402
from tests.develop.dev import Dev  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-dev.md"
ROUNDS = 5
BOOTS = 3

HEAD = """\
# From a save to its effect

The system of [dev.md](dev.md) under `compos dev`: seconds from the moment in which a file is saved
until the guest shows it, which is asked every hundredth of a second. A page counts as shown when it
is served, a service when its new version has been started, a boot when all services have. Measured
with QEMU's q35 machine without hardware acceleration, {cpus} and 512 MiB. Written by
`make bench-dev`.

Machine: {machine}, load {load} (other work counts as it comes); {qemu}. A boot without an edit, as
`compos dev` shows it when it starts, takes {boot} s from the built files to the last service.

| edit | median | lowest | highest | what is done |
|---|---|---|---|---|
"""

Edit = Callable[[Dev, int], None]


def page(dev: Dev, number: int) -> None:
    """Save a page, and wait until it is served."""
    (dev.folder / "index.html").write_text(f"page {number}\n")
    dev.page(f"page {number}")


def settings(dev: Dev, number: int) -> None:
    """Another command of a service."""
    dev.edit(_word(dev), f"echo word{number};")
    dev.expect("clock runs as its new version")


def image(dev: Dev, number: int) -> None:
    """Another image of a service, and back."""
    images = ["busybox", "ip"]
    old, new = images[number % 2], images[(number + 1) % 2]
    command = "\n    command: [/bin/sh"
    dev.edit(f"compos/{old}:v1{command}", f"compos/{new}:v1{command}")
    dev.expect("clock runs as its new version")


def new_service(dev: Dev, number: int) -> None:
    """One more service."""
    dev.edit("files:", f"{_service(number)}files:")
    dev.expect(f"more{number} runs as its new version")


def no_service(dev: Dev, number: int) -> None:
    """One of them less."""
    dev.edit(_service(number), "")
    dev.expect(f"more{number} has ended")


def command_line(dev: Dev, number: int) -> None:
    """Another word on the kernel's command line."""
    dev.edit(_cmdline(dev), f'"console=ttyS0 bench={number}"')
    dev.expect(r"services started \(\d+ of \d+\)")


def modules(dev: Dev, number: int) -> None:
    """All modules of the kernel, or those that are needed."""
    both = ["modules: auto", "modules: [virtio_net, virtio_console, af_packet, overlay, loop]"]
    dev.edit(both[number % 2], both[(number + 1) % 2])
    dev.expect(r"services started \(\d+ of \d+\)")


CASES: tuple[tuple[str, Edit, int, str], ...] = (
    ("a page", page, ROUNDS, "put in place, its service restarted"),
    ("the command of a service", settings, ROUNDS, "the service replaced"),
    ("the image of a service, 13.6 MB", image, ROUNDS + 1, "the service replaced"),
    ("a service that is new", new_service, ROUNDS, "it is started"),
    ("a service that is gone", no_service, ROUNDS, "it is stopped"),
    ("the kernel's command line", command_line, BOOTS, "boot"),
    ("the kernel's modules", modules, BOOTS + 1, "boot"),
)


def main() -> int:
    """Measure, print, write."""
    os.environ.setdefault("COMPOS_CACHE", str(ROOT / "build" / "test-store"))
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="compos-bench-") as folder,
        Dev(Path(folder), name="bench-dev") as dev,
    ):
        boot = dev.expect(r"services started [\d.]+ s after the kernel \(([\d.]+) s\)")[1]
        time.sleep(3)
        load = os.getloadavg()[0]
        for title, edit, rounds, done in CASES:
            taken = []
            for number in range(rounds):
                _settle(dev)
                start = time.monotonic()
                edit(dev, number)
                taken.append(time.monotonic() - start)
                print(f"{title}: {taken[-1]:.2f} s", flush=True)
            rows.append(
                f"| {title} | {statistics.median(taken):.2f} | {min(taken):.2f} | "
                f"{max(taken):.2f} | {done} |"
            )
    PAGE.write_text(_head(boot, load) + "\n".join(rows) + "\n")
    print(PAGE.read_text())
    return 0


def _settle(dev: Dev) -> None:
    """Until the guest has nothing to do: what was before does not count."""
    time.sleep(2)
    read_file(find_guest(dev.name), "/proc/loadavg")


def _word(dev: Dev) -> str:
    found = re.search(r"echo \w+;", (dev.folder / "os.yml").read_text())
    assert found
    return found[0]


def _service(number: int) -> str:
    return (
        f"  - name: more{number}\n    image: compos/busybox:v1\n"
        '    command: [/bin/sleep, "1000000"]\n'
    )


def _cmdline(dev: Dev) -> str:
    found = re.search(r'"console=[^"]*"', (dev.folder / "os.yml").read_text())
    assert found
    return found[0]


def _head(boot: str, load: float) -> str:
    version = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    ).stdout.split(" (")[0]
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return HEAD.format(
        cpus="1 CPU",
        machine=f"{os.cpu_count()} × {model[1] if model else platform.machine()}",
        load=f"{load:.1f}",
        qemu=version,
        boot=boot,
    )


if __name__ == "__main__":
    sys.exit(main())
