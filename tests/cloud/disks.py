"""Small disks in the containers that clouds take."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

from compos.cloud.check import checked_image
from compos.cloud.model import Image

__all__ = ["MIB", "SIZE", "small_disk", "small_image"]

MIB = 1 << 20
SIZE = 64 * MIB


def small_disk(folder: Path, container: str, seed: str = "") -> Path:
    """A disk of 64 MiB, nearly all holes, with data here and there: three blocks of 512 KiB."""
    raw = folder / f"system{seed}.raw"
    noise = b"".join(hashlib.sha256(f"{seed}{number}".encode()).digest() for number in range(4096))
    with raw.open("wb") as stream:
        stream.truncate(SIZE)
        stream.write(bytes(510) + b"\x55\xaa")
        stream.seek(3 * MIB + 4096)
        stream.write(noise)
        stream.seek(SIZE - 512)
        stream.write(b"the end".ljust(512, b"."))
    if container == "raw":
        return raw
    if container == "qcow2":
        path = raw.with_suffix(".qcow2")
        command = ["qemu-img", "convert", "-O", "qcow2", str(raw), str(path)]
        subprocess.run(command, check=True)
        return path
    if container == "vhd":
        path = raw.with_suffix(".vhd")
        with path.open("wb") as stream:
            stream.truncate(SIZE)
            stream.seek(3 * MIB + 4096)
            stream.write(noise)
            stream.seek(SIZE)
            footer = bytearray(512)
            footer[:8] = b"conectix"
            footer[48:56] = SIZE.to_bytes(8, "big")
            footer[63] = 2
            stream.write(footer)
        return path
    if container == "ova":
        path = raw.with_suffix(".ova")
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            member = tarfile.TarInfo("system.ovf")
            member.size = len(noise)
            archive.addfile(member, io.BytesIO(noise))
        return path
    path = raw.with_suffix(".img.tar.gz")
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("disk.raw")
        # Google's format has whole GiB; zeros take the time, not the test.
        member.size = SIZE if seed == "whole" else 0
        archive.addfile(member, io.BytesIO(noise) if member.size else None)
    path.write_bytes(path.read_bytes() + noise)
    return path


def small_image(folder: Path, provider: str, container: str, seed: str = "") -> Image:
    """The image of such a disk, whose contents are not looked at."""
    path = small_disk(folder, container, seed)
    return checked_image(provider, path, check=False)
