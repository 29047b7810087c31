"""From power-on to the first page: the same nginx with and without containerd, root in the initrd
and on EROFS.

A command: `make bench-boot`. Prints a table of medians and writes it to docs/benchmarks-boot.md.
With the argument `profile`, it counts instructions only, which are the same on a busy machine, and
leaves the times on the page as they are; with `sizes`, it measures only what is built.
The machine is QEMU's q35 without hardware acceleration, with 2 CPUs and 2 GiB; the systems take
turns.
"""

from __future__ import annotations

import os
import platform
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from boot_profile import PROFILE, profile  # noqa: E402
from boot_sizes import BEGIN, sizes  # noqa: E402

from compos.cli.main import main as compos  # noqa: E402
from compos.filesystem.cpio import cpio_pieces  # noqa: E402
from compos.run.network import Publish  # noqa: E402
from compos.run.virtual_machine import Drive, VirtualMachine, arguments  # noqa: E402
from compos.tree.node import directory, file  # noqa: E402
from tests.guest import free_port  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-boot.md"

ROUNDS = 5

EVERY, GIVEN_UP = 0.05, 0.5
"""Seconds between connections, and until one is dropped."""

SYSTEM = """\
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 quiet cryptomgr.notests=1"
  modules: {modules}
init:
{init}
onboot:
  - name: sysctl
    image: compos/sysctl:v1
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: nginx
    image: compos/nginx:v1
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
"""

HEAD = """\
# From power-on to the first page

Two `onboot` containers (sysctl, dhcpcd) run, then nginx as a service answers over HTTP. Measured
with QEMU's q35 machine without hardware acceleration, 2 CPUs, 2 GiB, a virtio random number
generator, direct kernel boot with `quiet cryptomgr.notests=1` (the table at the end shows what
that saves), in {rounds} rounds that alternate between the systems. Written by `make bench-boot`.

Machine: {machine}; {qemu}. For comparison, LinuxKit's own init and service programs with the same
kernel and nginx took 15.4 to 18.9 s, median 17.4 s, with containerd from an initrd, and with the
kernel's tests. That was on another machine, where firmware and kernel (the last row) took 1.8 s.

| system | median | lowest | highest | kernel, initrd and root |
|---|---|---|---|---|
"""


MACHINE = VirtualMachine(
    # A thread for each CPU: what starts at once is to be measured, and boots that die are counted.
    accelerator="tcg,thread=multi",
    cpus=2,
    memory=2048,
    cmdline="console=ttyS0 quiet cryptomgr.notests=1",
    defaults=False,
    reboot=False,
)


class Case(NamedTuple):
    """A system: its init images, its format, what it is called, and how it is built."""

    name: str
    title: str
    init: tuple[str, ...]
    form: str
    options: tuple[str, ...] = ()


CONTAINERD = ("init", "runc", "containerd")
PLAIN = ("--compress", "none")
CASES = (
    Case("initrd", "containerd and runc, kernel+initrd", CONTAINERD, "kernel+initrd"),
    Case(
        "initrd-crun", "containerd and crun, kernel+initrd", (*CONTAINERD, "crun"), "kernel+initrd"
    ),
    Case("erofs", "containerd and runc, kernel+erofs", CONTAINERD, "kernel+erofs"),
    Case("erofs-crun", "containerd and crun, kernel+erofs", (*CONTAINERD, "crun"), "kernel+erofs"),
    Case("direct", "crun alone, kernel+initrd", ("init", "crun"), "kernel+initrd"),
    Case("direct-erofs", "crun alone, kernel+erofs", ("init", "crun"), "kernel+erofs"),
    Case(
        "plain",
        "containerd and crun, `--compress none`",
        (*CONTAINERD, "crun"),
        "kernel+initrd",
        PLAIN,
    ),
    Case("direct-plain", "crun alone, `--compress none`", ("init", "crun"), "kernel+initrd", PLAIN),
)


