"""The table of `disk`: a data partition that the machine makes, opens and mounts before the system
starts; and what it stands for: a container that does so, first in `onboot`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compos.config import model
from compos.config.check import Complaint, absolute_path
from compos.config.kinds import Flag, ListOf, Number, Text, key, table
from compos.config.model import Config, Disk, DiskEscrow, File, ImageEntry, Kernel, Settings
from compos.config.quantities import octets
from compos.config.recovery_keys import OTHERWISE, answerable

__all__ = ["DISK", "ESCROW_KEY", "wants_boot_disk", "with_data_partition"]

IMAGE = "compos/data-partition:v1"
NAME = "data-partition"
FIRMWARE = (0, 1, 2, 3, 4, 5, 6, 7)
"""The PCRs that firmware measures into (UAPI group, "Linux TPM PCR Registry")."""
SECURE_BOOT = (7,)
OUTSIDE = 12
"""A command line or configuration that came from outside the signed image: systemd's stub takes one
from SMBIOS even with Secure Boot, and whoever can write it could start the system's own programs in
place of init."""

ESCROW_FOLDER = "/etc/data-partition"
ESCROW_KEY = "etc/data-partition/escrow.pem"
"""Where the root has the public key."""
MAX_ADDRESS = 2000
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[!-~]*)?")

_OF_ENCRYPTION = ("tpm", "pcrs", "strict", "pin", "recovery", "escrow", "otherwise")


def _mountpoint(text: str) -> Iterator[Complaint]:
    if text.startswith("/"):
        yield from absolute_path(text)
    if not text.startswith("/var/") or not text.removeprefix("/var/").strip("/"):
        yield Complaint(
            "config-disk",
            f"a data partition cannot be mounted at {text[:100]!r}",
            "Choose a folder below /var; the rest of the root is read-only.",
        )


def _size(text: str) -> Iterator[Complaint]:
    if not octets(text):
        yield Complaint("config-disk", f"{text[:100]!r} is not a size", "Write a size: 10g.")


def _device(text: str) -> Iterator[Complaint]:
    if text.startswith("/"):
        yield from absolute_path(text)
    if not text.startswith("/dev/"):
        yield Complaint(
            "config-disk", f"{text[:100]!r} is not a device", "Write its path: /dev/vdb."
        )


def _pcrs(numbers: Sequence[int]) -> Iterator[Complaint]:
    """Without PCR 7 (Secure Boot) or 4 (the boot programs), any system can make all others what
    they must be."""
    if not {4, 7} & set(numbers):
        yield Complaint(
            "config-disk",
            "pcrs has neither 7 nor 4: any other system could imitate this one",
            "Add 7.",
        )


def _address(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_ADDRESS or not _ADDRESS.fullmatch(text):
        yield Complaint(
            "config-disk",
            f"{text[:100]!r} is not an address that takes an envelope",
            "Write its URL: https://escrow.example/keys.",
        )


def _encryption(given: Disk) -> Iterator[Complaint]:
    """Keys that mean nothing without encryption, and those that contradict each other."""
    for name in _OF_ENCRYPTION if given.encrypt == "none" else ():
        if getattr(given, name):
            yield Complaint(
                "config-disk",
                f"{name} has no effect on a partition that is not encrypted",
                "Remove it, or write `encrypt: tpm`.",
                name,
            )
    if given.strict and given.pcrs is not None:
        yield Complaint(
            "config-disk",
            "strict says which PCRs count, and so does pcrs",
            "Remove one of the two.",
            "pcrs",
        )
    yield from answerable(given, "config-disk")
    if given.recovery is False and given.escrow is not None:
        yield Complaint(
            "config-disk",
            "there is no recovery key for the escrow",
            "Remove `recovery: false`, or `escrow`.",
            "escrow",
        )


ESCROW = table(
    DiskEscrow,
    "Who keeps the recovery key, which is then not shown (docs/secure.md).",
    key("address", Text(_address), "URL that takes it, encrypted, by POST.", required=True),
    key(
        "key",
        Text(),
        "File with the public key that it is encrypted to: RSA with 2048 bits, in PEM.",
        required=True,
    ),
)

DISK = table(
    model.Disk,
    "A partition for data, which the machine makes behind the system's partitions when it starts "
    "for the first time (docs/secure.md).",
    key("mountpoint", Text(_mountpoint), "Folder below /var where it is mounted.", required=True),
    key("filesystem", Text(choices=("ext4", "xfs", "btrfs")), "Its file system [ext4]."),
    key("size", Text(_size), "Its size; without one it has the rest of the disk, and grows."),
    key("device", Text(_device), "The disk [the one that the machine has booted from]."),
    key(
        "encrypt",
        Text(choices=("none", "tpm")),
        "tpm: LUKS2 with a key that only this machine's TPM releases [none; tpm if the "
        "system is secure, or if other keys of encryption are given].",
    ),
    key(
        "tpm",
        Text(choices=("2.0", "1.2")),
        "The TPM that the machine must have; what a TPM 1.2 cannot do is in docs/secure.md [2.0].",
    ),
    key(
        "pcrs",
        ListOf(Number(0, 15), _pcrs),
        "PCRs that the key is bound to by their values, beside 12 [7].",
    ),
    key("strict", Flag(), "Bind it to all that firmware measures, PCRs 0 to 7 [false]."),
    key("pin", Flag(), "Ask for a PIN at each start [false]."),
    key("recovery", Flag(), "Make a recovery key [true]."),
    key("escrow", ESCROW, "Who keeps the recovery key [it is shown once on the console]."),
    OTHERWISE,
    complaints=_encryption,
)


def with_data_partition(config: Config) -> Config:
    """`config` with the container in place of the section."""
    disk = config.disk
    if disk is None:
        return config
    wanted = config.secure or any(getattr(disk, name) for name in _OF_ENCRYPTION)
    if wanted and disk.encrypt is None:
        disk = disk._replace(encrypt="tpm")
    encrypted = disk.encrypt == "tpm"
    escrow = disk.escrow if encrypted else None
    entry = ImageEntry(
        NAME,
        IMAGE,
        Settings(
            command=("/usr/bin/data-partition", *_options(disk), disk.mountpoint),
            binds_add=(f"{ESCROW_FOLDER}:{ESCROW_FOLDER}:ro",) if escrow else None,
            unseal=encrypted or None,
            on_failure="halt",
        ),
        disk.mark,
    )
    return config._replace(
        kernel=_with_module(config.kernel, disk.filesystem or "ext4"),
        disk=None,
        onboot=(entry, *config.onboot),
        services=(*config.services, *([_sender(disk, escrow)] if escrow else ())),
        files=(*config.files, *([_escrow_key(disk, escrow)] if escrow else ())),
    )


def wants_boot_disk(config: Config) -> bool:
    """Whether `config`, as `with_data_partition` has made it, has its data on the disk that the
    machine boots from."""
    return any(
        one.image == IMAGE and "-device" not in (one.settings.command or ())
        for one in config.onboot
    )


def _sender(disk: Disk, escrow: DiskEscrow) -> ImageEntry:
    """The service that sends the envelope; it ends when somebody has it."""
    settings = Settings(
        command=("/usr/bin/escrow", "/srv", escrow.address),
        binds_add=(f"{disk.mountpoint}:/srv",),
        restart="on-failure",
    )
    return ImageEntry("escrow", "compos/escrow:v1", settings, disk.mark)


def _escrow_key(disk: Disk, escrow: DiskEscrow) -> File:
    return File(ESCROW_KEY, source=escrow.key, mode="0644", mark=disk.mark)


def _with_module(kernel: Kernel | None, name: str) -> Kernel | None:
    """`kernel` with a driver that is loaded when the file system is mounted."""
    if kernel is None or kernel.modules is None or name in kernel.modules:
        return kernel
    return kernel._replace(modules=(*kernel.modules, name))


def _options(disk: Disk) -> Iterator[str]:
    yield from ("-type", disk.filesystem or "ext4")
    if disk.size:
        yield from ("-size", str(octets(disk.size)))
    if disk.device:
        yield from ("-device", disk.device)
    if disk.encrypt != "tpm":
        return
    pcrs = sorted({*(disk.pcrs or (FIRMWARE if disk.strict else SECURE_BOOT)), OUTSIDE})
    yield from ("-encrypt", "-pcrs", "+".join(map(str, pcrs)))
    if disk.tpm == "1.2":
        yield from ("-tpm", disk.tpm)
    if 5 in pcrs:
        # The partition table is measured: once it is written, it stays.
        yield "-fixed"
    if disk.pin:
        yield "-pin"
    if disk.recovery is not False:
        yield "-recovery"
        if disk.escrow:
            yield from ("-escrow", f"/{ESCROW_KEY}")
        if disk.otherwise != "halt":
            yield "-ask"
