"""What verity, the TPM and encryption cost: seconds of a boot, the throughput of root and data, and
the time that a hash tree takes beside veritysetup.

A command: `make bench-secure`; `python bench/secure.py throughput` measures that section alone.
Prints tables and writes them to docs/benchmarks-secure.md. The machine is QEMU's q35 without
hardware acceleration, with OVMF, Secure Boot and swtpm; systems and programs take turns, so what
counts are ratios.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compos.api.keys import new_keys  # noqa: E402
from compos.cli.main import main as compos  # noqa: E402
from compos.filesystem.verity import hash_tree  # noqa: E402
from tests.boot.sealed import STARTED, in_root  # noqa: E402
from tests.guest import Guest  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-secure.md"
ROUNDS = 4
MIB = 1 << 20
LARGE = 2 << 30
"""Bytes over which hash trees are made."""

SALT, UUID = bytes(range(32)), bytes(16)
SECONDS = 300
"""Until a guest has started its services."""

SYSTEM = """
kernel: {{image: compos/kernel:v1, cmdline: "console=ttyS0 quiet", modules: auto}}
init: [compos/init:v1, compos/crun:v1]
{disk}
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
{files}"""
DISK = "disk: {mountpoint: /var/lib/data, encrypt: tpm}"
OPEN_DISK = "disk: {mountpoint: /var/lib/data, encrypt: none}"

MEGABYTES = 64
"""Of a file that is read from the root, and of one on the data partition, without their caches."""
FILES = "files: [{{path: large, source: {folder}/large, mode: '0644'}}]"

HEAD = """\
# What security costs

`make bench-secure` boots disks under OVMF with Secure Boot, in QEMU without hardware acceleration
(2 CPUs, 1 GiB), {rounds} rounds that alternate between the systems. All are signed by the same
keys; crun alone, one service.

## The boot

From the start of QEMU until all services run.

| system | median | lowest | highest |
|---|---|---|---|
"""

FIRST = """
The TPM is swtpm, and the processor is emulated, without instructions for AES and SHA-256: on a
real machine both cost less. The first boot, which makes the data partition and seals its key, took
{first:.1f} s.
"""

THROUGHPUT = """
## Throughput

A file of {megabytes} MB that is not in memory, read and written by `dd` in the guest, the median of
{rounds} rounds. The processor is emulated, without instructions for AES and SHA-256: what counts
are ratios, and those of a real machine are smaller.

| what | EROFS, data not encrypted | EROFS with verity, data in LUKS2 |
|---|---|---|
"""

TREES = """
## The build

The hash tree over {gib} GiB of random bytes, on this machine, {rounds} rounds in turns.

