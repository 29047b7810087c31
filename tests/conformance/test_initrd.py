"""What goes where when kernel and initrd are apart (3.10), and the names of outputs (4, M13)."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from tests.conformance.lab import Lab, T
from tests.images import Member

YAML = """
kernel: {image: @kernel, cmdline: "a b", ucode: ucode.bin}
init: [@init, @links]
services: [{name: web, image: @app}]
files: [{path: boot/extra, contents: x}, {path: etc/x, contents: y, mode: "0644"}]
"""


@pytest.fixture(scope="module")
def folder(lab: Lab) -> Path:
    lab.image(
        "links",
        [
            [
                Member("bin/a", mode=0o755, content="same"),
                Member("bin/b", "hardlink", content="bin/a"),
                Member("l", "symlink", 0o777, "bin/a"),
                Member("dev/n", "char", 0o666, (1, 3)),
                Member("p", "fifo", 0o600),
            ]
        ],
    )
    out = lab.folder / "split"
    out.mkdir()
    assert lab.run(YAML, "--dir", str(out), "--name", "n", "--compress", "none") == 0
    return out


def unpacked(initrd: bytes, folder: Path) -> Path:
    """The archives in `initrd`, unpacked by GNU cpio one after another as the kernel does."""
    target = folder / "root"
    target.mkdir()
    stream = io.BytesIO(initrd)
    while True:
        rest = stream.read()
        start = len(rest) - len(rest.lstrip(b"\0"))
        rest = rest[start:]
        if not rest:
            return target
        end = rest.index(b"TRAILER!!!\0") + len(b"TRAILER!!!\0")
        command = [
            "cpio",
            "--extract",
            "--make-directories",
            "--unconditional",
            "--preserve-modification-time",
            "--quiet",
        ]
        subprocess.run(
            command, input=rest[:end] + bytes(512), check=True, cwd=target, capture_output=True
        )
        stream = io.BytesIO(rest[end:])


def test_names_of_the_outputs(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "n-cmdline",
        "n-initrd.img",
        "n-kernel",
    ]
    assert (folder / "n-kernel").read_text() == "KERNEL"
    assert (folder / "n-cmdline").read_text() == "a b"


@pytest.mark.root
def test_the_initrd(folder: Path, tmp_path: Path) -> None:
    data = (folder / "n-initrd.img").read_bytes()
    assert data.startswith(b"UCODE")
    root = unpacked(data[len(b"UCODE") :], tmp_path)
    # Everything below boot/ but the folder itself stays out.
    assert (root / "boot").is_dir()
    assert list((root / "boot").iterdir()) == []
    assert (root / "init").read_text() == "#!"
    assert (root / "lib/modules/m.ko").read_text() == "module"
    assert (root / "bin/a").read_text() == (root / "bin/b").read_text() == "same"
    assert (root / "l").readlink() == Path("bin/a")
    assert (root / "dev/n").is_char_device()
    assert (root / "p").is_fifo()
    assert (root / "etc/x").stat().st_mode & 0o7777 == 0o644
    assert (root / "etc/x").stat().st_mtime == T
    assert (root / "containers/services/web/config.json").is_file()


def test_without_a_kernel_there_is_only_an_initrd(lab: Lab, tmp_path: Path) -> None:
    assert lab.run("init: [@init]", "--dir", str(tmp_path), "--name", "x") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x-initrd.img"]


@pytest.mark.parametrize(
    ("flags", "names"),
    [([], {"os-kernel", "os-initrd.img", "os-cmdline"}), (["--name", "z", "-f", "tar"], {"z.tar"})],
)
def test_default_names(lab: Lab, tmp_path: Path, flags: list[str], names: set[str]) -> None:
    assert lab.run("kernel: {image: @kernel, cmdline: x}", "--dir", str(tmp_path), *flags) == 0
    assert {path.name for path in tmp_path.iterdir()} - {"os-initrd.img"} == names - {
        "os-initrd.img"
    }
