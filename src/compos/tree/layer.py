"""Layers: a layer's blob as an index of nodes and whiteouts, unpacked and read once per content.

May touch: the store (`LAYER`: decompressed tars, `LAYER_INDEX`: what is in them).
"""

from __future__ import annotations

from typing import IO, NamedTuple

from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import Digest
from compos.image.model import Descriptor
from compos.image.store import Store
from compos.tree import absent, record
from compos.tree.decompress import decompress, is_compressed
from compos.tree.gate import GateError, admitted, normal, require_path, shown
from compos.tree.node import Node
from compos.tree.tar import TarError, read_members

__all__ = ["Layer", "is_read", "layer_files", "plain_layer", "read_layer"]

KIND = DerivedKind.LAYER_INDEX

CHUNK = 1 << 20

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Layer(NamedTuple):
    """What one layer does, in the order in which it is applied: hide, then lay over (OCI image
    spec, layer.md).

    `entries` are (clean path, node) in archive order; a node of kind `h` is a hard link to the
    clean path in its `link`.
    """

    whiteouts: tuple[str, ...]
    opaque: tuple[str, ...]
    entries: tuple[tuple[str, Node], ...]


def read_layer(store: Store, layer: Descriptor, image: str) -> Layer:
    """The index of `layer`; its blob is verified, decompressed and read on the first call and never
    again.

    Raises `ImageError` (`layer-damaged`, `layer-limit`, `layer-too-large`, `store-corrupt`, …);
    `image` is named in the error.
    """
    key = _key(layer)
    if (cached := record.load_nodes(store.derived(KIND, key), KIND, store)) is not None:
        entries, (whiteouts, opaque) = cached
        return Layer(whiteouts, opaque, tuple(entries))
    place = f"{image}, layer {layer.digest}"
    source = _unpacked(store, layer, place)
    with (store.root / source).open("rb") as stream:
        try:
            index = _index(stream, source)
        except TarError as error:
            raise ImageError(
                "layer-damaged",
                f"the layer is not a usable tar: {error}",
                place=place,
                hint="Build the image again.",
            ) from error
        except GateError as error:
            raise ImageError(
                "layer-limit",
                f"the layer has an entry that Linux does not support: {error}",
                place=place,
                hint="Do not use this image; it is damaged or hostile.",
            ) from error
    with store.derive(KIND, key) as path:
        record.save_nodes(path, KIND, index.entries, (index.whiteouts, index.opaque))
    return index


def layer_files(layer: Descriptor) -> tuple[str, str]:
    """Which stored files an image's nodes may slice of `layer`: the blob, and its plain tar."""
    return Digest(layer.digest).path, DerivedKind.LAYER.stored_name(_plain_key(layer))


def is_read(store: Store, layer: Descriptor) -> bool:
    """Whether there is an index of `layer`."""
    return store.derived(KIND, _key(layer)) is not None


def _key(layer: Descriptor) -> str:
    return f"{layer.digest.replace(':', '-')}-v{KIND.version}"


def _plain_key(layer: Descriptor) -> str:
    return f"{layer.digest.replace(':', '-')}.tar"


def plain_layer(store: Store, layer: Descriptor, image: str) -> str:
    """Where the layer lies as a plain tar, below the store's root; unpacked now if it is not.
    Raises as `read_layer`."""
    read_layer(store, layer, image)
    unpacked = store.derived(DerivedKind.LAYER, _plain_key(layer))
    if unpacked is not None:
        return str(unpacked.relative_to(store.root))
    return _unpacked(store, layer, f"{image}, layer {layer.digest}")


def _unpacked(store: Store, layer: Descriptor, place: str) -> str:
    """Where the layer's plain tar is, as a path below the store's root."""
    blob = store.path(layer.digest)
    absent.require(store.root, str(blob.relative_to(store.root)))
    with store.open(layer) as stream:
        head = stream.read(6)
        if not is_compressed(head):
            while stream.read(CHUNK):  # plain already: read once, to verify it
                pass
            return str(blob.relative_to(store.root))
        key = _plain_key(layer)
        # Even if it is there: without its index, nobody knows whether it is whole.
        with store.derive(DerivedKind.LAYER, key) as path, path.open("wb") as out:
            decompress(head, stream, out, place)
    return DerivedKind.LAYER.stored_name(key)


def _index(stream: IO[bytes], source: str) -> Layer:
    whiteouts: list[str] = []
    opaque: list[str] = []
    entries: list[tuple[str, Node]] = []
    for name, node, _ in read_members(stream, source):
        parent, slash, base = normal(name).rpartition("/")
        if base == OPAQUE:
            require_path(parent)
            opaque.append(parent)
        elif base.startswith(".wh..wh."):
            continue  # aufs bookkeeping, never content
        elif base.startswith(WHITEOUT):
            hidden = f"{parent}{slash}{base[len(WHITEOUT) :]}"
            require_path(hidden)
            if base in (WHITEOUT, f"{WHITEOUT}.", f"{WHITEOUT}.."):
                raise GateError(f"{shown(name)} is a whiteout of an impossible name")
            whiteouts.append(hidden)
        else:
            entries.append(admitted(name, node))
    return Layer(tuple(whiteouts), tuple(opaque), tuple(entries))
