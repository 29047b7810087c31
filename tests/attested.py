"""Images with attestations as BuildKit stores them, written by hand: the tests' own idea of the
format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from compos.image.door import stored_image
from compos.image.model import CONFIG, INDEX, MANIFEST, Descriptor, Image
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import Store
from tests.images import AMD64, Members, put_image

IN_TOTO = "application/vnd.in-toto+json"
SPDX = "https://spdx.dev/Document"
PROVENANCE = "https://slsa.dev/provenance/v0.2"


def statement(predicate: object, kind: str = SPDX) -> bytes:
    subject = [{"name": "_", "digest": {"sha256": "0" * 64}}]
    document = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": kind,
        "subject": subject,
    }
    return json.dumps({**document, "predicate": predicate}).encode()


def put_attestation(
    store: Store,
    about: Descriptor,
    layers: Sequence[tuple[str, bytes]],
    *,
    kind: str = "attestation-manifest",
) -> dict[str, Any]:
    """An attestation manifest about the manifest `about`: its layers are predicate types and
    statements. Its index entry."""
    blobs = []
    for predicate, data in layers:
        blob = store.put(data, IN_TOTO)
        blobs.append({**blob.to_json(), "annotations": {"in-toto.io/predicate-type": predicate}})
    digests = [blob["digest"] for blob in blobs]
    settings = {"architecture": "unknown", "os": "unknown", "config": {}}
    config = store.put(
        json.dumps({**settings, "rootfs": {"type": "layers", "diff_ids": digests}}).encode(), CONFIG
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_json(),
        "layers": blobs,
    }
    made = store.put(json.dumps(manifest).encode(), MANIFEST)
    return {
        **made.to_json(),
        "annotations": {
            "vnd.docker.reference.digest": about.digest,
            "vnd.docker.reference.type": kind,
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }


def make_attested(
    store: Store,
    name: str,
    documents: Mapping[Platform, Sequence[object]],
    *,
    layers: Sequence[Members] = ((("bin/app", "file", 0o755, b"app"),),),
    config: Mapping[str, Any] | None = None,
    wanted: Platform = AMD64,
) -> Image:
    """An index under `name`: an image a platform, whose SBOMs are `documents`, and provenance.
    Gives the image for `wanted`."""
    entries, attestations = [], []
    for platform, said in documents.items():
        marked: list[Members] = [
            *layers,
            [(f"for-{str(platform).replace('/', '-')}", "file", 0o644, b"")],
        ]
        manifest = put_image(store, layers=marked, config=config, platform=platform)[0]
        entries.append({**manifest.to_json(), "platform": platform.to_json()})
        if said:
            statements = [(SPDX, statement(document)) for document in said]
            provenance = (PROVENANCE, statement({"builder": str(platform)}, PROVENANCE))
            attestations.append(put_attestation(store, manifest, [*statements, provenance]))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, *attestations]}
    canonical = str(Reference.parse(name))
    root = store.put(json.dumps(index).encode(), INDEX)
    store.tag(canonical, root)
    return stored_image(store, canonical, root, wanted)


def document(*packages: Any, version: str = "SPDX-2.3", **more: Any) -> dict[str, Any]:
    """A small SPDX document; packages are their names, or objects."""
    made = [
        one
        if isinstance(one, dict)
        else {
            "name": one,
            "SPDXID": f"SPDXRef-Package-{one}",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
        }
        for one in packages
    ]
    namespace = hashlib.sha256(
        json.dumps([made, more], sort_keys=True, default=str).encode()
    ).hexdigest()
    return {
        "spdxVersion": version,
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "made",
        "documentNamespace": f"https://made.invalid/{namespace}",
        "creationInfo": {"created": "2024-01-01T00:00:00Z", "creators": ["Tool: made-1"]},
        "packages": made,
        **more,
    }
