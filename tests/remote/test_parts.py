"""The pieces of a remote cache by themselves: parts of files, lists, pace, compressed results,
keys."""

from __future__ import annotations

import random
import stat
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from compos.cli.main import cli
from compos.errors import CacheError
from compos.image.digest import digest_of
from compos.remote.listing import Entry, signed, verified
from compos.remote.pace import LEAST, PATIENCE, Pace
from compos.remote.pull import _decompress
from compos.tree.contents import Contents
from compos.tree.partial import (
    Part,
    PartialFile,
    merged,
    partial_key,
    save_parts,
    source_of,
)
from compos.trust.keys import PrivateKey
from compos.zstd import zstd
from tests.trust.pairs import key_pair, require_cryptography

SIZE = 50_000
RANGES = st.tuples(st.integers(0, SIZE - 1), st.integers(0, 9_000)).map(
    lambda pair: Part(pair[0], min(pair[1], SIZE - pair[0]))
)


@pytest.mark.slow
@given(wanted=st.lists(RANGES, max_size=20), asked=RANGES)
def test_a_partial_file_has_what_it_says(
    wanted: list[Part], asked: Part, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    data = random.Random(0).randbytes(SIZE)
    (folder / "whole").write_bytes(data)
    with Contents(folder) as contents:
        save_parts(folder / "parts", contents, "whole", merged(wanted))
    found = PartialFile.read(folder / "parts")
    assert found is not None
    assert found.covers(part for part in wanted if part.size)
    place = found.place(*asked)
    if place is not None:
        there = (folder / "parts").read_bytes()[place : place + asked.size]
        assert there == data[asked.offset : asked.offset + asked.size]
    else:
        assert not any(
            part.offset <= asked.offset and asked.offset + asked.size <= part.offset + part.size
            for part in wanted
            if part.size
        )


@pytest.mark.parametrize(
    "harm", [b"", b"x", b"compos-partial 1\n", b"compos-partial 1\n" + b"\xff" * 8]
)
def test_other_files_are_no_partial_files(tmp_path: Path, harm: bytes) -> None:
    (tmp_path / "file").write_bytes(harm)
    assert PartialFile.read(tmp_path / "file") is None


@pytest.mark.parametrize("cut", [1, 20])
def test_a_partial_file_that_was_cut_is_none(tmp_path: Path, cut: int) -> None:
    (tmp_path / "whole").write_bytes(bytes(SIZE))
    with Contents(tmp_path) as contents:
        save_parts(tmp_path / "parts", contents, "whole", [Part(3, 10), Part(30_000, 10)])
    (tmp_path / "parts").write_bytes((tmp_path / "parts").read_bytes()[:-cut])
    assert PartialFile.read(tmp_path / "parts") is None


@pytest.mark.parametrize("source", ["blobs/sha256/" + "0" * 64, "derived/layer/sha256-00.tar"])
def test_the_key_of_a_partial_file_names_the_file(source: str) -> None:
    assert source_of(partial_key(source, [Part(1, 2)])) == source
    assert partial_key(source, [Part(1, 2)]) != partial_key(source, [Part(1, 3)])


def entry(name: str, used: int) -> Entry:
    made = Entry.make(name, digest_of(name.encode()), 5, 5, zstd=False)
    return made._replace(used=used)


def test_a_list_has_only_what_is_shared(tmp_path: Path) -> None:
    require_cryptography()
    key = PrivateKey.read(key_pair(tmp_path, "ED25519")[0])
    now = int(time.time())
    names = [
        "derived/segment/00.zstd3",
        "blobs/sha256/" + "0" * 64,
        "derived/output/written",
        "derived/segment/../../index.json",
        "derived/host/00",
        "seals",
    ]
    found = verified(signed([entry(name, now) for name in names], key), key.public, now)
    assert {*found} == {*names[:2]}


def test_a_slow_cache_is_left_alone() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        pace.advance(LEAST + 1)
    now[0] += PATIENCE + 1
    pace.begin()
    now[0] += PATIENCE - 1
    pace.advance(1)
    now[0] += 2
    with pytest.raises(CacheError, match="less than"):
        pace.advance(1)


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (zstd.compress(bytes(10 << 20)), 1000),
        (zstd.compress(bytes(10)), 1000),
        (zstd.compress(bytes(1000))[:-3], 1000),
        (b"no zstd at all", 14),
        (b"", 0),
    ],
)
def test_what_is_not_as_long_as_it_should_be(tmp_path: Path, data: bytes, length: int) -> None:
    blob, out = tmp_path / "blob", tmp_path / "out"
    blob.write_bytes(data)
    made = Entry.make("derived/tree/x", digest_of(data), len(data), length, zstd=True)
    with pytest.raises(CacheError):
        _decompress(blob, out, made)
    assert out.stat().st_size <= 2 << 20


def test_the_key_verb(tmp_path: Path) -> None:
    """openssl takes what it makes; an existing file stays as it is."""
    require_cryptography()
    path = tmp_path / "cache.key"
    done = CliRunner().invoke(cli, ["cache", "key", str(path)])
    assert done.exit_code == 0
    assert done.output == f"{path}.pub\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    derive = ["openssl", "pkey", "-in", str(path), "-pubout"]
    derived = subprocess.run(derive, check=True, capture_output=True).stdout
    assert derived == Path(f"{path}.pub").read_bytes()
    before = path.read_bytes()
    again = CliRunner().invoke(cli, ["cache", "key", str(path)])
    assert again.exit_code == 1
    assert path.read_bytes() == before
