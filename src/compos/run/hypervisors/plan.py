"""What a hypervisor is asked for, and the plan of what it takes. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.disks import Disk

__all__ = ["Guest", "Plan", "Step", "guest_name", "require_disk"]


class Guest(NamedTuple):
    """A machine to run. `state` is an absolute path; `mem` is in MiB; `metadata` is a CD.

    With `keep`, it stays when its console ends.
    """

    name: str
    boot: Boot
    state: Path
    cpus: int = 1
    mem: int = 1024
    disks: tuple[Disk, ...] = ()
    metadata: Path | None = None
    uefi: bool = False
    gui: bool = False
    keep: bool = False


class Step(NamedTuple):
    """One command. From one that `makes` the machine on, there is something to remove; one that
    `may_fail` says nothing when it does."""

    words: tuple[str, ...]
    makes: bool = False
    may_fail: bool = False


class Plan(NamedTuple):
    """Files to write, steps that make and start the machine, and those that end and remove it.

    `console` is the socket that the machine connects its serial port to; it runs as long as that.
    Without one, the last of `steps` has our standard input, and is waited for.
    """

    steps: tuple[Step, ...]
    files: tuple[tuple[Path, bytes], ...] = ()
    console: Path | None = None
    after: tuple[Step, ...] = ()


def guest_name(given: str, boot: Boot) -> str:
    """The machine's name: the one that is given, else that of what it boots, without its suffix.
    Raises `RunError` (`machine-name`)."""
    name = given or boot.prefix.name
    if not given:
        for suffix in (".vmdk", ".vhdx", ".vhd", ".vdi", ".qcow2", ".img", ".raw", "-efi", "-bios"):
            name = name.removesuffix(suffix)
    # Hypervisors make files of it, and take it for an option.
    if not name or not name.isprintable() or name[0] in "-." or set(name) & set("/\\'\"$`*?[]|<>:"):
        raise RunError(
            "machine-name",
            f"{name!r} cannot be a machine's name",
            place="--name",
            hint="Use letters, digits, dots and dashes.",
        )
    return name


def require_disk(path: Path, suffixes: tuple[str, ...], hypervisor: str, format: str) -> None:
    """Raise `RunError` (`disk-format`) for a disk that the hypervisor cannot attach."""
    if path.suffix.lower() not in suffixes:
        raise RunError(
            "disk-format",
            f"{hypervisor} cannot attach this: it takes {', '.join(suffixes)}",
            place=str(path),
            hint=f"Build it: compos build -f {format} FILE.yml",
        )
