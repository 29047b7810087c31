"""Disks are looked at before a byte of them is sent: would they run there?

Reads the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compos.cloud.blocks import data_blocks
from compos.cloud.contents import Contents, contents_of
from compos.cloud.model import Image
from compos.cloud.needs import NEEDS, Need
from compos.disk.disk_file import DiskFile, open_disk
from compos.disk.sparse_disks import DamagedDisk
from compos.errors import CloudUnfit
from compos.progress import notice, task

__all__ = ["checked_image", "find_file"]

CHUNK = 1 << 20
BUILD_IT = "Let compos build the right one: compos push PROVIDER FILE.yml."


def find_file(provider: str, text: str) -> Path:
    """The file that `text` means: a path, or the prefix of what `compos build` wrote.

    Raises `CloudUnfit` (`cloud-file`) if there is none, or more than one.
    """
    path = Path(text)
    if path.is_file():
        return path
    suffixes = NEEDS[provider].suffixes
    found = [one for suffix in suffixes if (one := path.with_name(path.name + suffix)).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise CloudUnfit(
            "cloud-file",
            f"several files could be pushed: {', '.join(one.name for one in found)}",
            place=text,
            hint="Name one of them.",
        )
    raise CloudUnfit(
        "cloud-file",
        f"there is nothing to push: neither {path.name} nor "
        f"{', '.join(path.name + suffix for suffix in suffixes)}",
        place=text,
        hint=f"Build it: compos push {provider} {path.name}.yml",
    )


def checked_image(
    provider: str, path: Path, *, name: str = "", uefi: bool = False, check: bool = True
) -> Image:
    """The image in the file at `path`, which would run at `provider`, started by UEFI if `uefi` is
    set. Without `check`, only what cannot be sent at all is refused.

    Raises `CloudUnfit`: `cloud-file`, `cloud-unfit`.
    """
    need = NEEDS[provider]
    with _opened(path) as found:
        if found.container not in need.containers:
            raise _unfit(
                path,
                f"it is a {found.container}, and {provider} takes {' or '.join(need.containers)}",
            )
        if found.size % need.unit or found.size > need.largest:
            raise _unfit(
                path,
                f"the disk has {found.size:,} bytes; {provider} takes multiples of {need.unit:,}, "
                f"up to {need.largest:,}",
            )
        # Of a CD nothing is said: what starts it is in its file system.
        contents = (
            Contents("", frozenset(), None, whole=False)
            if found.container == "iso"
            else contents_of(found.disk)
        )
        if check:
            _require_fit(provider, need, path, contents, uefi=uefi)
    status = path.stat()
    return Image(
        path,
        name or _name(path, need),
        _digest(path),
        status.st_size,
        found.container,
        found.size,
        contents.architecture or "amd64",
        contents.firmware,
        contents.drivers,
    )


def _require_fit(provider: str, need: Need, path: Path, contents: Contents, *, uefi: bool) -> None:
    architecture = contents.architecture
    if architecture and architecture not in need.firmware:
        raise _unfit(path, f"{provider} has no machines for {architecture}")
    starts = frozenset({"efi"}) if uefi else need.firmware.get(architecture or "amd64", frozenset())
    if contents.firmware and not contents.firmware & starts:
        raise _unfit(
            path,
            f"{_words(contents.firmware)} can start this disk, but at {provider} "
            f"{_words(starts)} would have to",
        )
    if contents.drivers is None:
        notice(f"{path.name}: its drivers cannot be told, and are not checked")
        return
    groups = (
        *(("disk", group) for group in need.disk_drivers),
        # The root on a partition of its own may have more drivers.
        *(("network", group) for group in need.network_drivers if contents.whole),
    )
    for kind, group in groups:
        if not contents.drivers & set(group):
            raise _unfit(
                path,
                f"this disk has no driver for {provider}'s {kind}s ({' or '.join(group)})",
                hint="Use a kernel that has it, such as compos/kernel, and see that kernel.modules "
                "keeps it. --no-check pushes the disk as it is.",
            )


def _digest(path: Path) -> str:
    """The SHA-256 of the file; its holes, most of a disk, are hashed without being read."""
    length = path.stat().st_size
    hasher = hashlib.sha256()
    zeros = memoryview(bytes(CHUNK))
    at = 0
    with task(f"read {path.name}", length) as one:

        def add(data: memoryview) -> None:
            nonlocal at
            part = data[: length - at]
            hasher.update(part)
            at += len(part)
            one.advance(len(part))

        for block in data_blocks(path, CHUNK, limit=length):
            while at < block.number * CHUNK:
                add(zeros)
            add(memoryview(block.data))
        while at < length:
            add(zeros)
    return hasher.hexdigest()


def _name(path: Path, need: Need) -> str:
    for suffix in sorted(need.suffixes, key=len, reverse=True):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def _words(firmware: frozenset[str]) -> str:
    return " or ".join({"bios": "a BIOS", "efi": "UEFI"}[one] for one in sorted(firmware))


@contextmanager
def _opened(path: Path) -> Iterator[DiskFile]:
    try:
        with open_disk(path) as found:
            yield found
    except DamagedDisk as error:
        raise CloudUnfit(
            "cloud-file",
            f"{path.name} cannot be pushed: {error}",
            place=str(path),
            hint=BUILD_IT,
        ) from error


def _unfit(path: Path, reason: str, hint: str | None = None) -> CloudUnfit:
    return CloudUnfit(
        "cloud-unfit",
        f"{path.name} would not run there: {reason}",
        place=str(path),
        hint=hint or BUILD_IT,
    )
