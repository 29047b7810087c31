"""Compiles a C driver with parts of `bricks/init/src` for this machine, with sanitizers, so that
hostile input is caught."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["DRIVERS", "SOURCES", "compile_driver"]

SOURCES = Path(__file__).resolve().parents[2] / "bricks" / "init" / "src"
DRIVERS = Path(__file__).resolve().parent / "init"

FLAGS = (
    *(
        "-std=c11",
        "-D_GNU_SOURCE=",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wshadow",
        "-Wconversion",
    ),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
)


def compile_driver(name: str, *, parts: tuple[str, ...], folder: Path) -> Path:
    """The program of `init/NAME_driver.c` with the named sources of init, in `folder`."""
    program = folder / name
    sources = [DRIVERS / f"{name}_driver.c", *(SOURCES / f"{part}.c" for part in parts)]
    subprocess.run(
        ["gcc", *FLAGS, f"-I{SOURCES}", "-o", str(program), *map(str, sources)],
        check=True,
    )
    return program
