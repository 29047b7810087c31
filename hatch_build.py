"""Build hook: compiles the bricks' programs in C, such as the image's PID 1, and assembles the BIOS
loader, with the zig compiler of the `ziglang` wheel (a build requirement only).

Also a command: `python hatch_build.py [amd64|arm64|riscv64...]`. The same sources give the same
bytes in any folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = [
    "TARGETS",
    "CustomBuildHook",
    "assemble_loader",
    "compile_program",
    "host_architecture",
    "include_folders",
    "program_sources",
    "remove_outdated",
]

TARGETS = {
    "amd64": "x86_64-linux-musl",
    "arm64": "aarch64-linux-musl",
    "riscv64": "riscv64-linux-musl",
}
"""Go's name of an architecture, as OCI images use it, and zig's name of the target."""

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "riscv64": "riscv64"}

WARNINGS = (
    *("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wformat=2", "-Wundef", "-Wvla"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wwrite-strings"),
)

FLAGS = (
    *(
        "-std=c11",
        "-D_GNU_SOURCE=",
        "-Os",
        "-static",
        "-s",
        "-ffunction-sections",
        "-fdata-sections",
    ),
    *("-fno-asynchronous-unwind-tables", "-Wl,--gc-sections", "-Wl,--build-id=none"),
)

BRICKS = Path(__file__).resolve().parent / "bricks"
PROGRAMS = {
    "init": ("init/src",),
    "attest": (
        *("attest/src", "cadvisor/src/web"),
        *("memlogd/src/protocol", "metadata/src/json", "init/src/base"),
    ),
    "cadvisor": ("cadvisor/src", "memlogd/src/protocol", "metadata/src/json", "init/src/base"),
    "escrow": ("escrow/src", "update/src/web", "init/src/base"),
    "format": ("disk/src", "init/src/base", "format/src"),
    "mkimage": ("disk/src", "init/src/base", "mkimage/src"),
    "mount": ("disk/src", "init/src/base", "mount/src"),
    "extend": ("disk/src", "init/src/base", "extend/src"),
    "data-partition": (
        *("data-partition/src", "attest/src/tpm"),
        *("disk/src", "metadata/src/json", "init/src/base"),
    ),
    "dev": ("init/src/base", "dev/src"),
    "dm-crypt": ("disk/src", "init/src/base", "dm-crypt/src"),
    "host-timesync-daemon": (
        *("host-timesync-daemon/src", "vsudd/src/vsock"),
        *("memlogd/src/protocol", "metadata/src/json", "init/src/base"),
    ),
    "installer": (
        *("installer/src", "data-partition/src/luks", "data-partition/src/seal"),
        *("attest/src/tpm", "disk/src", "metadata/src/json", "init/src/base"),
    ),
    "kmsg": ("kmsg/src",),
    "logwrite": ("logwrite/src", "memlogd/src/protocol", "metadata/src/json", "init/src/base"),
    "memlogd": ("memlogd/src", "metadata/src/json", "init/src/base"),
    "metadata": ("metadata/src", "init/src/base"),
    "rngd": ("rngd/src",),
    "trim-after-delete": (
        *("trim-after-delete/src", "memlogd/src/protocol", "metadata/src/json", "init/src/base"),
    ),
    "update": ("update/src", "metadata/src/json", "init/src/base"),
    "vsudd": ("vsudd/src", "memlogd/src/protocol", "metadata/src/json", "init/src/base"),
}
"""A brick that has a program in C, and the folders of its sources, below `bricks`: includes are
written from the folder `src`. It becomes `bin/ARCHITECTURE/BRICK` of the brick."""

LOADER = Path(__file__).resolve().parent / "src" / "compos" / "boot" / "loader"
LOADER_COPY = BRICKS / "mkimage" / "bin" / "amd64"
"""A brick's files lie in its folder."""
LOADER_ORIGINS = {"mbr": 0x600, "loader": 0x7C00, "slots": 0x7C00}
"""Where in memory each part of the BIOS loader runs. It is 16-bit x86 code, whatever machine
composes."""
LOADER_FLAGS = ("-target", "x86-freestanding-none", "-nostdlib", "-static", "-Wl,--build-id=none")


VERSION_FILE = Path(__file__).resolve().parent / "src" / "compos" / "_version.py"
VERSION = '''"""The version, written by hatch_build.py."""

__version__ = "{}"
'''
"""Reading it from the installed metadata would cost each start 20 ms."""


def host_architecture() -> str:
    """This machine's architecture in Go's words; amd64 where it is none of ours."""
    return MACHINES.get(platform.machine(), "amd64")


def compile_program(brick: str, architecture: str) -> Path:
    """A brick's program for `architecture`, compiled unless it is there and of just these sources,
    flags and compiler."""
    program = _program(brick, architecture)
    if _is_current(brick, architecture):
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_name(f"{brick}.{os.getpid()}")
    prefix = f"-ffile-prefix-map={BRICKS}=."
    command = ["cc", *_options(brick, architecture), prefix, "-o", str(partial)]
    try:
        _zig(*command, *program_sources(brick, "*.c"), cwd=BRICKS)
        partial.replace(program)
    finally:
        partial.unlink(missing_ok=True)
    _stamp(brick, architecture).write_text(_key(brick, architecture))
    return program


