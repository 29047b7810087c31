"""What a boot loader loads: kernel, initrd, command line; and the root, where it is a file system
on the medium.

May touch: the store (segments of initrds, images of roots).
"""

from __future__ import annotations

from typing import NamedTuple

from compos.arithmetic import ceil_div
from compos.boot.finder import RootPlace, finder_tree, place_tree
from compos.boot.uki import pe_machine
from compos.compose.kernel_image import KernelImageError
from compos.compose.kernel_modules import PLACES as MODULE_FOLDERS
from compos.compose.plain_kernel import stored_plain_kernel
from compos.config.slot_keys import FIRMWARE_MODULES, encrypts_roots
from compos.errors import OutputError
from compos.output.initrd import initrd_pieces, segment
from compos.output.job import INIT, OPENER, Job
from compos.output.root_filesystem import RootFilesystem, root_filesystem
from compos.output.roots import AUTO, MEMORY, PLAIN, RootKind, root_named
from compos.tree.contents import Contents
from compos.tree.entries import Entries
from compos.tree.node import Piece

__all__ = [
    "Payload",
    "finder_initrd",
    "payload",
    "plain_kernel_pieces",
    "read_kernel",
    "required_kernel",
    "root_kind",
    "uefi_kernel",
]

MAX_IN_MEMORY = 1 << 30
"""Bytes of a root that goes into memory when nobody says otherwise: its initrd and its files are
there at once."""


class Payload(NamedTuple):
    """Kernel, initrd (with microcode in front) and command line; `root` is None when the initrd is
    the root."""

    kernel: tuple[Piece, ...]
    initrd: tuple[Piece, ...]
    cmdline: bytes
    root: RootFilesystem | None


def payload(job: Job, root: RootKind | None = None) -> Payload:
    """The payload of a bootable medium.

    The root goes where `root` or else the request says; "auto" is into memory up to
    `MAX_IN_MEMORY`, else onto the medium. With a root on the medium the initrd is not made
    here: it needs to know the place (`finder_initrd`). Raises `OutputError` (`kernel-none`,
    `root-unverified`).
    """
    kernel = required_kernel(job)
    kind = root or root_kind(job)
    cmdline = job.system.cmdline.strip().encode()
    if job.system.unseals and kind.on_medium and not kind.verity:
        raise OutputError(
            "root-unverified",
            f"the system opens what is sealed to a TPM, but its root ({kind.name}) is on a medium "
            "that anybody can change",
            hint="Build with --root erofs-verity, or with --root initrd.",
        )
    if not kind.on_medium:
        return Payload(kernel, tuple(initrd_pieces(job, microcode=True)), cmdline, None)
    return Payload(kernel, (), cmdline, root_filesystem(job, kind))


def required_kernel(job: Job) -> tuple[Piece, ...]:
    """The kernel of something that boots. Raises `OutputError` (`kernel-none`)."""
    if job.system.kernel is None:
        raise OutputError(
            "kernel-none",
            "a bootable output needs a kernel, and the YAML has none",
            hint="Add a `kernel:` section.",
        )
    return tuple(job.system.kernel.content)


def root_kind(job: Job) -> RootKind:
    """Where the root goes. What "auto" chose is reported. Raises `OutputError` (`root-unknown`)."""
    if job.request.root != AUTO:
        return root_named(job.request.root)
    size = job.system.root.entries.size()
    kind = MEMORY if size <= MAX_IN_MEMORY else PLAIN
    where = "stored on the medium as EROFS" if kind.on_medium else "unpacked into memory at boot"
    job.note(f"The root ({ceil_div(size, 10**6):,} MB) is {where}; to change this, use --root.")
    return kind


def finder_initrd(
    job: Job, root: RootFilesystem, *places: tuple[int, int], apart: bool = False
) -> tuple[Piece, ...]:
    """The small initrd that finds `root` at one of `places` (offset and size on a device; (0, 0) is
    a device of its own). With `apart`, its hash tree is on another device."""
    kind = root.kind
    mark = (root.mark_at, root.mark)
    unseal = job.system.unseals
    # What slots need is loaded by init itself, where firmware has variables.
    drivers = (*kind.drivers, *(FIRMWARE_MODULES if job.request.slots else ()))
    sealed = _sealed(job)
    place = RootPlace(kind.mount, kind.drivers, *mark, places, root.verity, apart, unseal, sealed)
    modules = job.system.all_modules or {
        path: node for folder in MODULE_FOLDERS for path, node, _ in job.system.root.below(folder)
    }
    opener = job.tools[OPENER] if sealed else None
    tree = finder_tree(job.store, modules, job.tools[INIT], drivers, opener)
    trees = tree, place_tree(place)
    made = tuple(segment(job, Entries.of(tree)) for tree in trees)
    ucode = job.system.ucode
    return (
        (*ucode.content, *((bytes(-ucode.size % 4),) if ucode.size % 4 else ()), *made)
        if ucode
        else made
    )


def _sealed(job: Job) -> str:
    """What the small initrd does where the TPM does not open the roots; empty if it need not."""
    slots = job.request.slots
    if slots is None or not encrypts_roots(slots):
        return ""
    return slots.otherwise or ("halt" if slots.recovery is False else "ask")


def read_kernel(job: Job, kernel: tuple[Piece, ...], size: int = 0) -> bytes:
    """The kernel's first `size` bytes, or all of it."""
    with Contents(job.store.root) as contents:
        data = b""
        for chunk in contents.chunks(kernel):
            data += chunk
            if size and len(data) >= size:
                break
    return data[:size] if size else data


def uefi_kernel(job: Job, kernel: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """`kernel` as UEFI starts it: itself, or unpacked where the architecture's kernels are a
    compressed image.

    Raises `OutputError` (`kernel-not-uefi`).
    """
    head = read_kernel(job, kernel, 4096)
    if pe_machine(head) == job.request.architecture:
        return kernel
    plain = plain_kernel_pieces(job, kernel)
    if pe_machine(read_kernel(job, plain, 4096)) == job.request.architecture:
        return plain
    raise OutputError(
        "kernel-not-uefi",
        f"the kernel has no UEFI entry for {job.request.architecture} (CONFIG_EFI_STUB)",
        hint="Use another kernel image, remove --decompress-kernel, or choose a format for BIOS.",
    )


def plain_kernel_pieces(job: Job, kernel: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """`kernel` decompressed; itself when it is no compressed kernel."""
    try:
        return stored_plain_kernel(job.store, kernel)
    except KernelImageError:
        return kernel
