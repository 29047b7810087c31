"""What undoes each compression: one decompressor for one stream, with the library that is best at
it, a bound of memory, and one error for damage. Pure.

Its users differ in what they make of it: `tree.decompress` writes layers, stream after stream,
within bounds; `compose.kernel_image` holds kernels and modules in memory;
`package.debian.compressed` reads packages as files. Archives of images are tarfile's, which reads
them back and forth. What compresses is `filesystem.compress`, and `disk` where a container wants
deflate with a window or level of its own.
"""

from __future__ import annotations

from typing import Protocol, cast

__all__ = ["Damaged", "Decompressor", "bzip2", "gzip", "xz", "zstd"]

MAX_MEMORY = 256 << 20
"""Bytes that decompressing may need. `xz -9` needs 65 MiB (xz(1)), the kernel's build uses
dictionaries of up to 64 MiB, and a header can ask for 4 GiB. zstd refuses windows beyond 128 MiB by
itself (RFC 8878, section 3.1.1.1.2, recommends 8 MiB; the kernel's build allows 128)."""

_GZIP_HEADER = 31
"""zlib.h, windowBits: gzip's header around deflate's stream."""


class Damaged(ValueError):
    """The stream is not what its compression makes, or wants more memory than it may have."""


class Decompressor(Protocol):
    """One stream: a member of gzip, a frame of zstd, an .xz stream."""

    @property
    def eof(self) -> bool:
        """Whether the stream's end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more to come without more input."""

    @property
    def unused_data(self) -> bytes:
        """What followed the stream in the last input."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """The next up to `max_length` bytes, of `data` and what was left of earlier input. Raises
        `Damaged`."""


def gzip() -> Decompressor:
    """RFC 1952, by ISA-L where it is: 1.9 times as fast as zlib (60 MB of shared libraries)."""
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this machine
        import zlib

        return _Reported(_ZlibInput(zlib.decompressobj(_GZIP_HEADER)), zlib.error)
    # Its types call the error an instance.
    error = cast("type[Exception]", isal_zlib.error)
    return _Reported(_ZlibInput(isal_zlib.decompressobj(_GZIP_HEADER)), error)


def zstd() -> Decompressor:
    """RFC 8878; a skippable frame is a stream of no bytes."""
    from compos.zstd import zstd as library

    return _Reported(library.ZstdDecompressor(), library.ZstdError)


def xz(*, alone: bool = False) -> Decompressor:
    """The .xz file format; with `alone` the older .lzma, too."""
    import lzma

    form = lzma.FORMAT_AUTO if alone else lzma.FORMAT_XZ
    return _Reported(lzma.LZMADecompressor(form, MAX_MEMORY), lzma.LZMAError)


def bzip2() -> Decompressor:
    """bzip2(1)."""
    import bz2

    return _Reported(bz2.BZ2Decompressor(), OSError)


class _Reported:
    """A library's decompressor whose error is `Damaged`."""

    def __init__(self, library: Decompressor, error: type[Exception]) -> None:
        self._library = library
        self._error = error

    @property
    def eof(self) -> bool:
        return self._library.eof

    @property
    def needs_input(self) -> bool:
        return self._library.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._library.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        try:
            return self._library.decompress(data, max_length)
        except self._error as error:
            raise Damaged(str(error)) from error


class _ZlibObject(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _ZlibInput:
    """zlib's decompressobj. It hands back the input that it has not used: kept here, as the other
    libraries do."""

    def __init__(self, library: _ZlibObject) -> None:
        self._library = library
        self._full = False
        """Whether the last output was as long as it might be: zlib may hold more of it back, with
        no input left that would say so."""

    @property
    def eof(self) -> bool:
        return self._library.eof

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._library.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._library.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        left = self._library.unconsumed_tail
        made = self._library.decompress(left + data if left else data, max_length)
        self._full = len(made) == max_length
        return made
