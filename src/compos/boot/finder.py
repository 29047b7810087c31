"""The small initrd of a system whose root lies on a medium: `init`, the drivers that reach the medium, what to look for.

May touch: the store (reading). Distribution kernels have disk drivers and file systems as modules; those that the kernel
image has, with what they need, go in. `init` reads `etc/compos/root` (docs/plan-format.md) and goes on in the root it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from compos.compose.component import Component
from compos.compose.modules import module_name
from compos.compose.root import EPOCH, with_ancestors
from compos.image.model import Image
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from compos.tree.node import FILE, Node, Tree, directory, file

__all__ = ["RootPlace", "finder_tree"]

PATH = "etc/compos/root"
MODULES = ("lib/modules/", "usr/lib/modules/")

DRIVERS = (
    # Virtual machines and clouds.
    *("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "hv_vmbus", "hv_storvsc", "pci_hyperv", "vmw_pvscsi"),
    *("mptspi", "mptsas", "xen_blkfront", "xen_scsifront"),
    # Disks and CDs on real machines.
    *(
        "sd_mod",
        "sr_mod",
        "nvme",
        "ahci",
        "ahci_platform",
        "ata_piix",
        "ata_generic",
        "pata_acpi",
        "sata_nv",
        "sata_sil",
    ),
    *("megaraid_sas", "mpt3sas", "hpsa", "smartpqi", "aacraid", "vmd"),
    # USB, cards, and what leads to them.
    *("xhci_pci", "xhci_plat_hcd", "ehci_pci", "ohci_pci", "uhci_hcd", "usb_storage", "uas"),
    *("mmc_block", "sdhci_pci", "sdhci_acpi", "sdhci_iproc", "bcm2835", "dw_mmc_rockchip", "phy_generic"),
)
"""By the kernel's names; a kernel has few of them as modules, the rest is built in or not for its machines."""

ALWAYS = {"erofs": ("erofs", "loop"), "squashfs": ("squashfs", "loop"), "ext4": ("ext4", "loop"), "iso9660": ("isofs",)}
"""What no device asks for: loaded by name."""

CHECKSUMS = ("crc32c_generic", "crc32c_intel", "libcrc32c")
"""What file systems ask the kernel's cryptography for by name, which no index says."""


class RootPlace(NamedTuple):
    """A root file system on a medium: its kind, bytes by which to know it, and the places where it may begin.

    `mark_at` counts from the root's beginning; each place is (offset, size) on a device, (0, 0) for all of it.
    """

    kind: str
    mark_at: int
    mark: bytes
    places: tuple[tuple[int, int], ...]


def finder_tree(store: Store, root: Iterable[tuple[str, Node, Component]], init: Image, place: RootPlace) -> Tree:
    """The initrd's tree for the system with the nodes `root`; `init` is the image of our init, whichever the system has."""
    program = image_tree(store, init)["init"]
    tree: Tree = {}
    for path, node in (("init", program), (PATH, file(_description(place), 0o644, EPOCH))):
        tree.update(with_ancestors(path))
        tree[path] = node
    tree["root"] = directory(0o755, EPOCH)
    tree.update(_modules(store, {path: node for path, node, _ in root if path.startswith(MODULES)}, place.kind))
    return dict(sorted(tree.items()))


def _description(place: RootPlace) -> bytes:
    lines = [("filesystem", place.kind), ("mark", str(place.mark_at), place.mark.hex())]
    lines += [("place", str(offset), str(size)) for offset, size in place.places]
    lines += [("module", name) for name in ALWAYS[place.kind]]
    return b"compos-root\t1\n" + "".join("\t".join(line) + "\n" for line in lines).encode()


def _modules(store: Store, nodes: Tree, kind: str) -> Tree:
    """The modules wanted and needed, in their places, with the parts of the indexes that are about them."""
    indexes = [path for path in nodes if path.endswith("/modules.dep")]
    if not indexes:
        return {}
    folder = indexes[0].rpartition("/")[0]

    with Contents(store.root) as contents:

        def lines(name: str) -> list[str]:
            node = nodes.get(f"{folder}/{name}")
            if node is None or node.kind != FILE:
                return []
            return b"".join(contents.chunks(node.content)).decode("utf-8", "surrogateescape").splitlines()

        needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in lines("modules.dep"))}
        soft = [line for line in lines("modules.softdep") if line.startswith("softdep ")]
        aliases = lines("modules.alias")
        builtin = lines("modules.builtin")

    wanted = _closure(needs, soft, (*DRIVERS, *ALWAYS[kind], *CHECKSUMS))
    names = {module_name(path) for path in wanted}
    texts = {
        "modules.dep": [f"{path}:{''.join(f' {need}' for need in needs[path])}" for path in needs if path in wanted],
        "modules.alias": [line for line in aliases if line.rpartition(" ")[2] in names],
        "modules.softdep": [line for line in soft if line.split()[1].replace("-", "_") in names],
        "modules.builtin": builtin,
    }
    # Kernels look below /lib, wherever the system's own directories lead.
    target = folder.removeprefix("usr/")
    tree: Tree = {}
    found = {path: nodes[f"{folder}/{path}"] for path in wanted if f"{folder}/{path}" in nodes}
    found |= {name: file("".join(f"{line}\n" for line in text).encode(), 0o644, EPOCH) for name, text in texts.items()}
    for path, node in found.items():
        tree.update(with_ancestors(f"{target}/{path}"))
        tree[f"{target}/{path}"] = node
    return tree


def _closure(needs: dict[str, list[str]], soft: Sequence[str], names: Iterable[str]) -> set[str]:
    """The paths of `names` and of all that they need, also before (`softdep … pre:`)."""
    by_name = {module_name(path): path for path in needs}
    before: dict[str, list[str]] = {}
    for line in soft:
        _, name, *words = line.split()
        before.setdefault(name.replace("-", "_"), []).extend(
            word.replace("-", "_") for word in words if not word.endswith(":")
        )
    found: set[str] = set()
    waiting = [by_name[name] for name in names if name in by_name]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += needs[path]
        waiting += [by_name[name] for name in before.get(module_name(path), ()) if name in by_name]
    return found
