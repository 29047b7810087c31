"""Parts that are compressed apart, against gzip(1) and zlib."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from compos.filesystem import deflate
from compos.filesystem.compress import identity, stored
from compos.filesystem.gzip_parts import CHUNK, combined, joined
from compos.image.derived import KindOfResults
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree.contents import Contents

SIZES = (0, 1, 32 << 10, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)


@pytest.fixture(params=["as installed", "without zlib-ng"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Not every machine has a wheel of zlib-ng."""
    if request.param == "without zlib-ng":
        # What is None there cannot be imported.
        monkeypatch.setitem(sys.modules, "zlib_ng", None)
    deflate._program.cache_clear()
    yield str(request.param)
    deflate._program.cache_clear()


def text(size: int, seed: int) -> bytes:
    source = random.Random(seed)
    return b"".join(
        b"line %d of the text\n" % source.randrange(5000) for _ in range(size // 20 + 1)
    )[:size]


@pytest.mark.parametrize("size", SIZES)
def test_a_checksum_of_joined_bytes(size: int) -> None:
    one, other = text(1000, 1), text(size, 2)
    assert combined(zlib.crc32(one), zlib.crc32(other), len(other)) == zlib.crc32(one + other)


def test_one_stream_of_parts(tmp_path: Path, program: str) -> None:
    store = Store(tmp_path / "store")
    bodies = [text(size, seed) for seed, size in enumerate(SIZES)]
    parts = [
        stored(
            KindOfResults(store, DerivedKind.SEGMENT), f"{seed}", "gzip-part", partial(list, [body])
        )
        for seed, body in enumerate(bodies)
    ]
    whole = b"".join(bodies) + b"the end"
    with Contents(store.root) as contents:
        made = b"".join(contents.chunks(joined(contents, parts, b"the end")))
    (tmp_path / "whole.gz").write_bytes(made)
    subprocess.run(["gzip", "-t", tmp_path / "whole.gz"], check=True)
    assert (
        subprocess.run(
            ["gzip", "-dc", tmp_path / "whole.gz"], capture_output=True, check=True
        ).stdout
        == whole
    )
    one = zlib.decompressobj(31)
    assert one.decompress(made) == whole
    assert one.eof
    assert not one.unused_data, "one member, as kernels want it"
    assert len(made) < len(gzip.compress(whole, 6)) * 1.1


def test_keys_say_which_program_it_was(program: str) -> None:
    without = f"6-{zlib.ZLIB_RUNTIME_VERSION}"
    for encoding in ("gzip", "gzip-part"):
        made = identity(encoding).removeprefix(encoding)
        assert (made == without) == (deflate._program() is zlib)
    assert program == "as installed" or deflate._program() is zlib


def test_a_part_is_the_same_whoever_compresses_it(tmp_path: Path, program: str) -> None:
    body = text(4 * CHUNK + 77, 9)
    made = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        part = stored(KindOfResults(store, DerivedKind.SEGMENT), "k", "gzip-part", lambda: [body])
        made.append((store.root / part.source).read_bytes())
    assert made[0] == made[1]


def test_no_parts_are_an_empty_stream(tmp_path: Path) -> None:
    with Contents(tmp_path) as contents:
        assert gzip.decompress(b"".join(contents.chunks(joined(contents, [], b"")))) == b""
