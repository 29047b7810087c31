"""Kernel modules by need: what kmod finds in the indexes that we write, what stays and why."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.compose.kernel_modules import kept_firmware, kept_modules
from compos.compose.module_trie import module_trie
from compos.tree.contents import Contents
from compos.tree.node import Tree, directory, file, symlink
from tests.compose.kernel_tree import MODULES, VERSION, index

FOLDER = f"lib/modules/{VERSION}"


def nodes(tree: Path) -> Tree:
    found: Tree = {
        "lib": directory(0o755, 0),
        "lib/modules": directory(0o755, 0),
        FOLDER: directory(0o755, 0),
    }
    for path in sorted(tree.rglob("*")):
        name = f"{FOLDER}/{path.relative_to(tree)}"
        if not name.endswith(".bin"):
            found[name] = (
                directory(0o755, 0) if path.is_dir() else file(path.read_bytes(), 0o644, 0)
            )
    for name, data in index(tree).items():
        found[f"{FOLDER}/{name}"] = file(data, 0o644, 0)
    return found


def kept(tree: Path, tmp_path: Path, *patterns: str) -> tuple[Tree, dict[str, str]]:
    with Contents(tmp_path) as contents:
        return kept_modules(
            contents, nodes(tree), patterns, {"alone": "used by init", "absent": "used by nobody"}
        )


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


@pytest.mark.parametrize(
    "alias", ["wg-one", "wg_one", "pci:v0001d0002", "fs-wg", "three", "crypto-x"]
)
def test_kmod_reads_the_indexes(tree: Path, tmp_path: Path, alias: str) -> None:
    """`modprobe` finds in ours what it finds in depmod's."""
    made, _ = kept(tree, tmp_path, "*")
    root = tmp_path / "ours"
    for path, node in made.items():
        target = root / path
        if node.content or node.kind != "d":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(
                b"".join(piece for piece in node.content if isinstance(piece, bytes))
            )

    def shown(base: Path) -> list[str]:
        command = ["modprobe", "-d", str(base), "-S", VERSION, "--show-depends", alias]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return sorted(line.replace(str(base), "") for line in done.stdout.splitlines())

    assert shown(root) == shown(tree.parents[2])


