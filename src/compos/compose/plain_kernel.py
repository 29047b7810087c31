"""The kernel without its compression, unpacked once for its contents: for `--decompress-kernel` and
for formats whose loaders decompress nothing.

May touch: the store (`derived/kernel`: decompressed kernels).
"""

from __future__ import annotations

import hashlib

from compos.compose.kernel_image import plain_kernel
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.progress import task
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice

__all__ = ["stored_plain_kernel"]

KIND = DerivedKind.KERNEL


def stored_plain_kernel(store: Store, kernel: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """`kernel` uncompressed; itself when it is plain, so that nothing is stored twice.

    Raises `KernelImageError`.
    """
    # Equal slices have equal bytes: their names are made of digests.
    key = f"{hashlib.sha256(repr(kernel).encode()).hexdigest()[:32]}-v{KIND.version}"
    if (made := store.derived(KIND, key)) is not None:
        size = made.stat().st_size
    else:
        with task("decompress the kernel"), Contents(store.root) as contents:
            data = b"".join(contents.chunks(kernel))
            plain = plain_kernel(data)
        if plain is data:
            return kernel
        with store.derive(KIND, key) as path:
            path.write_bytes(plain)
        size = len(plain)
    return (Slice(KIND.stored_name(key), 0, size),)
