"""What a TPM holds after a unified kernel image has been started: expected values of PCR 4, 9, 11
and 12, with the events that they come from.

Pure, but for reading the image. Values are of the bank SHA-256. They hold for the stub of systemd
257, which the brick `efi-stub` has, and for Linux 6.10 or newer.

Sources: UAPI group, "Linux TPM PCR Registry"; systemd-stub(7) (sections, and that each is measured
by its name with a NUL and its contents); TCG, "PC Client Platform Firmware Profile", 3.3.4.5 (PCR
4); Linux, drivers/firmware/efi/libstub/efi-stub-helper.c (PCR 9). init extends PCR 11 by the boot's
phases (bricks/init/src/machine/measure.c), as systemd-pcrphase.service(8) has them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import BinaryIO, NamedTuple

from compos.boot.authenticode import has_signature, image_digest
from compos.boot.pcr_policy import PolicySignature, policy_digest, read_policies
from compos.errors import OutputError
from compos.suggestion import did_you_mean

__all__ = [
    "PHASES",
    "Attempt",
    "Event",
    "Measured",
    "Section",
    "measured",
    "require_phases",
    "sections_measured",
    "sections_of",
]

SECTIONS = (
    ".linux",
    ".osrel",
    ".cmdline",
    ".initrd",
    ".ucode",
    ".splash",
    ".dtb",
    ".uname",
    ".sbat",
    ".pcrpkey",
)
"""What the stub measures, in its order."""

PCRSIG = ".pcrsig"
"""It has what is signed of these measurements, and cannot be one of them."""

PHASES = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
"""The boot's phases in their order."""

MAX_HEADERS = 64 << 10
MAX_SECTIONS = 96
"""Microsoft, "PE Format", COFF File Header: what loaders accept."""

CHUNK = 1 << 20

CALLING = b"Calling EFI Application from Boot Option"
RETURNING = b"Returning from EFI Application from Boot Option"
ATTEMPTS = 4
"""How many attempts to start an option PCR 4 is told of. The firmware measures each, and that the
last has returned; options that fail without a program, such as an empty drive or a network without
a server, leave nothing else there."""

# The newc archives that the stub adds to the initrd, in this order: each is a folder `.extra` with
# one file, which has a section's contents.
EXTRA = b".extra"
EXTRA_FILES = (
    (PCRSIG, b".extra/tpm2-pcr-signature.json"),
    (".pcrpkey", b".extra/tpm2-pcr-public-key.pem"),
    (".osrel", b".extra/os-release"),
)
FOLDER_MODE, FILE_MODE = 0o040555, 0o100444
TRAILER = b"TRAILER!!!"
NEWC = "070701" + "%08x" * 13


class Event(NamedTuple):
    """Something that is measured: `text` in words, its SHA-256."""

    text: str
    digest: bytes


class Section(NamedTuple):
    """A section of a PE file: where its contents are, in bytes."""

    start: int
    size: int


class Attempt(NamedTuple):
    """PCR 4 where the firmware starts the program at attempt `number`, with Secure Boot or not."""

    number: int
    secure_boot: bool
    value: bytes


class Measured(NamedTuple):
    """A PCR with its events. For PCR 4, `attempts` are its values by what the firmware does, and
    `kernel` is the digest of the image's kernel, which it starts besides without Secure Boot. For
    PCR 11, `phases` are the values in each phase, by its name; `value` is that before the first.
    `signed` are the phases whose values the image has a signed policy for; whether the signature is
    good is for the TPM to say."""

    pcr: int
    events: tuple[Event, ...]
    phases: tuple[tuple[str, bytes], ...] = ()
    signed: tuple[tuple[str, PolicySignature], ...] = ()
    attempts: tuple[Attempt, ...] = ()
    kernel: bytes = b""

    @property
    def value(self) -> bytes:
        """The value after all events."""
        return extended(event.digest for event in self.events)


def extended(digests: Iterator[bytes] | Sequence[bytes], value: bytes = bytes(32)) -> bytes:
    """A PCR that had `value` after digests have been extended into it."""
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def measured(image: BinaryIO, cmdline: str | None = None) -> tuple[Measured, ...]:
    """The expected PCRs of a machine that starts the unified kernel image `image`, a file that can
    be sought in. With `cmdline`, the machine gives this command line in place of the image's, which
    the stub takes without Secure Boot. Raises `OutputError` (`measure-image`)."""
    sections = sections_of(image)
    for name in (".linux", ".initrd", ".cmdline"):
        if name not in sections:
            raise _no_image(f"it has no section {name}")
    parts = [(name, sections[name]) for name in SECTIONS if name in sections]
    pcr_11 = sections_measured({name: _digest(image, part) for name, part in parts})
    return (
        _firmware(image, sections[".linux"]),
        Measured(9, tuple(_kernel(image, sections, cmdline))),
        _signed(image, sections, pcr_11),
        Measured(12, () if cmdline is None else (_command_line(cmdline),)),
    )


def _signed(image: BinaryIO, sections: Mapping[str, Section], pcr: Measured) -> Measured:
    """PCR 11 with the policies that the image has for it."""
    if PCRSIG not in sections:
        return pcr
    try:
        policies = {one.policy: one for one in read_policies(_read(image, sections[PCRSIG]))}
    except ValueError as error:
        raise _no_image(str(error)) from error
    digests = [(phase, policy_digest(value)) for phase, value in pcr.phases]
    return pcr._replace(
        signed=tuple((phase, policies[one]) for phase, one in digests if one in policies)
    )


