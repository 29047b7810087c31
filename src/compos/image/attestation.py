"""What an image's index attests of it: the SPDX documents in BuildKit's attestation manifests, and
such manifests of our own.

May touch: the store. Source: BuildKit's "Image Attestation Storage"; in-toto's Statement v0.1. An
attestation manifest stands in the index for the platform unknown/unknown and names the image's
manifest in an annotation; its layers are in-toto statements, each annotated with the type of its
predicate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from compos.errors import ImageError
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import (
    ATTESTATION,
    CONFIG,
    MANIFEST,
    REFERENCE_DIGEST,
    REFERENCE_TYPE,
    Descriptor,
    Image,
    Manifest,
    parse_document,
)
from compos.image.platform import Platform
from compos.image.store import Store

__all__ = ["attestation_blobs", "attested", "put_attestation", "sbom_error", "spdx_documents"]

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v0.1"
PREDICATE_TYPE = "in-toto.io/predicate-type"
SPDX = "https://spdx.dev/Document"

_MAX_STATEMENT = 256 << 20
"""Bytes of a statement: it is read into memory. A whole distribution's SBOM has some 20 MB."""


def attestation_blobs(data: bytes, place: str) -> tuple[Descriptor, ...]:
    """What belongs to the attestation manifest `data`: its config and its in-toto layers. Raises
    `ImageError`."""
    try:
        _, document = parse_document(data, media_type=MANIFEST)
        if not isinstance(document, Manifest):
            raise ImageError(
                "image-media-type",
                "an attestation is an image index",
                hint="Build and push the image again.",
            )
    except ImageError as error:
        error.place = error.place or place
        raise
    return (document.config, *(layer for layer in document.layers if layer.media_type == IN_TOTO))


def attested(store: Store, image: Image) -> bool:
    """Whether the store has all that the image's index attests of it."""
    return all(
        store.has(manifest.digest)
        and all(
            store.has(blob.digest, blob.size)
            for blob in attestation_blobs(store.read(manifest.digest), image.name)
        )
        for manifest in image.attestations
    )


def spdx_documents(store: Store, image: Image) -> Iterator[dict[str, Any]]:
    """The SPDX documents that are attested of `image`, as far as the store has them; not checked.

    Raises `ImageError`: `sbom-invalid` for what is no such statement, `store-corrupt`.
    """
    for manifest in image.attestations:
        if not store.has(manifest.digest):
            continue
        for layer in attestation_blobs(store.read(manifest.digest), image.name):
            if layer.annotations.get(PREDICATE_TYPE) == SPDX and store.has(
                layer.digest, layer.size
            ):
                yield _predicate(store, image, layer)


def _predicate(store: Store, image: Image, layer: Descriptor) -> dict[str, Any]:
    place = f"{image.name}: {layer.digest}"
    if layer.size > _MAX_STATEMENT:
        raise sbom_error(f"it is larger than {_MAX_STATEMENT >> 20} MiB", place)
    try:
        statement = parse_json(store.read(layer.digest), limit=_MAX_STATEMENT)
    except ValueError as error:
        raise sbom_error("it is not JSON", place) from error
    if not isinstance(statement, dict) or statement.get("predicateType") != SPDX:
        raise sbom_error("its statement has a different type than its manifest states", place)
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict):
        raise sbom_error("its statement has no document", place)
    return predicate


def sbom_error(reason: str, place: str) -> ImageError:
    """The error for an image's SBOM that cannot be used."""
    return ImageError(
        "sbom-invalid",
        f"the image's SBOM cannot be used: {reason}",
        place=place,
        hint="Build with --no-sbom, or build the image again with a valid SBOM.",
    )


def put_attestation(
    store: Store,
    name: str,
    manifest: Descriptor,
    platform: Platform,
    document: Mapping[str, Any],
    *,
    predicate_type: str = SPDX,
) -> Descriptor:
    """Put a `document`, by default in SPDX, into the store as an attestation of the image
    `manifest`; gives its entry for the index."""
    subject = f"pkg:docker/{name}?platform={quote(str(platform), safe='')}"
    statement = {
        "_type": STATEMENT,
        "predicateType": predicate_type,
        "subject": [
            {"name": subject, "digest": {"sha256": manifest.digest.removeprefix("sha256:")}}
        ],
        "predicate": document,
    }
    blob = store.put(canonical_json(statement), IN_TOTO)
    layer = Descriptor(IN_TOTO, blob.digest, blob.size, {PREDICATE_TYPE: predicate_type})
    nowhere = Platform("unknown", "unknown")
    rootfs = {"type": "layers", "diff_ids": [layer.digest]}
    config = store.put(
        canonical_json({**nowhere.to_json(), "config": {}, "rootfs": rootfs}), CONFIG
    )
    document_ = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json()],
    }
    made = store.put(canonical_json(document_), MANIFEST)
    annotations = {REFERENCE_DIGEST: manifest.digest, REFERENCE_TYPE: ATTESTATION}
    return Descriptor(MANIFEST, made.digest, made.size, annotations, nowhere)
