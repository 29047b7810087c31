"""How an image travels: with compressed layers, and what is attested of it in that form.

A brick's layer is a plain tar in the store, because builds take the contents of files out of it
where they lie. At a registry it would be three times as large as it need be.

May touch: the store, which remembers what a layer is when it is compressed (`TRAVEL`): whether a
registry has it can be asked without compressing it again.
"""

from __future__ import annotations

import json

from compos.errors import ImageError
from compos.image.attestation import put_attestation, spdx_documents
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import Digest
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import LAYER_TAR, LAYER_ZSTD, MANIFEST, Descriptor, Image
from compos.image.store import Store

__all__ = ["Travelling"]

_LEVEL = 9
"""Of zstd: what is published once is fetched often."""

_PIECE = 1 << 20


class Travelling:
    """Images of `store` in the form that they travel in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plain: dict[str, Descriptor] = {}
        """Plain layers by the digests of the compressed ones."""

    def entries(self, name: str, entry: Descriptor, image: Image) -> list[Descriptor]:
        """Entries for an index: `image`, which `entry` lists in the store's, with its layers
        compressed, and its SBOMs, which call it `name`. One that is compressed stays as it is, with
        all that is attested of it. The store may lack the layers (`make`).

        The same image makes the same entries, as long as zstd's version is the same. Raises
        `ImageError` (`sbom-invalid`, `store-full`).
        """
        if all(layer.media_type != LAYER_TAR for layer in image.layers):
            return [entry, *image.attestations]
        store = self._store
        document = parse_json(store.read(entry.digest))
        document["layers"] = [self._packed(layer).to_json() for layer in image.layers]
        made = store.put(canonical_json(document), MANIFEST)
        manifest = entry._replace(digest=made.digest, size=made.size)
        about = [
            put_attestation(store, name, manifest, image.config.platform, sbom)
            for sbom in spdx_documents(store, image)
        ]
        return [manifest, *about]

    def make(self, blob: Descriptor) -> None:
        """Put a layer of an image of `entries` into the store; nothing for any other blob."""
        if plain := self._plain.get(blob.digest):
            self._pack(plain)

    def _packed(self, layer: Descriptor) -> Descriptor:
        """Only a plain tar is compressed; the image's config names what is inside in either
        case."""
        if layer.media_type != LAYER_TAR:
            return layer
        digest, size = self._known(layer) or self._pack(layer)
        self._plain[digest] = layer
        return layer._replace(media_type=LAYER_ZSTD, digest=digest, size=size)

    def _known(self, layer: Descriptor) -> tuple[Digest, int] | None:
        path = self._store.derived(DerivedKind.TRAVEL, _key(layer))
        if path is None:
            return None
        try:
            digest, size = json.loads(path.read_bytes())
            return Digest.parse(digest), int(size)
        except (OSError, ValueError, TypeError, ImageError):
            return None

    def _pack(self, layer: Descriptor) -> tuple[Digest, int]:
        from compos.zstd import zstd

        # With workers the bytes are the same however many there are.
        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: _LEVEL,
            zstd.CompressionParameter.nb_workers: 2,
        }
        packer = zstd.ZstdCompressor(options=options)
        with self._store.open(layer) as tar, self._store.writer() as blob:
            while piece := tar.read(_PIECE):
                if packed := packer.compress(piece):
                    blob.write(packed)
            blob.write(packer.flush())
            made = blob.commit(LAYER_ZSTD)
        with self._store.derive(DerivedKind.TRAVEL, _key(layer)) as path:
            path.write_text(json.dumps([made.digest, made.size]))
        return made.digest, made.size


def _key(layer: Descriptor) -> str:
    from compos.zstd import zstd

    return f"{layer.digest.replace(':', '-')}.zstd-{zstd.zstd_version}-{_LEVEL}"
