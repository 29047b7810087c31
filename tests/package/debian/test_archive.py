"""Package files: several at once, verified; opened whatever their compression, refused when
damaged."""

from __future__ import annotations

import gzip
import io
import lzma
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import ComposError, PackageError
from compos.package.debian.archive import MAX_MEMBERS, data_tar, fetch_packages
from compos.package.debian.index import load_index
from compos.package.debian.package import Package
from compos.zstd import zstd
from tests.package.debian.archive_of import Archive, Key, ar_of, deb_of, serve, tar_of

FILES = {"usr/bin/tool": b"x" * 100_000, "etc/tool.conf": b"a = 1\n"}


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def published(tmp_path: Path, key: Key, count: int = 3) -> tuple[Archive, tuple[Package, ...]]:
    archive = Archive(tmp_path / "mirror", key)
    names = [f"p{number}" for number in range(count)]
    for name in names:
        archive.add_deb(name, {f"usr/bin/{name}": name.encode()})
    archive.write()
    index = load_index(archive.mirror(tmp_path / "k"), tmp_path / "cache", architecture="amd64")
    return archive, tuple(package for name in names for package in index.candidates(name))


def files_of(stream: io.BufferedIOBase | object) -> dict[str, bytes]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_fetched_in_order(tmp_path: Path, key: Key) -> None:
    archive, packages = published(tmp_path, key, 12)
    with serve(archive.root) as server:
        mirror = archive.mirror(tmp_path / "k", server.url)
        paths = fetch_packages(mirror, [*packages, packages[0]], tmp_path / "cache")
        assert len(server.requests) == 12
        for package, path in zip(packages, paths, strict=False):
            with data_tar(path) as stream:
                assert files_of(stream) == {f"./usr/bin/{package.name}": package.name.encode()}
        assert paths[12] == paths[0]
        assert fetch_packages(mirror, packages, tmp_path / "cache") == paths[:12]
        assert len(server.requests) == 12
        paths[3].write_bytes(b"damaged")
        fetch_packages(mirror, packages, tmp_path / "cache")
        assert [path for path, _ in server.requests[12:]] == [f"/{packages[3].filename}"]
    assert fetch_packages(mirror, [], tmp_path / "cache") == []


def test_broken_transfer_is_resumed(tmp_path: Path, key: Key) -> None:
    archive, packages = published(tmp_path, key)
    with serve(archive.root) as server:
        server.break_after[f"/{packages[1].filename}"] = 50
        fetch_packages(archive.mirror(tmp_path / "k", server.url), packages, tmp_path / "cache")
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("change", "id"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"~"), "debian-hash-mismatch"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "debian-hash-mismatch"),
        (lambda path: path.unlink(), "debian-not-found"),
    ],
)
def test_one_fails(tmp_path: Path, key: Key, change: Callable[[Path], object], id: str) -> None:
    archive, packages = published(tmp_path, key)
    change(archive.root / packages[1].filename)
    with pytest.raises(ComposError) as caught:
        fetch_packages(archive.mirror(tmp_path / "k"), packages, tmp_path / "cache")
    assert caught.value.id == id
    assert packages[1].filename in str(caught.value.place)
    assert packages[1].sha256 not in {path.name for path in (tmp_path / "cache").rglob("*")}
    assert not any((tmp_path / "cache/staging").iterdir())


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("", bytes),
        (".xz", lzma.compress),
        (
            ".xz",
            lambda data: (
                lzma.compress(data[:700]) + bytes(8) + lzma.compress(data[700:]) + bytes(4)
            ),
        ),
        (".gz", gzip.compress),
        (".zst", zstd.compress),
    ],
)
def test_compressions(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    members = {
        "debian-binary": b"2.0\n",
        "_extra": b"odd",
        f"control.tar{suffix}": compress(tar_of({"control": b"Package: a\n"})),
        f"data.tar{suffix}": compress(tar_of(FILES)),
    }
    path = tmp_path / "a.deb"
    path.write_bytes(ar_of(members))
    with data_tar(path) as stream:
        assert files_of(stream) == {f"./{name}": content for name, content in FILES.items()}


def test_against_dpkg(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: a\n"
    )
    (root / "usr").mkdir()
    (root / "usr/file").write_bytes(b"content")
    for kind in ("xz", "gzip", "zstd", "none"):
        path = tmp_path / f"{kind}.deb"
        subprocess.run(
            ["dpkg-deb", f"-Z{kind}", "--root-owner-group", "-b", root, path],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        expected = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", path], check=True, capture_output=True
        ).stdout
        with data_tar(path) as stream:
            assert stream.read() == expected


GOOD = deb_of(FILES)


def wide() -> bytes:
    """An .xz stream whose header asks for a dictionary of 1.5 GiB (LZMA2's property 38; the .xz
    format, section 5.3.1)."""
    packed = bytearray(lzma.compress(b"x", lzma.FORMAT_XZ, lzma.CHECK_NONE))
    # 12 bytes of stream header; of the block: size, flags, id of the filter, size of its
    # properties, the property; CRC32.
    size = (packed[12] + 1) * 4
    packed[16] = 38
    packed[12 + size - 4 : 12 + size] = zlib.crc32(packed[12 : 12 + size - 4]).to_bytes(4, "little")
    return bytes(packed)


WIDE = wide()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"!<arch>\n",
        b"!<arch>\nshort header",
        GOOD.replace(b"!<arch>", b"!<thin>"),
        GOOD.replace(b"2.0\n", b"3.0\n", 1),
        GOOD.replace(b"debian-binary", b"debian-strange"),
        GOOD.replace(b"`\n", b"``", 1),
        GOOD[:-50],
        GOOD.replace(b"data.tar.xz", b"data.tar.lz"),
        GOOD.replace(b"data.tar.xz", b"nada.tar.xz"),
        ar_of({"debian-binary": b"2.0\n", "data.tar.xz": b"no xz"}),
        ar_of({"debian-binary": b"2.0\n", "data.tar.gz": gzip.compress(b"x" * 100, mtime=0)[:-3]}),
        ar_of({"debian-binary": b"2.0\n", "data.tar.zst": zstd.compress(b"x" * 100)[:-3]}),
        ar_of({"debian-binary": b"2.0\n", "data.tar.xz": lzma.compress(tar_of(FILES))[:-30]}),
        # xz -9e --lzma2=dict=1536MiB: as much memory as that
        ar_of({"debian-binary": b"2.0\n", "data.tar.xz": WIDE}),
        ar_of(
            {
                "debian-binary": b"2.0\n",
                **{f"_{number}": b"" for number in range(MAX_MEMBERS)},
                "data.tar": b"",
            }
        ),
        ar_of({"debian-binary": b"2.0\n", "data.tar.": b""}),
    ],
)
def test_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(content)
    with pytest.raises(PackageError) as caught, data_tar(path) as stream:
        stream.read()
    assert (caught.value.id, caught.value.place) == ("debian-archive", str(path))


def test_a_package_that_becomes_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(
        ar_of({"debian-binary": b"2.0\n", "data.tar.xz": lzma.compress(bytes(2 << 20))})
    )
    monkeypatch.setenv("COMPOS_MAX_LAYER_SIZE", "1M")
    with pytest.raises(PackageError, match="too large") as caught, data_tar(path) as stream:
        stream.read()
    assert "COMPOS_MAX_LAYER_SIZE" in str(caught.value.hint)
    monkeypatch.setenv("COMPOS_MAX_LAYER_SIZE", "2M")
    with data_tar(path) as stream:
        assert len(stream.read()) == 2 << 20
