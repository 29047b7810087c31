"""`compos dev` where it is less usual: with disks, with services whose roots are read-only, on arm64,
and with guests that halt or restart by themselves. `make dev-edits` runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from compos.run.guests import find_guest
from compos.run.remote import read_file
from hatch_build import PROGRAMS, compile_program
from tests.boot.conftest import ROOT
from tests.develop.dev import SYSTEM, Dev

pytestmark = [pytest.mark.boot, pytest.mark.slow]

COUNTING = """\
services:
  - name: boots
    image: compos/busybox:v1
    readonly: true
    command: [/bin/sh, -c, "echo first >> /data/starts; exec sleep 1000000"]
    binds: ["/var/lib/data:/data"]
"""
"""A service that writes to a disk, and to nothing else."""

PARTITION = """\
kernel: {image: compos/kernel:v1, cmdline: "console=ttyS0", modules: auto}
init: [compos/init:v1, compos/crun:v1]
disk: {mountpoint: /var/lib/data}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Starts `compos dev` in a folder that stays the same."""
    with ExitStack() as stack:

        def run(system: str, *options: str) -> Dev:
            return stack.enter_context(Dev(tmp_path, *options, name="dev-boots", system=system))

        yield run


def boot_id(dev: Dev) -> str:
    """Another one after each boot."""
    return read_file(find_guest(dev.name), "/proc/sys/kernel/random/boot_id").decode()


def starts(dev: Dev, wanted: list[str]) -> None:
    """Wait until the service has written this, a word for each of its starts."""
    deadline = time.monotonic() + 120
    found: list[str] = []
    while found != wanted:
        assert time.monotonic() < deadline, found
        found = dev.exec("/bin/busybox", "cat", "/data/starts", service="boots").split()


def edits_with_a_disk(dev: Dev, count: str) -> list[str]:
    """A service is replaced, and the guest boots anew: the disk keeps what was written. Returns
    what it has by now."""
    written = [count]
    starts(dev, written)
    before = boot_id(dev)
    dev.edit("echo first", "echo second")
    dev.expect(r"replace boots: settings")
    dev.expect(r"boots runs as its new version")
    written.append("second")
    starts(dev, written)
    write = ("/bin/busybox", "sh", "-c", "echo x > /written || echo refused")
    assert dev.exec(*write, service="boots") == "refused\n"
    assert boot_id(dev) == before
    dev.edit("console=ttyS0", "console=ttyS0 compos.test=1")
    dev.expect(r"boot: the kernel's command line")
    dev.expect(r"services started [\d.]+ s after")
    written.append("second")
    starts(dev, written)
    assert boot_id(dev) != before
    return written


def test_a_disk_that_onboot_formats(start: Callable[..., Dev], tmp_path: Path) -> None:
    text = (ROOT / "examples" / "persistent-disk.yml").read_text()
    system = text[: text.index("services:")] + COUNTING
    disk = ("--disk", f"{tmp_path / 'data.qcow2'},size=1G")
    dev = start(system, *disk)
    dev.expect(r"services started [\d.]+ s after")
    written = edits_with_a_disk(dev, "first")
    assert dev.end() == 143
    dev = start(system, *disk)
    dev.expect(r"services started [\d.]+ s after")
    starts(dev, [*written, "first"])


def test_the_data_partition_of_a_system(start: Callable[..., Dev]) -> None:
    """It belongs on the disk that the system is booted from, which is none here."""
    dev = start(PARTITION + COUNTING)
    dev.expect(r"services started [\d.]+ s after")
    written = edits_with_a_disk(dev, "first")
    assert dev.end() == 143
    dev = start(PARTITION + COUNTING)
    dev.expect(r"services started [\d.]+ s after")
    starts(dev, [*written, "first"])


def test_a_guest_that_halts_boots_when_it_is_put_right(start: Callable[..., Dev]) -> None:
    """At once: nothing is waited for that never comes."""
    dev = start(
        SYSTEM.replace(
            "services:",
            """\
  - name: check
    image: compos/busybox:v1
    command: [/bin/false]
    on_failure: halt
services:""",
        )
    )
    dev.expect(r"the guest has ended; save something, and it boots again")
    dev.edit("echo ticks", "echo tocks")
    dev.edit("[/bin/false]", "[/bin/true]")
    dev.expect(r"booting: ")
    dev.expect(r"services started \(2 of 2\)")
    assert "tocks" in dev.exec("svc", "logs", "clock")


def test_a_guest_that_restarts_by_itself_gets_everything_again(start: Callable[..., Dev]) -> None:
    dev = start(SYSTEM)
    dev.expect(r"services started [\d.]+ s after")
    before = boot_id(dev)
    dev.edit("echo ticks", "echo tocks")
    dev.expect(r"clock runs as its new version")
    dev.exec("reboot")
    dev.expect(r"the guest has booted anew by itself")
    dev.expect(r"replace clock: settings")
    dev.expect(r"clock runs as its new version")
    assert "tocks" in dev.exec("svc", "logs", "clock")
    assert boot_id(dev) != before


def test_another_architecture_whose_console_is_elsewhere(start: Callable[..., Dev]) -> None:
    """The command line is a PC's: init is asked, where the serial port says nothing."""
    for brick in PROGRAMS:
        compile_program(brick, "arm64")  # an installation from a checkout has this machine's only
    dev = start(SYSTEM, "--arch", "arm64")
    dev.expect(r"kernel.cmdline may lack console=ttyAMA0")
    dev.expect(r"services started [\d.]+ s after")
    before = boot_id(dev)
    dev.page("first")
    (dev.folder / "index.html").write_text("second\n")
    dev.expect(r"in place: /srv/www/index.html, web restarted")
    dev.page("second")
    dev.edit("echo ticks", "echo tocks")
    dev.expect(r"clock runs as its new version")
    assert "tocks" in dev.exec("svc", "logs", "clock")
    assert boot_id(dev) == before
    dev.edit("console=ttyS0", "console=ttyAMA0")
    dev.expect(r"boot: the kernel's command line")
    dev.expect(r"services started \(2 of 2\)")
    dev.edit("echo tocks", "echo ticks")
    dev.expect(r"clock runs as its new version")
    assert "ticks" in dev.exec("svc", "logs", "clock")
