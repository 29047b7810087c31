"""Every format that a tree is written in, with whoever reads it back: a kernel that mounts it, or
the format's own program."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from compos.filesystem.cpio import cpio_pieces
from compos.filesystem.erofs import erofs_pieces, write_erofs
from compos.filesystem.ext4 import ext4_pieces
from compos.filesystem.iso9660 import IsoLayout
from compos.filesystem.squashfs import write_squashfs
from compos.filesystem.tar import tar_pieces
from compos.tree.contents import Contents
from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FILE, SYMLINK, Node, Piece
from tests import initramfs
from tests.filesystem.trees import KINDS, Seen, data_digest, described, loop_mounted, walked

__all__ = ["FORMATS", "MAX_READ", "Format", "differences"]

Entries = list[tuple[str, Node]]
UUID = bytes(range(16))
SECOND = 10**9
MAX_READ = 256 << 20
"""Bytes of an archive, zeros of holes included, that a test reads back."""


class Format(NamedTuple):
    """`write` makes a file of a tree (or raises `OutputError`); `read` gives what its judge finds
    in it; times have a resolution (`tick`, ns) and bounds (seconds); `seen` drops of a path what
    the format or its judge cannot say, or all."""

    name: str
    write: Callable[[Entries, Path, Path], None]
    read: Callable[[Path, Path], dict[str, Seen]]
    tick: int
    times: tuple[int, int]
    seen: Callable[[str, Seen], Seen | None]


def differences(form: Format, entries: Entries, found: dict[str, Seen], store: Path) -> list[str]:
    """What `form`'s judge found that is not so in `entries`, a line a path."""
    first, last = form.times
    clamped = [
        (path, node._replace(mtime=min(max(node.mtime, first * SECOND), last * SECOND)))
        for path, node in entries
    ]
    wanted = _narrowed(form, described(clamped, store, tick=form.tick))
    found = _narrowed(form, found)
    return [
        f"{form.name}, {path!r}: {_told(wanted.get(path), found.get(path))}"
        for path in sorted(wanted.keys() | found.keys())
        if wanted.get(path) != found.get(path)
    ][:20]


def _told(wanted: Seen | None, found: Seen | None) -> str:
    if wanted is None or found is None:
        return "is too much" if found else "is lacking"
    pairs = zip(wanted._fields, wanted, found, strict=True)
    return "; ".join(
        f"{what} {ours!r:.300} is {theirs!r:.300}" for what, ours, theirs in pairs if ours != theirs
    )


def _narrowed(form: Format, found: dict[str, Seen]) -> dict[str, Seen]:
    """`found` without what the format or its judge cannot say."""
    narrow = {path: form.seen(path, seen) for path, seen in found.items()}
    return {path: seen for path, seen in narrow.items() if seen is not None}


def _put(pieces: Iterable[Piece], path: Path, store: Path) -> None:
    with path.open("wb") as out, Contents(store) as contents:
        contents.copy(pieces, out.fileno(), sparse=True)


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, (
        f"{command[0]}: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}"
    )
    return done.stdout.decode(errors="replace")


def _write_cpio(entries: Entries, path: Path, store: Path) -> None:
    _put([*cpio_pieces(entries)], path, store)


def _write_tar(entries: Entries, path: Path, store: Path) -> None:
    _put([*tar_pieces((name, node, {}) for name, node in entries)], path, store)


def _write_erofs(entries: Entries, path: Path, store: Path) -> None:
    _put(erofs_pieces(entries, uuid=UUID), path, store)


def _write_packed_erofs(entries: Entries, path: Path, store: Path) -> None:
    with path.open("w+b") as out, Contents(store) as contents:
        write_erofs(entries, contents, out, uuid=UUID)


def _write_squashfs(entries: Entries, path: Path, store: Path) -> None:
    with path.open("w+b") as out, Contents(store) as contents:
        write_squashfs(entries, contents, out)


def _write_ext4(entries: Entries, path: Path, store: Path) -> None:
    _put(ext4_pieces(entries, uuid=UUID), path, store)


def _write_iso(entries: Entries, path: Path, store: Path) -> None:
    _put(IsoLayout(entries, volume="X").pieces(), path, store)


def _read_initramfs(image: Path, folder: Path) -> dict[str, Seen]:
    del folder
    return initramfs.unpacked(image.read_bytes())


def _read_cpio(image: Path, folder: Path) -> dict[str, Seen]:
    folder.mkdir()
    with image.open("rb") as stream:
        done = subprocess.run(
            ["cpio", "-idm", "--quiet"], cwd=folder, stdin=stream, capture_output=True, check=False
        )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return walked(folder, tick=SECOND, xattrs=False)


def _read_tar(image: Path, folder: Path) -> dict[str, Seen]:
    folder.mkdir()
    _run("tar", "-xpf", image, "--numeric-owner", cwd=folder)
    return walked(folder, tick=SECOND, xattrs=False)


