"""`uki`: the system as one UEFI program; and the file that firmware looks for on a medium.

May touch: the store (reading the stub).
"""

from __future__ import annotations

from compos.boot.uki import Uki, unified_kernel_image
from compos.errors import OutputError
from compos.output.job import EFI_STUB, Job
from compos.output.payload import Payload, payload, uefi_kernel
from compos.output.roots import MEMORY
from compos.output.write import Output
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from compos.tree.node import FILE

__all__ = ["BOOT_FILES", "program", "unified"]

BOOT_FILES = {
    "amd64": "EFI/BOOT/BOOTX64.EFI",
    "arm64": "EFI/BOOT/BOOTAA64.EFI",
    "riscv64": "EFI/BOOT/BOOTRISCV64.EFI",
}
"""UEFI specification 2.10, 3.5.1.1: what firmware starts from a removable medium."""

STUBS = {
    "amd64": "linuxx64.efi.stub",
    "arm64": "linuxaa64.efi.stub",
    "riscv64": "linuxriscv64.efi.stub",
}

RELEASES = ("etc/os-release", "usr/lib/os-release")
OS_RELEASE = b'NAME="compos"\nID=compos\nPRETTY_NAME="compos"\n'
"""For boot menus, when the root has no os-release of its own."""


def program(job: Job) -> list[Output]:
    """`.efi`: kernel, initrd, command line and os-release in one file that can be signed and
    started by any UEFI."""
    # A program alone has no medium beside it: the root is in it.
    made = payload(job, root=MEMORY)
    return [Output(".efi", tuple(unified(job, made).pieces))]


def unified(job: Job, made: Payload) -> Uki:
    """The unified kernel image. The kernel is last: it may use memory behind it while it unpacks
    itself."""
    image = job.tools[EFI_STUB]
    path = f"usr/lib/systemd/boot/efi/{STUBS[job.request.architecture]}"
    stub = image_tree(job.store, image).get(path)
    if stub is None:
        raise OutputError(
            "uki-stub", f"the image of the UEFI stub has no file {path}", place=image.name
        )
    root = {
        path: node
        for path, node, _ in job.system.root.nodes
        if path in RELEASES and node.kind == FILE
    }
    release = next((root[path] for path in RELEASES if path in root), None)
    with Contents(job.store.root) as contents:
        program_ = b"".join(contents.chunks(stub.content))
    return unified_kernel_image(
        program_,
        [
            (".osrel", release.content if release else (OS_RELEASE,)),
            (".cmdline", (made.cmdline,)),
            (".initrd", made.initrd),
            (".linux", uefi_kernel(job, made.kernel)),
        ],
    )
