"""The kinds of roots: where a root filesystem lies when the system runs, and what that takes.

Pure. A new kind is one row here and a writer in `output.root_filesystem`; nothing decides by its
name.
"""

from __future__ import annotations

from typing import NamedTuple

from compos.errors import OutputError

__all__ = ["AUTO", "ISO9660", "MEMORY", "PLAIN", "ROOTS", "RootKind", "root_named"]


class RootKind(NamedTuple):
    """One kind of root.

    `name` is what --root calls it. `mount` is the file system as mount(2) knows it, empty where the
    root is unpacked into memory; `drivers` are the kernel modules that no device asks for: the
    finder loads them by name. What is `compressed` is not compressed again by the medium. `microvm`
    says that the kernels of microVMs can read it. `image` is the suffix of the file that it is
    beside a kernel. With `verity`, Linux checks each block by a hash tree: it is in a partition of
    its own where there can be one, else, or if it is `appended`, behind the file system.
    `corrected` says that Linux repairs what the tree finds wrong, as far as it can.
    """

    name: str
    mount: str = ""
    drivers: tuple[str, ...] = ()
    compressed: bool = False
    microvm: bool = False
    image: str = ""
    verity: bool = False
    appended: bool = False
    corrected: bool = False

    @property
    def on_medium(self) -> bool:
        """Whether it lies on the medium, where a small initrd must find it."""
        return bool(self.mount)


MEMORY = RootKind("initrd", compressed=True)
PLAIN = RootKind("erofs", "erofs", ("erofs", "loop"), microvm=True, image="-erofs")
"""What a root becomes that is too large for memory, or that must lie on the medium."""

ROOTS = {
    kind.name: kind
    for kind in (
        MEMORY,
        PLAIN,
        RootKind("erofs-zstd", "erofs", ("erofs", "loop"), compressed=True),
        RootKind(
            "squashfs",
            "squashfs",
            ("squashfs", "loop"),
            compressed=True,
            microvm=True,
            image="-squashfs",
        ),
        RootKind("ext4", "ext4", ("ext4", "loop"), microvm=True),
        RootKind("erofs-verity", "erofs", ("erofs", "loop", "dm_verity"), verity=True),
        RootKind(
            "erofs-verity-fec",
            "erofs",
            ("erofs", "loop", "dm_verity"),
            verity=True,
            corrected=True,
        ),
        RootKind(
            "erofs-verity-appended",
            "erofs",
            ("erofs", "loop", "dm_verity"),
            verity=True,
            appended=True,
        ),
        RootKind(
            "squashfs-verity",
            "squashfs",
            ("squashfs", "loop", "dm_verity"),
            compressed=True,
            verity=True,
        ),
    )
}
ISO9660 = RootKind("iso9660", mount="iso9660", drivers=("isofs",))
"""The root as the contents of a CD, which only `kernel+iso` writes: --root does not know it."""

AUTO = "auto"
"""Not a kind: memory or the medium, by size."""


def root_named(name: str) -> RootKind:
    """The kind that --root calls `name`. Raises `OutputError` (`root-unknown`)."""
    kind = ROOTS.get(name)
    if kind is None:
        raise OutputError(
            "root-unknown",
            f"unknown kind of root {name!r}",
            hint=f"Use one of: {', '.join((AUTO, *ROOTS))}.",
        )
    return kind