def build(case: Case, folder: Path, *options: str, modules: str = "auto") -> list[Path]:
    """Compose `case`; returns its files."""
    path = folder / f"{case.name}.yml"
    init = "\n".join(f"  - compos/{name}:v1" for name in case.init)
    path.write_text(SYSTEM.format(init=init, modules=modules))
    options = (*case.options, *options)
    if compos(["build", *options, "--dir", str(folder), "-f", case.form, str(path)]) != 0:
        raise SystemExit(f"{case.name} cannot be built")
    return [
        file
        for file in folder.glob(f"{case.name}-*")
        if file.name.removeprefix(case.name).startswith(PARTS)
    ]


PARTS = ("-kernel", "-initrd.img", "-erofs-initrd.img", "-erofs.img")


def machine_of(case: Case, folder: Path) -> VirtualMachine:
    """The machine that boots what `build` has composed in `folder`."""
    initrd = "-erofs-initrd.img" if case.form == "kernel+erofs" else "-initrd.img"
    root = Drive(folder / f"{case.name}-erofs.img", "raw", bus="virtio", snapshot=True)
    return replace(
        MACHINE,
        kernel=folder / f"{case.name}-kernel",
        initrd=folder / f"{case.name}{initrd}",
        drives=(root,) if case.form == "kernel+erofs" else (),
    )