def assemble_loader() -> None:
    """The BIOS loader's parts as plain binaries beside their sources, unless they are there and of
    just these sources; and copies of them for the brick that makes disks."""
    _assemble_loader()
    LOADER_COPY.mkdir(parents=True, exist_ok=True)
    for name in ("mbr", "loader"):
        shutil.copyfile(LOADER / f"{name}.bin", LOADER_COPY / f"{name}.bin")


def _assemble_loader() -> None:
    stamp = LOADER / "loader.stamp"
    binaries = [LOADER / f"{name}.bin" for name in LOADER_ORIGINS]
    digest = hashlib.sha256("\0".join([version("ziglang"), *LOADER_FLAGS]).encode())
    for source in sorted(LOADER.glob("*.S")):
        digest.update(source.read_bytes())
    key = digest.hexdigest()
    if all(path.exists() for path in binaries) and stamp.exists() and stamp.read_text() == key:
        return
    with tempfile.TemporaryDirectory() as folder:
        for (name, origin), binary in zip(LOADER_ORIGINS.items(), binaries, strict=True):
            linked, plain = Path(folder) / f"{name}.elf", Path(folder) / f"{name}.bin"
            layout = Path(folder) / f"{name}.ld"
            layout.write_text(
                f"ENTRY(start)\nSECTIONS {{ . = {origin:#x}; .text : {{ *(.text) }} }}\n"
            )
            _zig(
                "cc", *LOADER_FLAGS, f"-Wl,-T,{layout}", "-o", str(linked), f"{name}.S", cwd=LOADER
            )
            _zig("objcopy", "-O", "binary", "-j", ".text", str(linked), str(plain), cwd=LOADER)
            shutil.move(plain, binary)
    stamp.write_text(key)


def _zig(*arguments: str, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", "ziglang", *arguments], cwd=cwd, check=True)


def remove_outdated() -> None:
    """Removes the programs of other sources than these, so that no wheel carries one."""
    for brick in PROGRAMS:
        for architecture in TARGETS:
            if not _is_current(brick, architecture):
                shutil.rmtree(_program(brick, architecture).parent, ignore_errors=True)


def _program(brick: str, architecture: str) -> Path:
    return BRICKS / brick / "bin" / architecture / brick


def _stamp(brick: str, architecture: str) -> Path:
    return _program(brick, architecture).with_name(f"{brick}.stamp")


def _is_current(brick: str, architecture: str) -> bool:
    stamp = _stamp(brick, architecture)
    return (
        _program(brick, architecture).exists()
        and stamp.exists()
        and stamp.read_text() == _key(brick, architecture)
    )


def _options(brick: str, architecture: str) -> list[str]:
    includes = [f"-I{folder}" for folder in include_folders(brick)]
    return ["-target", TARGETS[architecture], *FLAGS, *includes, *WARNINGS]


def include_folders(brick: str) -> list[str]:
    """The folders `src` that includes of a brick's program are written from, relative to
    `BRICKS`."""
    return [folder[: folder.index("/src") + 4] for folder in PROGRAMS[brick]]


def program_sources(brick: str, pattern: str) -> list[str]:
    """The files of a brick's program, relative to `BRICKS`."""
    return sorted(
        str(file.relative_to(BRICKS))
        for folder in PROGRAMS[brick]
        for file in (BRICKS / folder).rglob(pattern)
    )


def _key(brick: str, architecture: str) -> str:
    """What decides the bytes; the folder does not."""
    options = _options(brick, architecture)
    digest = hashlib.sha256("\0".join([version("ziglang"), *options]).encode())
    for name in program_sources(brick, "*.[ch]"):
        digest.update(
            f"\0{name}\0".encode() + hashlib.sha256((BRICKS / name).read_bytes()).digest()
        )
    return digest.hexdigest()


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before a wheel or an editable install is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles for this machine, or for all architectures with COMPOS_ALL_ARCHES=1; a source
        archive needs none."""
        if self.target_name != "wheel":
            return
        every = os.environ.get("COMPOS_ALL_ARCHES") == "1"
        for architecture in TARGETS if every else (host_architecture(),):
            for brick in PROGRAMS:
                self.app.display_info(f"Compiling {brick} for {architecture}")
                compile_program(brick, architecture)
        VERSION_FILE.write_text(VERSION.format(self.metadata.version))
        self.app.display_info("Assembling the BIOS loader")
        assemble_loader()
        remove_outdated()


if __name__ == "__main__":
    for name in sys.argv[1:] or [host_architecture()]:
        if name not in TARGETS:
            raise SystemExit(f"hatch_build.py: {name}: not one of {', '.join(TARGETS)}")
        for program in PROGRAMS:
            print(compile_program(program, name))
    assemble_loader()
