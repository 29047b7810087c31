"""One blob at a time: a writer that hashes what it is given, a reader that verifies what it gives.

May touch: the files it is handed. SHA-256 drops the interpreter's lock for pieces over 2 KiB, so
threads overlap.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from compos.errors import ImageError, WrongContent
from compos.image.digest import EMPTY, Digest
from compos.image.model import Descriptor
from compos.image.staging import disk_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["BlobReader", "BlobWriter"]


class BlobWriter:
    """Takes a blob piece by piece; `commit` verifies it and gives it its place in the store.

    Made by `Store.writer`, which removes the staged file when the block ends without a commit.
    """

    def __init__(
        self, stream: BinaryIO, staged: Path, *, root: Path, keep: Callable[[Path, str], None]
    ) -> None:
        self._stream = stream
        self._staged = staged
        self._root = root
        self._keep = keep
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append `data`; raises `ImageError` (`store-full`, ...)."""
        with disk_errors(self._root):
            self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        """The digest of what was written until now."""
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def commit(
        self, media_type: str, expected_digest: str | None = None, expected_size: int | None = None
    ) -> Descriptor:
        """Put the blob into the store and describe it.

        Raises `ImageError` (`download-truncated`, `digest-mismatch`) when it is not the expected
        one.
        """
        if expected_size is not None and self.size != expected_size:
            short = self.size < expected_size
            raise (ImageError if short else WrongContent)(
                "download-truncated" if short else "digest-mismatch",
                f"the registry sent {self.size} bytes instead of {expected_size}",
                place=expected_digest,
                hint="Try again; if it happens again, the blob in the registry is damaged.",
            )
        digest = self.digest
        if expected_digest is not None and digest != expected_digest:
            raise WrongContent(
                "digest-mismatch",
                f"the registry sent content with the digest {digest}",
                place=expected_digest,
                hint="Try again; if it happens again, the registry or a proxy alters the blob.",
            )
        with disk_errors(self._root):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._keep(self._staged, digest)
        return Descriptor(media_type, digest, self.size)


class BlobReader(io.RawIOBase):
    """A blob's bytes in order, verified: the last of them are given only when size and digest are
    right.

    `damaged` makes (and may act on) the error that is raised when they are not. Read to the end to
    have the whole blob verified.
    """

    def __init__(
        self, path: Path, descriptor: Descriptor, damaged: Callable[[str], ImageError]
    ) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._damaged = damaged
        self._hash = hashlib.sha256()
        self._left = descriptor.size
        self._stream = path.open("rb", buffering=0)
        actual = os.fstat(self._stream.fileno()).st_size
        if actual != descriptor.size:
            self._stream.close()
            raise damaged(f"it has {actual} bytes instead of {descriptor.size}")
        if not actual and descriptor.digest != EMPTY:
            # Nobody reads a last byte, in whose place the error would be raised.
            self._stream.close()
            raise damaged("it is empty, but its digest is not that of an empty file")

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer`; raises `ImageError` (`store-corrupt`) in place of the last bytes of a
        damaged blob."""
        if not self._left:
            return 0
        view = memoryview(buffer).cast("B")[: self._left]
        count = self._stream.readinto(view) or 0
        self._hash.update(view[:count])
        self._left -= count
        if not count:
            raise self._damaged("it became shorter while it was read")
        if not self._left and f"sha256:{self._hash.hexdigest()}" != self._descriptor.digest:
            raise self._damaged("its content does not match its digest")
        return count

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_stream"):
            self._stream.close()
        super().close()
