"""What an output format gets to work with: the composed system, what was asked for, and the images of tools. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from compos.compose.system import System
    from compos.filesystem.compress import Compression
    from compos.image.model import Image
    from compos.image.store import Store

__all__ = ["EFI_STUB", "INIT", "ROOTS", "RPI3", "Job", "identity"]

EFI_STUB = "compos/efi-stub:v1"
INIT = "compos/init:v1"
RPI3 = "compos/rpi3:v1"
"""Images that formats are made with: what UEFI starts, our init for the small initrd, the Raspberry Pi's firmware."""

ROOTS = ("auto", "initrd", "erofs", "erofs-zstd", "squashfs", "ext4")
"""Where a bootable medium can keep the root: unpacked into memory, or a file system on the medium."""


@dataclass(frozen=True, slots=True)
class Job:
    """One build's formats share this.

    `size` is the disks' size in bytes that was asked for, or None. `tools` are the images that the formats named, by their
    references; `name` is what the outputs' names begin with. `notes` collects what the user is told of choices that were
    made for them.
    """

    store: Store
    system: System
    architecture: str
    compression: Compression
    root: str = "auto"
    size: int | None = None
    tools: Mapping[str, Image] = field(default_factory=dict)
    name: str = ""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Tell the user, once."""
        if text not in self.notes:
            self.notes.append(text)


def identity(purpose: str, content: object) -> UUID:
    """A UUID that follows from contents: the same system has the same one, any other has another."""
    digest = hashlib.sha256(f"{purpose}\0{content!r}".encode("utf-8", "surrogateescape")).digest()
    return UUID(bytes=digest[:16], version=4)
