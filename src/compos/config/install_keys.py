"""The table of `install`: which disk an installer takes, and what it does then; and the rules that
its program reads (bricks/installer/src/rules.c). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compos.config import model
from compos.config.check import Complaint
from compos.config.kinds import Flag, Text, key, table
from compos.config.model import Install
from compos.config.quantities import octets

__all__ = ["INSTALL", "install_rules"]

BY_SIZE = ("smallest", "largest")
MAX_DISK = 255
"""Bytes that name a disk (bricks/installer/src/rules.h)."""
# It becomes a field of a line. A serial number has no blanks at its ends.
_DISK = re.compile(r"(serial:[!-~]([ -~]*[!-~])?|/dev/[!-~]+)")


def _names_disk(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_DISK or not _DISK.fullmatch(text):
        yield Complaint(
            "config-install",
            f"{text[:100]!r} names no disk",
            "Write serial:NUMBER, or a path such as /dev/disk/by-id/ata-MODEL_NUMBER.",
        )


def _disk(text: str) -> Iterator[Complaint]:
    if text not in BY_SIZE:
        yield from _names_disk(text)


def _size(text: str) -> Iterator[Complaint]:
    if not octets(text):
        yield Complaint("config-install", f"{text[:100]!r} is not a size", "Write a size: 8g.")


def _together(given: Install) -> Iterator[Complaint]:
    if given.unattended and not (given.disk or given.erase):
        yield Complaint(
            "config-install",
            "nobody is to be asked, and no disk is chosen",
            "Add `disk: smallest`, or remove `unattended`.",
            "unattended",
        )


INSTALL = table(
    model.Install,
    "Which disk an installer puts the system on, and what it does then (docs/install.md).",
    key(
        "disk",
        Text(_disk),
        "The disk: smallest or largest of those without data, serial:NUMBER, or a path below "
        "/dev [asked for].",
    ),
    key("min_size", Text(_size), "The size that a disk must have [what the system needs]."),
    key("removable", Flag(), "Whether smallest and largest count removable disks [false]."),
    key("unattended", Flag(), "Install without a question [false]."),
    key(
        "erase",
        Text(_names_disk),
        "A disk that may be taken whatever is on it, as in disk [none].",
    ),
    key(
        "then",
        Text(choices=("wait", "poweroff", "reboot")),
        "What follows: start again when Enter is pressed (wait), power off, or start again at "
        "once [wait].",
    ),
    key(
        "enrol",
        Flag(),
        "Whether the installer of a secure system looks at the keys of the machine's firmware, and "
        "enrols its own in setup mode [true].",
    ),
    complaints=_together,
)


def install_rules(install: Install) -> str:
    """What the installer's program reads: lines of a key, a tab and a value."""
    lines = [
        *([f"disk\t{install.disk}"] if install.disk else []),
        *([f"min-size\t{octets(install.min_size)}"] if install.min_size else []),
        *(["removable\tyes"] if install.removable else []),
        *(["unattended\tyes"] if install.unattended else []),
        *([f"erase\t{install.erase}"] if install.erase else []),
        *([f"then\t{install.then}"] if install.then else []),
    ]
    return "".join(f"{line}\n" for line in lines)