def boot(case: Case, folder: Path) -> float:
    """Seconds from the start of QEMU to the first page."""
    port = free_port()
    machine = replace(machine_of(case, folder), publish=(Publish(port, 80),))
    begin = time.monotonic()
    with (folder / f"{case.name}.log").open("wb") as log:
        guest = subprocess.Popen(
            arguments(machine), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for_page(port, 90)
        return time.monotonic() - begin
    finally:
        guest.kill()
        guest.wait()


def wait_for_page(port: int, seconds: float) -> None:
    """As soon as there is one.

    QEMU takes connections before the guest has a network, and these are answered late or never: so
    another one is made every few hundredths of a second, and whichever is answered first counts.
    """
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as waiting:
        try:
            while time.monotonic() < deadline:
                asker = socket.socket()
                asker.setblocking(False)
                asker.connect_ex(("127.0.0.1", port))
                waiting.register(asker, selectors.EVENT_WRITE, time.monotonic())
                until = time.monotonic() + EVERY
                while (rest := until - time.monotonic()) > 0:
                    if any(_answered(waiting, key) for key, _ in waiting.select(rest)):
                        return
                for key in [*waiting.get_map().values()]:
                    if time.monotonic() - key.data > GIVEN_UP:
                        _forget(waiting, key)
        finally:
            for key in [*waiting.get_map().values()]:
                _forget(waiting, key)
    raise TimeoutError


def _answered(waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> bool:
    """Whether a page comes; a connection that is there is asked for one."""
    asker = cast("socket.socket", key.fileobj)
    try:
        if key.events == selectors.EVENT_WRITE:
            asker.send(b"GET / HTTP/1.0\r\nHost: guest\r\n\r\n")
            waiting.modify(asker, selectors.EVENT_READ, key.data)
            return False
        if asker.recv(4096).startswith(b"HTTP/1.1 200"):
            return True
    except OSError:
        pass
    _forget(waiting, key)
    return False


def _forget(waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    waiting.unregister(key.fileobj)
    cast("socket.socket", key.fileobj).close()


def floor(folder: Path) -> float:
    """Seconds from the start of QEMU to the first word of an init that is alone in its initrd:
    firmware and kernel."""
    initrd = folder / "floor.img"
    program = (ROOT / "bricks/init/bin/amd64/init").read_bytes()
    nodes = (
        ("dev", directory(0o755, 0)),
        ("init", file(program, 0o755, 0)),
        ("proc", directory(0o755, 0)),
    )
    initrd.write_bytes(b"".join(piece for piece in cpio_pieces(nodes) if isinstance(piece, bytes)))
    kernel = folder / f"{CASES[0].name}-kernel"
    machine = replace(MACHINE, kernel=kernel, initrd=initrd, networking="none")
    begin = time.monotonic()
    guest = subprocess.Popen(arguments(machine), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert guest.stdout is not None
    try:
        while b"compos:" not in guest.stdout.readline():
            assert guest.poll() is None
        return time.monotonic() - begin
    finally:
        guest.kill()
        guest.wait()


def profiles(folder: Path) -> str:
    """Where the instructions go, of systems in `folder`, one of them uncompressed, too."""
    plain = folder / "uncompressed"
    plain.mkdir()
    build(CASES[0], plain, *PLAIN)
    machines = {case.name: machine_of(case, folder) for case in CASES}
    return profile(machines["initrd"], machine_of(CASES[0], plain), machines["direct"])


def sizes_page(folder: Path) -> None:
    """The page with its sizes measured anew."""
    cases = {case.name: case for case in CASES if case.name in ("initrd", "direct")}

    def measure(name: str, modules: str, most: bool) -> tuple[int, int]:
        options = ("--compress", "max") if most else ()
        files = build(cases[name], folder, *options, modules=modules)
        kernel, initrd = (
            next(file.stat().st_size for file in files if file.name.endswith(suffix))
            for suffix in ("-kernel", "-initrd.img")
        )
        return kernel, initrd

    titles = {name: cases[name].title.partition(",")[0] for name in ("initrd", "direct")}
    times, _, rest = PAGE.read_text().partition(PROFILE)
    times = times.partition(BEGIN)[0].rstrip()
    PAGE.write_text(f"{times}\n\n{sizes(titles, measure)}{PROFILE}{rest}")


def main() -> None:
    """Boot all, and write the page."""
    times: dict[str, list[float]] = {case.name: [] for case in CASES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if sys.argv[1:] == ["sizes"]:
            sizes_page(folder)
            return
        outputs = {
            case.name: sum(file.stat().st_size for file in build(case, folder)) for case in CASES
        }
        stages = profiles(folder)
        if sys.argv[1:] == ["profile"]:
            times_of = PAGE.read_text().partition(PROFILE)[0]
            PAGE.write_text(times_of.rstrip() + "\n" + stages)
            return
        lost = 0
        floors = []
        for _ in range(ROUNDS):
            floors.append(floor(folder))
            for case in CASES:
                try:
                    times[case.name].append(boot(case, folder))
                except TimeoutError:
                    # QEMU's multi-threaded emulation of x86 dies in about one boot of twenty (Oops:
                    # int3 in the guest).
                    lost += 1
                    continue
                print(f"{case.title}: {times[case.name][-1]:.1f} s", flush=True)
    version = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    )
    qemu = version.stdout.splitlines()[0].partition("(")[0].strip()
    page = HEAD.format(
        rounds=ROUNDS, machine=f"{os.cpu_count()} CPUs, {platform.machine()}", qemu=qemu
    )
    for case in CASES:
        own = times[case.name]
        median, size = statistics.median(own), outputs[case.name] / 1e6
        page += (
            f"| {case.title} | {median:.1f} s | {min(own):.1f} s | {max(own):.1f} s | "
            f"{size:.1f} MB |\n"
        )
    page += f"| firmware and kernel, until init starts | {statistics.median(floors):.1f} s "
    page += f"| {min(floors):.1f} s | {max(floors):.1f} s | |\n"
    page += (
        f"\nBoots that crashed in QEMU's multi-threaded emulation (not counted): {lost}.\n"
        if lost
        else ""
    )
    _, begin, measured = PAGE.read_text().partition(PROFILE)[0].partition(BEGIN)
    if begin:
        page += f"\n{begin}{measured.rstrip()}\n"
    page += stages
    print(page)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
