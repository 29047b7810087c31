"""Authenticode: the signature in a UEFI program, which firmware with Secure Boot checks against its
`db`. Pure.

Sources: Microsoft, "Windows Authenticode Portable Executable Signature Format" (cited by its
headings) and "PE Format" ("Attribute Certificate Table"); UEFI specification 2.10, 32.2.4 and
32.4.1.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from compos.arithmetic import align_up
from compos.boot.der import context, identifier, octets, sequence, value
from compos.boot.pkcs7 import SHA256, Certified, content_info, signed_data
from compos.boot.uki import Uki
from compos.errors import OutputError
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = ["has_signature", "image_digest", "signature", "signed"]

INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
PE_IMAGE = "1.3.6.1.4.1.311.2.1.15"

BIT_STRING = 0x03

# "PE Format", Optional Header of PE32+, offsets from its beginning.
CHECKSUM = 64
DIRECTORIES = 108
"""Number of data directories."""
CERTIFICATES = 4
"""Which of them is the certificate table's: its offset in the file, and its size."""
CERTIFICATE_TABLE = 112 + 8 * CERTIFICATES

COFF_SIZE = 24
"""Bytes of "Signature" and "COFF File Header"."""

# WIN_CERTIFICATE. Offset, size, field:
#     0    4  length, header and padding included
#     4    2  revision 2.0
#     6    2  type: PKCS #7 signed data
_CERTIFICATE = struct.Struct("<IHH")
REVISION = 0x0200
PKCS_SIGNED_DATA = 0x0002
ALIGNMENT = 8

CHUNK = 1 << 20
MAX_HEADERS = 64 << 10


def signature(
    uki: Uki, signer: Certified, read: Callable[[Sequence[Piece]], Iterable[bytes]]
) -> bytes:
    """The certificate table of a program whose sections follow each other without gaps. `read`
    gives the contents of pieces in chunks. Raises `OutputError` (`uki-stub`)."""
    head = uki.head
    checksum, table = _places(head)
    # "Calculating the PE Image Hash": neither the checksum nor the place of the signature.
    hasher = hashlib.sha256(head[:checksum])
    hasher.update(head[checksum + 4 : table])
    hasher.update(head[table + 8 :])
    for chunk in read(uki.body):
        hasher.update(chunk)
    hasher.update(_padding(uki))
    made = content_info(_statement(signer, hasher.digest()))
    length = align_up(_CERTIFICATE.size + len(made), ALIGNMENT)
    return (_CERTIFICATE.pack(length, REVISION, PKCS_SIGNED_DATA) + made).ljust(length, b"\0")


def image_digest(image: BinaryIO) -> bytes:
    """The hash of a program in a file, whether it is signed or not, whose sections follow each
    other without gaps. Raises `OutputError` (`uki-stub`) for a program without data directories."""
    image.seek(0)
    head = image.read(MAX_HEADERS)
    checksum, table = _places(head)
    (end,) = struct.unpack_from("<I", head, table)
    hasher = hashlib.sha256(head[:checksum])
    hasher.update(head[checksum + 4 : table])
    image.seek(table + 8)
    left = end - table - 8 if end else None
    while chunk := image.read(CHUNK if left is None else min(CHUNK, left)):
        hasher.update(chunk)
        left = None if left is None else left - len(chunk)
    return hasher.digest()


def has_signature(image: BinaryIO) -> bool:
    """Whether a program in a file has a certificate table; not whether it is good. Raises as
    `image_digest` does."""
    image.seek(0)
    head = image.read(MAX_HEADERS)
    _, table = _places(head)
    return any(head[table : table + 8])


def signed(uki: Uki, certificates: Sequence[Piece]) -> Uki:
    """The program with its certificate table behind it."""
    padding = _padding(uki)
    _, table = _places(uki.head)
    start = len(uki.head) + sum(map(piece_size, uki.body)) + len(padding)
    head = bytearray(uki.head)
    struct.pack_into("<II", head, table, start, sum(map(piece_size, certificates)))
    return Uki(bytes(head), [*uki.body, padding, *certificates], uki.starts)


def _places(head: bytes) -> tuple[int, int]:
    """Where the headers have the checksum, and where the entry of the certificate table."""
    (pe,) = struct.unpack_from("<I", head, 60)
    optional = pe + COFF_SIZE
    (count,) = struct.unpack_from("<I", head, optional + DIRECTORIES)
    if count <= CERTIFICATES:
        raise OutputError(
            "uki-stub",
            "the UEFI stub has no place for a signature",
            hint="Rebuild its brick with compos pkg build.",
        )
    return optional + CHECKSUM, optional + CERTIFICATE_TABLE


def _padding(uki: Uki) -> bytes:
    """What is between the program and a certificate table."""
    return bytes(-(len(uki.head) + sum(map(piece_size, uki.body))) % ALIGNMENT)


def _statement(signer: Certified, digest: bytes) -> bytes:
    """SpcIndirectDataContent about `digest`, signed."""
    # SpcPeImageData: no flags, and an SpcLink to a file whose name is an empty string.
    link = context(0, context(2, b"\x80\x00"))
    image = sequence(identifier(PE_IMAGE), sequence(value(BIT_STRING, b"\0"), link))
    contents = image + sequence(SHA256, octets(digest))
    return signed_data(signer, contents, (INDIRECT_DATA, sequence(contents)))
