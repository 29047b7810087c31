"""Disks of a guest: their syntax, and making those that do not exist yet.

May touch: the state directory; disk files that the user names.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from compos.errors import RunError
from compos.output.place import SECRET
from compos.progress import notice

__all__ = ["Disk", "make_disks", "named_format", "parse_disk"]

SUFFIXES = {
    ".qcow2": "qcow2",
    ".vmdk": "vmdk",
    ".raw": "raw",
    ".vhd": "vpc",
    ".vhdx": "vhdx",
    "-squashfs.img": "raw",
    "-erofs.img": "raw",
    "-bios.img": "raw",
    "-efi.img": "raw",
}
"""QEMU's formats by the names that `compos build` gives (cli.md 1.10)."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image; `size` is in MiB and used only to make it. An empty path means one in the state
    directory.

    Without a `format` QEMU looks into the file, and for raw ones it then refuses writes to their
    first sector.
    """

    path: Path
    size: int = 0
    format: str = ""


def parse_disk(text: str) -> Disk:
    """`[file=]PATH,size=100M|2G,format=raw|qcow2`. Raises `RunError` (`disk-syntax`)."""
    path, size, form = "", 0, ""
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            path = part
        elif key == "file":
            path = value
        elif key == "size" and (match := re.fullmatch(r"([0-9]+)([MG]?)", value)):
            size = int(match[1]) * (1 if match[2] == "M" else 1024)
        elif key == "format" and value:
            form = value
        else:
            raise _syntax(text, f"{part!r} is not a valid option")
    if not path and not size:
        raise _syntax(text, "neither a file nor a size is given")
    return Disk(
        Path(path) if path else Path(), size, form or ("qcow2" if size else named_format(path))
    )


def named_format(path: str) -> str:
    """The format that a file's name says, or none.

    Its content is not asked: a guest that writes another format's header into a raw disk could then
    read any file of the host.
    """
    return next((form for suffix, form in SUFFIXES.items() if path.endswith(suffix)), "")


def _syntax(text: str, reason: str) -> RunError:
    return RunError(
        "disk-syntax",
        f"--disk {text}: {reason}",
        hint="Write it as --disk file=PATH,size=2G,format=qcow2.",
    )


def make_disks(disks: tuple[Disk, ...], state: Path) -> tuple[Disk, ...]:
    """`disks` with their paths, made where missing; existing ones are left as they are. Raises
    `RunError`."""
    made = []
    for number, disk in enumerate(disks):
        if disk.path == Path():
            disk = replace(disk, path=state / (f"disk{number}.img" if number else "disk.img"))
        if disk.path.exists():
            if disk.size:
                notice(f"using the existing disk {disk.path}")
        elif not disk.size:
            raise RunError(
                "disk-missing",
                "the disk does not exist",
                place=str(disk.path),
                hint="Add size=… to create it.",
            )
        else:
            _make(disk)
        made.append(disk)
    return tuple(made)


def _make(disk: Disk) -> None:
    """The disk, for the user alone; what lies there by now, a link too, stays."""
    try:
        if disk.format == "raw":
            descriptor = os.open(
                disk.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET
            )
            try:
                os.ftruncate(descriptor, disk.size << 20)
            finally:
                os.close(descriptor)
            return
        # qemu-img writes through a link that it finds: it gets a folder of its own.
        with tempfile.TemporaryDirectory(dir=disk.path.parent, prefix=".compos-") as folder:
            made = Path(folder, "disk")
            _qemu_img(disk, made)
            made.chmod(SECRET)
            if os.path.lexists(disk.path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            made.replace(disk.path)
    except OSError as error:
        raise RunError(
            "disk-failed", f"the disk cannot be created: {error.strerror}", place=str(disk.path)
        ) from error


def _qemu_img(disk: Disk, path: Path) -> None:
    program = shutil.which("qemu-img")
    if program is None:
        raise RunError(
            "qemu-missing",
            "qemu-img is not installed",
            hint="Install Debian's package qemu-utils, or use format=raw.",
        )
    command = [program, "create", "-q", "-f", disk.format, str(path), f"{disk.size}M"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().replace(str(path), str(disk.path)) or "qemu-img failed"
        raise RunError("disk-failed", reason, place=str(disk.path))
