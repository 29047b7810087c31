"""`compos dev` with a guest: edits of each kind, and what is left behind."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from compos.run.guests import find_guest, guests
from compos.run.remote import read_file
from tests.develop.dev import Dev

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

EDITS = int(os.environ.get("COMPOS_DEV_EDITS", "6"))
"""Edits in a row after which nothing may be left; `make dev-edits` makes 200."""
SLACK = {"threads": 1, "descriptors": 2, "processes": 6}
"""What comes and goes: a thread that asks the guest, its socket, the kernel's workers."""
MARGIN = 8 << 20
"""Bytes by which this process, or the guest's memory, may differ after all edits: allocators keep
what they have got."""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with Dev(tmp_path_factory.mktemp("dev")) as running:
        running.expect(r"services started \(2 of 2\)")
        yield running


def seen(dev: Dev, path: str) -> str:
    """A file of the guest's."""
    return read_file(find_guest(dev.name), path).decode()


def boot_id(dev: Dev) -> str:
    """Another one after each boot."""
    return seen(dev, "/proc/sys/kernel/random/boot_id")


def says(dev: Dev, service: str, wanted: str) -> None:
    """Wait until a service has said something, which it does some time after its start."""
    deadline = time.monotonic() + 120
    text = ""
    while wanted not in text:
        assert time.monotonic() < deadline, text
        with suppress(subprocess.CalledProcessError):  # it has said nothing yet
            text = dev.exec("svc", "logs", service)


def test_a_page(dev: Dev) -> None:
    dev.page("first")
    before = boot_id(dev)
    (dev.folder / "index.html").write_text("second\n")
    dev.expect(r"restart web: sees /srv/www/index.html")
    dev.expect(r"in place: /srv/www/index.html, web restarted")
    dev.page("second")
    assert boot_id(dev) == before


def test_settings_of_a_service(dev: Dev) -> None:
    before = boot_id(dev)
    dev.edit("echo ticks", "echo tocks")
    dev.expect(r"replace clock: settings")
    dev.expect(r"clock runs as its new version")
    assert "tocks" in dev.exec("svc", "logs", "clock")
    assert boot_id(dev) == before
    # The file that describes the system is as it would be after a boot.
    assert "tocks" in seen(dev, "/etc/os.yml")


def test_an_image_of_a_service(dev: Dev) -> None:
    """Another image, whose root lies over the old one; and back."""
    before = boot_id(dev)
    dev.edit(
        "image: compos/busybox:v1\n    command: [/bin/sh, -c",
        "image: compos/ip:v1\n    command: [/bin/sh, -c",
    )
    dev.expect(r"replace clock: \d+ files, such as /")
    dev.expect(r"clock runs as its new version: [\d.]+ MB sent")
    assert "iproute2" in dev.exec("/sbin/ip", "-V", service="clock")
    dev.edit("image: compos/ip:v1", "image: compos/busybox:v1")
    dev.expect(r"clock runs as its new version: \d+ bytes sent")
    assert dev.exec("/bin/busybox", "echo", "back", service="clock") == "back\n"
    assert boot_id(dev) == before


def test_a_root_becomes_read_only(dev: Dev) -> None:
    """And stays so in the next version; and back."""
    before = boot_id(dev)
    write = ("/bin/busybox", "sh", "-c", "echo x > /written && echo writes || echo refused")
    assert dev.exec(*write, service="clock") == "writes\n"
    dev.edit("command: [/bin/sh, -c", "readonly: true\n    command: [/bin/sh, -c")
    dev.expect(r"clock runs as its new version")
    assert dev.exec(*write, service="clock") == "refused\n"
    dev.edit("echo tocks", "echo again")
    dev.expect(r"clock runs as its new version")
    says(dev, "clock", "again")
    assert dev.exec(*write, service="clock") == "refused\n"
    dev.edit("echo again", "echo tocks")
    dev.expect(r"clock runs as its new version")
    dev.edit("readonly: true\n    command", "command")
    dev.expect(r"clock runs as its new version")
    assert dev.exec(*write, service="clock") == "writes\n"
    assert boot_id(dev) == before


