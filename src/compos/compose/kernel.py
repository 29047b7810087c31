"""The kernel: its image, command line, microcode and modules as one component
(docs/linuxkit.md#3.4).

May touch: the store, for the index of `kernel.tar` and the decompressed kernel
(`compose.plain_kernel`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from compos.compose.component import Component
from compos.compose.root import apart
from compos.config.model import Kernel
from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.model import Image
from compos.image.store import Store
from compos.tree import absent, record
from compos.tree.contents import piece_size
from compos.tree.flatten import image_tree
from compos.tree.gate import GateError, admitted
from compos.tree.layer import Layer
from compos.tree.node import EPOCH, FILE, SYMLINK, Node, Slice, Tree, directory, file
from compos.tree.overlay import Overlay
from compos.tree.tar import TarError, read_members

__all__ = ["kernel_component"]

KIND = DerivedKind.KERNEL_TAR


def kernel_component(
    store: Store, kernel: Kernel, image: Image, *, decompress: bool = False
) -> Component:
    """`boot/kernel`, `boot/cmdline`, `boot/ucode.cpio` and what `kernel.tar` holds; `decompress`
    unpacks the kernel.

    Raises `ImageError`.
    """
    tree = image_tree(store, image)
    binary = kernel.binary or "kernel"
    found = _file(tree, binary)
    if found is None:
        raise ImageError(
            "kernel-missing",
            f"the kernel image has no file {binary!r}",
            place=image.name,
            hint="Set kernel.binary to the kernel's path in the image.",
        )
    if decompress:
        found = _decompressed(store, image, binary, found)
    made: Tree = {
        "boot": directory(0o755, EPOCH),
        "boot/cmdline": file((kernel.cmdline or "").encode(), 0o644, EPOCH),
        "boot/kernel": found._replace(mtime=EPOCH, inode=""),
    }
    if kernel.ucode and (ucode := _file(tree, kernel.ucode)) is not None:
        made["boot/ucode.cpio"] = ucode._replace(mtime=EPOCH, inode="")
    name = "kernel.tar" if kernel.tar is None else kernel.tar
    if name not in ("", "none"):
        made.update(_modules(store, image, tree, name).items())
    return Component("kernel", image.name, made)


def _decompressed(store: Store, image: Image, binary: str, node: Node) -> Node:
    """`node` with the uncompressed kernel as its content."""
    from compos.compose.kernel_image import KernelImageError
    from compos.compose.plain_kernel import stored_plain_kernel

    try:
        content = stored_plain_kernel(store, tuple(node.content))
    except KernelImageError as error:
        raise ImageError(
            "kernel-compression",
            f"the kernel {binary!r} cannot be decompressed: {error}",
            place=image.name,
            hint="Remove --decompress-kernel, or use another kernel image.",
        ) from error
    return node._replace(size=sum(map(piece_size, content)), content=content)


def _key(image: Image, path: str) -> str:
    """A name in the store for what is made of a file of `image`; the file may be called
    anything."""
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return f"{image.digest.replace(':', '-')}-{name}-v{KIND.version}"


def _file(tree: Mapping[str, Node], path: str) -> Node | None:
    """The regular file at `path`, links followed: a symlinked kernel is the file it means (defect
    docs/linuxkit.md#N20)."""
    path = path.strip("/")
    for _ in range(8):
        node = tree.get(path)
        if node is None or node.kind == FILE:
            return node
        if node.kind != SYMLINK:
            return None
        target = (
            node.link if node.link.startswith("/") else f"{path.rpartition('/')[0]}/{node.link}"
        )
        parts: list[str] = []
        for part in target.split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part not in ("", ".", ".."):
                parts.append(part)
        path = "/".join(parts)
    return None


def _modules(store: Store, image: Image, tree: Mapping[str, Node], name: str) -> Mapping[str, Node]:
    key = _key(image, name)
    if (cached := record.load_tree(store.derived(KIND, key), KIND, store)) is not None:
        return cached
    node = _file(tree, name)
    if node is None:
        raise ImageError(
            "kernel-tar-missing",
            f"the kernel image has no file {name!r}",
            place=image.name,
            hint="Set kernel.tar to its path in the image, or write `tar: none` if there are no "
            "modules.",
        )
    overlay = Overlay(image.name)
    # A file of no bytes is a tar of no files.
    for archive in node.content:
        if not isinstance(archive, Slice) or archive.size != node.size:
            raise _unusable(image, name, "it is sparse")
        absent.require(store.root, archive.source)
        try:
            with (store.root / archive.source).open("rb") as stream:
                entries = tuple(admitted(*member[:2]) for member in read_members(stream, archive))
        except (TarError, GateError) as error:
            raise _unusable(image, name, str(error)) from error
        overlay.apply(Layer((), (), entries))
    made = apart("kernel", overlay.named())
    made.pop("", None)
    with store.derive(KIND, key) as path_:
        record.save_tree(path_, KIND, made)
    return made


def _unusable(image: Image, name: str, reason: str) -> ImageError:
    return ImageError(
        "kernel-tar-damaged",
        f"{name!r} in the kernel image is not a plain tar: {reason}",
        place=image.name,
        hint="Pack the modules as an uncompressed tar, or write `tar: none`.",
    )
