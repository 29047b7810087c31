"""Disks in the containers that hypervisors and clouds want, each with the size and the firmware
that its target takes.

May touch: the store (what a container compresses).
"""

from __future__ import annotations

from typing import Literal

from compos.filesystem.compress import block_compressor_identity
from compos.image.derived_kinds import DerivedKind
from compos.output.cached import CachedContainer, cached_container, cached_file
from compos.output.disks import GIB, MIB, Layout, any_firmware, disk
from compos.output.job import Job, identity
from compos.output.payload import root_kind
from compos.output.write import Output
from compos.tree.node import Piece
from compos.tree.runs import disk_size

__all__ = [
    "aws",
    "dynamic_vhd",
    "gcp",
    "ova",
    "qcow2",
    "qcow2_bios",
    "qcow2_efi",
    "vhd",
    "vhdx",
    "vmdk",
]

# Each writer is imported where it is needed: most builds need none.


def qcow2_bios(job: Job) -> list[Output]:
    """`.qcow2`: MBR, started by a BIOS; 1 GiB when no size is asked for."""
    return [Output(".qcow2", _qcow2(job, disk(job, Layout("bios", "mbr", GIB))))]


def qcow2_efi(job: Job) -> list[Output]:
    """`-efi.qcow2`: GPT with an EFI system partition."""
    return [Output("-efi.qcow2", _qcow2(job, disk(job, Layout("efi", "gpt"))))]


def qcow2(job: Job) -> list[Output]:
    """`.qcow2`: GPT, started by UEFI and, on amd64, by a BIOS as well."""
    return [Output(".qcow2", _qcow2(job, disk(job, Layout(any_firmware(job), "gpt"))))]


def _qcow2(job: Job, made: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Compressed clusters where the contents are not compressed already: a plain root on the medium
    is not."""
    from compos.disk.qcow2 import qcow2_pieces, write_qcow2

    if job.request.compression == "none" or root_kind(job).compressed:
        return tuple(qcow2_pieces(made))
    compression: Literal["zlib", "zstd"] = "zstd" if job.request.compression == "zstd" else "zlib"
    return (
        cached_file(
            job.store,
            DerivedKind.QCOW2,
            block_compressor_identity("zstd" if compression == "zstd" else "gzip"),
            made,
            lambda contents, out: write_qcow2(made, contents, out, compression=compression),
            made,
        ),
    )


def aws(job: Job) -> list[Output]:
    """`.raw`, for import-snapshot: MBR for BIOS instances on amd64, GPT for UEFI ones on arm64; 1
    GiB, a whole MiB."""
    layout = (
        Layout("bios", "mbr", GIB)
        if job.request.architecture == "amd64"
        else Layout("efi", "gpt", GIB)
    )
    return [Output(".raw", disk(job, layout))]


def gcp(job: Job) -> list[Output]:
    """`.img.tar.gz`: `disk.raw`, whole GiB, in an old-GNU tar with its holes left out,
    compressed."""
    from compos.disk.gzip_tar import write_gzip_tar

    made = disk(job, _cloud(job, GIB, GIB))
    packed = cached_container(
        job.store,
        DerivedKind.GZIP_TAR,
        block_compressor_identity("gzip"),
        made,
        lambda contents, out: write_gzip_tar("disk.raw", made, contents, out),
    )
    return [Output(".img.tar.gz", packed.pieces)]


def vhd(job: Job) -> list[Output]:
    """`.vhd`, fixed, for Azure: whole MiB."""
    from compos.disk.vhd import vhd_fixed_pieces

    made = disk(job, _cloud(job, GIB))
    return [Output(".vhd", tuple(vhd_fixed_pieces(made, _id("vhd", made))))]


def dynamic_vhd(job: Job) -> list[Output]:
    """`.vhd`, dynamic, for Hyper-V: 25 GiB, of which only what is used is there."""
    from compos.disk.vhd import vhd_dynamic_pieces

    made = disk(job, _cloud(job, 25 * GIB))
    return [Output(".vhd", tuple(vhd_dynamic_pieces(made, _id("vhd", made))))]


def vhdx(job: Job) -> list[Output]:
    """`.vhdx`, dynamic, for Hyper-V's second generation: 25 GiB."""
    from compos.disk.vhdx import vhdx_pieces

    made = disk(job, _cloud(job, 25 * GIB))
    return [Output(".vhdx", tuple(vhdx_pieces(made, _id("vhdx", made))))]


def vmdk(job: Job) -> list[Output]:
    """`.vmdk`, streamOptimized: 1 GiB."""
    return [Output(".vmdk", _vmdk(job, disk(job, _cloud(job, GIB))).pieces)]


def ova(job: Job) -> list[Output]:
    """`.ova`: the VMDK with a description of its machine."""
    from compos.disk.ova import ova_pieces

    layout = _cloud(job, GIB).of(job)
    made = disk(job, layout)
    packed = _vmdk(job, made)
    firmware = "bios" if layout.bios else "efi"
    pieces = ova_pieces(
        job.request.name, packed.pieces, packed.digest, capacity=disk_size(made), firmware=firmware
    )
    return [Output(".ova", tuple(pieces))]


def _cloud(job: Job, smallest: int, unit: int = MIB) -> Layout:
    """Virtual machines of both generations: an MBR disk that BIOS starts, and UEFI too; arm64 has
    UEFI only."""
    return (
        Layout("both", "mbr", smallest, unit)
        if job.request.architecture == "amd64"
        else Layout("efi", "gpt", smallest, unit)
    )


def _vmdk(job: Job, made: tuple[Piece, ...]) -> CachedContainer:
    """With its digest where an appliance is made, so that both formats share one."""
    from compos.disk.vmdk import write_vmdk

    own = _id("vmdk", made)
    digest = any(one.names_digests for one in job.request.formats)
    return cached_container(
        job.store,
        DerivedKind.VMDK,
        block_compressor_identity("gzip"),
        made,
        lambda contents, out: write_vmdk(made, contents, out, identity=own),
        digest=digest,
    )


def _id(purpose: str, made: tuple[Piece, ...]) -> bytes:
    return identity(purpose, made).bytes