def test_kmod_reads_a_trie_as_depmod_s(tree: Path) -> None:
    """The same is found and the same is not. Bytes say nothing: since kmod 34 depmod puts the nodes
    of the same trie in another order."""
    builtin = ("built_in", "built_in_too", "bu", "other", "o")
    lines = [f"kernel/crypto/{name}.ko\n" for name in builtin]
    (tree / "modules.builtin").write_text("".join(lines))
    base = tree.parents[2]
    subprocess.run(["depmod", "-b", base, VERSION], check=True, capture_output=True)

    def shown() -> dict[str, str]:
        found = {}
        for name in (*builtin, "b", "built", "built_in_", "built_in_too_", "others", "x"):
            command = ["modprobe", "-d", str(base), "-S", VERSION, "--show-depends", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found[name] = done.stdout
        return found

    expected = shown()
    assert {name for name in expected if expected[name] == f"builtin {name}\n"} == set(builtin)
    (tree / "modules.builtin.bin").write_bytes(module_trie([]))
    assert shown() != expected, "this file decides"
    (tree / "modules.builtin.bin").write_bytes(module_trie([(name, "") for name in builtin]))
    assert shown() == expected


def test_tries_refuse_what_no_index_has() -> None:
    with pytest.raises(ValueError, match="cannot be a key"):
        module_trie([("a\nb", "")])


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A module that names two firmware files, one of them by a pattern."""
    folder = tmp_path_factory.mktemp("driver")
    records = ("name=x", "firmware=i915/a.bin", "firmware=qcom/*.mbn")
    lines = [
        f'static const char r{number}[] __attribute__((section(".modinfo"), used, aligned(1))) = "{record}";'
        for number, record in enumerate(records)
    ]
    (folder / "x.c").write_text("\n".join(lines) + "\n")
    subprocess.run(
        ["gcc", "-c", "-ffreestanding", "-o", folder / "x.ko", folder / "x.c"], check=True
    )
    return (folder / "x.ko").read_bytes()


FIRMWARE_FILES: Tree = {
    "lib/firmware": directory(0o755, 0),
    **{
        f"lib/firmware/{name}": file(name.encode(), 0o644, 0)
        for name in ("i915/a.bin", "i915/b.bin.xz", "qcom/v5.mbn.zst", "other")
    },
}


def firmware(tmp_path: Path, module: bytes, *patterns: str) -> dict[str, str]:
    with Contents(tmp_path) as contents:
        kept = kept_firmware(
            contents, FIRMWARE_FILES, {"kernel/x.ko.xz": file(module, 0o644, 0)}, patterns
        )
    return {path.removeprefix("lib/firmware/"): why for path, why in kept.items()}


def test_firmware_that_patterns_name(tmp_path: Path, driver: bytes) -> None:
    why = "kernel.firmware: i915/*.bin"
    assert firmware(tmp_path, driver, "i915/*.bin") == {"i915/a.bin": why, "i915/b.bin.xz": why}
    assert firmware(tmp_path, driver) == {}


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_firmware_that_modules_name(
    tmp_path: Path, driver: bytes, compress: Callable[[bytes], bytes]
) -> None:
    assert firmware(tmp_path, compress(driver), "auto") == {
        "i915/a.bin": "named by x",
        "qcom/v5.mbn.zst": "named by x",
    }
    assert firmware(tmp_path, b"damaged", "auto") == {}
    assert firmware(tmp_path, b"\xfd7zXZ\x00damaged", "auto") == {}


def test_firmware_behind_links_and_of_the_kernel_itself(tmp_path: Path) -> None:
    tree: Tree = {
        "lib/firmware/cxgb4/t6fw.bin": symlink("t6fw-1.27.5.0.bin.xz", 0),
        "lib/firmware/cxgb4/t6fw-1.27.5.0.bin.xz": symlink("../old/../cxgb4/real", 0),
        "lib/firmware/cxgb4/real": file(b"1", 0o644, 0),
        "lib/firmware/cxgb4/other": file(b"2", 0o644, 0),
        "lib/firmware/out": symlink("../../etc/shadow", 0),
        "lib/firmware/loop": symlink("loop", 0),
        "lib/firmware/boot.bin": file(b"3", 0o644, 0),
        "lib/modules/6/modules.builtin.modinfo": file(
            b"core.license=GPL\0core.firmware=boot.bin\0x.firmware=none\0", 0o644, 0
        ),
    }
    with Contents(tmp_path) as contents:
        names = ["cxgb4/t6fw.bin", "out", "loop", "auto"]
        kept = kept_firmware(contents, tree, {}, names)
    assert {path.removeprefix("lib/firmware/"): why for path, why in kept.items()} == {
        "cxgb4/t6fw.bin": "kernel.firmware: cxgb4/t6fw.bin",
        "cxgb4/t6fw-1.27.5.0.bin.xz": "linked from t6fw.bin",
        "cxgb4/real": "linked from t6fw.bin",
        "out": "kernel.firmware: out",
        "loop": "kernel.firmware: loop",
        "boot.bin": "named by core",
    }


HOSTILE = {
    "modules.dep": "kernel/a.ko: kernel/none.ko\nno colon\n:\nkernel/\udcff.ko:\nkernel/b\x01.ko:\nk/ä.ko:\n",
    "modules.softdep": "softdep \nsoftdep\nsoftdep a pre: none\n",
    "modules.alias": "alias\nalias x\nalias "
    + "y" * 100_000
    + " a\nalias  two-blanks a\nalias \udcff a\n",
    "modules.builtin": "".join("b" * length + ".ko\n" for length in range(1, 3000)),
    "modules.builtin.alias": "alias \n",
}


def test_indexes_of_strangers_are_read_as_far_as_they_are_indexes(tmp_path: Path) -> None:
    tree: Tree = {
        f"{FOLDER}/{name}": file(text.encode("utf-8", "surrogateescape"), 0o644, 0)
        for name, text in HOSTILE.items()
    }
    tree[f"{FOLDER}/kernel/a.ko"] = file(b"a", 0o644, 0)
    with Contents(tmp_path) as contents:
        made, why = kept_modules(contents, tree, ["*"], {})
    assert why == {"kernel/a.ko": "kernel.modules: *"}
    assert made[f"{FOLDER}/modules.alias"].content == (b"alias  two-blanks a\n",)
