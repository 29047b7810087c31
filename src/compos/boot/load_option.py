"""What UEFI firmware starts: boot options, as its variables have them. Pure.

Source: UEFI specification 2.10, 3.1.3 (load options), 3.3 (`Boot####`, `BootOrder`), 10.3.4.23 (URI
device path), 3.1.2 (short-form URI device path).
"""

from __future__ import annotations

import struct

from compos.boot.efi_signatures import GLOBAL, Variable
from compos.boot.variable_store import Stored

__all__ = ["only_url"]

# EFI_LOAD_OPTION. Offset, size, field:
#     0    4  attributes: active
#     4    2  size of the device path
# then its description, with a NUL, and the device path
_OPTION = struct.Struct("<IH")
ACTIVE = 1
# A node of a device path. Offset, size, field:
#     0    1  type: messaging
#     1    1  subtype: URI
#     2    2  size, this header included
_NODE = struct.Struct("<BBH")
MESSAGING, URI = 3, 24
END = _NODE.pack(0x7F, 0xFF, _NODE.size)

VARIABLE = 0x07
"""EFI_VARIABLE_NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS."""


def only_url(url: str) -> list[Stored]:
    """Variables with which firmware boots the program at `url` (ASCII), by whichever network card
    has it, before anything else."""
    address = url.encode("ascii")
    path = _NODE.pack(MESSAGING, URI, _NODE.size + len(address)) + address + END
    name = "network".encode("utf-16-le") + b"\0\0"
    option = _OPTION.pack(ACTIVE, len(path)) + name + path
    return [
        Stored(Variable("Boot0000", GLOBAL), VARIABLE, option),
        Stored(Variable("BootOrder", GLOBAL), VARIABLE, struct.pack("<H", 0)),
    ]
