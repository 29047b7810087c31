"""Package files that lie in a brick's folder: Debian's, RPM, Alpine's and Arch's, recognised by
their contents.

May touch: the store (`HOST`: a copy of the package, `PACKAGE`: its payload, `PACKAGE_INDEX`: what
is in it), the file that it is handed. No script is ever run. Sources: deb(5); the RPM file format;
apk-tools' APK v2 format (three gzip streams that make one tar); pacman's `PKGINFO`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

from compos.compose.host_files import stored
from compos.errors import PackageError
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.package.cpio import read_cpio
from compos.package.debian.archive import control_fields, data_tar
from compos.package.debian.compressed import DecompressionError, decompressed
from compos.package.files import merged_entry
from compos.package.rpm import MAGIC as RPM
from compos.package.rpm import Rpm, read_rpm
from compos.progress import task
from compos.tree import record
from compos.tree.contents import Contents
from compos.tree.decompress import RATIO_VARIABLE, SIZE_VARIABLE, Bounds
from compos.tree.gate import admitted
from compos.tree.node import FILE, Node
from compos.tree.tar import read_members

__all__ = ["LocalPackage", "read_package"]

KIND = DerivedKind.PACKAGE_INDEX
CHUNK = 1 << 20

DEB = b"!<arch>\n"
APK3 = (b"ADBd", b"ADBc", b"ADB.")
"""Alpine's format from apk-tools 3 on, a database of its own."""

