"""A kernel image as LinuxKit has them: `kernel`, and `kernel.tar` with uncompressed modules, their
index and device trees.

May touch: the store (`KERNEL_TAR_FILE`: `kernel.tar` with the modules decompressed, as one stored
file).
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import NamedTuple

from compos import progress
from compos.compose.depmod import MAX_MODULE, Module, index_files, module_name, read_module
from compos.compose.kernel_facts import embedded_config
from compos.compose.kernel_image import KernelImageError, decompressed
from compos.compose.module_trie import binary_indexes
from compos.errors import PackageError
from compos.filesystem.tar import tar_pieces
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.package.kernel_checks import (
    require_architecture,
    require_config,
    require_elf,
    require_loadable,
)
from compos.package.kernel_sources import read_kernel
from compos.package.microcode import MICROCODE, microcode_files
from compos.progress import notice
from compos.tree.contents import Contents
from compos.tree.node import FILE, Node, Slice, Tree, ancestors, directory, file

__all__ = ["is_kernels", "kernel_tree"]

KIND = DerivedKind.KERNEL_TAR_FILE
MODULES = "usr/lib/modules"
DEVICE_TREES = "usr/lib/linux-image-"
"""Debian keeps a kernel's device trees beside it, in `VERSION/VENDOR/BOARD.dtb`."""

ADDED = "updates"
"""Where modules stand that are not the kernel's own (depmod.d(5))."""

_MODULE = re.compile(r"\.ko(\.xz|\.gz|\.zst)?$")
_KERNELS = (
    re.compile(r"boot/(?:vmlinu[zx]|Image)-.+"),
    # Fedora's, openSUSE's and Arch's stand with their modules.
    re.compile(rf"{MODULES}/[^/]+/(?:vmlinu[zx]|Image)(?:\.(?:gz|xz|zst))?"),
)
_BUILT = ("modules.builtin", "modules.builtin.modinfo", "modules.order")
"""What the kernel's build says of its modules; the indexes are made anew."""

MAX_CONFIG = 4 << 20
"""Bytes of a kernel's configuration; Debian's have 300 KB."""


def is_kernels(path: str) -> bool:
    """Whether a package's file goes into a kernel image."""
    return path.startswith(("boot/", f"{MODULES}/", DEVICE_TREES, *MICROCODE))


def kernel_tree(
    store: Store,
    packages: Tree,
    place: str,
    *,
    architecture: str,
    extra: Tree | None = None,
    without_modules: bool = False,
) -> Tree:
    """The kernel image's tree, from the tree of a kernel package; `extra` are modules to be added,
    by their files' names.

    Raises `PackageError` (`brick-kernel`, and those of `kernel_checks`).
    """
    with Contents(store.root) as contents:
        path, version, data = _chosen(contents, packages, architecture, place)
        _require_config(contents, packages, version, data, place)
        microcode = microcode_files(contents, packages, place)
    binary = packages[path]
    base = f"{MODULES}/{version}/"
    modules = {
        name.removeprefix("usr/"): node
        for name, node in packages.items()
        if name.startswith(base)
        and (_MODULE.search(name) or name.removeprefix(base) in _BUILT)
        and node.kind == FILE
    }
    if not without_modules and f"lib/modules/{version}/modules.builtin" not in modules:
        raise PackageError(
            "brick-kernel",
            f"the modules of {version} have no modules.builtin, which says what is built into the "
            "kernel",
            place=place,
            hint="Add the package that has it, or the whole folder that `make modules_install` "
            "makes.",
        )
    trees = _device_trees(packages, version)
    added = {f"lib/modules/{version}/{ADDED}/{name}": node for name, node in (extra or {}).items()}
    archive = _archive(store, Modules(modules, added, version, architecture), trees, binary.mtime)
    return {
        "kernel": binary._replace(mode=0o644),
        "kernel.tar": Node(FILE, 0o644, mtime=binary.mtime, size=archive.size, content=(archive,)),
        **microcode,
    }


class Modules(NamedTuple):
    """A kernel's own modules with what its build says of them, and those `added`: paths from
    `lib/modules` on."""

    own: Tree
    added: Tree
    version: str
    architecture: str


def _chosen(
    contents: Contents, packages: Tree, architecture: str, place: str
) -> tuple[str, str, bytes]:
    """The kernel's path, version and bytes: of several the last whose modules are there."""
    # In /boot, some distributions have links to the kernel beside the modules.
    kernels = sorted(
        path
        for path, node in packages.items()
        if node.kind == FILE and any(pattern.fullmatch(path) for pattern in _KERNELS)
    )
    if not kernels:
        raise PackageError(
            "brick-kernel",
            "no package of the brick has a kernel (boot/vmlinuz-…)",
            place=place,
            hint="Add the package that has the kernel, or `kernel.binary`.",
        )
    versions = sorted(
        {path.split("/")[3] for path in packages if path.startswith(f"{MODULES}/")} - {""}
    )
    found = []
    for path in reversed(kernels):
        data, facts = read_kernel(
            contents,
            packages[path],
            f"{place}: {path}",
            hint="Use the package of a bzImage, an Image, an EFI zboot image or a vmlinux.",
        )
        require_architecture(facts.architecture, architecture, "the kernel", f"{place}: {path}")
        if facts.version in versions or not versions:
            return path, facts.version, data
        found.append(facts.version)
    raise PackageError(
        "brick-kernel-version",
        f"the kernel is {' or '.join(found)}, but the modules are those of {', '.join(versions)}",
        place=place,
        hint="Use a kernel and modules of the same build.",
    )


