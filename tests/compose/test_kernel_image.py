"""Kernels out of every container and compression, made by the tools that the kernel's own build
calls."""

from __future__ import annotations

import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.compose.kernel_image import KernelImageError, plain_kernel
from compos.compose.lz import LzError, lz4_legacy, lzop

pytestmark = pytest.mark.slow

TOOLS = {
    # scripts/Makefile.lib: cmd_gzip, cmd_bzip2, cmd_lzma, cmd_xzmisc, cmd_lzo, cmd_lz4, cmd_zstd22
    "gzip": ["gzip", "-n", "-c", "-9"],
    "bzip2": ["bzip2", "-c", "-9"],
    "lzma": ["xz", "--format=lzma", "-c", "-9"],
    "xz": ["xz", "--check=crc32", "--lzma2=", "-c"],
    "lzo": ["lzop", "-9", "-c"],
    "lzo fast": ["lzop", "-1", "-c"],
    "lz4": ["lz4", "-l", "-9", "-c"],
    "lz4 fast": ["lz4", "-l", "-1", "-c"],
    "zstd": ["zstd", "-q", "-19", "--ultra", "--long=27", "-c"],
}


def packed(tool: str, data: bytes) -> bytes:
    return subprocess.run(TOOLS[tool], input=data, check=True, capture_output=True).stdout


def kernel(size: int = 300_000, seed: int = 1) -> bytes:
    """Something that looks like an ELF file: parts that repeat near and far, and parts that do
    not."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(1, 40)) for _ in range(50)]
    body = bytearray(b"\x7fELF")
    while len(body) < size:
        body += (
            source.choice(words)
            if source.random() < 0.8
            else source.randbytes(source.randrange(300))
        )
        if source.random() < 0.02:
            body += bytes(source.randrange(5000))
    return bytes(body[:size])


def bzimage(payload: bytes, *, setup: int = 3, protocol: int = 0x20F) -> bytes:
    header = bytearray((setup + 1) * 512)
    header[0x1F1] = setup
    header[0x1FE:0x200] = b"\x55\xaa"
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x206, protocol)
    struct.pack_into("<II", header, 0x248, 64, len(payload))
    return bytes(header) + bytes(64) + payload + b"after"


def zboot(payload: bytes) -> bytes:
    return (
        struct.pack("<4s4sII8x32s", b"MZ\0\0", b"zimg", 56, len(payload), b"zstd")
        + payload
        + b"after"
    )


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("container", ["bzImage", "zboot", "none"])
def test_every_compression_in_every_container(tool: str, container: str) -> None:
    plain = kernel()
    payload = packed(tool, plain)
    if container != "none":
        payload += struct.pack("<I", len(plain))
    wrap: dict[str, Callable[[bytes], bytes]] = {"bzImage": bzimage, "zboot": zboot, "none": bytes}
    image = wrap[container](payload)
    assert plain_kernel(image) == plain


@pytest.mark.parametrize(("tool", "size"), [("lz4", 17 << 20), ("lzo", 3 << 20)])
def test_several_blocks(tool: str, size: int) -> None:
    """Of 8 MiB and of 256 KiB."""
    plain = kernel(1 << 20) * (size >> 20) + b"end"
    assert plain_kernel(packed(tool, plain)) == plain


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 3000)), max_size=12))
def test_lz_decoders_on_any_data(parts: list[tuple[bytes, int]]) -> None:
    data = b"".join(piece * times for piece, times in parts)
    assert lz4_legacy(packed("lz4", data), 1 << 24) == data
    if data:
        assert lzop(packed("lzo", data), 1 << 24) == data


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["lz4", "lzo"]))
def test_damaged_data_is_refused_or_read(seed: int, tool: str) -> None:
    source = random.Random(seed)
    data = bytearray(small(tool))
    for _ in range(source.randrange(1, 5)):
        data[source.randrange(len(data))] = source.randrange(256)
    del data[source.randrange(len(data)) :]
    with suppress(LzError):
        (lz4_legacy if tool == "lz4" else lzop)(bytes(data), 1 << 20)


@cache
def small(tool: str) -> bytes:
    return packed(tool, kernel(5000))


@pytest.mark.parametrize(
    ("offset", "magic"), [(0, b"\x7fELF"), (0x38, b"ARM\x64"), (0x38, b"RSC\x05")]
)
def test_plain_kernels_stay(offset: int, magic: bytes) -> None:
    data = bytes(offset) + magic + bytes(100)
    assert plain_kernel(data) == data


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "not a kernel"),
        (bytes(4096), "not a kernel"),
        (bzimage(b"unknown"), "unknown"),
        (bzimage(b""), "beyond"),
        (bzimage(b"x" * 10, protocol=0x207), "protocol 2.07"),
        (bzimage(zlib.compress(bytes(99), wbits=31))[:2100], "beyond"),
        (bzimage(zlib.compress(kernel(), wbits=31)[:-5000]), "damaged"),
        (lambda: zboot(packed("zstd", kernel())[:-9]), "damaged"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 50, "damaged"),
        (b"\xfd7zXZ\x00" + b"\xff" * 50, "damaged"),
        (b"\x5d\x00\x00\xff\xff" + b"\xff" * 50, "damaged"),
        (lambda: zboot(packed("xz", kernel())[:-900]), "damaged"),
    ],
)
def test_what_cannot_be_unpacked(image: bytes | Callable[[], bytes], reason: str) -> None:
    with pytest.raises(KernelImageError, match=reason):
        plain_kernel(image() if callable(image) else image)
