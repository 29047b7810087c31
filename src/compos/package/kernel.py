"""A kernel image as LinuxKit has them: `kernel`, and `kernel.tar` with uncompressed modules, their
index and device trees.

May touch: the store (`KERNEL_TAR_FILE`: `kernel.tar` with the modules decompressed, as one stored
file).
"""

from __future__ import annotations

import hashlib
import re

from compos import progress
from compos.compose.depmod import MAX_MODULE, index_files, read_module
from compos.compose.kernel_image import KernelImageError, decompressed
from compos.compose.module_trie import binary_indexes
from compos.errors import PackageError
from compos.filesystem.tar import tar_pieces
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.node import FILE, Node, Slice, Tree, ancestors, directory, file

__all__ = ["is_kernels", "kernel_tree"]

KIND = DerivedKind.KERNEL_TAR_FILE
MODULES = "usr/lib/modules"
DEVICE_TREES = "usr/lib/linux-image-"
"""Debian keeps a kernel's device trees beside it, in `VERSION/VENDOR/BOARD.dtb`."""
_MODULE = re.compile(r"\.ko(\.xz|\.gz|\.zst)?$")


def is_kernels(path: str) -> bool:
    """Whether a package's file goes into a kernel image."""
    return path.startswith(("boot/vmlinu", f"{MODULES}/", DEVICE_TREES))


def kernel_tree(store: Store, packages: Tree, place: str) -> Tree:
    """The kernel image's tree, from the tree of a kernel package. Raises `PackageError`."""
    kernels = sorted(path for path in packages if re.fullmatch(r"boot/vmlinu[zx]-.+", path))
    if not kernels:
        raise PackageError(
            "brick-kernel", "no package of the brick has a kernel (boot/vmlinuz-…)", place=place
        )
    binary = packages[kernels[-1]]
    if binary.kind != FILE:
        raise PackageError(
            "brick-kernel", "the kernel is not a file", place=f"{place}: {kernels[-1]}"
        )
    version = kernels[-1].partition("-")[2]
    modules = {
        path.removeprefix("usr/"): node
        for path, node in packages.items()
        if path.startswith(f"{MODULES}/{version}/") and not path.endswith(("/build", "/source"))
    }
    if not modules:
        raise PackageError(
            "brick-kernel", f"no package of the brick has the modules of {version}", place=place
        )
    trees = f"{DEVICE_TREES}{version}/"
    modules |= {
        f"boot/dtb/{path.removeprefix(trees)}": node
        for path, node in packages.items()
        if path.startswith(trees)
    }
    archive = _archive(store, modules, version, binary.mtime)
    return {
        "kernel": binary._replace(mode=0o644),
        "kernel.tar": Node(FILE, 0o644, mtime=binary.mtime, size=archive.size, content=(archive,)),
    }


def _archive(store: Store, modules: Tree, version: str, mtime: int) -> Slice:
    """`kernel.tar`, kept in the store under its contents' names."""
    key = hashlib.sha256(repr((KIND.version, sorted(modules.items()))).encode()).hexdigest()
    if store.derived(KIND, key) is None:
        with (
            progress.task("decompress and index kernel modules"),
            store.derive(KIND, key) as path,
            path.open("wb") as out,
            Contents(store.root) as contents,
        ):
            tree = _decompressed(contents, modules, version, mtime)
            for chunk in contents.chunks(
                tar_pieces((name, node, {}) for name, node in sorted(tree.items()))
            ):
                out.write(chunk)
    stored = store.derived(KIND, key)
    assert stored is not None, "derive() keeps what it was given"  # noqa: S101
    return Slice(KIND.stored_name(key), 0, stored.stat().st_size)


def _decompressed(contents: Contents, modules: Tree, version: str, mtime: int) -> Tree:
    """Modules plain (one compressor over the whole initrd does better than one a file), with index
    files."""
    base = f"lib/modules/{version}"
    tree: Tree = {}
    found = []
    for path, node in sorted(modules.items()):
        match = _MODULE.search(path)
        if node.kind != FILE or match is None:
            tree[path] = node
            continue
        data = _module(contents, path, node)
        name = path[: match.start()] + ".ko"
        tree[name] = node._replace(size=len(data), content=(data,))
        found.append(read_module(name.removeprefix(f"{base}/"), data))

    def metadata(name: str) -> bytes:
        node = modules.get(f"{base}/{name}")
        if node and node.size > MAX_MODULE:
            raise PackageError(
                "brick-kernel", f"{name} is larger than {MAX_MODULE >> 20} MiB", place=base
            )
        return b"".join(contents.chunks(node.content)) if node else b""

    order = re.sub(rb"\.ko\.(xz|gz|zst)\n", b".ko\n", metadata("modules.order"))
    tree[f"{base}/modules.order"] = file(order, 0o644, mtime)
    try:
        indexes = index_files(
            found, order=order, builtin_modinfo=metadata("modules.builtin.modinfo")
        )
        indexes |= binary_indexes({**indexes, "modules.builtin": metadata("modules.builtin")})
    except (ValueError, RecursionError) as error:
        raise PackageError(
            "brick-kernel", f"the modules cannot be indexed: {error}", place=base
        ) from error
    for name, data in indexes.items():
        tree[f"{base}/{name}"] = file(data, 0o644, mtime)
    for path in list(tree):
        for parent in ancestors(path):
            tree.setdefault(parent, directory(0o755, mtime))
    return tree


def _module(contents: Contents, path: str, node: Node) -> bytes:
    """The module's file without its compression, bounded both ways."""
    if node.size > MAX_MODULE:
        raise PackageError(
            "brick-kernel", f"the module is larger than {MAX_MODULE >> 20} MiB", place=path
        )
    data = b"".join(contents.chunks(node.content))
    try:
        plain = decompressed(data, MAX_MODULE)
    except KernelImageError as error:
        raise PackageError(
            "brick-kernel", f"the module cannot be read: {error}", place=path
        ) from error
    return data if plain is None else plain
