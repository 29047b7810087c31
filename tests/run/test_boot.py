"""What a path means to `compos run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.boot import find_boot


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("root=x" if name.endswith("cmdline") else "")


def test_kernel_and_initrd(tmp_path: Path) -> None:
    touch(tmp_path, "os-kernel", "os-initrd.img", "os-cmdline")
    boot = find_boot(tmp_path / "os")
    assert boot.kernel == tmp_path / "os-kernel"
    assert boot.arguments[-2:] == ("-append", "root=x")
    assert boot.prefix == tmp_path / "os"


def test_squashfs_is_found_and_is_the_first_disk(tmp_path: Path) -> None:
    touch(tmp_path, "os-kernel", "os-squashfs.img", "os-cmdline")
    boot = find_boot(tmp_path / "os")
    assert boot.disks[0].path == tmp_path / "os-squashfs.img"
    assert boot.arguments[-1] == "root=x root=/dev/sda"


def test_iso_and_disk(tmp_path: Path) -> None:
    touch(tmp_path, "os.iso", "os.img")
    assert find_boot(tmp_path / "os.iso").iso == tmp_path / "os.iso"
    assert find_boot(tmp_path / "os.iso").prefix == tmp_path / "os"
    disk = find_boot(tmp_path / "os.img")
    assert (disk.disks[0].path, disk.prefix) == (tmp_path / "os.img", tmp_path / "os.img")


@pytest.mark.parametrize(
    ("present", "flags", "missing"),
    [
        ([], {}, "os-kernel"),
        (["os-kernel"], {}, "os-initrd.img"),
        (["os-kernel", "os-initrd.img"], {"squashfs": True}, "os-squashfs.img"),
        ([], {"iso": True}, "os.iso"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, present: list[str], flags: dict[str, bool], missing: str) -> None:
    touch(tmp_path, *present)
    with pytest.raises(RunError) as caught:
        find_boot(tmp_path / "os", **flags)
    assert caught.value.id == "boot-missing"
    assert caught.value.place == str(tmp_path / missing)
    assert "compos build" in (caught.value.hint or "")
