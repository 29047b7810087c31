"""A kernel's folder of modules, made by the compiler and indexed by depmod."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from compos.compose.depmod import index_files, read_module

__all__ = ["MODULES", "VERSION", "index", "make_kernel_tree"]

VERSION = "6.1.0-test"
MODULES: dict[str, dict[str, Any]] = {
    "kernel/drivers/net/wg-one.ko": {
        "depends": "lib_two,lib_three",
        "alias": ["pci:v0001*", "fs-wg"],
        "exports": "",
    },
    "kernel/lib/lib-two.ko": {"depends": "lib_three", "softdep": ["pre: crc32c"], "exports": "two"},
    "kernel/lib/lib_three.ko": {"depends": "", "alias": ["three"], "exports": "three"},
    "kernel/fs/alone.ko": {"depends": "", "exports": ""},
}
EXPORT = r"""
__asm__(".section \"__ksymtab_strings\",\"aMS\",%progbits,1\n.asciz \"SYMBOL\"");
__asm__(".section \"__ksymtab\",\"a\"\n.globl __ksymtab_SYMBOL\n__ksymtab_SYMBOL: .long 0");
"""
"""What EXPORT_SYMBOL leaves in an object file; depmod looks for just these sections."""

USES = {"wg-one": ("two", "three"), "lib-two": ("three",)}


def make_kernel_tree(folder: Path) -> Path:
    """`lib/modules/VERSION` below `folder`, with modules that the compiler makes; depmod indexes it."""
    base = folder / "lib/modules" / VERSION
    for path, facts in MODULES.items():
        target = base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        stem = target.stem
        records = [f"depends={facts['depends']}", f"name={stem.replace('-', '_')}"]
        records += [
            f"{key}={value}" for key in ("alias", "softdep") for value in facts.get(key, ())
        ]
        lines = [
            f'static const char i{number}[] __attribute__((section(".modinfo"), used, aligned(1))) = "{record}";'
            for number, record in enumerate(records)
        ]
        if symbol := facts["exports"]:
            lines.append(f"int {symbol}(void) {{ return 0; }}")
            lines.append(EXPORT.replace("SYMBOL", symbol))
        for symbol in USES.get(stem, ()):
            lines += [f"int {symbol}(void);", f"int use_{symbol}(void) {{ return {symbol}(); }}"]
        source = folder / "module.c"
        source.write_text("\n".join(lines) + "\n")
        subprocess.run(["gcc", "-c", "-ffreestanding", "-o", target, source], check=True)
    (base / "modules.order").write_text("".join(f"{path}\n" for path in MODULES))
    (base / "modules.builtin").write_text("kernel/crypto/built_in.ko\n")
    (base / "modules.builtin.modinfo").write_bytes(
        b"built_in.alias=crypto-x\0built_in.license=GPL\0"
    )
    subprocess.run(["depmod", "-b", folder, VERSION], check=True, capture_output=True)
    return base


def index(tree: Path) -> dict[str, bytes]:
    modules = [read_module(path, (tree / path).read_bytes()) for path in MODULES]
    builtin = (tree / "modules.builtin.modinfo").read_bytes()
    return index_files(
        modules, order=(tree / "modules.order").read_bytes(), builtin_modinfo=builtin
    )
