"""OVMF's and AAVMF's variable store: a template with variables added, so that a virtual machine
starts with Secure Boot enforced. Pure.

The template comes from a package of the host; it is read with care all the same.

Sources: UEFI Platform Initialization specification 1.7, volume 3, 3.2.1 (firmware volumes); EDK II,
MdeModulePkg/Include/Guid/VariableFormat.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from compos.arithmetic import align_up
from compos.boot.efi_signatures import Variable, efi_time

__all__ = ["CUSTOM_MODE", "SECURE_BOOT_ENABLE", "Stored", "contents_of", "with_variables"]

# EFI_FIRMWARE_VOLUME_HEADER, as far as it is read. Offset, size, field:
#     0   16  zeros
#    16   16  file system: variables
#    32    8  length
#    40    4  signature, "_FVH"
#    44    4  attributes
#    48    2  size of this header
_VOLUME = struct.Struct("<16x16sQ4sIH")
VOLUME_TYPE = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
"""EFI_SYSTEM_NV_DATA_FV_GUID."""
# VARIABLE_STORE_HEADER. Offset, size, field:
#     0   16  type: authenticated variables
#    16    4  size, this header included
#    20    1  format: formatted
#    21    1  state: healthy
_STORE = struct.Struct("<16sIBB6x")
STORE_TYPE = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
"""EFI_AUTHENTICATED_VARIABLE_GUID."""
FORMATTED, HEALTHY = 0x5A, 0xFE
# AUTHENTICATED_VARIABLE_HEADER. Offset, size, field:
#     0    2  start: 0x55aa
#     2    1  state
#     4    4  attributes
#     8    8  monotonic count, unused
#    16   16  time of the last update
#    32    4  index of a public key, unused
#    36    4  size of the name, with its NUL
#    40    4  size of the data
#    44   16  vendor
_VARIABLE = struct.Struct("<HBxIQ16sIII16s")
START = 0x55AA
ADDED = 0x3F
ALIGNMENT = 4
FREE = 0xFF

SECURE_BOOT_ENABLE = Variable("SecureBootEnable", UUID("f0a30bc7-af08-4556-99c4-001009c93a44"))
"""EFI_SECURE_BOOT_ENABLE_DISABLE_GUID: whether images are checked when keys are enrolled."""
CUSTOM_MODE = Variable("CustomMode", UUID("c076ec0c-7028-4399-a072-71ee5c448b9f"))
"""EFI_CUSTOM_MODE_ENABLE_GUID: whether keys may be changed without a signature."""


class Stored(NamedTuple):
    """A variable with its attributes and contents, and the time of an authenticated one."""

    variable: Variable
    attributes: int
    data: bytes
    time: datetime | None = None


def with_variables(template: bytes, variables: Sequence[Stored]) -> bytes:
    """The store `template` with `variables` behind those that it has. Raises `ValueError` when it
    is no such store, has one of them already, or has no room."""
    try:
        start, end = _bounds(template)
        at, names = _used(template, start, end)
    except struct.error as error:
        raise ValueError("it is cut off") from error
    added = bytearray()
    for stored in variables:
        if stored.variable in names:
            raise ValueError(f"it has the variable {stored.variable.name} already")
        added += _encoded(stored)
    if at + len(added) > end:
        raise ValueError("it has no room for the keys")
    return template[:at] + added + template[at + len(added) :]


def contents_of(template: bytes, variable: Variable) -> bytes | None:
    """What a store says that `variable` is; None without it. Raises `ValueError` for what is no
    such store."""
    try:
        _, known = _used(template, *_bounds(template))
    except struct.error as error:
        raise ValueError("it is cut off") from error
    return known.get(variable)


def _bounds(template: bytes) -> tuple[int, int]:
    """Where variables begin, and where the store ends."""
    kind, _, signature, _, size = _VOLUME.unpack_from(template)
    if signature != b"_FVH" or kind != VOLUME_TYPE.bytes_le:
        raise ValueError("it is no variable store of EDK II")
    store, length, form, state = _STORE.unpack_from(template, size)
    if store != STORE_TYPE.bytes_le or (form, state) != (FORMATTED, HEALTHY):
        raise ValueError("its variables are not authenticated ones, or it is damaged")
    if size + length > len(template):
        raise ValueError("it is cut off")
    return size + _STORE.size, size + length


def _used(template: bytes, at: int, end: int) -> tuple[int, dict[Variable, bytes]]:
    """Where free space begins, and which variables there are, with their contents."""
    names = {}
    while at + _VARIABLE.size <= end:
        start, state, _, _, _, _, name, data, vendor = _VARIABLE.unpack_from(template, at)
        if start != START:
            break
        at += _VARIABLE.size
        if name + data > end - at:
            raise ValueError("it is damaged")
        if state == ADDED:
            text = template[at : at + name].decode("utf-16-le", "replace").rstrip("\0")
            contents = template[at + name : at + name + data]
            names[Variable(text, UUID(bytes_le=vendor))] = contents
        at = align_up(at + name + data, ALIGNMENT)
    if template[at:end].strip(bytes((FREE,))):
        raise ValueError("it is damaged")
    return at, names


def _encoded(stored: Stored) -> bytes:
    name = stored.variable.name.encode("utf-16-le") + b"\0\0"
    header = _VARIABLE.pack(
        START,
        ADDED,
        stored.attributes,
        0,
        efi_time(stored.time) if stored.time else bytes(16),
        0,
        len(name),
        len(stored.data),
        stored.variable.vendor.bytes_le,
    )
    made = header + name + stored.data
    return made.ljust(align_up(len(made), ALIGNMENT), bytes((FREE,)))
