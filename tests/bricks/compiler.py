"""Compiles C drivers with parts of bricks' sources for this machine, with sanitizers, so that
hostile input is caught.

Each source is compiled once, whichever programs it is a part of: objects and programs stay in
`build/drivers`, named by what they are made of, for all workers and later runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from hatch_build import include_folders, program_sources

__all__ = [
    "BRICKS",
    "DRIVERS",
    "SOURCES",
    "compile_brick",
    "compile_driver",
    "compile_init",
    "compile_sources",
]

ROOT = Path(__file__).resolve().parents[2]
BRICKS = ROOT / "bricks"
SOURCES = BRICKS / "init" / "src"
DRIVERS = Path(__file__).resolve().parent
CACHE = ROOT / "build" / "drivers"

COMMAND = (
    "gcc",
    *("-std=c11", "-D_GNU_SOURCE=", "-g1"),
    *("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"),
    # The request of ioctl is an int to musl, which init is built with, and an unsigned long to glibc.
    "-Wno-sign-conversion",
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
)
"""Without optimization, which would double the time. What the compiler finds out only by
optimizing, `test_init_build.py` lets it say."""


def compile_driver(name: str, *, parts: Sequence[str], defines: Sequence[str] = ()) -> Path:
    """The program of `init/NAME_driver.c` with the named sources of init; `defines` are options
    such as `-DNAME=VALUE`."""
    driver = DRIVERS / "init" / f"{name}_driver.c"
    sources = [driver, *(SOURCES / f"{part}.c" for part in parts)]
    return compile_sources(name, sources, [f"-I{SOURCES}", *defines])


def compile_init() -> Path:
    """All of init."""
    return compile_sources("init", sorted(SOURCES.rglob("*.c")), [f"-I{SOURCES}"])


def compile_brick(brick: str, *, driver: str = "") -> Path:
    """A brick's program; with `driver`, that of `BRICK/DRIVER_driver.c`, which has the place of the
    brick's `main.c`."""
    sources = [BRICKS / name for name in program_sources(brick, "*.c")]
    if driver:
        sources = [source for source in sources if source.name != "main.c"]
        sources.append(DRIVERS / brick / f"{driver}_driver.c")
    includes = [f"-I{BRICKS / folder}" for folder in include_folders(brick)]
    return compile_sources(driver or brick, sources, includes)


def compile_sources(
    name: str, sources: Sequence[Path], options: Sequence[str], *, link: Sequence[str] = ()
) -> Path:
    """The program of `sources`; `options` are those of the compiler, `link` those of the linker."""
    objects = [_object(source, options) for source in sources]
    digest = hashlib.sha256("\0".join((*link, *(path.name for path in objects))).encode())
    return _made(
        f"{name}-{digest.hexdigest()[:16]}",
        lambda out: [*COMMAND, *link, "-o", str(out), *map(str, objects)],
    )


def _object(source: Path, options: Sequence[str]) -> Path:
    digest = hashlib.sha256("\0".join(options).encode() + b"\0" + source.read_bytes())
    name = f"{source.stem}-{digest.hexdigest()[:16]}.o"
    return _made(name, lambda out: [*COMMAND, *options, "-c", "-o", str(out), str(source)])


def _made(name: str, command: Callable[[Path], list[str]]) -> Path:
    """The file `name` of the cache, made by `command` unless it is there.

    Workers wait for each other, so that nothing is compiled twice.
    """
    path = _folder() / name
    if path.exists():
        return path
    with (path.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            partial = path.with_name(f"{name}.partial")
            subprocess.run(command(partial), check=True)
            partial.replace(path)
    return path


@cache
def _folder() -> Path:
    """Where what is made of these headers, options and compiler lies. What was made of others is
    removed."""
    version = subprocess.run(["gcc", "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(version + "\0".join(COMMAND).encode())
    for root, pattern in ((BRICKS, "*/src/**/*.h"), (DRIVERS, "**/*.h")):
        for header in sorted(root.glob(pattern)):
            digest.update(f"\0{header.relative_to(root)}\0".encode() + header.read_bytes())
    folder = CACHE / digest.hexdigest()[:16]
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for other in CACHE.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    return folder
