"""RAUC's bundle in the format "verity": what stands around its squashfs. Pure.

The file is a squashfs with the images, the hash tree over it (without a superblock), the manifest
as CMS signed data, and the length of that. The manifest has the tree's root hash, so the signature
covers everything; a machine checks it before it reads any of the rest, and each block of the rest
when it reads it, over the network too.

Sources: RAUC's reference manual, "Manifest" and "Bundle Formats"; RFC 5652, section 5.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

from compos.boot.der import octets
from compos.boot.pkcs7 import DATA, Certified, content_info, signed_data
from compos.config.model import Update
from compos.config.update_keys import common_terms
from compos.filesystem.verity import BLOCK, Verity

__all__ = [
    "INDEX_SUFFIX",
    "SlotImage",
    "block_hash_index",
    "bundle_version",
    "manifest",
    "signed_manifest",
    "terms",
]

INDEX_SUFFIX = ".block-hash-index"
"""What RAUC adds to an image's name for the file with the digests of its blocks."""

MAX_SIGNATURE = 64 << 10
"""Bytes of the signed manifest, RAUC's own limit."""

_MANIFEST_VERSION = re.compile(rb"\[update\]\ncompatible=[!-~]+\nversion=([0-9A-Za-z.+-]{1,64})\n")

# The end of a bundle: bytes of the signed manifest in front of it.
_LENGTH = struct.Struct(">Q")


class SlotImage(NamedTuple):
    """An image for the slots of a class: its file in the bundle, its size in bytes, which is a
    multiple of 4096, and its SHA-256 in hexadecimal."""

    slot_class: str
    filename: str
    size: int
    digest: str


def manifest(update: Update, build: str, images: Sequence[SlotImage], payload: Verity) -> bytes:
    """The text that is signed; `payload` is the tree over the squashfs."""
    sections: list[tuple[str, dict[str, str]]] = [
        (
            "update",
            {"compatible": update.compatible, "version": update.version, "build": build},
        ),
        (
            "bundle",
            {
                "format": "verity",
                "verity-hash": payload.root.hex(),
                "verity-salt": payload.salt.hex(),
                "verity-size": str(len(payload.data) - BLOCK),
            },
        ),
    ]
    for image in images:
        fields = {"sha256": image.digest, "size": str(image.size), "filename": image.filename}
        fields["adaptive"] = "block-hash-index"
        sections.append((f"image.{image.slot_class}", fields))
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in fields.items())
        for name, fields in sections
    ).encode("ascii")


def terms(update: Update) -> bytes:
    """A file of the payload for machines' own check (bricks/update): handlers of RAUC 1.13 are told
    of the manifest no more than where the payload is mounted."""
    lines = common_terms(update)
    if update.downgrade:
        lines.append("downgrade\tyes")
    if update.data and update.data.one_way:
        lines.append("one-way\tyes")
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def signed_manifest(text: bytes, signer: Certified) -> bytes:
    """The bundle's end: `text` as CMS signed data, in which it is enclosed, and its length. It has
    no time, so that the same key makes the same bytes of it."""
    made = content_info(signed_data(signer, text, (DATA, octets(text))))
    return made + _LENGTH.pack(len(made))


def bundle_version(stream: BinaryIO) -> str:
    """The version of a bundle as it stands there: its signature is not checked. Raises `ValueError`
    for what is no bundle of ours."""
    end = stream.seek(0, os.SEEK_END)
    if end < _LENGTH.size:
        raise ValueError("it is too short")
    stream.seek(end - _LENGTH.size)
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    if not 0 < length <= min(MAX_SIGNATURE, end - _LENGTH.size):
        raise ValueError("it does not end in a signature")
    stream.seek(end - _LENGTH.size - length)
    # What is signed stands in one piece in the DER of the signature.
    found = _MANIFEST_VERSION.search(stream.read(length))
    if found is None:
        raise ValueError("its manifest has no version")
    return found[1].decode("ascii")


def block_hash_index(chunks: Iterable[bytes]) -> bytes:
    """The digests (SHA-256, 32 bytes) of all blocks of 4096 bytes of an image. Raises `ValueError`
    for one that ends in the middle of a block, which RAUC does not take."""
    digests = bytearray()
    rest = b""
    for chunk in chunks:
        view = memoryview(rest + chunk if rest else chunk)
        whole = len(view) - len(view) % BLOCK
        for at in range(0, whole, BLOCK):
            digests += hashlib.sha256(view[at : at + BLOCK]).digest()
        rest = bytes(view[whole:])
    if rest:
        raise ValueError("not whole blocks")
    return bytes(digests)
