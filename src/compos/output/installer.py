"""`installer`: a CD, or USB stick, that puts the system on a machine's disk; and the same for
machines that boot from the network (docs/install.md).

May touch: the store.

The installer is a system of its own, with the kernel of the one that it installs: our init, a
runtime, and the brick `installer`. The disk that it writes lies in its root as a payload: what of
the disk is not zeros, and a list of where each part goes, with its SHA-256. So the root's kind says
how the payload is compressed, and whether Linux verifies it. From the network all of it comes in
one piece: the root is the initrd.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from compos.compose.host_files import HostFile
from compos.compose.inputs import Inputs
from compos.compose.system import compose_system
from compos.config.install_keys import install_rules
from compos.config.model import Config, File, ImageEntry, Install, Kernel, Slots
from compos.config.slot_keys import WORD as SLOTS_WORD
from compos.config.slot_keys import encrypts_roots
from compos.disk.gpt import GptPartition
from compos.disk.mbr import SECTOR
from compos.errors import OutputError
from compos.output.disks import Layout, any_firmware, disk, encrypted_disk
from compos.output.initrd import files
from compos.output.isos import iso
from compos.output.job import CRUN, INIT, INSTALLER, Job
from compos.output.unified import program
from compos.output.write import Output
from compos.tree.contents import Contents, piece_size
from compos.tree.node import Hole, Piece

if TYPE_CHECKING:
    from compos.trust.key_set import BootKeys

__all__ = ["Part", "disk_parts", "exact_disk", "medium", "netboot"]

FOLDER = "payload"
RULES = "etc/install/rules"
SMALLEST_HOLE = 1 << 20
"""Bytes. Fewer zeros are written like anything else, so that the list of parts stays short."""
MAX_PARTS = 64
"""What bricks/installer/src/payload.h has room for."""


class Part(NamedTuple):
    """What lies on a disk at an offset, in bytes."""

    offset: int
    pieces: tuple[Piece, ...]


def medium(job: Job) -> list[Output]:
    """`-installer.iso`. Raises what its parts raise, and `OutputError` (`install-parts`)."""
    (image,) = iso(_installer(job, "squashfs-verity" if job.request.secure else "squashfs"))
    return [Output("-installer.iso", image.pieces)]


def netboot(job: Job) -> list[Output]:
    """`-installer.efi` and, unless all must be signed, `-installer-kernel`, `-installer-initrd.img`
    and `-installer-cmdline`: what `compos serve --boot` serves. Raises as `medium` does."""
    installer = _installer(job, "initrd")
    outputs = [*program(installer)]
    if not job.request.secure:
        outputs += files(installer)
    return [Output(f"-installer{output.suffix}", output.pieces) for output in outputs]


def _installer(job: Job, root: str) -> Job:
    """The installer of what is made in `job`, with its root where `root` says."""
    target = job._replace(request=job.request._replace(size=None))
    slots = job.request.slots
    encrypted: list[GptPartition] = []
    if slots and encrypts_roots(slots):
        pieces, encrypted = encrypted_disk(target, _layout(job), slots)
    else:
        pieces = _disk(target)
    # The copy of the table is made for the disk that is found.
    sources = {
        **_payload(job, (*pieces[:-1], Hole(piece_size(pieces[-1]))), _volumes(slots, encrypted)),
        **_enrolment(job.request.keys),
    }
    system = compose_system(
        job.store,
        _config(job.config, sources),
        Inputs({**job.images, **job.tools}),
        lambda _: b"",
        sources=sources,
    )
    request = job.request._replace(root=root, slots=None, update=None)
    # What is kept in `made` may be of the other system.
    return job._replace(system=system, request=request, made={})


def _enrolment(keys: BootKeys | None) -> dict[str, HostFile]:
    """What the machine's firmware is given."""
    return {
        name: HostFile(hashlib.sha256(data).hexdigest(), len(data), (data,))
        for name, data in (keys.enrolment if keys else ())
    }


def exact_disk(job: Job) -> list[Output]:
    """The disk that an installer makes, of the size that is asked for, down to the sector."""
    return [Output(".img", _disk(job))]


def _disk(job: Job) -> tuple[Piece, ...]:
    """Its last piece is the copy of its table."""
    return disk(job, _layout(job))


def _layout(job: Job) -> Layout:
    return Layout(any_firmware(job), "gpt", unit=SECTOR)


def _volumes(slots: Slots | None, partitions: Iterable[GptPartition]) -> Iterator[str]:
    """The lines of the partitions that are encrypted when they are written."""
    recovery = "no" if slots and slots.recovery is False else "yes"
    for one in partitions:
        yield f"volume\t{one.start * SECTOR}\t{one.sectors * SECTOR}\t{one.name}\t{recovery}"


def _config(config: Config, payload: Iterable[str]) -> Config:
    """The installer's system, beside the one that is `config`, with files of the payload."""
    rules = install_rules(config.install or Install())
    return Config(
        kernel=_kernel(config.kernel) if config.kernel else None,
        init=(INIT, CRUN),
        onboot=(ImageEntry("installer", INSTALLER),),
        files=(
            File(RULES, contents=rules, mode="0644"),
            *(File(f"{FOLDER}/{name}", source=name, mode="0644") for name in payload),
        ),
    )


def _kernel(kernel: Kernel) -> Kernel:
    """The system's kernel, with the modules that reach disks and media."""
    words = (word for word in (kernel.cmdline or "").split(" ") if not word.startswith(SLOTS_WORD))
    modules = (name for name in kernel.modules or () if name != "auto")
    return kernel._replace(cmdline=" ".join(words), modules=("auto", *modules))


def _payload(job: Job, pieces: Iterable[Piece], volumes: Iterable[str]) -> dict[str, HostFile]:
    """The payload's files by their names: `parts` and `data`."""
    parts, size = disk_parts(pieces)
    if len(parts) > MAX_PARTS:
        raise OutputError(
            "install-parts",
            f"the system's disk has {len(parts)} parts, and an installer can write {MAX_PARTS}",
            hint="Please report this.",
        )
    lines = ["compos-disk\t1", f"name\t{job.request.name or 'the system'}", f"size\t{size}"]
    whole = hashlib.sha256()
    with Contents(job.store.root) as contents:
        for part in parts:
            hasher = hashlib.sha256()
            for chunk in contents.chunks(part.pieces):
                hasher.update(chunk)
                whole.update(chunk)
            length = sum(map(piece_size, part.pieces))
            lines.append(f"part\t{part.offset}\t{length}\t{hasher.hexdigest()}")
    lines += volumes
    text = "".join(f"{line}\n" for line in lines).encode()
    data = tuple(piece for part in parts for piece in part.pieces)
    return {
        "parts": HostFile(hashlib.sha256(text).hexdigest(), len(text), (text,)),
        "data": HostFile(whole.hexdigest(), sum(map(piece_size, data)), data),
    }


def disk_parts(pieces: Iterable[Piece]) -> tuple[list[Part], int]:
    """What of a disk is more than holes, each part whole sectors; and the size of all."""
    parts: list[Part] = []
    run: list[Piece] = []
    start = at = 0
    for piece in (*pieces, Hole(SMALLEST_HOLE)):
        size = piece_size(piece)
        if not isinstance(piece, Hole) or size < SMALLEST_HOLE:
            run.append(piece)
        else:
            if run:
                padding = [Hole(-at % SECTOR)] if at % SECTOR else []
                parts.append(Part(start, (*run, *padding)))
            rest = (at + size) % SECTOR
            run = [Hole(rest)] if rest else []
            start = at + size - rest
        at += size
    return parts, at - SMALLEST_HOLE
