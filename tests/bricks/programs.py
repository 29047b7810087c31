"""Compiles a brick's program in C, or a driver with parts of it, for this machine, with sanitizers,
so that hostile input is caught."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hatch_build import PROGRAMS
from tests.bricks.compiler import FLAGS

__all__ = ["BRICKS", "DRIVERS", "compile_brick"]

BRICKS = Path(__file__).resolve().parents[2] / "bricks"
DRIVERS = Path(__file__).resolve().parent


def compile_brick(brick: str, folder: Path, *, driver: str = "") -> Path:
    """The brick's program in `folder`; with `driver`, that of `BRICK/DRIVER_driver.c`, which has
    the place of the brick's `main.c`."""
    folders = [BRICKS / name for name in PROGRAMS[brick]]
    includes = [f"-I{BRICKS / name[: name.index('/src') + 4]}" for name in PROGRAMS[brick]]
    sources = [source for one in folders for source in sorted(one.rglob("*.c"))]
    if driver:
        sources = [source for source in sources if source.name != "main.c"]
        sources.append(DRIVERS / brick / f"{driver}_driver.c")
    program = folder / (driver or brick)
    # What only an optimizer finds out about truncation, it finds in every snprintf.
    command = ["gcc", *FLAGS, "-Wno-format-truncation", *includes, "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)
    return program
