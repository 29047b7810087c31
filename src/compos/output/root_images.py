"""The root as a file system image beside the kernel: `kernel+erofs`, `kernel+squashfs`,
`kernel+iso`.

May touch: the store. LinuxKit's kernels have the drivers built in, and whoever boots adds `root=`
to the command line. For kernels that have them as modules there is a small initrd beside, which
finds the root by itself on whatever disk it is.
"""

from __future__ import annotations

from compos.filesystem.iso9660 import IsoLayout
from compos.output.initrd import kernel_files
from compos.output.isos import VOLUME
from compos.output.job import Job, identity
from compos.output.payload import finder_initrd
from compos.output.root_filesystem import RootFilesystem, root_filesystem
from compos.output.roots import ISO9660, ROOTS, RootKind
from compos.output.write import Output
from compos.tree.node import EPOCH, file
from compos.tree.packed import packed

__all__ = ["kernel_erofs", "kernel_iso", "kernel_squashfs"]


def kernel_erofs(job: Job) -> list[Output]:
    """`-kernel`, `-cmdline`, `-erofs.img`, and the initrd that finds it, `-erofs-initrd.img`."""
    return _beside(job, ROOTS["erofs"])


def kernel_squashfs(job: Job) -> list[Output]:
    """`-kernel`, `-cmdline`, `-squashfs.img`, and the initrd that finds it,
    `-squashfs-initrd.img`."""
    return _beside(job, ROOTS["squashfs"])


def kernel_iso(job: Job) -> list[Output]:
    """`-kernel`, `-cmdline`, `.iso`: the root itself as ISO 9660, and the initrd that finds it,
    `-iso-initrd.img`."""
    nodes = job.system.root.entries
    # ISO 9660 has no UUID: a file with one lies in front of all others, so that its place does not
    # depend on them.
    uuid = identity("root iso", nodes).bytes
    mark = (MARK, file(uuid, 0o444, EPOCH))
    layout = IsoLayout(sorted((*nodes, mark), key=lambda item: item[0]), volume=VOLUME, first=MARK)
    root = RootFilesystem(ISO9660, packed(layout.pieces()), layout.starts[MARK], uuid)
    return _files(job, root, ".iso", "-iso-initrd.img")


MARK = ".compos-root"


def _beside(job: Job, kind: RootKind) -> list[Output]:
    root = root_filesystem(job, kind)
    return _files(job, root, f"{kind.image}.img", f"{kind.image}-initrd.img")


def _files(job: Job, root: RootFilesystem, image: str, initrd: str) -> list[Output]:
    return [
        *kernel_files(job),
        Output(image, root.pieces),
        Output(initrd, finder_initrd(job, root, (0, 0))),
    ]