def sections_measured(digests: Mapping[str, bytes]) -> Measured:
    """PCR 11, of the SHA-256 of each section's contents; what is not measured is left out."""
    stub = []
    for name in SECTIONS:
        if name in digests:
            stub.append(Event(f"name of section {name}", _sha256(name.encode() + b"\0")))
            stub.append(Event(f"contents of section {name}", digests[name]))
    phases, value = [], extended([event.digest for event in stub])
    for phase in PHASES:
        value = extended([_sha256(phase.encode())], value)
        phases.append((phase, value))
    return Measured(11, tuple(stub), tuple(phases))


def require_phases(phases: Iterable[str]) -> None:
    """Raise `OutputError` (`phase-unknown`) for what is no phase of the boot."""
    for name in phases:
        if name not in PHASES:
            raise OutputError(
                "phase-unknown",
                f"unknown phase of the boot {name!r}",
                hint=did_you_mean(name, PHASES, f"Use some of: {', '.join(PHASES)}."),
            )


def sections_of(image: BinaryIO) -> dict[str, Section]:
    """The sections of a PE file by name. Raises `OutputError` (`measure-image`)."""
    image.seek(0, 2)
    length = image.tell()
    image.seek(0)
    head = image.read(MAX_HEADERS)
    try:
        (pe,) = struct.unpack_from("<I", head, 60)
        signature, count, optional = struct.unpack_from("<4s2xH12xH", head, pe)
        if head[:2] != b"MZ" or signature != b"PE\0\0" or count > MAX_SECTIONS:
            raise _no_image("it is no program for UEFI")
        found = {}
        for number in range(count):
            at = pe + 24 + optional + 40 * number
            name, size, _, stored, start = struct.unpack_from("<8sIIII", head, at)
            if start + min(size, stored) > length:
                raise _no_image("it is cut off")
            text = name.rstrip(b"\0").decode("ascii", "replace")
            # What is stored ends at a multiple of the alignment; contents may be shorter.
            found[text] = Section(start, min(size, stored))
    except struct.error as error:
        raise _no_image("it is no program for UEFI") from error
    return found


def _firmware(image: BinaryIO, kernel: Section) -> Measured:
    """PCR 4. The events are those of the first attempt, with Secure Boot if the image is signed."""
    calling = Event("firmware starts a boot option", _sha256(CALLING))
    separator = Event("separator", _sha256(bytes(4)))
    program = Event("the program, as Authenticode hashes it", image_digest(image))
    # The stub has the firmware start the kernel, which measures it: but not with Secure Boot, when
    # the stub answers for its kernel itself.
    inner = Event("the kernel in it, without Secure Boot", _kernel_digest(image, kernel))
    again = [_sha256(RETURNING), calling.digest]
    attempts = []
    for secure in (True, False):
        started = [program.digest] if secure else [program.digest, inner.digest]
        for number in range(1, ATTEMPTS + 1):
            before = [calling.digest, separator.digest, *again * (number - 1)]
            attempts.append(Attempt(number, secure, extended([*before, *started])))
    own = () if has_signature(image) else (inner,)
    events = (calling, separator, program, *own)
    return Measured(4, events, attempts=tuple(attempts), kernel=inner.digest)


def _kernel_digest(image: BinaryIO, part: Section) -> bytes:
    """What Authenticode makes of the kernel in an image; zeros for one that is no program, which no
    firmware starts."""
    try:
        return image_digest(BytesIO(_bytes(image, part)))
    except (OutputError, struct.error):
        return bytes(32)


def _bytes(image: BinaryIO, part: Section) -> bytes:
    image.seek(part.start)
    return image.read(part.size)


def _command_line(cmdline: str) -> Event:
    """As the stub and the kernel have it from the firmware."""
    return Event(f"command line: {cmdline}", _sha256(f"{cmdline}\0".encode("utf-16-le")))


def _kernel(image: BinaryIO, sections: dict[str, Section], given: str | None) -> Iterator[Event]:
    """PCR 9: what the kernel says of what it was given."""
    own = _read(image, sections[".cmdline"]).split(b"\0")[0].decode("utf-8", "replace")
    yield _command_line(own if given is None else given)
    part = sections[".initrd"]
    hasher = _hasher(image, part)
    hasher.update(bytes(-part.size % 4))
    for name, path in EXTRA_FILES:
        if name in sections:
            hasher.update(_archive(path, _read(image, sections[name])))
    yield Event("initrd, with what the stub adds to it", hasher.digest())


def _archive(path: bytes, data: bytes) -> bytes:
    """The archive that the stub makes of a section's contents."""
    made = b""
    members = ((1, FOLDER_MODE, EXTRA, b""), (2, FILE_MODE, path, data))
    for inode, mode, name, content in (*members, (0, 0, TRAILER, b"")):
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        header = (NEWC % fields).encode()
        # The trailer is a constant of the stub, in capitals.
        header = header.upper() if name == TRAILER else header
        made += _aligned(header + name + b"\0") + _aligned(content)
    return made


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _read(image: BinaryIO, part: Section) -> bytes:
    """A short section."""
    if part.size > CHUNK:
        raise _no_image("one of its small sections is too long")
    return _bytes(image, part)


def _digest(image: BinaryIO, part: Section) -> bytes:
    return _hasher(image, part).digest()


def _hasher(image: BinaryIO, part: Section) -> hashlib._Hash:
    hasher = hashlib.sha256()
    image.seek(part.start)
    left = part.size
    while left and (chunk := image.read(min(left, CHUNK))):
        hasher.update(chunk)
        left -= len(chunk)
    return hasher


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _no_image(reason: str) -> OutputError:
    return OutputError(
        "measure-image",
        f"the file is no unified kernel image: {reason}",
        hint="Name an output of the format uki (NAME.efi), or a disk that boots with UEFI.",
    )