TAR_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def _read_tarfile(image: Path, folder: Path) -> dict[str, Seen]:
    """Python's reader: headers and attributes to the letter."""
    del folder
    found: dict[str, Seen] = {}
    together: dict[str, set[str]] = {}
    with tarfile.open(fileobj=io.BytesIO(image.read_bytes()), errors="surrogateescape") as archive:
        for member in archive:
            name = member.name
            if member.type == tarfile.LNKTYPE:
                together.setdefault(member.linkname, {member.linkname}).add(name)
                found[name] = found[member.linkname]
                continue
            if name == ".":
                continue
            stream = archive.extractfile(member) if member.isreg() else None
            data = stream.read() if stream else b""
            kind = KINDS[TAR_KINDS[member.type]]
            prefix = "SCHILY.xattr."
            attributes = sorted(
                (key.removeprefix(prefix), value.encode("utf-8", "surrogateescape"))
                for key, value in member.pax_headers.items()
                if key.startswith(prefix)
            )
            device = (member.devmajor, member.devminor) if kind in (CHARACTER, BLOCK) else (0, 0)
            found[name] = Seen(
                kind,
                member.mode if kind != SYMLINK else 0o777,
                (member.uid, member.gid),
                int(member.mtime // 1) * SECOND,
                member.size,
                data_digest(data) if kind == FILE else "",
                member.linkname if kind == SYMLINK else "",
                device,
                tuple(attributes),
                frozenset(),
            )
    linked = {name: frozenset(names) for names in together.values() for name in names}
    return {
        name: seen._replace(links=linked.get(name, frozenset())) for name, seen in found.items()
    }


def _mounted(kind: str) -> Callable[[Path, Path], dict[str, Seen]]:
    def read(image: Path, folder: Path) -> dict[str, Seen]:
        leave = ["lost+found"] if kind == "ext4" else []
        with loop_mounted(image, kind, folder) as root:
            return walked(root, tick=SECOND if kind == "squashfs" else 1, leave=leave)

    return read


def _checked(check: list[str], kind: str) -> Callable[[Path, Path], dict[str, Seen]]:
    def read(image: Path, folder: Path) -> dict[str, Seen]:
        _run(*check, image)
        return _mounted(kind)(image, folder)

    return read


def _read_iso(image: Path, folder: Path) -> dict[str, Seen]:
    _run(
        "xorriso",
        "-abort_on",
        "FAILURE",
        "-osirrox",
        "on:device_files",
        "-indev",
        f"stdio:{image}",
        "-extract",
        "/",
        folder,
    )
    return walked(folder, tick=SECOND, xattrs=False)


def _all(path: str, seen: Seen) -> Seen:
    """Attributes `user.` are there on files and folders only: xattr(7)."""
    del path
    if seen.kind in (FILE, DIRECTORY):
        return seen
    return seen._replace(
        xattrs=tuple(pair for pair in seen.xattrs if not pair[0].startswith("user."))
    )


def _no_lost_found(path: str, seen: Seen) -> Seen | None:
    return None if path == "lost+found" else _all(path, seen)


def _initramfs(path: str, seen: Seen) -> Seen:
    """No attributes; symbolic links are never hard links."""
    del path
    seen = seen._replace(xattrs=())
    return seen._replace(links=frozenset()) if seen.kind == SYMLINK else seen


def _gnu_cpio(path: str, seen: Seen) -> Seen:
    """The program sets no times of links, and those of folders before it fills them."""
    seen = _initramfs(path, seen)
    return seen._replace(mtime=0) if seen.kind in (SYMLINK, DIRECTORY) else seen


def _extracted(path: str, seen: Seen) -> Seen:
    """What the folder of a test can hold: no times beyond a file system's."""
    del path
    return seen._replace(xattrs=(), mtime=seen.mtime if 0 <= seen.mtime < 2**32 * SECOND else 0)


def _iso(path: str, seen: Seen) -> Seen | None:
    """Neither hard links nor attributes; xorriso restores no owners and times of links, and reads
    some devices otherwise."""
    if seen.kind in (CHARACTER, BLOCK) and seen.device[1] > 0xFF:
        return None
    seen = seen._replace(xattrs=(), links=frozenset())
    return seen._replace(mtime=0, owner=(0, 0), link="") if seen.kind == SYMLINK else seen


S32, U32 = (-(2**31), 2**31 - 1), (0, 2**32 - 1)
EVER = (-(2**33), 2**34)
FORMATS = (
    Format("initramfs", _write_cpio, _read_initramfs, SECOND, U32, _initramfs),
    Format("cpio", _write_cpio, _read_cpio, SECOND, U32, _gnu_cpio),
    Format("tar", _write_tar, _read_tar, SECOND, EVER, _extracted),
    Format(
        "tar headers",
        _write_tar,
        _read_tarfile,
        SECOND,
        (-(2**63) // SECOND, 2**63 // SECOND),
        lambda _, seen: seen,
    ),
    Format("erofs", _write_erofs, _checked(["fsck.erofs"], "erofs"), 1, (0, 2**63 // SECOND), _all),
    Format("erofs zstd", _write_packed_erofs, _mounted("erofs"), 1, (0, 2**63 // SECOND), _all),
    Format("squashfs", _write_squashfs, _mounted("squashfs"), SECOND, U32, _all),
    Format(
        "ext4",
        _write_ext4,
        _checked(["e2fsck", "-fn"], "ext4"),
        1,
        (-(2**31), (3 << 32) + 2**31 - 1),
        _no_lost_found,
    ),
    Format("iso", _write_iso, _read_iso, SECOND, (-(2**31), 5869583999), _iso),
)
