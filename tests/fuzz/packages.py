"""What is fuzzed of packages: recipes, apt's configuration, a mirror's indexes and lists, package
files."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from compos.errors import ComposError
from compos.filesystem.cpio import cpio_pieces
from compos.tree.node import directory, file, symlink
from tests.fuzz.engine import Target
from tests.package.debian.archive_of import ar_of, deb_of, stanza, tar_of
from tests.package.kernels import bzimage, image, module

__all__ = ["TARGETS"]

ROOT = Path(__file__).parents[2]
RELEASE = f"Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n {'ab' * 32} 12 main/x\n"
WORDS = (
    b"- ", b": ", b"\n", b"{}", b"[]", b"null", b"\xe2\x80\xa8", b"../", b"\x00", b"9" * 5000, b"{{.Hash}}", b"*", b"**/",
    b"&a ", b"*a", b"image: ", b"debian: ", b"files: ", b"concatenate: ", b"links: ", b"config: ", b"path: ", b"source: ",
    b"Package: ", b"Version: ", b"Provides: ", b"Depends: ", b"Filename: ", b" (>= 1)", b" | ", b"Date: ", b"Valid-Until: ",
)  # fmt: skip


def _in_folder(run: Callable[[Path, bytes], None]) -> Callable[[bytes], None]:
    """`run` with a folder of its own, in which nothing but what it makes may appear."""

    def within(data: bytes) -> None:
        folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
        try:
            with suppress(ComposError):
                run(folder, data)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return within


def _run_recipe(folder: Path, data: bytes) -> None:
    from compos.package.recipe import load_recipe, named
    from compos.package.recipe_key import recipe_key

    (folder / "build.yml").write_bytes(data)
    recipe = load_recipe(folder)
    named(recipe)
    recipe_key(recipe, "amd64")


def _run_index(folder: Path, data: bytes) -> None:
    from compos.package.debian.mirror import default_mirror
    from compos.package.debian.release import read_release

    with suppress(ComposError):
        read_release(
            data.decode("utf-8", "replace"), suite="trixie", place="place", now=1_795_252_544
        )
    (folder / "sources.list.d").mkdir()
    (folder / "sources.list").write_bytes(data)
    (folder / "sources.list.d/debian.sources").write_bytes(data)
    default_mirror(environment={}, apt=folder, keyrings=folder)


def _run_list(data: bytes) -> None:
    from compos.package.debian.index import Table
    from compos.package.debian.version import version_key

    table = Table(data, "trixie")
    for name in [*table.names, b"virtual"]:
        text = name.decode("utf-8", "replace")
        for search in (table.named, table.providing):
            with suppress(ComposError):
                for package in search(text):
                    version_key(package.version)
                    assert not package.filename.startswith("/")
                    assert ".." not in package.filename.split("/")


def _run_deb(folder: Path, data: bytes) -> None:
    from compos.image.store import Store
    from compos.package.debian.package import parse_package
    from compos.package.files import packages_tree

    store = Store(folder / "store")
    path = folder / "a.deb"
    path.write_bytes(data)
    package = parse_package(stanza("a", sha256=hashlib.sha256(data).hexdigest()), "trixie")
    with suppress(ComposError):
        tree, _ = packages_tree(store, [package], [path])
        for name in tree:
            if name.startswith("/") or ".." in name.split("/"):
                raise AssertionError(f"a path that leaves: {name!r}")
    if sorted(path.name for path in folder.iterdir()) != ["a.deb", "store"]:
        raise AssertionError("something was written outside")


def _debs() -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, link in (
            ("./", tarfile.DIRTYPE, ""),
            ("./lib", tarfile.SYMTYPE, "usr/lib"),
            ("./lib/x", tarfile.REGTYPE, ""),
            ("./usr/bin/y", tarfile.LNKTYPE, "./lib/x"),
            ("./usr/loop", tarfile.SYMTYPE, "loop"),
            ("./usr/loop/z", tarfile.REGTYPE, ""),
            ("./dev/x", tarfile.CHRTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.devmajor = kind, link, 1
            archive.addfile(info)
    plain = ar_of({"debian-binary": b"2.0\n", "control.tar": b"", "data.tar": buffer.getvalue()})
    packed = ar_of({"debian-binary": b"2.0\n", "data.tar.xz": lzma.compress(buffer.getvalue())})
    return [plain, packed, deb_of({"usr/bin/x": b"x" * 5000})]


def _run_local(folder: Path, data: bytes) -> None:
    from compos.image.store import Store
    from compos.package.local_package import read_package

    path = folder / "package"
    path.write_bytes(data)
    with suppress(ComposError):
        found = read_package(Store(folder / "store"), path)
        for name, _ in found.entries:
            if not name or name.startswith("/") or ".." in name.split("/"):
                raise AssertionError(f"a path that leaves: {name!r}")
    if not {one.name for one in folder.iterdir()} <= {"package", "store"}:
        raise AssertionError("something was written outside")


def _run_kernel(data: bytes) -> None:
    from compos.compose.kernel_facts import embedded_config, kernel_facts
    from compos.compose.kernel_image import KernelImageError

    for read in (kernel_facts, embedded_config):
        with suppress(KernelImageError):
            read(data)


def _cpio() -> bytes:
    entries = [
        ("lib", directory(0o755, 0)),
        ("lib/x", file(b"x" * 50, 0o644, 0)._replace(inode="1")),
        ("lib/y", file(b"x" * 50, 0o644, 0)._replace(inode="1")),
        ("lib/z", symlink("../x", 0)),
    ]
    return b"".join(piece for piece in cpio_pieces(entries) if isinstance(piece, bytes))


def _rpm() -> bytes:
    """A lead, an empty signature, a header with the tags that are read, the payload."""
    texts = {1000: b"kernel", 1001: b"1", 1002: b"2", 1022: b"x86_64", 1124: b"cpio", 1125: b"gzip"}
    index, data = b"", b""
    for tag, text in texts.items():
        index += struct.pack(">IIII", tag, 6, len(data), 1)
        data += text + b"\0"
    magic = b"\x8e\xad\xe8\x01" + bytes(4)
    header = magic + struct.pack(">II", len(texts), len(data)) + index + data
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    return lead + magic + bytes(8) + header + gzip.compress(_cpio(), 1)


def _local_packages() -> list[bytes]:
    control = tar_of({"control": b"Package: x\nVersion: 1\nArchitecture: all\n"})
    deb = {"debian-binary": b"2.0\n", "control.tar": control, "data.tar": tar_of({"lib/x": b"x"})}
    info = {".PKGINFO": b"pkgname = x\npkgver = 1\narch = x86_64\n", "lib/x": b"x"}
    return [ar_of(deb), _rpm(), gzip.compress(tar_of(info), 0)]


def _recipes() -> list[bytes]:
    return [
        path.read_bytes()
        for path in sorted((ROOT / "bricks").glob("*/build.yml"))
        if path.stat().st_size < 4000
    ]


def _lists() -> list[bytes]:
    first = stanza(
        "first",
        "1:1-1~a",
        depends="a (>= 1) | b:any, c",
        source="s (2)",
        provides="virtual (= 1), other",
    )
    return [
        f"{first}\n{stanza('twice', '2', provides='virtual', conflicts='x', breaks='y (<< 2)')}\n".encode()
    ]


TARGETS = (
    Target("recipe", _in_folder(_run_recipe), _recipes(), WORDS),
    Target(
        "debian-index",
        _in_folder(_run_index),
        [
            RELEASE.encode(),
            b"Types: deb\nURIs: http://a.test/debian\nSuites: trixie\nComponents: main\n",
            b"deb [signed-by=/k check-valid-until=no] http://a.test/debian trixie-security main\n",
        ],
        WORDS,
    ),
    Target("debian-list", _run_list, _lists(), WORDS),
    Target(
        "deb",
        _in_folder(_run_deb),
        _debs(),
        (b"ustar\x0000", b"`\n", b"data.tar", b"../", b"9999999999"),
    ),
    Target(
        "local-package",
        _in_folder(_run_local),
        _local_packages(),
        (b"070701", b"FFFFFFFF", b"TRAILER!!!", b"../", b"\x8e\xad\xe8\x01", b"ustar\x0000"),
    ),
    Target(
        "kernel-facts",
        _run_kernel,
        [bzimage(), image("arm64", config=b"IKCFG_ST\x1f\x8bIKCFG_ED"), module()],
        (b"Linux version 6 (", b"IKCFG_ST\x1f\x8b", b"IKCFG_ED", b"PE\0\0", b"HdrS"),
    ),
)
