"""What an output format gets to work with: the composed system, what was asked for, and the images
of tools. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from compos.tree.entries import Entries

if TYPE_CHECKING:
    from compos.compose.sbom import SbomOptions
    from compos.compose.system import System
    from compos.config.model import Config, Slots, Update
    from compos.filesystem.compress import Compression
    from compos.image.model import Image
    from compos.image.store import Store
    from compos.output.formats import Format
    from compos.tree.node import Piece
    from compos.trust.key_set import BootKeys

__all__ = [
    "CRUN",
    "EFI_STUB",
    "INIT",
    "INSTALLER",
    "OPENER",
    "RPI3",
    "BuildRequest",
    "Job",
    "UefiStub",
    "identity",
]

EFI_STUB = "compos/efi-stub:v1"
INIT = "compos/init:v1"
RPI3 = "compos/rpi3:v1"
CRUN = "compos/crun:v1"
INSTALLER = "compos/installer:v1"
OPENER = "compos/data-partition:v1"
"""Images that formats are made with: what UEFI starts, our init for the small initrd, the Raspberry
Pi's firmware; the installer's program and what runs it; what opens encrypted roots."""


class UefiStub(NamedTuple):
    """What UEFI programs are made with, in place of the brick: a stub in `file` (its contents), and
    SBAT entries that are added, with the place that they come from."""

    program: bytes = b""
    sbat: bytes = b""
    sbat_place: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """What of it goes into a system."""
        return hashlib.sha256(self.program).hexdigest(), hashlib.sha256(self.sbat).hexdigest()


class BuildRequest(NamedTuple):
    """What a build is asked for besides its YAML.

    `root` is where bootable media keep it: auto, initrd (unpacked into memory), or a file system on
    the medium. `size` is the disks' size in bytes, or None; `name` is what the outputs' names begin
    with, `reference` what an artifact is called in a registry. It is `listed` where an index has
    those of several architectures. `keys` sign UEFI programs, and what a TPM may then expect;
    a `secure` system has nothing that starts it without a signature. `stub` is what UEFI programs
    are made with. With `slots`, disks have room for two versions of the system. `update` says what
    an update is called.
    """

    formats: Sequence[Format]
    compression: Compression
    architecture: str
    root: str = "auto"
    size: int | None = None
    name: str = ""
    reference: str = ""
    decompress_kernel: bool = False
    sbom: SbomOptions | None = None
    keys: BootKeys | None = None
    secure: bool = False
    stub: UefiStub = UefiStub()
    listed: bool = False
    slots: Slots | None = None
    update: Update | None = None


class Job(NamedTuple):
    """What one build's formats share.

    `config` and `images` (by their names there) are what the system was composed of; `tools` are
    the images that the formats named, by their references. `made` has what several formats contain,
    by what it is; `notes` collects what the user is told of choices that were made for them.
    """

    store: Store
    config: Config
    images: Mapping[str, Image]
    system: System
    request: BuildRequest
    tools: Mapping[str, Image]
    notes: list[str]
    made: dict[str, list[Piece]]

    def note(self, text: str) -> None:
        """Tell the user, once."""
        if text not in self.notes:
            self.notes.append(text)


def identity(purpose: str, content: object) -> UUID:
    """A UUID that follows from contents: the same system has the same one, any other has
    another."""
    hasher = hashlib.sha256(f"{purpose}\0".encode("utf-8", "surrogateescape"))
    parts: Iterable[object] = content if isinstance(content, tuple | Entries) else (content,)
    for part in parts:
        # Tables of file systems are bytes, nearly a megabyte long: their text would be four times
        # that.
        plain = isinstance(part, bytes)
        data = part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogateescape")
        hasher.update(b"%d %d\0" % (plain, len(data)))
        hasher.update(data)
    return UUID(bytes=hasher.digest()[:16], version=4)
