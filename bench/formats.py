"""Our writers beside the C tools: same tree, same compression, interleaved in one run. Writes
docs/benchmarks-formats.md.

A command: `make bench-formats`. The tree is a copy of folders that every Debian machine has:
programs, scripts and texts, some hundred megabytes.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from compos.arithmetic import align_up  # noqa: E402  runs from the checkout
from compos.disk.qcow2 import qcow2_pieces, write_qcow2  # noqa: E402
from compos.disk.spool import Spool  # noqa: E402
from compos.disk.vhd import vhd_dynamic_pieces  # noqa: E402
from compos.disk.vhdx import vhdx_pieces  # noqa: E402
from compos.disk.vmdk import write_vmdk  # noqa: E402
from compos.filesystem.erofs import erofs_pieces  # noqa: E402
from compos.filesystem.ext4 import ext4_pieces  # noqa: E402
from compos.filesystem.iso9660 import IsoLayout  # noqa: E402
from compos.filesystem.squashfs import SquashfsCompression, write_squashfs  # noqa: E402
from compos.tree.contents import Contents  # noqa: E402
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Hole, Node, Piece, Slice  # noqa: E402

ROUNDS = 3
SOURCES = ("/usr/lib/python3", "/usr/share/perl", "/usr/lib/git-core", "/usr/sbin")
IDENTITY = bytes(range(16))

HEAD = """\
# Writers compared with the C tools

Both sides write the same {size:.0f} MB in {count:,} files ({sources}) with the same compression, in
{rounds} rounds interleaved in one run, on {cpus} CPUs ({machine}). Times are wall time with an
empty store. Ratios are compos to the C tool, medians. Sizes are the space that the file takes on
disk. Written by `make bench-formats`.

