"""The small initrd of a system whose root lies on a medium: `init`, the drivers that reach the
medium, what to look for.

May touch: the store (reading). Distribution kernels have disk drivers and file systems as modules;
those that the kernel image has, with what they need, go in. `init` reads `etc/compos/root`
(docs/plan-format.md) and goes on in the root it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from compos.compose.drivers import CHECKSUMS, DISKS, TPMS
from compos.compose.kernel_modules import read_index
from compos.compose.root import with_ancestors
from compos.image.model import Image
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from compos.tree.node import EPOCH, Tree, directory, file

if TYPE_CHECKING:
    from compos.filesystem.verity import Verity

__all__ = ["RootPlace", "finder_tree", "place_tree"]

PATH = "etc/compos/root"
OPENER = "sbin/open-roots"
CIPHERS = ("dm_crypt", "xts", "aesni_intel", "aes_ce_blk")
"""What init loads before it runs the opener (bricks/init/src/machine/opener.c)."""


class RootPlace(NamedTuple):
    """A root file system on a medium: how it is mounted, bytes by which to know it, and the places
    where it may begin.

    `filesystem` is mount(2)'s name, `drivers` the modules that no device asks for: they are loaded
    by name. `mark_at` counts from the root's beginning; each place is (offset, size) on a device,
    (0, 0) for all of it. With `verity`, the root is mounted through its hash tree, which follows
    the file system or is a device of its own (`apart`). With `unseal`, the system's own init leaves
    the initrd, when it has unsealed what it needs. `sealed` says that the roots of slots may be
    encrypted, and what happens if the TPM does not release their key: "ask" or "halt".
    """

    filesystem: str
    drivers: tuple[str, ...]
    mark_at: int
    mark: bytes
    places: tuple[tuple[int, int], ...]
    verity: Verity | None = None
    apart: bool = False
    unseal: bool = False
    sealed: str = ""


def finder_tree(
    store: Store,
    modules: Tree,
    init: Image,
    drivers: tuple[str, ...],
    opener: Image | None = None,
) -> Tree:
    """What is the same whatever root is looked for, for a system whose kernel's `modules` are these
    (a root's nodes below `lib/modules`); `init` is the image of our init, whichever the system has.
    `opener` is the image of the data partition, whose program opens roots that are encrypted."""
    tree: Tree = with_ancestors("init")
    tree["init"] = image_tree(store, init)["init"]
    if opener:
        tree.update(with_ancestors(OPENER))
        tree[OPENER] = image_tree(store, opener)["usr/bin/data-partition"]
        drivers = (*drivers, *CIPHERS)
    tree["root"] = directory(0o755, EPOCH)
    tree.update(_modules(store, modules, drivers))
    return dict(sorted(tree.items()))


def place_tree(place: RootPlace) -> Tree:
    """What is to be looked for. It is another one for each system: compressed by itself, it leaves
    the rest of the initrd as it was."""
    tree: Tree = with_ancestors(PATH)
    tree[PATH] = file(_description(place), 0o644, EPOCH)
    return dict(sorted(tree.items()))


def _description(place: RootPlace) -> bytes:
    # An init that does not know hash trees finds no file system, rather than mount it unchecked.
    kind = "verified" if place.verity else "filesystem"
    lines: list[tuple[str, ...]] = [(kind, place.filesystem)]
    lines.append(("mark", str(place.mark_at), place.mark.hex()))
    lines += [("place", str(offset), str(size)) for offset, size in place.places]
    lines += [("module", name) for name in place.drivers]
    if tree := place.verity:
        start = tree.start - tree.blocks if place.apart else tree.start
        lines.append(("verity", str(tree.blocks), str(start)))
        if tree.correction:
            behind = start + tree.corrected - tree.blocks
            lines.append(("correction", str(behind), str(tree.corrected)))
        if place.apart:
            lines.append(("tree", "0", tree.mark.hex()))
        lines.append(("roothash", tree.root.hex(), tree.salt.hex()))
    if place.unseal:
        lines.append(("unseal",))
    if place.sealed:
        lines.append(("sealed", place.sealed))
    return b"compos-root\t1\n" + "".join("\t".join(line) + "\n" for line in lines).encode()


def _modules(store: Store, nodes: Tree, drivers: tuple[str, ...]) -> Tree:
    """The modules wanted and needed, in their places, with indexes that are about them."""
    with Contents(store.root) as contents:
        index = read_index(contents, nodes)
    if index is None:
        return {}
    wanted = index.closure(dict.fromkeys((*DISKS, *drivers, *CHECKSUMS, *TPMS), ""))
    found = {
        path: nodes[f"{index.folder}/{path}"]
        for path in wanted
        if f"{index.folder}/{path}" in nodes
    }
    # Only init reads them here.
    texts = {name: data for name, data in index.files(wanted).items() if not name.endswith(".bin")}
    found |= {name: file(data, 0o644, EPOCH) for name, data in texts.items()}
    # Kernels look below /lib, wherever the system's own directories lead.
    target = index.folder.removeprefix("usr/")
    tree: Tree = {}
    for path, node in found.items():
        tree.update(with_ancestors(f"{target}/{path}"))
        tree[f"{target}/{path}"] = node
    return tree
