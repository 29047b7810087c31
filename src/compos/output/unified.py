"""`uki`: the system as one UEFI program; and the file that firmware looks for on a medium.

May touch: the store (reading the stub).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from io import BytesIO

from compos.boot.uki import Uki, unified_kernel_image
from compos.errors import OutputError
from compos.output.job import EFI_STUB, Job, identity
from compos.output.payload import Payload, payload, uefi_kernel
from compos.output.roots import MEMORY
from compos.output.write import Output
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from compos.tree.node import FILE, Piece
from compos.trust.later import SignatureAwaited

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
    stub_program = job.request.stub.program or _stub(job)
    found = map(job.system.root.entries.get, RELEASES)
    release = next((node for node in found if node and node.kind == FILE), None)
    sections: list[tuple[str, Sequence[Piece]]] = [
        (".osrel", release.content if release else (OS_RELEASE,)),
        (".cmdline", (made.cmdline,)),
        (".initrd", made.initrd),
    ]
    if job.request.stub.sbat:
        sections.append((".sbat", (_sbat(job, stub_program),)))
    linux = (".linux", uefi_kernel(job, made.kernel))
    try:
        sections += _policies(job, stub_program, [*sections, linux])
        return _signed(job, unified_kernel_image(stub_program, [*sections, linux]))
    except SignatureAwaited:
        # Other formats may need signatures, too; `BootKeys.later` has counted this one.
        return unified_kernel_image(stub_program, [*sections, linux])


def _stub(job: Job) -> bytes:
    """The stub of the brick."""
    image = job.tools[EFI_STUB]
    path = f"usr/lib/systemd/boot/efi/{STUBS[job.request.architecture]}"
    stub = image_tree(job.store, image).get(path)
    if stub is None:
        raise OutputError(
            "uki-stub", f"the image of the UEFI stub has no file {path}", place=image.name
        )
    with Contents(job.store.root) as contents:
        return b"".join(contents.chunks(stub.content))


def _sbat(job: Job, stub: bytes) -> bytes:
    """The section `.sbat`: the stub's, with what the build adds."""
    from compos.boot.measurements import sections_of
    from compos.boot.sbat import merged_sbat

    own = sections_of(BytesIO(stub)).get(".sbat")
    data = stub[own.start : own.start + own.size] if own else b""
    return merged_sbat(data, job.request.stub.sbat, job.request.stub.sbat_place)


Sections = Sequence[tuple[str, Sequence[Piece]]]


def _policies(job: Job, stub: bytes, sections: Sections) -> Sections:
    """The sections that say which PCR 11 is expected, signed, where there is a key for it. The
    others are hashed once, whatever media they are on."""
    keys = job.request.keys
    if keys is None or keys.policy is None:
        return ()
    public = (".pcrpkey", (keys.policy.pem,))
    sections = [*sections, public]
    from compos.boot.measurements import sections_measured, sections_of
    from compos.boot.pcr_policy import signed_policies

    parts = [part for section, pieces in sections for part in (section, *pieces)]
    name = f"policies {identity('policies', (stub, *parts))}"
    if name not in job.made:
        digests = {
            name: hashlib.sha256(stub[part.start : part.start + part.size]).digest()
            for name, part in sections_of(BytesIO(stub)).items()
        }
        with Contents(job.store.root) as contents:
            for section, pieces in sections:
                digests[section] = bytes.fromhex(contents.digest(pieces))
        values = dict(sections_measured(digests).phases)
        signers = [keys.previous, keys.policy] if keys.previous else [keys.policy]
        signed = signed_policies(signers, [values[phase] for phase in keys.phases])
        job.made[name] = [signed]
    return public, (".pcrsig", job.made[name])


def _signed(job: Job, uki: Uki) -> Uki:
    """The program with its signature, where there is a key for it. It is hashed once, whatever
    media it is on."""
    if job.request.keys is None:
        return uki
    from compos.boot.authenticode import signature, signed

    name = f"signature {identity('signature', tuple(uki.pieces))}"
    if name not in job.made:
        with Contents(job.store.root) as contents:
            job.made[name] = [signature(uki, job.request.keys.program, contents.chunks)]
    return signed(uki, job.made[name])
