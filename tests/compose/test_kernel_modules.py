"""Kernel modules by need: what kmod finds in the indexes that we write, what stays and why."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.compose.kernel_modules import kept_firmware, kept_modules
from compos.compose.module_trie import module_trie
from compos.tree.contents import Contents
from compos.tree.node import Tree, directory, file
from tests.compose.test_modules import MODULES, VERSION, index, tree

__all__ = ["tree"]

FOLDER = f"lib/modules/{VERSION}"


def nodes(tree: Path) -> Tree:
    found: Tree = {"lib": directory(0o755, 0), "lib/modules": directory(0o755, 0), FOLDER: directory(0o755, 0)}
    for path in sorted(tree.rglob("*")):
        name = f"{FOLDER}/{path.relative_to(tree)}"
        if not name.endswith(".bin"):
            found[name] = directory(0o755, 0) if path.is_dir() else file(path.read_bytes(), 0o644, 0)
    for name, data in index(tree).items():
        found[f"{FOLDER}/{name}"] = file(data, 0o644, 0)
    return found


def kept(tree: Path, tmp_path: Path, *patterns: str) -> tuple[Tree, dict[str, str]]:
    with Contents(tmp_path) as contents:
        return kept_modules(contents, nodes(tree), patterns, {"alone": "used by init", "absent": "used by nobody"})


def test_what_is_named_and_what_that_needs(tree: Path, tmp_path: Path) -> None:
    made, why = kept(tree, tmp_path, "wg-*")
    assert why == {
        "kernel/drivers/net/wg-one.ko": "kernel.modules: wg-*",
        "kernel/lib/lib-two.ko": "needed by wg_one",
        "kernel/lib/lib_three.ko": why["kernel/lib/lib_three.ko"],
    }
    assert why["kernel/lib/lib_three.ko"].startswith("needed by ")
    assert f"{FOLDER}/kernel/fs/alone.ko" not in made
    assert f"{FOLDER}/kernel/fs" not in made, "no empty folder stays"
    assert f"{FOLDER}/kernel/drivers/net" in made


def test_auto_and_none(tree: Path, tmp_path: Path) -> None:
    assert kept(tree, tmp_path, "auto")[1] == {"kernel/fs/alone.ko": "used by init"}
    assert kept(tree, tmp_path)[1] == {}
    assert len(kept(tree, tmp_path, "*")[1]) == len(MODULES)


@pytest.mark.parametrize("alias", ["wg-one", "wg_one", "pci:v0001d0002", "fs-wg", "three", "crypto-x"])
def test_kmod_reads_the_indexes(tree: Path, tmp_path: Path, alias: str) -> None:
    """`modprobe` finds in ours what it finds in depmod's."""
    made, _ = kept(tree, tmp_path, "*")
    root = tmp_path / "ours"
    for path, node in made.items():
        target = root / path
        if node.content or node.kind != "d":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"".join(piece for piece in node.content if isinstance(piece, bytes)))

    def shown(base: Path) -> list[str]:
        command = ["modprobe", "-d", str(base), "-S", VERSION, "--show-depends", alias]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return sorted(line.replace(str(base), "") for line in done.stdout.splitlines())

    assert shown(root) == shown(tree.parents[2])


def test_tries_as_depmod_writes_them(tree: Path) -> None:
    """Byte for byte, where the order of equal keys plays no part."""
    names = [(Path(path).stem.replace("-", "_"), "") for path in ("kernel/crypto/built_in.ko",)]
    assert module_trie(names) == (tree / "modules.builtin.bin").read_bytes()


def test_tries_refuse_what_no_index_has() -> None:
    with pytest.raises(ValueError, match="cannot be a key"):
        module_trie([("a\nb", "")])


def test_firmware(tmp_path: Path) -> None:
    elf = Path("/bin/true").read_bytes()[:0]
    tree = {
        "lib/firmware/i915/a.bin": file(b"a", 0o644, 0),
        "lib/firmware/i915/b.bin.xz": file(b"b", 0o644, 0),
        "lib/firmware/other": file(b"c", 0o644, 0),
        "lib/firmware": directory(0o755, 0),
    }
    with Contents(tmp_path) as contents:
        assert kept_firmware(contents, tree, {"x.ko": file(elf, 0o644, 0)}, ["i915/*.bin"]) == {
            "lib/firmware/i915/a.bin": "kernel.firmware: i915/*.bin",
            "lib/firmware/i915/b.bin.xz": "kernel.firmware: i915/*.bin",
        }
        assert kept_firmware(contents, tree, {}, ["auto"]) == {}
