"""What a kernel brick is made of besides Debian's packages: package files, a kernel and its modules
that lie in the brick's folder, as one tree in the shape of a kernel's package.

May touch: the brick's folder (reading), the store (copies of what is there).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from compos.compose.host_files import stored
from compos.compose.kernel_facts import KernelFacts, kernel_facts
from compos.compose.kernel_image import KernelImageError
from compos.errors import PackageError
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.package.kernel_checks import require_architecture
from compos.package.local_package import LocalPackage, read_package
from compos.package.recipe import Recipe
from compos.package.recipe_key import folder_files
from compos.tree.contents import Contents
from compos.tree.layer import Layer
from compos.tree.node import EPOCH, FILE, Node, Slice, Tree
from compos.tree.overlay import Overlay

__all__ = ["KernelSources", "kernel_sources", "read_kernel"]

CHUNK = 1 << 20

MAX_KERNEL = 512 << 20
"""Bytes of a kernel file; a vmlinux without debug information has 60 MB."""


_HINT = "Use a bzImage, an Image, an Image.gz, an EFI zboot image or a vmlinux."


class KernelSources(NamedTuple):
    """`tree` is in merged-/usr spelling, `boot/vmlinuz-VERSION` and `usr/lib/modules/VERSION`
    among it; `extra` are modules to be added, by their files' names. `packages` are for the SBOM:
    files that are no packages are among them by their names. `without_modules` says that a kernel
    without any is meant."""

    tree: Tree
    packages: tuple[LocalPackage, ...]
    extra: Tree
    without_modules: bool


def kernel_sources(store: Store, recipe: Recipe, architecture: str) -> KernelSources:
    """What `recipe.kernel` names in the recipe's folder. Raises `PackageError`."""
    kernel = recipe.kernel
    if kernel is None:
        return KernelSources({}, (), {}, without_modules=False)
    overlay = Overlay(str(recipe.folder / "build.yml"))
    packages = []
    for name in kernel.packages:
        path = recipe.source(name, architecture)
        package = read_package(store, path)
        if package.architecture:
            require_architecture(package.architecture, architecture, "the package", str(path))
        overlay.apply(Layer((), (), package.entries))
        packages.append(package)
    tree = overlay.tree
    if kernel.binary is not None:
        path = recipe.source(kernel.binary, architecture)
        node = _host_file(store, path)
        with Contents(store.root) as contents:
            _, facts = read_kernel(contents, node, str(path), hint=_HINT)
        version = facts.version
        tree[f"boot/vmlinuz-{version}"] = node
        packages.append(_named(kernel.binary, version, node))
        if kernel.modules is not None:
            modules, digest = _modules(store, recipe.folder, kernel.modules, architecture)
            tree.update(modules)
            packages.append(LocalPackage("folder", kernel.modules, version, "", digest, ()))
        if kernel.config is not None:
            path = recipe.source(kernel.config, architecture)
            tree[f"boot/config-{version}"] = _host_file(store, path)
    extra = {}
    for name in kernel.extra_modules:
        path = recipe.source(name, architecture)
        if path.name in extra:
            raise PackageError(
                "brick-module",
                f"two modules are called {path.name}",
                place=str(path),
                hint="A kernel has one module of a name.",
            )
        extra[path.name] = _host_file(store, path)
        packages.append(_named(name, "", extra[path.name]))
    without = kernel.binary is not None and kernel.modules is None
    return KernelSources(tree, tuple(packages), extra, without_modules=without)


def _named(name: str, version: str, node: Node) -> LocalPackage:
    """A file of the folder as the SBOM lists it."""
    sources = [piece.source for piece in node.content if isinstance(piece, Slice)]
    digest = sources[0].rpartition("/")[2] if sources else hashlib.sha256().hexdigest()
    return LocalPackage("file", name, version, "", digest, ())


def _host_file(store: Store, path: Path) -> Node:
    try:
        with path.open("rb") as stream:
            copy = stored(store, DerivedKind.HOST, stream)
    except OSError as error:
        raise PackageError(
            "brick-source",
            f"the file cannot be read: {(error.strerror or str(error)).lower()}",
            place=str(path),
            hint="Make it readable.",
        ) from error
    return Node(FILE, 0o644, mtime=EPOCH, size=copy.size, content=(copy,) if copy.size else ())


def read_kernel(
    contents: Contents, node: Node, place: str, *, hint: str
) -> tuple[bytes, KernelFacts]:
    """A kernel's bytes, and what they say. Raises `PackageError` (`brick-kernel`, with this hint
    for what is no kernel)."""
    if node.size > MAX_KERNEL:
        raise PackageError(
            "brick-kernel", f"the kernel is larger than {MAX_KERNEL >> 20} MiB", place=place
        )
    data = b"".join(contents.chunks(node.content))
    try:
        return data, kernel_facts(data)
    except KernelImageError as error:
        raise PackageError(
            "brick-kernel", f"the kernel cannot be read: {error}", place=place, hint=hint
        ) from error


def _modules(store: Store, folder: Path, named: str, architecture: str) -> tuple[Tree, str]:
    """The files of a folder of modules, and the SHA-256 of them all. The folder has
    `lib/modules/VERSION`, as `make modules_install` makes it, or `VERSION`. Its files become one in
    the store."""
    top, files = folder_files(folder, named, architecture)
    for inner in ("lib/modules", "usr/lib/modules"):
        if (top / inner).is_dir():
            files = [path for path in files if path.is_relative_to(top / inner)]
            top = top / inner
            break
    names = [path.relative_to(top).as_posix() for path in files]
    sizes, key = _read(files, names, None)
    source = DerivedKind.PACKAGE.stored_name(key)
    if store.derived(DerivedKind.PACKAGE, key) is None:
        with store.derive(DerivedKind.PACKAGE, key) as target, target.open("wb") as out:
            if _read(files, names, out) != (sizes, key):
                raise PackageError(
                    "package-changed",
                    "a module changed while it was read",
                    place=str(top),
                    hint="Build it again.",
                )
    tree: Tree = {}
    offset = 0
    for name, size in zip(names, sizes, strict=True):
        content = (Slice(source, offset, size),) if size else ()
        tree[f"usr/lib/modules/{name}"] = Node(FILE, 0o644, mtime=EPOCH, size=size, content=content)
        offset += size
    return tree, key


def _read(files: list[Path], names: list[str], out: BinaryIO | None) -> tuple[list[int], str]:
    """Sizes, and the SHA-256 of names and contents; the contents are copied to `out`, one after
    the other."""
    sizes = []
    whole = hashlib.sha256()
    for name, path in zip(names, files, strict=True):
        hasher = hashlib.sha256()
        size = 0
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                hasher.update(chunk)
                size += len(chunk)
                if out is not None:
                    out.write(chunk)
        sizes.append(size)
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + hasher.digest())
    return sizes, whole.hexdigest()