def _require_config(
    contents: Contents, packages: Tree, version: str, data: bytes, place: str
) -> None:
    """Check the kernel's configuration, wherever it is."""
    named = (f"boot/config-{version}", f"{MODULES}/{version}/config")
    paths = [path for path in named if path in packages] or [
        path for path in packages if path.startswith("boot/config-")
    ]
    nodes = [packages[path] for path in paths if packages[path].kind == FILE]
    text = b""
    if nodes and nodes[0].size <= MAX_CONFIG:
        text = b"".join(contents.chunks(nodes[0].content))
    else:
        # What loaders unpack and we cannot is no mistake of the kernel's.
        with suppress(KernelImageError):
            text = embedded_config(data)
    if text:
        require_config(text.decode("utf-8", "replace"), place)
    else:
        notice(f"the configuration of the kernel {version} is unknown and was not checked")


def _device_trees(packages: Tree, version: str) -> Tree:
    """The boards' device trees: where Debian, Fedora and openSUSE, and Alpine have them."""
    folders = (f"{DEVICE_TREES}{version}/", f"{MODULES}/{version}/dtb/", f"boot/dtb-{version}/")
    trees = {
        f"boot/dtb/{path.removeprefix(folder)}": node
        for folder in folders
        for path, node in packages.items()
        if path.startswith(folder)
    }
    for path, node in packages.items():
        if found := re.fullmatch(r"boot/dtbs-[^/]+/(.+)", path):
            trees.setdefault(f"boot/dtb/{found[1]}", node)
    return trees


def _archive(store: Store, modules: Modules, trees: Tree, mtime: int) -> Slice:
    """`kernel.tar`, kept in the store under its contents' names."""
    parts = (sorted(modules.own.items()), sorted(modules.added.items()), sorted(trees.items()))
    named = (KIND.version, parts, modules.version, modules.architecture)
    key = hashlib.sha256(repr(named).encode()).hexdigest()
    if store.derived(KIND, key) is None:
        with (
            progress.task("decompress and index kernel modules"),
            store.derive(KIND, key) as path,
            path.open("wb") as out,
            Contents(store.root) as contents,
        ):
            tree = _decompressed(contents, modules, mtime) | trees
            for name in list(tree):
                for parent in ancestors(name):
                    tree.setdefault(parent, directory(0o755, mtime))
            for chunk in contents.chunks(
                tar_pieces((name, node, {}) for name, node in sorted(tree.items()))
            ):
                out.write(chunk)
    stored = store.derived(KIND, key)
    assert stored is not None, "derive() keeps what it was given"  # noqa: S101
    return Slice(KIND.stored_name(key), 0, stored.stat().st_size)


def _decompressed(contents: Contents, modules: Modules, mtime: int) -> Tree:
    """Modules plain (one compressor over the whole initrd does better than one a file), with index
    files."""
    base = f"lib/modules/{modules.version}"

    def metadata(name: str) -> bytes:
        node = modules.own.get(f"{base}/{name}")
        if node and node.size > MAX_MODULE:
            raise PackageError(
                "brick-kernel", f"{name} is larger than {MAX_MODULE >> 20} MiB", place=base
            )
        return b"".join(contents.chunks(node.content)) if node else b""

    builtin = metadata("modules.builtin")
    tree: Tree = {path: node for path, node in modules.own.items() if not _MODULE.search(path)}
    added, ours = {}, {}
    for path, node in sorted(modules.added.items()):
        module = _plain_module(contents, tree, path, node, modules)
        added[module.name] = module
    for path, node in sorted(modules.own.items()):
        if _MODULE.search(path) and module_name(path) not in added:
            module = _plain_module(contents, tree, path, node, modules)
            ours[module.path] = module
    text = builtin.decode("utf-8", "replace")
    require_loadable(ours.values(), added.values(), text, modules.version, base)
    order = re.sub(rb"\.ko\.(xz|gz|zst)\n", b".ko\n", metadata("modules.order"))
    tree[f"{base}/modules.order"] = file(order, 0o644, mtime)
    try:
        indexes = index_files(
            [*ours.values(), *added.values()],
            order=order,
            builtin_modinfo=metadata("modules.builtin.modinfo"),
        )
        indexes |= binary_indexes({**indexes, "modules.builtin": builtin})
    except (ValueError, RecursionError) as error:
        raise PackageError(
            "brick-kernel", f"the modules cannot be indexed: {error}", place=base
        ) from error
    for name, data in indexes.items():
        tree[f"{base}/{name}"] = file(data, 0o644, mtime)
    return tree


def _plain_module(
    contents: Contents, tree: Tree, path: str, node: Node, modules: Modules
) -> Module:
    """Put a module without its compression into `tree`; returns what it says of itself."""
    match = _MODULE.search(path)
    if match is None:
        raise PackageError(
            "brick-module",
            "a module's name ends in .ko, .ko.gz, .ko.xz or .ko.zst",
            place=path,
            hint="Rename the file in kernel.extra-modules.",
        )
    data = _module(contents, path, node)
    require_elf(path, data, modules.architecture)
    name = path[: match.start()] + ".ko"
    tree[name] = node._replace(size=len(data), content=(data,) if data else ())
    return read_module(name.removeprefix(f"lib/modules/{modules.version}/"), data)


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
