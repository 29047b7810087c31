"""Compressing an archive once per content: pieces in, a stored file out.

May touch: the cache that it is handed. The compressors are pinned by name and level: a key names
them both. What undoes them is in `compos.decompressors`.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Literal, Protocol, TypeAlias, cast

from compos.filesystem.deflate import WITH_HEADER, deflater, deflater_identity
from compos.tree.contents import Contents, piece_size
from compos.tree.node import Piece, Slice

__all__ = [
    "COMPRESSIONS",
    "Cache",
    "Compression",
    "already_stored",
    "block_compressor",
    "block_compressor_identity",
    "encoding",
    "identity",
    "stored",
    "zstd_block",
    "zstd_compressed",
]

Compression: TypeAlias = Literal["zstd", "gzip", "none", "max"]
COMPRESSIONS: tuple[Compression, ...] = ("zstd", "gzip", "none", "max")
"""What users choose; `max` is as small as initrds get at bearable time."""

Encoding: TypeAlias = Literal["zstd", "zstd-small", "gzip", "gzip-part", "none", "xz", "xz-x86"]
"""What a stream is; `zstd-small` is that of small systems, with a higher level; a `gzip-part` is
one of several that are joined (`filesystem.gzip_parts`);
`xz-x86` has the filter for that machine's code, which saves a twelfth of it. Filters for others are
too new for many kernels."""

ZSTD_LEVEL = 3
"""0.88 of the size of gzip -6 on a whole system, at ten times its speed (ecosystem survey, section
4)."""

ZSTD_SMALL_LEVEL = 9
"""0.93 of the size, in three times the time: a second of a processor for the largest system that is
small (`output.initrd.SMALL_SYSTEM`)."""

ZSTD_WINDOW = 26
"""Logarithm of the window, bytes. A system's programs have much in common, far apart: against the
usual 2 MiB, 64 MiB save a seventh of containerd with its shim, at the same speed. The kernel takes
up to 2^27 (lib/decompress_unzstd.c), and needs that much memory while it unpacks."""

LARGE = 16 << 20
"""From this size on, a far window is worth its memory; one such at a time."""

XZ_PRESET = 9 | 1 << 31
"""With liblzma's LZMA_PRESET_EXTREME."""

XZ_WINDOW = 25
"""Twice of it saves nothing on systems of 150 MB, and takes 300 MiB of memory more while
compressing."""

ZSTD_BLOCK_LEVEL = 9
"""For blocks of a file system, which are compressed once for their contents and read at every
boot."""

MAGIC = b"compos-1"
_FOOTER = struct.Struct("<Q8s")
"""Behind the bytes in the store, not in the output: their length and a mark, which a cut file has
not."""


_one_large = Lock()


