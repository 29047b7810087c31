"""The kernel's module index against depmod, and the ELF reader against damage."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from compos.compose.depmod import Module, module_closure
from compos.compose.elf import ElfError, read_elf, section
from tests.compose.kernel_tree import index


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
