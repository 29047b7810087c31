"""The index: hashes checked, kept and verified, found by name and by what is provided."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compos.errors import ComposError, PackageError
from compos.package.debian.index import PackageIndex, load_index
from compos.package.debian.mirror import Mirror
from tests.package.debian.archive_of import Archive, Key, serve, stanza

STANZAS = [
    stanza(
        "first",
        "1-1",
        homepage="https://a.test/",
        source="src (2)",
        pre_depends="c",
        depends="a (>= 1) | b",
    ),
    stanza("twice", "1.9"),
    stanza("twice", "1.10", provides="virtual (= 3), virtual (= 4), other"),
    stanza("extra", priority="required", provides="virtual:any", conflicts="x", breaks="y (<< 2)"),
]


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def archive(tmp_path: Path, key: Key, **options: object) -> Archive:
    return Archive(tmp_path / "mirror", key, stanzas=list(STANZAS), **options).write()  # type: ignore[arg-type]


def load(tmp_path: Path, mirror: Mirror, *, offline: bool = False) -> PackageIndex:
    return load_index(mirror, tmp_path / "cache", architecture="amd64", offline=offline)


def test_lookup(tmp_path: Path, key: Key) -> None:
    index = load(tmp_path, archive(tmp_path, key).mirror(tmp_path / "k"))
    (first,) = index.candidates("first")
    assert (first.source, first.source_version, first.homepage, first.suite) == (
        "src",
        "2",
        "https://a.test/",
        "trixie",
    )
    assert [str(dependency) for dependency in first.depends] == ["c", "a (>= 1) | b"]
    assert [str(package) for package in index.candidates("twice")] == ["twice 1.10", "twice 1.9"]
    assert [package.name for package in index.providers("virtual")] == ["extra", "twice"]
    assert [str(relation) for relation in index.candidates("extra")[0].conflicts] == [
        "x",
        "y (<< 2)",
    ]
    assert index.candidates("virtual") == index.providers("first") == ()
    assert index.similar("frist") == []
    assert index.similar("firts") == ["first"]


@pytest.mark.parametrize("suffixes", [("",), ("", ".gz"), ("", ".xz"), ("", ".xz", ".gz")])
@pytest.mark.parametrize("by_hash", [False, True])
def test_compressions(tmp_path: Path, key: Key, suffixes: tuple[str, ...], by_hash: bool) -> None:
    index = load(
        tmp_path, archive(tmp_path, key, suffixes=suffixes, by_hash=by_hash).mirror(tmp_path / "k")
    )
    assert len(index.candidates("twice")) == 2


def test_by_hash_files_may_be_missing(tmp_path: Path, key: Key) -> None:
    source = archive(tmp_path, key)
    plain = source.release()
    signed = key.sign(plain.replace("Acquire-By-Hash: no", "Acquire-By-Hash: yes"))
    (source.root / "dists/trixie/InRelease").write_bytes(signed)
    assert load(tmp_path, source.mirror(tmp_path / "k")).candidates("first")


def test_second_run_fetches_only_the_release(tmp_path: Path, key: Key) -> None:
    source = archive(tmp_path, key)
    with serve(source.root) as server:
        mirror = source.mirror(tmp_path / "k", server.url)
        index = load(tmp_path, mirror)
        assert server.paths() == ["/dists/trixie/InRelease"]
        index.candidates("first")
        assert server.paths()[1:] == ["/dists/trixie/main/binary-amd64/Packages.xz"]
        server.requests.clear()
        again = load(tmp_path, mirror)
        assert again.candidates("first") == index.candidates("first")
        assert server.paths() == ["/dists/trixie/InRelease"]
        assert again.digest == index.digest
        server.requests.clear()
        assert load(tmp_path, mirror, offline=True).candidates("first")
        assert server.requests == []


def test_damaged_cache_is_fetched_again(tmp_path: Path, key: Key) -> None:
    mirror = archive(tmp_path, key).mirror(tmp_path / "k")
    load(tmp_path, mirror).candidates("first")
    (kept,) = (tmp_path / "cache/lists").iterdir()
    good = kept.read_bytes()
    kept.write_bytes(good.replace(b"first", b"worst"))
    assert load(tmp_path, mirror).candidates("first")
    assert kept.read_bytes() == good
    kept.unlink()
    with pytest.raises(PackageError) as caught:
        load(tmp_path, mirror, offline=True).candidates("first")
    assert caught.value.id == "debian-offline"


@pytest.mark.parametrize(
    ("change", "id"),
    [
        (lambda content: content[:-10], "debian-hash-mismatch"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "debian-hash-mismatch"),
        (lambda content: content + b"x", "debian-hash-mismatch"),
    ],
)
def test_wrong_list(tmp_path: Path, key: Key, change: object, id: str) -> None:
    source = archive(tmp_path, key)
    path = source.root / "dists/trixie/main/binary-amd64/Packages.xz"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(PackageError) as caught:
        load(tmp_path, source.mirror(tmp_path / "k")).candidates("first")
    assert caught.value.id == id
    assert not list((tmp_path / "cache").rglob("Packages*"))
    assert not any((tmp_path / "cache/staging").iterdir())


def test_unreachable(tmp_path: Path, key: Key) -> None:
    source = archive(tmp_path, key)
    load(tmp_path, source.mirror(tmp_path / "k"))
    with serve(source.root) as server:
        gone = source.mirror(tmp_path / "k", server.url)
    with pytest.raises(ComposError) as caught:
        load(tmp_path, gone)
    assert caught.value.id == "network-connect"


def test_architecture_that_is_not_there(tmp_path: Path, key: Key) -> None:
    mirror = archive(tmp_path, key).mirror(tmp_path / "k")
    with pytest.raises(PackageError) as caught:
        load_index(mirror, tmp_path / "cache", architecture="riscv64")
    assert caught.value.id == "debian-architecture"


def test_several_suites(tmp_path: Path, key: Key) -> None:
    main = archive(tmp_path, key)
    security = Archive(
        tmp_path / "mirror-security", key, "trixie-security", [stanza("first", "1-1+deb13u1")]
    ).write()
    assert security.root.name == "mirror-security"
    mirror = main.mirror(tmp_path / "k")
    both = load_index(
        mirror, tmp_path / "cache", architecture="amd64", suites=("trixie", "trixie-security")
    )
    assert [(package.version, package.suite) for package in both.candidates("first")] == [
        ("1-1+deb13u1", "trixie-security"),
        ("1-1", "trixie"),
    ]
    assert both.digest != load(tmp_path, mirror).digest


def test_empty_list(tmp_path: Path, key: Key) -> None:
    source = Archive(tmp_path / "mirror", key).write()
    assert load(tmp_path, source.mirror(tmp_path / "k")).candidates("a") == ()


def test_cache_that_cannot_be_written(tmp_path: Path, key: Key) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(PackageError) as caught:
        load(tmp_path, archive(tmp_path, key).mirror(tmp_path / "k"))
    assert caught.value.id == "debian-cache"


def test_a_list_larger_than_any(tmp_path: Path, key: Key) -> None:
    source = archive(tmp_path, key)
    text = re.sub(r" \d+ (main/binary-amd64/Packages)\n", rf" {2 << 30} \1\n", source.release())
    (source.root / "dists/trixie/InRelease").write_bytes(key.sign(text))
    with pytest.raises(PackageError) as caught:
        load(tmp_path, source.mirror(tmp_path / "k"))
    assert caught.value.id == "debian-index"


@pytest.mark.parametrize(
    "stray",
    ["Provides: virtual\n", "\nProvides: virtual\n\n", "Provides: virtual\n\n" + stanza("other")],
)
def test_fields_before_the_first_package(tmp_path: Path, key: Key, stray: str) -> None:
    source = Archive(tmp_path / "mirror", key, stanzas=["X: y\n" + stray]).write()
    assert load(tmp_path, source.mirror(tmp_path / "k")).providers("virtual") == ()


def test_names_that_are_no_text(tmp_path: Path, key: Key) -> None:
    source = Archive(tmp_path / "mirror", key, stanzas=[stanza("fi\udcffst")]).write()
    assert load(tmp_path, source.mirror(tmp_path / "k")).similar("first") == ["fi\ufffdst"]
