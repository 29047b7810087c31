"""`update`: the system as a bundle that RAUC installs into the slot which is not running.

May touch: the store (`SQUASHFS`, and what other formats keep).

It has the same bytes as a slot on the disk of a new machine (docs/update-bundles.md), an image for
each of its partitions: the boot partition with the UKI, and the root with its hash tree. Each image
has the digests of its blocks beside it, by which a machine fetches only the blocks that it has not
got.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from compos.errors import OutputError
from compos.filesystem.compress import block_compressor_identity
from compos.filesystem.verity import BLOCK, Verity, hash_tree
from compos.image.derived_kinds import DerivedKind
from compos.output.boot_files import slot_partition
from compos.output.cached import cached_file
from compos.output.job import Job, identity
from compos.output.payload import finder_initrd, payload
from compos.output.rauc import (
    INDEX_SUFFIX,
    SlotImage,
    block_hash_index,
    manifest,
    signed_manifest,
    terms,
)
from compos.output.slots import require_encryptable
from compos.output.write import Output
from compos.tree.contents import Contents, file_of
from compos.tree.node import EPOCH, Node, Piece, Slice, directory, file
from compos.tree.packed import total_size
from compos.trust.later import SignatureAwaited

__all__ = ["bundle"]

TERMS = "terms"

BLOCK_SIZE = 16 << 10
"""Bytes that the payload compresses together. Who fetches one block of an image fetches as much."""


class _Part(NamedTuple):
    """What goes into a class of slots."""

    slot_class: str
    filename: str
    content: Sequence[Piece]


def bundle(job: Job) -> list[Output]:
    """`.raucb`. Raises `OutputError` (`update-unnamed`, `update-keys`), and what its parts
    raise."""
    update, keys = job.request.update, job.request.keys
    if update is None:
        raise OutputError(
            "update-unnamed",
            "the YAML does not say what updates of the system are called",
            hint="Add `update: {compatible: NAME, version: 1.0.0}` (docs/update-bundles.md).",
        )
    if keys is None or keys.update is None:
        raise OutputError(
            "update-keys",
            "an update must be signed, and there is no key for it",
            hint="Make a set of keys once with `compos keys new keys`, and build with --keys keys.",
        )
    parts = _parts(job)
    if keys.later and keys.later.awaited:
        # Nobody is asked to sign an update of programs that are not signed yet.
        return [Output(".raucb", ())]
    images, nodes = _contents(job, parts)
    nodes[TERMS] = file(terms(update), 0o644, EPOCH)
    payload_file = _squashfs(job, parts, nodes)
    tree = _hash_tree(job, payload_file)
    build = identity("update", tuple((one.slot_class, one.digest) for one in images))
    text = manifest(update, str(build), images, tree)
    try:
        end = signed_manifest(text, keys.update)
    except SignatureAwaited:
        # `BootKeys.later` has counted it, and no output is written.
        end = b""
    return [Output(".raucb", (payload_file, tree.data[BLOCK:], end))]


def _parts(job: Job) -> list[_Part]:
    """The two partitions of a slot; one, where the root is in the UKI."""
    made = payload(job)
    require_encryptable(job, made)
    parts = []
    if root := made.root:
        # A partition of a slot begins with the root, and its hash tree is behind it.
        made = made._replace(initrd=finder_initrd(job, root, (0, 0)))
        parts.append(_Part("system", "system.img", tuple(root.pieces)))
    _, boot = slot_partition(job, made, bios=False, uefi=True)
    # The digests are of whole blocks.
    return [_Part("boot", "boot.img", (*boot, bytes(-total_size(boot) % BLOCK))), *parts]


def _contents(job: Job, parts: Sequence[_Part]) -> tuple[list[SlotImage], dict[str, Node]]:
    """The images as the manifest has them, and the files of the payload."""
    images = []
    nodes = {"": directory(0o755, EPOCH)}
    with Contents(job.store.root) as contents:
        for part in parts:
            hasher = hashlib.sha256()
            index = block_hash_index(_hashed(contents.chunks(part.content), hasher.update))
            size = total_size(part.content)
            images.append(SlotImage(part.slot_class, part.filename, size, hasher.hexdigest()))
            nodes[part.filename] = file_of(part.content, 0o644, EPOCH)
            nodes[part.filename + INDEX_SUFFIX] = file(index, 0o644, EPOCH)
    return images, nodes


def _hashed(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _squashfs(job: Job, parts: Sequence[_Part], nodes: Mapping[str, Node]) -> Slice:
    """The payload, made once for its contents."""
    from compos.filesystem.squashfs import write_squashfs

    entries = sorted(nodes.items())
    return cached_file(
        job.store,
        DerivedKind.SQUASHFS,
        f"{block_compressor_identity('zstd')} {BLOCK_SIZE}",
        tuple(entries),
        lambda contents, out: write_squashfs(entries, contents, out, block_size=BLOCK_SIZE),
        (piece for part in parts for piece in part.content),
    )


def _hash_tree(job: Job, payload_file: Slice) -> Verity:
    """The tree over the payload, with a salt that follows from it."""
    with Contents(job.store.root) as contents:
        salt = bytes.fromhex(contents.digest((payload_file,)))
        return hash_tree(contents.chunks((payload_file,)), salt=salt, uuid=bytes(16))