_COMPRESSED = {
    b"\x1f\x8b": ".gz",
    b"\xfd7zXZ\x00": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
}
_RPM_COMPRESSORS = {"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}
PKGINFO = ".PKGINFO"
"""Alpine's and Arch's: `NAME = VALUE` lines."""

MAX_PKGINFO = 1 << 20

_HINT = "Use a .deb, an .rpm, an .apk of version 2 or a .pkg.tar.zst."

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
"""What RPM, Alpine and Arch call them; Debian's words are Go's."""

_ANY = ("all", "noarch", "any", "")


class LocalPackage(NamedTuple):
    """A package file: `kind` is deb, rpm, apk or pacman, `architecture` in Go's words or empty for
    any. `entries` are its files, in merged-/usr spelling."""

    kind: str
    name: str
    version: str
    architecture: str
    sha256: str
    entries: tuple[tuple[str, Node], ...]


def read_package(store: Store, path: Path) -> LocalPackage:
    """What is in the package file `path`. Raises `PackageError` (`brick-package`,
    `debian-archive`)."""
    try:
        with path.open("rb") as stream:
            copy = stored(store, DerivedKind.HOST, stream)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    digest = copy.source.rpartition("/")[2]
    kept = store.root / copy.source
    with kept.open("rb") as stream:
        head = stream.read(8)
    try:
        if head.startswith(DEB):
            fields = control_fields(kept)
            payload: BinaryIO = data_tar(kept)
            return _package(store, "deb", fields, digest, payload)
        if head.startswith(RPM):
            return _rpm(store, kept, digest)
        suffix = next((end for magic, end in _COMPRESSED.items() if head.startswith(magic)), None)
        if suffix is None:
            raise ValueError(
                "it is in the format of apk-tools 3, which compos does not read"
                if head.startswith(APK3)
                else "it is no package of a known format"
            )
        return _tar(store, kept, digest, suffix)
    except (ValueError, DecompressionError, EOFError) as error:
        raise _unusable(path, str(error)) from error
    except PackageError as error:
        # It names the copy in the store.
        raise PackageError(error.id, error.message, place=str(path), hint=_HINT) from error


def _rpm(store: Store, kept: Path, digest: str) -> LocalPackage:
    with kept.open("rb") as stream:
        found = read_rpm(stream)
        if found.compressor not in _RPM_COMPRESSORS:
            raise ValueError(f"its payload is compressed with {found.compressor[:20]!r}")
        _require_payload(stream, found)
        stream.seek(found.payload)
        payload = decompressed(stream, _RPM_COMPRESSORS[found.compressor])
        fields = {
            "package": found.name,
            "version": found.version,
            "architecture": found.architecture,
        }
        return _package(store, "rpm", fields, digest, payload)


def _require_payload(stream: BufferedReader, found: Rpm) -> None:
    """Raise `ValueError` for a payload other than the one that the header names."""
    stream.seek(found.payload)
    if found.sha256 and hashlib.file_digest(stream, "sha256").hexdigest() != found.sha256:
        raise ValueError("its payload is damaged")


def _tar(store: Store, kept: Path, digest: str, suffix: str) -> LocalPackage:
    """Alpine's and Arch's: a tar that begins with what is said of the package."""
    with kept.open("rb") as stream:
        found = _package(store, "", {}, digest, decompressed(stream, suffix))
    files = [(path, node) for path, node in found.entries if not _is_about_package(path)]
    about = dict(found.entries)
    node = about.get(PKGINFO)
    if node is None or node.kind != FILE or node.size > MAX_PKGINFO:
        raise ValueError(f"it has no {PKGINFO}")
    with Contents(store.root) as contents:
        text = b"".join(contents.chunks(node.content)).decode("utf-8", "replace")
    fields = {
        name.strip(): value.strip()
        for name, equals, value in (line.partition("=") for line in text.split("\n"))
        if equals
    }
    architecture = fields.get("arch", "")
    return found._replace(
        # Only Arch's builder says when and by whom a package was built in a file of its own.
        kind="pacman" if ".MTREE" in about or ".BUILDINFO" in about else "apk",
        name=fields.get("pkgname", ""),
        version=fields.get("pkgver", ""),
        architecture=_architecture(architecture),
        entries=tuple(files),
    )


def _is_about_package(path: str) -> bool:
    """`.PKGINFO`, `.SIGN.RSA…`, `.pre-install`: no file that is installed."""
    return path.startswith(".") and "/" not in path


def _package(
    store: Store, kind: str, fields: Mapping[str, str], digest: str, payload: BinaryIO
) -> LocalPackage:
    with payload:
        entries = _entries(store, digest, payload, cpio=kind == "rpm")
    return LocalPackage(
        kind,
        fields.get("package", ""),
        fields.get("version", ""),
        _architecture(fields.get("architecture", "")),
        digest,
        entries,
    )


def _architecture(name: str) -> str:
    return "" if name in _ANY else _ARCHITECTURES.get(name, name)


def _entries(
    store: Store, digest: str, payload: BinaryIO, *, cpio: bool
) -> tuple[tuple[str, Node], ...]:
    key = f"{digest}-v{KIND.version}"
    if (cached := record.load_nodes(store.derived(KIND, key), KIND, store)) is not None:
        return tuple(cached[0])
    most = Bounds.of(os.environ).most(_size(store, digest))
    # Even if it is there: without its index, nobody knows whether it is whole.
    with (
        task("unpack a package"),
        store.derive(DerivedKind.PACKAGE, digest) as path,
        path.open("wb") as out,
    ):
        while chunk := payload.read(CHUNK):
            most -= len(chunk)
            if most < 0:
                raise ValueError(
                    f"it is too large when it is unpacked (see {SIZE_VARIABLE} and "
                    f"{RATIO_VARIABLE} in docs/layers.md)"
                )
            out.write(chunk)
    source = DerivedKind.PACKAGE.stored_name(digest)
    with (store.root / source).open("rb") as stream:
        members: Iterator[tuple[str, Node]] = (
            read_cpio(stream, source)
            if cpio
            else ((member.name, member.node) for member in read_members(stream, source))
        )
        entries = tuple(
            entry for member in members if (entry := merged_entry(*admitted(*member)))[0]
        )
    with store.derive(KIND, key) as path:
        record.save_nodes(path, KIND, entries)
    return entries


def _size(store: Store, digest: str) -> int:
    path = store.derived(DerivedKind.HOST, digest)
    assert path is not None, "the package was copied there"  # noqa: S101
    return path.stat().st_size


def _unusable(path: Path, reason: str) -> PackageError:
    return PackageError(
        "brick-package",
        f"the package cannot be read: {reason}",
        place=str(path),
        hint=_HINT,
    )
