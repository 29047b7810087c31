"""The table of `slots`: two versions of the system on one disk; and what the kernel must have and
be told for them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compos.config import model
from compos.config.check import Complaint, duration
from compos.config.kinds import Flag, Text, key, table
from compos.config.model import Config, File, Kernel, Slots
from compos.config.quantities import milliseconds, octets
from compos.config.recovery_keys import OTHERWISE, answerable

__all__ = ["FIRMWARE_MODULES", "SLOTS", "encrypts_roots", "slot_sizes", "with_slots"]

TIMEOUT = "5m"
WORD = "compos.slots"
"""What init finds on the kernel's command line: the seconds that a version on trial has."""
PANIC_SECONDS = 10
VERSION = "etc/compos/version"
"""Where `slot status` finds the version of the system that runs."""
WATCHDOG = "compos.watchdog"
WATCHDOG_SECONDS = 60
FIRMWARE_MODULES = ("efivarfs", "efi_pstore")
"""Firmware's variables as files; and the last messages of a kernel that has panicked in them."""
WATCHDOGS = ("i6300esb", "iTCO_wdt", "sp5100_tco", "wdat_wdt", "softdog")
"""Watchdogs of virtual machines, of Intel's and AMD's chipsets, of ACPI; and in their place the
kernel's own."""


def _size(text: str) -> Iterator[Complaint]:
    if not octets(text):
        yield Complaint("config-slots", f"{text[:100]!r} is not a size", "Write a size: 512m.")


def _timeout(text: str) -> Iterator[Complaint]:
    yield from duration(text)
    length = milliseconds(text)
    if length is not None and not 10_000 <= length <= 86_400_000:
        yield Complaint(
            "config-slots",
            f"a new version cannot be given {text[:100]!r} to become good",
            "Choose a time between 10s and 24h.",
        )


def _encryption(given: Slots) -> Iterator[Complaint]:
    """Keys that mean nothing without encryption, and those that contradict each other."""
    for name in ("recovery", "otherwise") if given.encrypt != "tpm" else ():
        if getattr(given, name) is not None:
            yield Complaint(
                "config-slots",
                f"{name} has no effect on roots that are not encrypted",
                "Remove it, or write `encrypt: tpm`.",
                name,
            )
    yield from answerable(given, "config-slots")


SLOTS = table(
    model.Slots,
    "Two slots for versions of the system on a disk: one runs, the other one is replaced "
    "(docs/update.md).",
    key("boot", Text(_size), "Size of each boot partition [twice what the first version needs]."),
    key("system", Text(_size), "Size of each root's partition [likewise]."),
    key(
        "timeout",
        Text(_timeout),
        f"How long a new version may take to become good, from the start of init [{TIMEOUT}].",
    ),
    key(
        "encrypt",
        Text(choices=("none", "tpm")),
        "tpm: an installer encrypts the roots with keys that only this machine's TPM releases "
        "(docs/secure.md) [none].",
    ),
    key("recovery", Flag(), "Make a recovery key for them, and show it once [true]."),
    OTHERWISE,
    complaints=_encryption,
)


def encrypts_roots(slots: Slots | None) -> bool:
    """Whether roots are encrypted, where an installer makes them."""
    return slots is not None and slots.encrypt == "tpm"


def slot_sizes(slots: Slots) -> tuple[int, int]:
    """What `slots` says of the boot partition's and the root's size in bytes; 0 for nothing."""
    boot, system = (octets(text or "") or 0 for text in (slots.boot, slots.system))
    return boot, system


def with_slots(config: Config) -> Config:
    """`config` with a kernel that starts again by itself, and that has init's deadline; and with
    its version for `slot status`."""
    if config.slots is None or config.kernel is None:
        return config
    files = config.files
    if config.update and all(one.path != VERSION for one in files):
        files = (*files, File(VERSION, contents=f"{config.update.version}\n", mode="0644"))
    return config._replace(kernel=_kernel(config.kernel, config.slots), files=files)


def _kernel(kernel: Kernel, slots: Slots) -> Kernel:
    words = (kernel.cmdline or "").split()
    seconds = (milliseconds(slots.timeout or TIMEOUT) or 0) // 1000
    watchdog = f"{WATCHDOG}={WATCHDOG_SECONDS}"
    wanted = [f"{WORD}={seconds}", f"panic={PANIC_SECONDS}", watchdog]
    # What is there stays as it is written: blanks between quotes count.
    missing = [
        one for one in wanted if not any(word.split("=")[0] == one.split("=")[0] for word in words)
    ]
    cmdline = " ".join(filter(None, (kernel.cmdline, *missing)))
    modules = kernel.modules
    if modules is not None:
        added = (*FIRMWARE_MODULES, *WATCHDOGS)
        modules = (*modules, *(name for name in added if name not in modules))
    return kernel._replace(cmdline=cmdline, modules=modules)