class Cache(Protocol):
    """Where compressed forms are kept, as files below `root`."""

    root: Path

    def stored_name(self, key: str) -> str:
        """The path of the result `key` below `root`."""

    def find(self, key: str) -> Path | None:
        """The finished result `key`, or None."""

    def make(self, key: str) -> AbstractContextManager[Path]:
        """A path to make a result at, which is kept when the block ends well."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def stored(
    cache: Cache, key: str, compression: Encoding, make: Callable[[], Iterable[Piece]]
) -> Slice:
    """The compressed form of `make()`'s pieces, kept as `KEY.COMPRESSION`; `key` must name the
    contents."""
    if found := already_stored(cache, key, compression):
        return found
    name = stored_name(key, compression)
    large = sum(map(piece_size, make())) >= LARGE
    with (
        _one_large if large else nullcontext(),
        cache.make(name) as temporary,
        temporary.open("wb") as out,
        Contents(cache.root) as contents,
    ):
        compressor = _compressor(compression, large=large)
        for chunk in contents.chunks(make()):
            out.write(compressor.compress(chunk))
        out.write(compressor.flush())
        size = out.tell()
        out.write(_FOOTER.pack(size, MAGIC))
    return Slice(cache.stored_name(name), 0, size)


def already_stored(cache: Cache, key: str, compression: Encoding) -> Slice | None:
    """What `stored` has made before, if it is there and whole."""
    name = stored_name(key, compression)
    size = _size(cache.find(name))
    return None if size is None else Slice(cache.stored_name(name), 0, size)


def stored_name(key: str, compression: Encoding) -> str:
    """Under which key `stored` keeps what it makes of the contents `key`."""
    return f"{key}.{identity(compression)}"


def _size(path: Path | None) -> int | None:
    """Length of the stored form, by its footer; None when it is not there or not whole."""
    if path is None:
        return None
    # Without a stream, whose making takes longer than the rest: a system may have 1,000 of these.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = os.fstat(descriptor).st_size - _FOOTER.size
        if end < 0:
            return None
        size, magic = _FOOTER.unpack(os.pread(descriptor, _FOOTER.size, end))
    finally:
        os.close(descriptor)
    return size if magic == MAGIC and size == end else None


def encoding(compression: Compression, architecture: str, *, small: bool = False) -> Encoding:
    """What an initrd for a machine is compressed with, that of a `small` system possibly with
    another level."""
    if compression == "max":
        return "xz-x86" if architecture == "amd64" else "xz"
    if compression == "zstd" and small:
        return "zstd-small"
    return compression


def identity(compression: Encoding) -> str:
    """Which program, version and level give the bytes: part of every key, since other versions give
    other bytes."""
    if compression == "none":
        return compression
    if compression in ("gzip", "gzip-part"):
        return f"{compression}{deflater_identity()}"
    if compression in ("xz", "xz-x86"):
        return f"{compression}{XZ_PRESET}w{XZ_WINDOW}-{_python_version()}"
    return f"zstd{_level(compression)}w{ZSTD_WINDOW}-{_zstd().zstd_version}"


def _level(compression: Encoding) -> int:
    return ZSTD_SMALL_LEVEL if compression == "zstd-small" else ZSTD_LEVEL


def _compressor(compression: Encoding, *, large: bool) -> _Compressor:
    if compression == "none":
        return _Plain()
    if compression == "gzip":
        return deflater(WITH_HEADER)
    if compression == "gzip-part":
        from compos.filesystem.gzip_parts import PartCompressor

        return PartCompressor()
    if compression in ("xz", "xz-x86"):
        return _xz(machine_code=compression == "xz-x86")
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {
        parameter.compression_level: _level(compression),
        parameter.checksum_flag: 1,
    }
    if large:
        # Two workers give the same bytes as one or eight: the frame is cut by size, not by thread.
        # Small ones have none: several are made at a time, and workers have buffers.
        options[parameter.nb_workers] = 2
        options[parameter.enable_long_distance_matching] = 1
        options[parameter.window_log] = ZSTD_WINDOW
    return cast("_Compressor", zstd.ZstdCompressor(options=options))


def _xz(*, machine_code: bool) -> _Compressor:
    import lzma

    filters: list[dict[str, int]] = [{"id": lzma.FILTER_X86}] if machine_code else []
    filters.append({"id": lzma.FILTER_LZMA2, "preset": XZ_PRESET, "dict_size": 1 << XZ_WINDOW})
    return lzma.LZMACompressor(lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


def zstd_compressed(data: bytes) -> bytes:
    """One zstd frame of a block of a disk image."""
    return cast("bytes", _zstd().compress(data, ZSTD_LEVEL))


def zstd_block(data: bytes) -> bytes:
    """One zstd frame of a block of a file system."""
    return cast("bytes", _zstd().compress(data, ZSTD_BLOCK_LEVEL))


def block_compressor(
    name: Literal["zstd", "xz", "gzip"], block_size: int
) -> Callable[[bytes], bytes]:
    """What compresses one block of at most `block_size` bytes by itself, as file systems do."""
    if name == "gzip":
        return partial(zlib.compress, level=9)
    if name == "zstd":
        return partial(_zstd().compress, level=ZSTD_BLOCK_LEVEL)
    import lzma

    # The kernel checks CRC-32 only, and takes no larger dictionary than a block.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": max(block_size, 8192)}]
    return partial(lzma.compress, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


def block_compressor_identity(name: Literal["zstd", "xz", "gzip"]) -> str:
    """Which program, version and level `block_compressor` is: part of every key of what it
    makes."""
    if name == "gzip":
        return f"zlib-{zlib.ZLIB_RUNTIME_VERSION}"
    if name == "zstd":
        return f"zstd{ZSTD_BLOCK_LEVEL}-{_zstd().zstd_version}"
    return f"xz-{_python_version()}"


def _python_version() -> str:
    """liblzma does not tell its own through Python."""
    import sys

    return sys.version.split()[0]


def _zstd() -> ModuleType:
    from compos.zstd import zstd

    return zstd
