"""Build hook: compiles `init`, the image's PID 1, and assembles the BIOS loader, with the zig
compiler of the `ziglang` wheel (a build requirement only).

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
    "compile_init",
    "host_architecture",
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
        "-Isrc",
        "-D_GNU_SOURCE=",
        "-Os",
        "-static",
        "-s",
        "-ffunction-sections",
        "-fdata-sections",
    ),
    *("-fno-asynchronous-unwind-tables", "-Wl,--gc-sections", "-Wl,--build-id=none"),
)

BRICK = Path(__file__).resolve().parent / "bricks" / "init"
LOADER = Path(__file__).resolve().parent / "src" / "compos" / "boot" / "loader"
LOADER_ORIGINS = {"mbr": 0x600, "loader": 0x7C00}
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


def compile_init(architecture: str) -> Path:
    """The program for `architecture`, compiled unless it is there and of just these sources, flags
    and compiler."""
    program = _program(architecture)
    if _is_current(architecture):
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_name(f"init.{os.getpid()}")
    prefix = f"-ffile-prefix-map={BRICK}=."
    command = ["cc", *_options(architecture), prefix, "-o", str(partial)]
    sources = sorted(str(source.relative_to(BRICK)) for source in BRICK.glob("src/**/*.c"))
    try:
        _zig(*command, *sources, cwd=BRICK)
        partial.replace(program)
    finally:
        partial.unlink(missing_ok=True)
    _stamp(architecture).write_text(_key(architecture))
    return program


def assemble_loader() -> None:
    """The BIOS loader's parts as plain binaries beside their sources, unless they are there and of
    just these sources."""
    stamp = LOADER / "loader.stamp"
    binaries = [LOADER / f"{name}.bin" for name in LOADER_ORIGINS]
    digest = hashlib.sha256("\0".join([version("ziglang"), *LOADER_FLAGS]).encode())
    for name in LOADER_ORIGINS:
        digest.update((LOADER / f"{name}.S").read_bytes())
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
    for architecture in TARGETS:
        if not _is_current(architecture):
            shutil.rmtree(_program(architecture).parent, ignore_errors=True)


def _program(architecture: str) -> Path:
    return BRICK / "bin" / architecture / "init"


def _stamp(architecture: str) -> Path:
    return _program(architecture).with_name("init.stamp")


def _is_current(architecture: str) -> bool:
    stamp = _stamp(architecture)
    return (
        _program(architecture).exists()
        and stamp.exists()
        and stamp.read_text() == _key(architecture)
    )


def _options(architecture: str) -> list[str]:
    return ["-target", TARGETS[architecture], *FLAGS, *WARNINGS]


def _key(architecture: str) -> str:
    """What decides the bytes; the folder does not."""
    digest = hashlib.sha256("\0".join([version("ziglang"), *_options(architecture)]).encode())
    for file in sorted(BRICK.glob("src/**/*.[ch]")):
        digest.update(
            f"\0{file.relative_to(BRICK)}\0".encode() + hashlib.sha256(file.read_bytes()).digest()
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
            self.app.display_info(f"Compiling init for {architecture}")
            compile_init(architecture)
        VERSION_FILE.write_text(VERSION.format(self.metadata.version))
        self.app.display_info("Assembling the BIOS loader")
        assemble_loader()
        remove_outdated()


if __name__ == "__main__":
    for name in sys.argv[1:] or [host_architecture()]:
        if name not in TARGETS:
            raise SystemExit(f"hatch_build.py: {name}: not one of {', '.join(TARGETS)}")
        print(compile_init(name))
    assemble_loader()
