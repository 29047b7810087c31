"""The kernel's module index against depmod, and the ELF reader against damage."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compos.compose.depmod import Module, index_files, module_closure, read_module
from compos.compose.elf import ElfError, read_elf, section

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


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """`lib/modules/VERSION` with modules that the compiler makes, indexed by depmod."""
    base = tmp_path / "lib/modules" / VERSION
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
        source = tmp_path / "module.c"
        source.write_text("\n".join(lines) + "\n")
        subprocess.run(["gcc", "-c", "-ffreestanding", "-o", target, source], check=True)
    (base / "modules.order").write_text("".join(f"{path}\n" for path in MODULES))
    (base / "modules.builtin").write_text("kernel/crypto/built_in.ko\n")
    (base / "modules.builtin.modinfo").write_bytes(
        b"built_in.alias=crypto-x\0built_in.license=GPL\0"
    )
    subprocess.run(["depmod", "-b", tmp_path, VERSION], check=True, capture_output=True)
    return base


def index(tree: Path) -> dict[str, bytes]:
    modules = [read_module(path, (tree / path).read_bytes()) for path in MODULES]
    builtin = (tree / "modules.builtin.modinfo").read_bytes()
    return index_files(
        modules, order=(tree / "modules.order").read_bytes(), builtin_modinfo=builtin
    )


def lines(data: bytes) -> list[str]:
    return sorted(line for line in data.decode().splitlines() if not line.startswith("#"))


@pytest.mark.parametrize("name", ["modules.alias", "modules.softdep"])
def test_as_depmod_writes_it(tree: Path, name: str) -> None:
    assert lines(index(tree)[name]) == lines((tree / name).read_bytes())


def test_dependencies_as_depmod_finds_them(tree: Path) -> None:
    def parsed(data: bytes) -> dict[str, list[str]]:
        return {
            line.split(":")[0]: line.split(":")[1].split() for line in data.decode().splitlines()
        }

    ours, theirs = parsed(index(tree)["modules.dep"]), parsed((tree / "modules.dep").read_bytes())
    assert {path: sorted(needed) for path, needed in ours.items()} == {
        path: sorted(needed) for path, needed in theirs.items()
    }
    assert ours["kernel/drivers/net/wg-one.ko"] == [
        "kernel/lib/lib-two.ko",
        "kernel/lib/lib_three.ko",
    ]


def test_built_in_aliases(tree: Path) -> None:
    assert index(tree)["modules.builtin.alias"] == b"alias crypto-x built_in\n"


def test_closure_comes_in_load_order_and_survives_circles() -> None:
    modules = {
        "a": Module("a.ko", "a", ("b", "c")),
        "b": Module("b.ko", "b", ("c", "gone")),
        "c": Module("c.ko", "c", ("a",)),
    }
    assert module_closure(modules, ["a"]) == ("c", "b", "a")
    assert module_closure(modules, ["nothing"]) == ()


def test_programs_say_what_they_need() -> None:
    elf = read_elf(Path("/usr/sbin/depmod").resolve().read_bytes())
    listed = subprocess.run(
        ["readelf", "-d", "/usr/sbin/depmod"], capture_output=True, text=True, check=True
    ).stdout
    assert [name for name in elf.needed if f"[{name}]" not in listed] == []
    assert len(elf.needed) == listed.count("(NEEDED)")
    assert elf.interpreter.startswith("/lib")


def test_damaged_elf_files_are_errors_or_harmless(tree: Path) -> None:
    source = random.Random(5)
    for data in (
        Path("/usr/sbin/depmod").resolve().read_bytes(),
        (tree / "kernel/fs/alone.ko").read_bytes(),
    ):
        for _ in range(400):
            damaged = bytearray(data)
            for _ in range(source.randint(1, 6)):
                damaged[source.randrange(min(len(damaged), 1500))] = source.randrange(256)
            cut = bytes(damaged[: source.choice([len(damaged), source.randrange(1, len(damaged))])])
            for read in (read_elf, lambda content: section(content, ".modinfo")):
                try:
                    read(cut)
                except ElfError:
                    continue
