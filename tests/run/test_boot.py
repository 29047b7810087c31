"""What a path means to `compos run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import ComposError, RunError
from compos.run.boot import Boot, find_boot, network_boot
from compos.run.disks import Disk


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("root=x" if name.endswith("cmdline") else "")


def test_kernel_and_initrd(tmp_path: Path) -> None:
    touch(tmp_path, "os-kernel", "os-initrd.img", "os-cmdline")
    boot = find_boot(tmp_path / "os")
    assert boot == Boot(
        tmp_path / "os", tmp_path / "os-kernel", tmp_path / "os-initrd.img", "root=x"
    )


def test_a_folder_of_the_prefix_s_name_is_not_meant(tmp_path: Path) -> None:
    touch(tmp_path, "os-kernel", "os-initrd.img")
    (tmp_path / "os").mkdir()
    assert find_boot(tmp_path / "os").initrd == tmp_path / "os-initrd.img"
    assert find_boot(tmp_path / "os").cmdline == ""


@pytest.mark.parametrize("form", ["squashfs", "erofs"])
def test_a_root_image_is_found_before_an_initrd(tmp_path: Path, form: str) -> None:
    touch(tmp_path, "os-kernel", f"os-{form}.img", "os-cmdline", "os-initrd.img")
    disk = Disk(tmp_path / f"os-{form}.img", format="raw")
    wanted = Boot(tmp_path / "os", tmp_path / "os-kernel", cmdline="root=x", disk=disk)
    assert find_boot(tmp_path / "os") == wanted
    assert find_boot(tmp_path / "os", kind=form) == wanted
    assert find_boot(tmp_path / "os", kind="kernel").initrd == tmp_path / "os-initrd.img"


def test_iso(tmp_path: Path) -> None:
    touch(tmp_path, "os.iso")
    boot = Boot(tmp_path / "os", iso=tmp_path / "os.iso")
    assert find_boot(tmp_path / "os.iso") == boot
    assert find_boot(tmp_path / "os", kind="iso") == boot


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("os.qcow2", "qcow2"),
        ("os-efi.qcow2", "qcow2"),
        ("os-bios.img", "raw"),
        ("os-efi.img", "raw"),
        ("os.raw", "raw"),
        ("os.vmdk", "vmdk"),
        ("os.vhd", "vpc"),
        ("os.img", "raw"),
    ],
)
def test_disk(tmp_path: Path, name: str, form: str) -> None:
    touch(tmp_path, name)
    expected = Boot(tmp_path / name, disk=Disk(tmp_path / name, format=form), uefi="-efi" in name)
    assert find_boot(tmp_path / name) == expected


def test_the_initrd_that_finds_a_root_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "os-kernel", "os-erofs.img", "os-erofs-initrd.img")
    boot = find_boot(tmp_path / "os")
    assert boot.initrd == tmp_path / "os-erofs-initrd.img"
    assert boot.disk == Disk(tmp_path / "os-erofs.img", format="raw")


def test_a_program_for_uefi(tmp_path: Path) -> None:
    touch(tmp_path, "os.efi")
    assert find_boot(tmp_path / "os.efi") == Boot(
        tmp_path / "os", kernel=tmp_path / "os.efi", uefi=True
    )


def test_a_description_is_not_booted(tmp_path: Path) -> None:
    touch(tmp_path, "os.yml")
    with pytest.raises(RunError) as caught:
        find_boot(tmp_path / "os.yml")
    assert caught.value.id == "boot-not-built"


@pytest.mark.parametrize(
    ("present", "kind", "missing", "form"),
    [
        ([], "", "os-kernel", "kernel+initrd"),
        (["os-initrd.img"], "", "os-kernel", "kernel+initrd"),
        (["os-kernel"], "", "os-initrd.img", "kernel+initrd"),
        (["os-squashfs.img"], "", "os-kernel", "kernel+squashfs"),
        (["os-kernel", "os-initrd.img"], "squashfs", "os-squashfs.img", "kernel+squashfs"),
        (["os-kernel", "os-initrd.img"], "erofs", "os-erofs.img", "kernel+erofs"),
        ([], "iso", "os.iso", "iso-bios"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, present: list[str], kind: str, missing: str, form: str
) -> None:
    touch(tmp_path, *present)
    with pytest.raises(RunError) as caught:
        find_boot(tmp_path / "os", kind=kind)
    assert caught.value.id == "boot-missing"
    assert caught.value.place == str(tmp_path / missing)
    assert f"compos build -f {form} " in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("url", "seen", "uefi"),
    [
        ("http://localhost:8080/boot.ipxe", "http://10.0.2.2:8080/boot.ipxe", False),
        ("http://127.0.0.1/boot.efi?x=1", "http://10.0.2.2/boot.efi?x=1", True),
        ("http://[::1]:80/boot.efi", "http://10.0.2.2:80/boot.efi", True),
        ("http://192.0.2.1/a/b.ipxe", "http://192.0.2.1/a/b.ipxe", False),
        ("https://boot.example/b.efi", "https://boot.example/b.efi", True),
    ],
)
def test_a_url_is_as_the_guest_sees_it(url: str, seen: str, uefi: bool) -> None:
    assert network_boot(url) == Boot(Path("netboot"), uefi=uefi, url=seen)


@pytest.mark.parametrize(
    "url",
    [
        "https://boot.example/boot.ipxe",
        "http://me:hidden@boot.example/boot.efi",
        "http://boot.example/a,hostfwd=tcp::22-:22",
        "http://boot.example/boot.efi#x",
        "http://b\u00f6\u00f6t.example/boot.efi",
        "http:///boot.efi",
        "http://boot.example/a b",
    ],
)
def test_a_url_that_firmware_cannot_boot(url: str) -> None:
    with pytest.raises(ComposError) as caught:
        network_boot(url)
    assert caught.value.id in ("netboot-url", "network-url")
    assert "hidden" not in str(caught.value)