def test_services_come_and_go(dev: Dev) -> None:
    """With what they need of a new root, and of their order; and back."""
    before = boot_id(dev)
    more = """\
  - name: more
    image: compos/ip:v1
    command: [/bin/sh, -c, "ip -V; exec sleep 1000000"]
    depends_on: [clock]
files:"""
    dev.edit("files:", more)
    dev.expect(r"start more: it is new")
    dev.expect(r"more runs as its new version: [\d.]+ MB sent")
    says(dev, "more", "iproute2")
    dev.edit("ip -V;", "echo edited;")
    dev.expect(r"more runs as its new version")
    says(dev, "more", "edited")
    dev.edit(more.replace("ip -V;", "echo edited;"), "files:")
    dev.expect(r"stop more: it is gone")
    dev.expect(r"more has ended")
    assert "more" not in dev.exec("svc", "ps")
    assert boot_id(dev) == before


def test_errors_are_shown_and_the_guest_goes_on(dev: Dev) -> None:
    dev.edit("services:", "servicez:")
    dev.expect(r"error\[config-[\w-]+\]: .*servicez")
    dev.expect(r"--> os.yml:\d+")
    dev.page("second")
    dev.edit("servicez:", "services:")
    dev.expect(r"nothing to do")


def test_the_command_line_boots(dev: Dev) -> None:
    before = boot_id(dev)
    dev.edit("console=ttyS0", "console=ttyS0 compos.test=1")
    dev.expect(r"boot: the kernel's command line")
    dev.expect(r"services started \(2 of 2\)")
    dev.page("second")
    assert boot_id(dev) != before
    assert "compos.test=1" in dev.exec("cat", "/proc/cmdline", service="clock")


def state(dev: Dev) -> dict[str, int]:
    """What could grow: here, and in the guest."""
    process = Path(f"/proc/{dev.process.pid}")
    status = process.joinpath("status").read_text()
    threads = re.search(r"Threads:\s+(\d+)", status)
    resident = re.search(r"VmRSS:\s+(\d+)", status)
    available = re.search(r"MemAvailable:\s+(\d+)", seen(dev, "/proc/meminfo"))
    assert threads
    assert resident
    assert available
    return {
        "threads": int(threads[1]),
        "descriptors": len([*process.joinpath("fd").iterdir()]),
        "files": len([*dev.folder.rglob("*")]),
        "resident": int(resident[1]) << 10,
        "guest": int(available[1]) << 10,
        "processes": int(seen(dev, "/proc/loadavg").split()[3].partition("/")[2]),
        "mounts": len(seen(dev, "/proc/1/mountinfo").splitlines()),
    }


def test_edits_leave_nothing_behind(dev: Dev) -> None:
    def edit(number: int) -> None:
        if number % 2:
            (dev.folder / "index.html").write_text(f"page {number}\n")
            dev.expect(r"in place: .*web restarted")
        else:
            text = (dev.folder / "os.yml").read_text()
            words = re.search(r"echo \w+;", text)
            assert words
            dev.edit(words[0], f"echo edit{number};")
            dev.expect(r"clock runs as its new version")

    for number in range(4):
        edit(number)
    before = state(dev)
    for number in range(4, 4 + EDITS):
        edit(number)
    after = state(dev)
    for name in ("threads", "descriptors", "files", "processes", "mounts"):
        assert after[name] <= before[name] + SLACK.get(name, 0), (name, before, after)
    assert after["resident"] <= before["resident"] + MARGIN, (before, after)
    assert after["guest"] >= before["guest"] - MARGIN, (before, after)


def test_nothing_runs_when_it_has_ended(dev: Dev) -> None:
    dev.end()
    assert not [one for one in guests() if one.record.name == dev.name and one.runs]
