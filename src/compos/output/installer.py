"""`installer`: a CD, or USB stick, that puts the system on a machine's disk (docs/install.md).

May touch: the store.

The medium is a system of its own, with the kernel of the one that it installs: our init, a runtime,
and the brick `installer`. The disk that it writes lies in its root as a payload: what of the disk
is not zeros, and a list of where each part goes, with its SHA-256. So the root's kind says how the
payload is compressed, and whether Linux verifies it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from compos.compose.host_files import HostFile
from compos.compose.inputs import Inputs
from compos.compose.system import compose_system
from compos.config.install_keys import install_rules
from compos.config.model import Config, File, ImageEntry, Install, Kernel
from compos.config.slot_keys import WORD as SLOTS_WORD
from compos.disk.mbr import SECTOR
from compos.errors import OutputError
from compos.output.disks import Layout, any_firmware, disk
from compos.output.isos import iso
from compos.output.job import CRUN, INIT, INSTALLER, Job
from compos.output.write import Output
from compos.tree.contents import Contents, piece_size
from compos.tree.node import Hole, Piece

__all__ = ["Part", "disk_parts", "exact_disk", "medium"]

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
    target = job._replace(request=job.request._replace(size=None))
    pieces = _disk(target)
    system = compose_system(
        job.store,
        _config(job.config),
        Inputs({**job.images, **job.tools}),
        lambda _: b"",
        # The copy of the table is made for the disk that is found.
        sources=_payload(job, (*pieces[:-1], Hole(piece_size(pieces[-1])))),
    )
    root = "squashfs-verity" if job.request.secure else "squashfs"
    request = job.request._replace(root=root, slots=None, update=None)
    (image,) = iso(job._replace(system=system, request=request))
    return [Output("-installer.iso", image.pieces)]


def exact_disk(job: Job) -> list[Output]:
    """The disk that an installer makes, of the size that is asked for, down to the sector."""
    return [Output(".img", _disk(job))]


def _disk(job: Job) -> tuple[Piece, ...]:
    """Its last piece is the copy of its table."""
    return disk(job, Layout(any_firmware(job), "gpt", unit=SECTOR))


def _config(config: Config) -> Config:
    """The installer's system, beside the one that is `config`."""
    rules = install_rules(config.install or Install())
    return Config(
        kernel=_kernel(config.kernel) if config.kernel else None,
        init=(INIT, CRUN),
        onboot=(ImageEntry("installer", INSTALLER),),
        files=(
            File(RULES, contents=rules, mode="0644"),
            *(File(f"{FOLDER}/{name}", source=name, mode="0644") for name in ("parts", "data")),
        ),
    )


def _kernel(kernel: Kernel) -> Kernel:
    """The system's kernel, with the modules that reach disks and media."""
    words = (word for word in (kernel.cmdline or "").split(" ") if not word.startswith(SLOTS_WORD))
    modules = (name for name in kernel.modules or () if name != "auto")
    return kernel._replace(cmdline=" ".join(words), modules=("auto", *modules))


def _payload(job: Job, pieces: Iterable[Piece]) -> dict[str, HostFile]:
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
