"""What is booted: kernel and initrd, a root filesystem image, an ISO or a disk, found from a path (cli.md 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError
from compos.run.disks import Disk

__all__ = ["Boot", "find_boot"]


@dataclass(frozen=True, slots=True)
class Boot:
    """What to boot. `arguments` are QEMU's for a direct kernel boot; `prefix` names the state directory."""

    prefix: Path
    kernel: Path | None = None
    arguments: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    iso: Path | None = None


def find_boot(path: Path, *, kernel: bool = False, squashfs: bool = False, iso: bool = False) -> Boot:
    """What `path` means: the flags say it, else the files that are there do. Raises `RunError` (`boot-missing`)."""
    if iso or (path.is_file() and path.suffix == ".iso" and not (kernel or squashfs)):
        found = path if path.exists() else path.with_name(f"{path.name}.iso")
        _need(found, "iso-bios")
        return Boot(found.with_suffix("") if found.suffix == ".iso" else found, iso=found)
    if kernel or squashfs or not path.exists():
        image = _beside(path, "-squashfs.img")
        if squashfs or (not kernel and image.exists() and not _beside(path, "-initrd.img").exists()):
            return _root_image(path, image)
        return _initrd(path)
    if path.is_dir():
        raise RunError("boot-missing", "this is a folder", place=str(path), hint="Name the prefix of the built files.")
    return Boot(path, disks=(Disk(path),))


def _initrd(path: Path) -> Boot:
    kernel, initrd = _beside(path, "-kernel"), _beside(path, "-initrd.img")
    _need(kernel, "kernel+initrd")
    _need(initrd, "kernel+initrd")
    arguments = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", _cmdline(path))
    return Boot(path, kernel, arguments)


def _root_image(path: Path, image: Path) -> Boot:
    kernel = _beside(path, "-kernel")
    _need(kernel, "kernel+squashfs")
    _need(image, "kernel+squashfs")
    arguments = ("-kernel", str(kernel), "-append", f"{_cmdline(path)} root=/dev/sda".strip())
    return Boot(path, kernel, arguments, (Disk(image, format="raw"),))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _cmdline(path: Path) -> str:
    try:
        return _beside(path, "-cmdline").read_text()
    except OSError:
        return ""


def _need(path: Path, form: str) -> None:
    if not path.is_file():
        raise RunError(
            "boot-missing",
            "there is nothing to boot: the file does not exist",
            place=str(path),
            hint=f"Build it first: compos build --format {form} FILE.yml",
        )
