"""What a set of Debian packages contains, as one tree in merged-/usr spelling.

May touch: the store (`DEB`: unpacked data archives, `DEB_INDEX`: what is in them).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compos import progress
from compos.errors import PackageError
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.package.debian.archive import data_tar
from compos.package.debian.index import Package
from compos.package.select import merge_usr
from compos.tree import record
from compos.tree.gate import admitted
from compos.tree.layer import Layer
from compos.tree.node import DIRECTORY, HARD_LINK, Node, Tree
from compos.tree.overlay import Overlay
from compos.tree.tar import TarError, read_members

__all__ = ["known_files", "merged_entry", "packages_tree"]

KIND = DerivedKind.DEB_INDEX
CHUNK = 1 << 20


def packages_tree(
    store: Store, packages: Sequence[Package], archives: Sequence[Path]
) -> tuple[Tree, dict[str, Package]]:
    """The files of `packages`, whose verified `.deb` files are `archives`, and whose each path but
    folders' is.

    Raises `PackageError`.
    """
    with progress.task(f"unpack {len(packages)} packages"), progress.threads(2) as pool:
        indexes = list(
            pool.map(lambda pair: _index(store, *pair), zip(packages, archives, strict=True))
        )
    overlay = Overlay("the packages")
    owners: dict[str, Package] = {}
    for package, entries in zip(packages, indexes, strict=True):
        overlay.apply(Layer((), (), entries))
        owners.update((path, package) for path, node in entries if node.kind != DIRECTORY)
    return overlay.tree, owners


def _index(store: Store, package: Package, archive: Path) -> tuple[tuple[str, Node], ...]:
    key = f"{package.sha256}-v{KIND.version}"
    if (cached := record.load_nodes(store.derived(KIND, key), KIND, store)) is not None:
        return tuple(cached[0])
    name = f"{package.sha256}.tar"
    # Even if it is there: without its index, nobody knows whether it is whole.
    with (
        store.derive(DerivedKind.DEB, name) as path,
        path.open("wb") as out,
        data_tar(archive) as data,
    ):
        while chunk := data.read(CHUNK):
            out.write(chunk)
    source = DerivedKind.DEB.stored_name(name)
    try:
        with (store.root / source).open("rb") as stream:
            entries = tuple(
                merged_entry(*admitted(member, node))
                for member, node, _ in read_members(stream, source)
            )
    except (TarError, ValueError) as error:
        raise PackageError(
            "debian-archive",
            f"the package's files cannot be read: {error}",
            place=f"{package.name} {package.version}",
        ) from error
    entries = tuple((path, node) for path, node in entries if path)
    with store.derive(KIND, key) as path:
        record.save_nodes(path, KIND, entries)
    return entries


def merged_entry(path: str, node: Node) -> tuple[str, Node]:
    """A package's entry in merged-/usr spelling; the path is empty for what is left out."""
    if node.kind == HARD_LINK:
        return merge_usr(path), node._replace(link=merge_usr(node.link))
    # base-files ships the aliasing links themselves; here they are one directory already.
    if node.kind != DIRECTORY and path in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        return "", node
    return merge_usr(path), node


def known_files(store: Store, sha256: str) -> tuple[str, ...]:
    """The paths of the files of the package with this SHA-256, if the store remembers them: it was
    unpacked, and has not been removed since."""
    found = record.load_nodes(store.derived(KIND, f"{sha256}-v{KIND.version}"), KIND, store)
    return tuple(path for path, node in found[0] if node.kind != DIRECTORY) if found else ()