| output | ours | theirs | time ratio | size ratio | with |
|---|---|---|---|---|---|
"""


def entries(folder: Path) -> list[tuple[str, Node]]:
    """The folder as writers get it; contents are slices of its files."""
    found = []
    for path in folder.rglob("*"):
        status = path.lstat()
        common = Node("", status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime_ns)
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found.append(
                (name, common._replace(kind=SYMLINK, mode=0o777, link=str(path.readlink())))
            )
        elif path.is_dir():
            found.append((name, common._replace(kind=DIRECTORY)))
        elif path.is_file():
            content = (Slice(name, 0, status.st_size),) if status.st_size else ()
            inode = str(status.st_ino) if status.st_nlink > 1 else ""
            found.append(
                (
                    name,
                    common._replace(kind=FILE, size=status.st_size, content=content, inode=inode),
                )
            )
    return sorted(found)


def written(root: Path, path: Path, pieces: Callable[[], Iterable[Piece]]) -> None:
    """Pieces laid out and copied."""
    with path.open("wb") as out, Contents(root) as contents:
        contents.copy(pieces(), out.fileno(), sparse=True)


def tool(*command: object) -> None:
    """A C tool, its words unheard."""
    subprocess.run(
        [str(word) for word in command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main() -> None:
    """Measure everything and write the page."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        work = Path(name)
        tree = work / "tree"
        tree.mkdir()
        for source in SOURCES:
            tool("cp", "-a", source, tree)
        nodes = entries(tree)
        ours, theirs = work / "ours", work / "theirs"

        def squashfs(compression: SquashfsCompression) -> None:
            with ours.open("w+b") as out, Contents(tree) as contents:
                write_squashfs(nodes, contents, out, compression=compression)

        def mksquashfs(compression: str, *options: str) -> None:
            tool(
                "mksquashfs",
                tree,
                theirs,
                "-comp",
                compression,
                *options,
                "-processors",
                2,
                "-no-progress",
                "-quiet",
            )

        size = sum(node.size for _, node in nodes)
        disk_size = align_up(size * 5 // 4, 1 << 20)
        # A disk like ours: a file system's bytes, then nothing.
        image = work / "image.raw"
        written(tree, image, lambda: erofs_pieces(nodes, uuid=IDENTITY))
        length = image.stat().st_size
        disk: list[Piece] = [Slice("image.raw", 0, length), Hole((1 << 30) - length)]
        with image.open("ab") as out:
            out.truncate(1 << 30)

        def contained(write: Callable[..., int], **options: object) -> None:
            with ours.open("w+b") as out, Contents(work) as contents:
                write(disk, contents, out, **options)

        def streamed() -> None:
            with (
                (work / "spool").open("wb") as file,
                ours.open("wb") as out,
                Contents(work) as contents,
            ):
                spool = Spool(file, "spool")
                write_vmdk(disk, contents, spool, identity=IDENTITY)
                contents.copy(spool.finish(), out.fileno())

        def convert(form: str, *options: str) -> None:
            tool("qemu-img", "convert", "-f", "raw", "-O", form, *options, image, theirs)

        cases: list[tuple[str, str, Callable[[], None], Callable[[], None]]] = [
            (
                "squashfs, zstd 9",
                "mksquashfs",
                lambda: squashfs("zstd"),
                lambda: mksquashfs("zstd", "-Xcompression-level", "9"),
            ),
            (
                "squashfs, gzip 9",
                "mksquashfs",
                lambda: squashfs("gzip"),
                lambda: mksquashfs("gzip"),
            ),
            ("squashfs, xz", "mksquashfs", lambda: squashfs("xz"), lambda: mksquashfs("xz")),
            (
                "EROFS",
                "mkfs.erofs",
                lambda: written(tree, ours, lambda: erofs_pieces(nodes, uuid=IDENTITY)),
                lambda: tool("mkfs.erofs", theirs, tree),
            ),
            (
                "ext4, no journal, 4 KiB blocks",
                "mke2fs -d",
                lambda: written(
                    tree, ours, lambda: ext4_pieces(nodes, uuid=IDENTITY, size=disk_size)
                ),
                # Left alone, mke2fs takes blocks of 1 KiB below 512 MiB.
                lambda: tool(
                    *("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal"),
                    *("-d", tree, theirs, f"{disk_size >> 10}k"),
                ),
            ),
            (
                "ISO 9660",
                "xorriso",
                lambda: written(tree, ours, lambda: list(IsoLayout(nodes, volume="X").pieces())),
                lambda: tool(
                    "xorriso", "-as", "mkisofs", "-R", "-J", "-joliet-long", "-o", theirs, tree
                ),
            ),
            (
                "qcow2",
                "qemu-img",
                lambda: written(work, ours, lambda: qcow2_pieces(disk)),
                lambda: convert("qcow2"),
            ),
            (
                "qcow2, zlib",
                "qemu-img -c",
                lambda: contained(write_qcow2, compression="zlib"),
                lambda: convert("qcow2", "-c"),
            ),
            (
                "qcow2, zstd",
                "qemu-img -c",
                lambda: contained(write_qcow2, compression="zstd"),
                lambda: convert("qcow2", "-c", "-o", "compression_type=zstd"),
            ),
            (
                "VMDK, stream",
                "qemu-img",
                streamed,
                lambda: convert("vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic"),
            ),
            (
                "VHD, dynamic",
                "qemu-img",
                lambda: written(work, ours, lambda: vhd_dynamic_pieces(disk, IDENTITY)),
                lambda: convert("vpc", "-o", "subformat=dynamic,force_size"),
            ),
            (
                "VHDX",
                "qemu-img",
                lambda: written(work, ours, lambda: vhdx_pieces(disk, IDENTITY)),
                lambda: convert("vhdx"),
            ),
        ]
        lines = []
        for title, program, own, other in cases:
            times: list[tuple[float, float]] = []
            sizes = (0, 0)
            for _ in range(ROUNDS):
                taken = []
                for path, action in ((ours, own), (theirs, other)):
                    path.unlink(missing_ok=True)
                    begin = time.perf_counter()
                    action()
                    taken.append(time.perf_counter() - begin)
                times.append((taken[0], taken[1]))
                sizes = (ours.stat().st_blocks, theirs.stat().st_blocks)
            mine, others = (statistics.median(one[at] for one in times) for at in (0, 1))
            ratio = statistics.median(one / two for one, two in times)
            lines.append(
                f"| {title} | {mine:.2f} s, {sizes[0] * 512 / 1e6:.1f} MB | {others:.2f} s, "
                f"{sizes[1] * 512 / 1e6:.1f} MB "
                f"| {ratio:.2f} | {sizes[0] / sizes[1]:.3f} | {program} |"
            )
            print(lines[-1], flush=True)
        head = HEAD.format(
            size=size / 1e6,
            count=len(nodes),
            sources=", ".join(SOURCES),
            rounds=ROUNDS,
            cpus=os.cpu_count(),
            machine=platform.machine(),
        )
        (ROOT / "docs" / "benchmarks-formats.md").write_text(head + "\n".join(lines) + "\n")
        shutil.rmtree(tree)


if __name__ == "__main__":
    main()
