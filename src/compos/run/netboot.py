"""A built system as machines ask for it over the network: iPXE's script, and the files that it and
UEFI firmware load.

May touch: the files of the system (reading). They are looked at anew for each request, so a system
that is built again is what the next machine boots.

Sources: ipxe.org/scripting and its commands `kernel`, `initrd`, `chain`; UEFI specification 2.10,
24.7 (HTTP boot).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from compos.errors import RunError
from compos.run.served import Found, Page, find

__all__ = ["SCRIPT", "UKI", "Netboot", "netboot"]

SCRIPT, UKI = "boot.ipxe", "boot.efi"
_SUFFIXES = {
    UKI: ".efi",
    "boot-kernel": "-kernel",
    "boot-initrd.img": "-initrd.img",
    "boot-cmdline": "-cmdline",
}
"""What is served, whatever the system's name, and what the build calls it behind that name."""

MAX_CMDLINE = 4096
"""Characters; the kernel takes 2048 on x86 and arm64."""

_HEAD = """#!ipxe
iseq ${platform} efi && goto efi || goto bios
"""
_BIOS = """:bios
kernel boot-kernel {cmdline}
initrd boot-initrd.img
boot
"""
_BIOS_WITHOUT = """:bios
echo This system has only a UEFI program: build it with -f kernel+initrd, too.
exit 1
"""
_UKI = """:efi
chain boot.efi
"""
# EFI stubs find their initrd by the name that iPXE gives it.
_EFI = """:efi
kernel boot-kernel initrd=initrd {cmdline}
initrd --name initrd boot-initrd.img
boot
"""


class Netboot(NamedTuple):
    """What is served of the system whose files begin with `prefix`, an absolute path without
    links."""

    prefix: Path

    def find(self, path: str) -> Found | Page | None:
        """What the `path` of a URL means here, if anything."""
        name = path.lstrip("/")
        if name == SCRIPT:
            text = self.script()
            return Page(text.encode(), "text/plain; charset=utf-8") if text else None
        if name not in _SUFFIXES:
            return None
        found = find(self.prefix.parent, "/" + _quoted(self._file(name).name))
        return found if isinstance(found, Found) else None

    def script(self) -> str:
        """The script as the files are now; empty if the system is not there, or its command line
        cannot be said in a script."""
        try:
            cmdline = read_cmdline(self._file("boot-cmdline"))
        except RunError:
            return ""
        plain, program = self._is_plain(), self._file(UKI).is_file()
        if not plain and not program:
            return ""
        bios = _BIOS.format(cmdline=cmdline) if plain else _BIOS_WITHOUT
        return _HEAD + bios + (_UKI if program else _EFI.format(cmdline=cmdline))

    def offers(self) -> list[str]:
        """What machines can be told to boot: names below the server's address."""
        return [SCRIPT, *([UKI] if self._file(UKI).is_file() else [])]

    def _is_plain(self) -> bool:
        return all(self._file(name).is_file() for name in ("boot-kernel", "boot-initrd.img"))

    def _file(self, name: str) -> Path:
        return self.prefix.with_name(self.prefix.name + _SUFFIXES[name])


def netboot(prefix: Path) -> Netboot:
    """The system at `prefix`. Raises `RunError` (`boot-missing`, `boot-not-built`,
    `netboot-cmdline`)."""
    if prefix.suffix in (".yml", ".yaml"):
        raise RunError(
            "boot-not-built",
            "the file is YAML, not a built system",
            place=str(prefix),
            hint=f"Build it, then serve its prefix: compos build -f kernel+initrd,uki {prefix}",
        )
    try:
        made = Netboot(prefix.parent.resolve(strict=True) / prefix.name)
    except (OSError, ValueError, RuntimeError):
        made = None
    if made is None or not prefix.name or not (made._is_plain() or made._file(UKI).is_file()):
        raise RunError(
            "boot-missing",
            "there is neither a kernel with its initrd nor a UEFI program of this name",
            place=str(prefix),
            hint="Build it first: compos build -f kernel+initrd,uki FILE.yml",
        )
    read_cmdline(made._file("boot-cmdline"))
    return made


def read_cmdline(path: Path) -> str:
    """The kernel's command line in `path`, empty if there is none, as a script may have it. Raises
    `RunError` (`netboot-cmdline`).

    iPXE joins words with one space, and has no way to write what it reads as a setting, a comment
    or the end of a command.
    """
    try:
        text = path.read_bytes()[: MAX_CMDLINE + 1].decode("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise _unusable(path, "it is not plain text") from None
    if len(text) > MAX_CMDLINE:
        raise _unusable(path, "it is too long")
    if not text.isprintable():
        raise _unusable(path, "it has control characters")
    if "${" in text:
        raise _unusable(path, "iPXE would read `${` as a setting of its own")
    if special := re.search(r"(?:^|\s)(#|(?:;|&&|\|\|)(?=\s|$))", text):
        raise _unusable(path, f"iPXE would read `{special[1]}` as its own")
    if '"' in text and "  " in text:
        raise _unusable(path, "iPXE would join the spaces in it")
    return text


def _unusable(path: Path, reason: str) -> RunError:
    return RunError(
        "netboot-cmdline",
        f"iPXE cannot pass on this kernel command line: {reason}",
        place=str(path),
        hint="Change kernel.cmdline in the YAML.",
    )


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name.encode("utf-8", "surrogateescape"), safe="")