| program | median | lowest | highest | ratio |
|---|---|---|---|---|
"""


class Case(NamedTuple):
    """A system, its root, and what its machine has."""

    name: str
    title: str
    root: str
    disk: str = ""
    machine: tuple[str, ...] = ()
    files: str = ""


PLAIN = Case("plain", "EROFS", "erofs")
SEALED = Case(
    "sealed", "verity, TPM, data partition in LUKS2, sealed", "erofs-verity", DISK, ("--tpm",)
)
CASES = (
    PLAIN,
    Case("verity", "EROFS with verity", "erofs-verity"),
    Case("measured", "verity, TPM", "erofs-verity", "", ("--tpm",)),
    SEALED,
)

STREAMS = (
    Case("open", "EROFS, data not encrypted", "erofs", OPEN_DISK, (), FILES),
    Case("closed", "EROFS with verity, data in LUKS2", "erofs-verity", DISK, ("--tpm",), FILES),
)
DATA = "/var/lib/data/large"
CLOCK = "cat /proc/uptime"
COMMANDS = {
    "read from the root": "dd if=/large of=/dev/null bs=1M",
    "written to the data partition": f"dd if=/large of={DATA} bs=1M conv=fsync",
    "read from the data partition": f"dd if={DATA} of=/dev/null bs=1M",
}


@contextmanager
def guest(case: Case, folder: Path) -> Iterator[Guest]:
    """A boot of the system, on the machine that it had before; it is powered off at the end."""
    flags = ("--secure-boot", str(folder / "keys"), "--state", str(folder / f"{case.name}-state"))
    log = folder / f"{case.name}.log"
    with Guest(folder / f"{case.name}-efi.img", *flags, *case.machine, log=log) as one:
        yield one
        one.prompt()
        if one.power_off() != 0:
            raise SystemExit(f"{case.name} does not end: {one.text()[-2000:]}")


def build(case: Case, folder: Path) -> None:
    """Its disk."""
    source = folder / f"{case.name}.yml"
    source.write_text(SYSTEM.format(disk=case.disk, files=case.files.format(folder=folder)))
    flags = ["-f", "raw-efi", "--keys", str(folder / "keys"), "--root", case.root, "--size", "512M"]
    if compos(["build", "--quiet", *flags, "--dir", str(folder), str(source)]) != 0:
        raise SystemExit(f"{case.name} cannot be built")


def booted(case: Case, folder: Path) -> float:
    """Seconds until its services run."""
    begin = time.monotonic()
    with guest(case, folder) as one:
        one.expect(STARTED, SECONDS)
        seconds = time.monotonic() - begin
    print(f"{case.title}: {seconds:.1f} s", flush=True)
    return seconds


def speeds(case: Case, folder: Path) -> dict[str, float]:
    """MB/s of each of `COMMANDS`, the median of all rounds."""
    seconds: dict[str, list[float]] = {what: [] for what in COMMANDS}
    with guest(case, folder) as one:
        one.expect(STARTED, SECONDS)
        one.prompt()
        for _ in range(ROUNDS):
            for what, command in COMMANDS.items():
                forget = "sync; echo 3 > /proc/sys/vm/drop_caches"
                if what.startswith("written"):
                    forget += "; cat /large > /dev/null"
                line = f"{forget}; {CLOCK}; {command} 2> /dev/null && {CLOCK}"
                shown = one.run(in_root(f"sh -c '{line}'"), SECONDS)
                times = re.findall(r"^([0-9.]+) [0-9.]+\r?$", shown, re.MULTILINE)
                if len(times) != 2:
                    raise SystemExit(f"{what}: {shown}")
                seconds[what].append(float(times[1]) - float(times[0]))
    rates = {what: MEGABYTES * MIB / 1e6 / statistics.median(own) for what, own in seconds.items()}
    print(f"{case.title}: {rates}", flush=True)
    return rates


def throughput(folder: Path) -> str:
    """The section about it."""
    (folder / "large").write_bytes(os.urandom(MEGABYTES * MIB))
    for case in STREAMS:
        build(case, folder)
    plain, closed = (speeds(case, folder) for case in STREAMS)
    section = THROUGHPUT.format(megabytes=MEGABYTES, rounds=ROUNDS)
    for what, rate in plain.items():
        section += f"| {what} | {rate:.1f} MB/s | {closed[what]:.1f} MB/s |\n"
    return section


def trees(folder: Path) -> str:
    """Rows of what a hash tree over `LARGE` bytes takes."""
    data, tree = folder / "data", folder / "tree"
    noise = os.urandom(MIB)
    with data.open("wb") as stream:
        for number in range(LARGE // MIB):
            stream.write(number.to_bytes(8, "little") + noise[8:])

    def ours() -> bytes:
        with data.open("rb") as stream:
            made = hash_tree(iter(lambda: stream.read(MIB), b""), salt=SALT, uuid=UUID)
        tree.write_bytes(made.data)
        return made.root

    def theirs() -> bytes:
        line = ["veritysetup", "format", str(data), str(tree), f"--salt={SALT.hex()}"]
        text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
        return bytes.fromhex(text.partition("Root hash:")[2].split()[0])

    if ours() != theirs():
        raise SystemExit("the two have different root hashes")
    times: dict[Callable[[], bytes], list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS):
        for make, own in times.items():
            begin = time.monotonic()
            make()
            own.append(time.monotonic() - begin)
    rows = ""
    floor = statistics.median(times[theirs])
    for title, own in zip(("compos", "veritysetup"), times.values(), strict=True):
        median = statistics.median(own)
        rows += f"| {title} | {_row(own)} | {median / floor:.2f} |\n"
    return rows


def _row(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} s | {min(times):.1f} s | {max(times):.1f} s"


def boots(folder: Path) -> str:
    """The head of the page and its section about boots."""
    for case in CASES:
        build(case, folder)
    first = booted(SEALED, folder)
    times: dict[Case, list[float]] = {case: [] for case in CASES}
    for _ in range(ROUNDS):
        for case, own in times.items():
            own.append(booted(case, folder))
    page = HEAD.format(rounds=ROUNDS)
    page += "".join(f"| {case.title} | {_row(own)} |\n" for case, own in times.items())
    return page + FIRST.format(first=first)


def with_throughput(page: str, section: str) -> str:
    """The page with that section in its place, before the one about builds."""
    before, _, build_section = page.partition("\n## The build\n")
    return f"{before.partition(THROUGHPUT[:15])[0]}{section}\n## The build\n{build_section}"


def main() -> None:
    """Measure all, or the throughput alone, and write the page."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        new_keys(folder / "keys")
        if sys.argv[1:] == ["throughput"]:
            page = with_throughput(PAGE.read_text(), throughput(folder))
        else:
            page = boots(folder) + throughput(folder)
            page += TREES.format(gib=LARGE >> 30, rounds=ROUNDS) + trees(folder)
    print(page)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
