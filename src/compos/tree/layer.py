"""Layers: a layer's blob as an index of nodes and whiteouts, unpacked and read once per content.

May touch: the store (`derived/layer`: decompressed tars, `derived/layer-index`: what is in them).
"""

from __future__ import annotations

import zlib
from typing import IO, NamedTuple, Protocol

from compos.errors import ImageError
from compos.image.model import Descriptor
from compos.image.store import Store
from compos.tree import record
from compos.tree.node import DIRECTORY, Node
from compos.tree.tar import HARD_LINK, TarError, read_members

__all__ = ["Layer", "clean", "is_read", "plain_layer", "read_layer"]

VERSION = 1
"""Part of every key below: counts up when what is derived changes its meaning."""

KIND = f"layer {VERSION}"
"""What the records of layers are called."""

CHUNK = 1 << 20
MOST = 4 << 20
"""Bytes that are decompressed at a time, whatever a MiB becomes: zeros become a thousand times as many."""

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Layer(NamedTuple):
    """What one layer does, in the order in which it is applied: hide, then lay over (OCI image spec, layer.md).

    `entries` are (clean path, node) in archive order; a node of kind `h` is a hard link to the clean path in its `link`.
    """

    whiteouts: tuple[str, ...]
    opaque: tuple[str, ...]
    entries: tuple[tuple[str, Node], ...]


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def read_layer(store: Store, layer: Descriptor, image: str) -> Layer:
    """The index of `layer`; its blob is verified, decompressed and read on the first call and never again.

    Raises `ImageError` (`layer-damaged`, `layer-path`, `store-corrupt`, …); `image` is named in the error.
    """
    key = _key(layer)
    if (cached := record.load_nodes(store.derived("layer-index", key), KIND, store)) is not None:
        entries, (whiteouts, opaque) = cached
        return Layer(whiteouts, opaque, tuple(entries))
    place = f"{image}, layer {layer.digest}"
    source = _unpacked(store, layer, place)
    with (store.root / source).open("rb") as stream:
        try:
            index = _index(stream, source)
        except TarError as error:
            raise ImageError(
                "layer-damaged", f"the layer is not a usable tar: {error}", place=place, hint="Build the image again."
            ) from error
        except _PathError as error:
            raise ImageError(
                "layer-path",
                f"the layer names a path outside its root: {error}",
                place=place,
                hint="Do not use this image; it is damaged or hostile.",
            ) from error
    with store.derive("layer-index", key) as path:
        record.save_nodes(path, KIND, index.entries, (index.whiteouts, index.opaque))
    return index


def is_read(store: Store, layer: Descriptor) -> bool:
    """Whether there is an index of `layer`."""
    return store.derived("layer-index", _key(layer)) is not None


def _key(layer: Descriptor) -> str:
    return f"{layer.digest.replace(':', '-')}-v{VERSION}"


def plain_layer(store: Store, layer: Descriptor, image: str) -> str:
    """Where the layer lies as a plain tar, below the store's root; unpacked now if it is not. Raises as `read_layer`."""
    read_layer(store, layer, image)
    unpacked = store.derived("layer", f"{layer.digest.replace(':', '-')}.tar")
    if unpacked is not None:
        return str(unpacked.relative_to(store.root))
    return _unpacked(store, layer, f"{image}, layer {layer.digest}")


def _unpacked(store: Store, layer: Descriptor, place: str) -> str:
    """Where the layer's plain tar is, as a path below the store's root."""
    blob = store.path(layer.digest)
    with store.open(layer) as stream:
        head = stream.read(6)
        if head[:2] != b"\x1f\x8b" and head[:4] != b"\x28\xb5\x2f\xfd":
            while stream.read(CHUNK):  # plain already: read once, to verify it
                pass
            return str(blob.relative_to(store.root))
        key = f"{layer.digest.replace(':', '-')}.tar"
        # Even if it is there: without its index, nobody knows whether it is whole.
        with store.derive("layer", key) as path, path.open("wb") as out:
            _decompress(head, stream, out, place)
    return f"derived/layer/{key}"


def _decompress(head: bytes, stream: IO[bytes], out: IO[bytes], place: str) -> None:
    """Decompress gzip or zstd (several members or frames too) from `stream`, whose first bytes are `head`."""
    gzip = head[:2] == b"\x1f\x8b"
    decompressor = _decompressor(gzip)
    data = head
    try:
        while True:
            if decompressor.eof:
                data = data or stream.read(CHUNK)
                if not data:
                    break
                if not data.strip(b"\0"):
                    data = b""
                    continue
                decompressor = _decompressor(gzip)
            elif not data and getattr(decompressor, "needs_input", True):
                data = stream.read(CHUNK)
            made = decompressor.decompress(data, MOST)
            out.write(made)
            if not data and not made and not decompressor.eof:
                break
            # What of the input is left: zlib's gives it back when its output is long enough, zstd's keeps it.
            data = decompressor.unused_data if decompressor.eof else getattr(decompressor, "unconsumed_tail", b"")
    except Exception as error:
        if isinstance(error, (ImageError, OSError)):
            raise
        raise ImageError("layer-damaged", f"the layer cannot be decompressed: {error}", place=place) from error
    if not decompressor.eof:
        raise ImageError("layer-damaged", "the layer's compressed data ends early", place=place)


def _decompressor(gzip: bool) -> _Decompressor:
    if not gzip:
        import sys

        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdDecompressor
        else:
            from backports.zstd import ZstdDecompressor
        return ZstdDecompressor()
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(31)
    decompressor: _Decompressor = isal_zlib.decompressobj(31)
    return decompressor


class _PathError(ValueError):
    pass


def clean(name: str) -> str:
    """`./a//b/` → `a/b`; the root is empty. A `..` or a NUL is refused: nothing may leave the layer's root."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise _PathError(repr(name))
    return "/".join(parts)


def _index(stream: IO[bytes], source: str) -> Layer:
    whiteouts: list[str] = []
    opaque: list[str] = []
    entries: list[tuple[str, Node]] = []
    for name, node, _ in read_members(stream, source):
        path = clean(name)
        parent, _, base = path.rpartition("/")
        if base == OPAQUE:
            opaque.append(parent)
        elif base.startswith(".wh..wh."):
            continue  # aufs bookkeeping, never content
        elif base.startswith(WHITEOUT):
            hidden = base[len(WHITEOUT) :]
            if hidden in ("", ".", ".."):
                raise _PathError(repr(name))
            whiteouts.append(f"{parent}/{hidden}" if parent else hidden)
        elif node.kind == HARD_LINK:
            entries.append((path, node._replace(link=clean(node.link))))
        elif path or node.kind == DIRECTORY:
            entries.append((path, node))
    return Layer(tuple(whiteouts), tuple(opaque), tuple(entries))
