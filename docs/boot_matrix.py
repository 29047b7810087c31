"""Writes boot-matrix.md: boots every row of tests/boot/matrix.py and tells how long each took to
its first page.

A command: `make matrix`, or `python docs/boot_matrix.py`. With words as arguments, only rows with
all of them are booted (`"web, kernel-generic" riscv64`), and the other lines of the page stay, as
does the machine that it names. It needs the Debian packages of tests/packages.txt.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.boot.matrix import (  # noqa: E402  the tests are not installed
    ROWS,
    SAME_KERNEL,
    WEB,
    Row,
    boot,
    build,
)

__all__ = ["PAGE", "cells"]

PAGE = ROOT / "docs" / "boot-matrix.md"
HEAD = """\
# What boots where

The time from power-on until nginx, in a container, answers over HTTP, for every bootable format
under each firmware and on each medium that it supports. Measured in QEMU without hardware
acceleration. Written by `make matrix`. `make test` boots every format and root, and every firmware
with CDs and disks; `make wide` every firmware with each medium, root and architecture that it has
here. Of the formats that only contain a `raw` disk (`vhd`, `qcow2`, …), they take one, and
containerd is in one system (`tests/boot/test_matrix.py`).

Machine: {machine}; {qemu}. The system: kernel, init, runc, containerd, dhcpcd, nginx; or the
example that is named. The column "root" shows where the root file system is: `initrd` is unpacked
into memory, all others stay on the medium.

| format | firmware | medium | root | system, kernel | architecture | first page |
|---|---|---|---|---|---|---|
"""


def cells(row: Row) -> str:
    """The row's line, but for the time."""
    return (
        f"| `{row.format}` | {row.firmware} | {row.medium} | {row.root} | "
        f"{row.example or 'small'}, `{row.kernel}` | {row.architecture} |"
    )


def told(row: Row) -> str:
    """The row's line."""
    if row == SAME_KERNEL:
        return f"{cells(row)} not booted: the same kernel as `kernel` |"
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.mkdir()
        try:
            result = f"{boot(row, build(row, Path(folder)), state):.1f} s"
        except AssertionError as error:
            print(error)
            result = "**fails**"
    line = f"{cells(row)} {result} |"
    print(line, flush=True)
    return line


def again(words: list[str]) -> None:
    """Boot the rows with all of `words`, and put their lines into the page."""
    head, _, rest = PAGE.read_text().partition("|---|---|---|---|---|---|---|\n")
    lines = {line.rpartition(" | ")[0] + " |": line for line in rest.splitlines()}
    for row in (*ROWS, *WEB, SAME_KERNEL):
        if all(word in cells(row) for word in words):
            lines[cells(row)] = told(row)
    kept = [lines[cells(row)] for row in (*ROWS, *WEB, SAME_KERNEL) if cells(row) in lines]
    PAGE.write_text(head + "|---|---|---|---|---|---|---|\n" + "\n".join(kept) + "\n")


def main() -> None:
    """Boot all rows and write the page."""
    if sys.argv[1:]:
        again(sys.argv[1:])
        return
    version = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    )
    qemu = version.stdout.splitlines()[0].partition("(")[0].strip()
    head = HEAD.format(machine=f"{os.cpu_count()} CPUs, {platform.machine()}", qemu=qemu)
    lines = [told(row) for row in (*ROWS, *WEB, SAME_KERNEL)]
    PAGE.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
