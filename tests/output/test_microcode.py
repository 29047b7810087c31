"""Early microcode in every format: the first bytes of whatever initrd it has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.output.formats import FORMATS
from tests.compose.systems import World
from tests.output.bootable import YAML, filled

EARLY = (b"UCODE\0\0\0\x28\xb5\x2f\xfd", b"UCODE\0\0\0070701")
"""Microcode, and a compressed or plain initrd behind it."""

ELSEWHERE = {
    "rpi3": "arm64 has no microcode",
    "tar": "the root as files",
    "docker": "the root as files",
    "tar-kernel-initrd": "a file of its own",
    "update": "the boot partition of raw-efi, compressed",
}
"""Formats without an initrd that has it, and why."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = filled(World(tmp_path))
    (tmp_path / "os.yml").write_text(YAML)
    return made


def plain(path: Path, folder: Path) -> bytes:
    """The contents of a disk in a container, by the container's own tools."""
    if path.name.endswith(".tar.gz") or path.suffix == ".ova":
        subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
        (path,) = [one for one in folder.iterdir() if one.suffix in (".raw", ".vmdk")]
    if path.suffix in (".qcow2", ".vmdk", ".vhdx", ".vhd"):
        raw = folder / "plain"
        subprocess.run(["qemu-img", "convert", "-O", "raw", path, raw], check=True)
        path = raw
    return path.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "gcp" else [])
        for name in FORMATS
        if name not in ELSEWHERE
    ],
)
def test_microcode_comes_first(world: World, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    options = [*world.flags, "--dir", str(folder), "-f", name, "--size", "64M"]
    assert main(["build", "-q", *options, str(tmp_path / "os.yml")]) == 0
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    found = [plain(path, unpacked) for path in sorted(folder.iterdir())]
    assert any(early in data for early in EARLY for data in found)
