"""Microcode as the cpio that kernels read first, judged by cpio and by Debian's iucode_tool."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.microcode import microcode_files
from compos.tree.contents import Contents
from compos.tree.node import Tree, file

INTEL = "usr/lib/firmware/intel-ucode"
AMD = "usr/lib/firmware/amd-ucode"


def update(signature: int, revision: int, size: int = 2048) -> bytes:
    """An update of Intel's, with a right checksum (Intel's manual, volume 3A, table 11-8)."""
    words = [1, revision, 0x09262026, signature, 0, 1, 1, size - 48, size, 0, 0, 0]
    data = struct.pack("<12I", *words) + bytes(range(256)) * ((size - 48) // 256)
    data = data.ljust(size, b"\0")
    total = sum(struct.unpack(f"<{size // 4}I", data))
    words[4] = -total & 0xFFFFFFFF
    return struct.pack("<12I", *words) + data[48:]


SKYLAKE, KABYLAKE, OLD = update(0x506E3, 0xF0), update(0x906E9, 0xF8, 3072), update(0x6F2, 0x5D)
FILES = {
    f"{INTEL}/06-0f-02": OLD,
    f"{INTEL}/06-5e-03.initramfs": SKYLAKE + KABYLAKE,
    f"{INTEL}/06-9e-09.initramfs": KABYLAKE,
    f"{INTEL}/06-9e-09.initramfs.txt": b"",
    f"{INTEL}-notes": b"no microcode",
    f"{AMD}/microcode_amd.bin": b"DMA\0" + b"a" * 33,
    f"{AMD}/microcode_amd_fam19h.bin": b"DMA\0" + b"b" * 20,
    f"{AMD}/README": b"no microcode",
}


def made(folder: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    tree: Tree = {path: file(content, 0o644, 0) for path, content in files.items()}
    with Contents(folder) as contents:
        found = microcode_files(contents, tree, "brick")
        return {path: b"".join(contents.chunks(node.content)) for path, node in found.items()}


def test_it_is_what_the_tools_say(tmp_path: Path) -> None:
    data = made(tmp_path, FILES)["ucode.cpio"]
    subprocess.run(["cpio", "-id", "--quiet"], input=data, cwd=tmp_path, check=True)
    folder = tmp_path / "kernel/x86/microcode"
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    amd = FILES[f"{AMD}/microcode_amd.bin"] + FILES[f"{AMD}/microcode_amd_fam19h.bin"]
    assert found == {"AuthenticAMD.bin": amd, "GenuineIntel.bin": OLD + SKYLAKE + KABYLAKE}
    for content in found.values():
        assert data.index(content) % 16 == 0, "where the processor wants it"
    listed = subprocess.run(
        ["iucode_tool", "-tb", "-L", str(folder / "GenuineIntel.bin")],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split("sig ")[1] for line in listed.stdout.splitlines() if "sig " in line]
    assert [line.partition(",")[0] for line in lines[:3]] == [
        "0x000006f2",
        "0x000506e3",
        "0x000906e9",
    ]
    assert "rev 0x00f8, size 3072" in lines[2]


@pytest.mark.parametrize("kept", [INTEL, AMD])
def test_one_vendor(tmp_path: Path, kept: str) -> None:
    found = made(tmp_path, {path: data for path, data in FILES.items() if path.startswith(kept)})
    assert (b"GenuineIntel.bin\0" in found["ucode.cpio"]) is (kept == INTEL)
    assert (b"AuthenticAMD.bin\0" in found["ucode.cpio"]) is (kept == AMD)


def test_none(tmp_path: Path) -> None:
    assert made(tmp_path, {"boot/vmlinuz": b""}) == {}


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        (f"{INTEL}/06-5e-03", SKYLAKE[:-1] + b"\1", "checksum of the update at byte 0"),
        (f"{INTEL}/06-5e-03", SKYLAKE + KABYLAKE[:-4], "no update at byte 2048"),
        (f"{INTEL}/06-5e-03", SKYLAKE + b"\1\0\0\0", "ends inside a header at byte 2048"),
        (f"{INTEL}/06-5e-03", bytes(2048), "no update at byte 0"),
        (f"{INTEL}/06-5e-03", SKYLAKE[:32] + bytes(4) + SKYLAKE[36:], "no update at byte 0"),
        (f"{AMD}/microcode_amd.bin", b"none", "magic number"),
    ],
    ids=["checksum", "end", "header", "zeros", "size", "magic"],
)
def test_damage(tmp_path: Path, path: str, data: bytes, message: str) -> None:
    with pytest.raises(PackageError) as caught:
        made(tmp_path, {path: data})
    assert caught.value.id == "brick-microcode"
    assert message in caught.value.message
    assert caught.value.hint
