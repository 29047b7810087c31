"""`secure: true`: one switch for a system that starts only as it was built. What a build must have
for that, and what of it a finished output, a machine's disk or a guest has.

May touch: the output or the disk (reading); the folder of guests (reading).

A secure system is started by UEFI alone, as one signed program. Its root is covered by the
signature: in the initrd, or through the root hash there. Policies for PCR 11 are signed, and no
image may grant itself power over the machine by its label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from compos.errors import OutputError
from compos.output.formats import FORMATS
from compos.output.job import EFI_STUB
from compos.output.roots import AUTO, ROOTS, root_named

if TYPE_CHECKING:
    from compos.api.build import BuildOptions
    from compos.boot.boot_program import Partition
    from compos.config.model import Config
    from compos.output.formats import Format

__all__ = ["Finding", "examine_secure", "findings", "secured"]

VERIFIED = "erofs-verity"
"""Where the root of a secure system is, unless the build says something else."""


class Finding(NamedTuple):
    """A property of a secure system: its `name`, whether it is there, and in words what is."""

    name: str
    on: bool
    text: str


def secured(config: Config, formats: Sequence[Format], options: BuildOptions) -> BuildOptions:
    """The options with which a system is built that says `secure: true`. Raises `OutputError`
    (`secure-keys`, `secure-format`, `secure-root`, `secure-confinement`)."""
    if options.keys is None:
        raise OutputError(
            "secure-keys",
            "the system is to be secure (secure: true), but there are no keys to sign it with",
            hint="Make a set of keys once with `compos keys new keys`, and build with --keys keys. "
            "For a trial without signatures, remove `secure: true`.",
        )
    if wrong := [one.name for one in formats if not _can_be(one)]:
        known = [one.name for one in FORMATS.values() if EFI_STUB in one.tools]
        raise OutputError(
            "secure-format",
            f"nothing signed starts in {', '.join(wrong)}, and the system says secure: true",
            hint=f"Use formats for UEFI: {', '.join(known)}.",
        )
    root = VERIFIED if options.root == AUTO else options.root
    kind = root_named(root)
    if kind.on_medium and not kind.verity:
        verified = [one.name for one in ROOTS.values() if one.verity or not one.on_medium]
        raise OutputError(
            "secure-root",
            f"the root {root} is not verified, and the system says secure: true",
            hint=f"Use one of: {', '.join(verified)}.",
        )
    if config.confinement == "linuxkit":
        raise OutputError(
            "secure-confinement",
            "the system says secure: true, and confines its containers as LinuxKit does",
            hint="Remove `confinement: linuxkit`; grant each container what it needs.",
        )
    return options._replace(root=root, label_powers=False)


def _can_be(format: Format) -> bool:
    """Whether what starts can be signed, or nothing does (tar, docker)."""
    return EFI_STUB in format.tools or format.streamable


def examine_secure(target: str) -> list[Finding]:
    """What a file, the disk of a machine or, if there is no such path, the running guest of that
    name has of a secure system. Raises `OutputError` (`measure-image`), `RunError`
    (`guest-unknown`, `guest-ended`)."""
    if Path(target).exists():
        return findings(Path(target))
    from compos.run.guests import find_guest

    record = find_guest(target).record
    firmware = [
        Finding(
            "secure boot",
            record.secure_boot,
            "the firmware starts nothing that its keys have not signed"
            if record.secure_boot
            else "the firmware starts anything: run it with --secure-boot KEYS",
        ),
        Finding(
            "tpm",
            record.tpm,
            "what is started is measured, and keys can be sealed to it"
            if record.tpm
            else "there is no TPM: run it with --tpm",
        ),
    ]
    if not (system := Path(record.system)).is_file():
        text = "kernel and initrd are given to QEMU, which verifies nothing: run a disk or a UKI"
        return [*firmware, Finding("signature", on=False, text=text)]
    return [*firmware, *findings(system)]


def findings(file: Path) -> list[Finding]:
    """What a built program or raw disk has of a secure system. It says what is there; whether a
    signature is good is for the firmware and the TPM to say. Raises `OutputError`
    (`measure-image`)."""
    from compos.api.measure import opened
    from compos.boot.authenticode import has_signature
    from compos.boot.boot_program import boot_program, partitions
    from compos.boot.measurements import measured

    with opened(file) as image:
        program = boot_program(image)
        is_signed = has_signature(program)
        pcr_11 = next(one for one in measured(program) if one.pcr == 11)
        parts = list(partitions(image)) if program is not image else []
        root = _root(parts)
        volumes = list(_volumes(image, parts))
    phases = [phase for phase, _ in pcr_11.signed]
    return [
        Finding(
            "signature",
            is_signed,
            "the program has a signature for Secure Boot"
            if is_signed
            else "the program is not signed: build with --keys",
        ),
        root or Finding("root", on=True, text="the root is in the initrd, a part of the program"),
        Finding(
            "policies",
            bool(phases),
            f"secrets bound to the PCR key can be unsealed in: {', '.join(phases)}"
            if phases
            else "no policy for PCR 11 is signed: the set of keys needs pcr.key and pcr.pub",
        ),
        *volumes,
    ]


def _volumes(image: BinaryIO, parts: Sequence[Partition]) -> Iterator[Finding]:
    """The encrypted partitions of a disk, which it has when it was installed or has started."""
    from compos.boot.luks_header import openers

    for one in parts:
        if (found := openers(partial(_read, image, one.start))) is None:
            continue
        is_sealed = any(word.startswith("the TPM") for word in found)
        text = f"encrypted; it is opened by {' or '.join(found) or 'passphrases alone'}"
        yield Finding(f"partition {one.name}", is_sealed, text)


def _read(image: BinaryIO, start: int, offset: int, length: int) -> bytes:
    image.seek(start + offset)
    return image.read(length)


def _root(parts: Sequence[Partition]) -> Finding | None:
    """What a disk says of its root; None without one."""
    from compos.disk.discoverable import ROOTS as TYPES

    found = {one.kind for one in parts}
    if found & {types.verity for types in TYPES.values()}:
        return Finding("root", on=True, text="each block of the root is verified (dm-verity)")
    if found & {types.data for types in TYPES.values()}:
        text = "the root has no hash tree of its own partition: build with --root erofs-verity"
        return Finding("root", on=False, text=text)
    return None
