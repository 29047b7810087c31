"""What enrols keys of Secure Boot: signature lists, and updates of authenticated variables
(`.auth`), which firmware takes from its menu, from KeyTool or efi-updatevar. Pure.

Source: UEFI specification 2.10, 8.2.2 (authentication), 32.4.1 (signature lists), 32.3.1 and 32.6.1
(which key signs which variable).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from compos.boot.pkcs7 import Certified, signed_data

__all__ = [
    "ATTRIBUTES",
    "DB",
    "KEK",
    "PK",
    "Variable",
    "certificates_of",
    "efi_time",
    "signature_list",
    "signed_contents",
    "signed_update",
]

X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
"""EFI_CERT_X509_GUID."""
PKCS7 = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
"""EFI_CERT_TYPE_PKCS7_GUID."""
GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
"""EFI_GLOBAL_VARIABLE."""
IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
"""EFI_IMAGE_SECURITY_DATABASE_GUID."""

ATTRIBUTES = 0x27
"""EFI_VARIABLE_NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS,
TIME_BASED_AUTHENTICATED_WRITE_ACCESS."""

# EFI_SIGNATURE_LIST. Offset, size, field:
#     0   16  type of the signatures
#    16    4  the list's size
#    20    4  size of a header, 0 for X.509
#    24    4  size of each signature: owner (16) and certificate
_LIST = struct.Struct("<16sIII")
# EFI_TIME. Offset, size, field:
#     0    2  year
#     2    5  month, day, hour, minute, second, 1 byte each
#     8    4  nanosecond, and behind it time zone (2), daylight saving (1); 0 in a signature
_TIME = struct.Struct("<HBBBBBxIhBx")
# WIN_CERTIFICATE_UEFI_GUID. Offset, size, field:
#     0    4  length, header included
#     4    2  revision 2.0
#     6    2  type: EFI_GUID
#     8   16  type of the data: PKCS #7
_CERTIFICATE = struct.Struct("<IHH16s")
REVISION = 0x0200
EFI_GUID = 0x0EF1


class Variable(NamedTuple):
    """A variable of the firmware by its name and the GUID of who defines it."""

    name: str
    vendor: UUID


PK = Variable("PK", GLOBAL)
KEK = Variable("KEK", GLOBAL)
DB = Variable("db", IMAGE_SECURITY)


def signature_list(certificate: bytes, owner: UUID) -> bytes:
    """EFI_SIGNATURE_LIST of one X.509 certificate in DER, which `owner` enrols."""
    size = 16 + len(certificate)
    return _LIST.pack(X509.bytes_le, _LIST.size + size, 0, size) + owner.bytes_le + certificate


def certificates_of(lists: bytes) -> Iterator[tuple[UUID, bytes]]:
    """Owner and certificate (DER) of each entry of X.509 in signature lists. Raises `ValueError`
    for what is damaged."""
    at = 0
    while at < len(lists):
        if at + _LIST.size > len(lists):
            raise ValueError("a signature list is cut off")
        kind, length, header, size = _LIST.unpack_from(lists, at)
        entries = range(at + _LIST.size + header, at + length, max(size, 1))
        if (
            not entries
            or size <= 16
            or at + length > len(lists)
            or entries[-1] + size > at + length
        ):
            raise ValueError("a signature list is damaged")
        if kind == X509.bytes_le:
            for entry in entries:
                owner = UUID(bytes_le=lists[entry : entry + 16])
                yield owner, lists[entry + 16 : entry + size]
        at += length


def efi_time(time: datetime) -> bytes:
    """EFI_TIME of a time in UTC, in whole seconds."""
    return _TIME.pack(time.year, time.month, time.day, time.hour, time.minute, time.second, 0, 0, 0)


def signed_update(variable: Variable, data: bytes, time: datetime, signer: Certified) -> bytes:
    """EFI_VARIABLE_AUTHENTICATION_2 and `data`: the new contents of `variable`. Firmware takes it
    only if `time` is later than that of the contents which it has."""
    stamp = efi_time(time)
    # 8.2.2: the name without its NUL, then vendor, attributes, time and data.
    signed = (
        variable.name.encode("utf-16-le")
        + variable.vendor.bytes_le
        + struct.pack("<I", ATTRIBUTES)
        + stamp
        + data
    )
    signature = signed_data(signer, signed, None)
    length = _CERTIFICATE.size + len(signature)
    header = _CERTIFICATE.pack(length, REVISION, EFI_GUID, PKCS7.bytes_le)
    return stamp + header + signature + data


def signed_contents(update: bytes) -> bytes:
    """The new contents in what `signed_update` makes. Raises `ValueError` for anything else."""
    start = _TIME.size
    if start + _CERTIFICATE.size > len(update):
        raise ValueError("it is cut off")
    length, revision, kind, content = _CERTIFICATE.unpack_from(update, start)
    if (revision, kind, content) != (REVISION, EFI_GUID, PKCS7.bytes_le):
        raise ValueError("it is no signed update of a variable")
    if length <= _CERTIFICATE.size or start + length >= len(update):
        raise ValueError("it is cut off")
    return update[start + length :]
