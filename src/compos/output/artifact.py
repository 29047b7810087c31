"""`oci`: the bootable system as an OCI artifact, in an archive that any registry client pushes; of
several architectures, one archive with an index of their artifacts.

Reads contents, for their digests. Source: OCI image specification 1.1, "Image Manifest"
("Guidelines for Artifact Usage"), "Image Index" and "Image Layout".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.attestation import SPDX, attestation_blobs, put_attestation
from compos.image.digest import digest_of
from compos.image.model import EMPTY, INDEX, MANIFEST, TITLE, Descriptor
from compos.image.platform import Platform
from compos.image.store import REF_NAME, Store
from compos.output.initrd import initrd_pieces
from compos.output.job import Job
from compos.output.payload import required_kernel
from compos.output.write import Output
from compos.tree.contents import Contents, file_of
from compos.tree.node import EPOCH, Node, Piece, Slice, directory, file

__all__ = ["archive", "is_listed", "joined_archive", "layout"]

ARTIFACT = "application/vnd.compos.system.v1"

CYCLONEDX = "https://cyclonedx.org/bom"
"""The predicate type of in-toto's attestation framework."""

_SUFFIX = ".oci.tar"
_INDEX = "index.json"


def archive(job: Job) -> list[Output]:
    """`.oci.tar`: a layout with one manifest, whose layers are kernel, initrd and command line.

    Of a job that is `listed`, each file of the layout is an output below `.oci.tar/`, with what is
    attested of the manifest, for `joined_archive`. Raises `OutputError` (`kernel-none`).
    """
    parts: dict[str, Sequence[Piece]] = {
        "kernel": required_kernel(job),
        "initrd.img": initrd_pieces(job, microcode=True),
        "cmdline": (job.system.cmdline.encode(),),
    }
    blobs: dict[str, Node] = {}

    def described(kind: str, content: Sequence[Piece]) -> dict[str, Any]:
        hasher = hashlib.sha256()
        with Contents(job.store.root) as contents:
            for chunk in contents.chunks(content):
                hasher.update(chunk)
        node = file_of(content, 0o644, EPOCH)
        blobs[f"blobs/sha256/{hasher.hexdigest()}"] = node
        return {"mediaType": kind, "digest": f"sha256:{hasher.hexdigest()}", "size": node.size}

    layers = [
        {
            **described(f"application/vnd.compos.{name.partition('.')[0]}", content),
            "annotations": {TITLE: name},
        }
        for name, content in parts.items()
        if content
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": described(EMPTY, (b"{}",)),
        "layers": layers,
        "annotations": {"org.opencontainers.image.architecture": job.request.architecture},
    }
    root = described(MANIFEST, (json.dumps(manifest).encode(),))
    root |= {"artifactType": ARTIFACT, "annotations": {REF_NAME: job.request.reference or "latest"}}
    root |= {"platform": {"architecture": job.request.architecture, "os": "linux"}}
    if job.request.listed:
        attested = _attested(job, Descriptor.from_json(root), blobs)
        listed = json.dumps([root, *attested]).encode()
        return [
            Output(f"{_SUFFIX}/{_INDEX}", (listed,)),
            *(Output(f"{_SUFFIX}/{path}", node.content) for path, node in blobs.items()),
        ]
    return [layout(blobs, [root])]


def joined_archive(store: Store, outputs: Iterable[Output], reference: str) -> list[Output]:
    """`outputs` of several jobs that were `listed`, in the order of the jobs, as one `.oci.tar`:
    its one entry, called `reference`, is an index of all artifacts and their attestations."""
    blobs: dict[str, Node] = {}
    entries: list[dict[str, Any]] = []
    with Contents(store.root) as contents:
        for suffix, pieces in outputs:
            path = suffix.removeprefix(f"{_SUFFIX}/")
            if path == _INDEX:
                entries += json.loads(b"".join(contents.chunks(pieces)))
            else:
                blobs[path] = file_of(pieces, 0o644, EPOCH)
    for entry in entries:
        # Their one name is that of the index.
        if REF_NAME in entry.get("annotations", {}):
            del entry["annotations"]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    digest = digest_of(index)
    blobs[digest.path] = file(index, 0o644, EPOCH)
    root = Descriptor(INDEX, digest, len(index), {REF_NAME: reference or "latest"})
    return [layout(blobs, [root.to_json()])]


def is_listed(output: Output) -> bool:
    """Whether an output is one for `joined_archive`."""
    return output.suffix.startswith(f"{_SUFFIX}/")


def layout(
    blobs: Mapping[str, Node], entries: Sequence[Mapping[str, Any]], suffix: str = _SUFFIX
) -> Output:
    """An image layout in a tar, of `blobs` by their paths; `entries` are those of its index."""
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    nodes = {
        "blobs": directory(0o755, EPOCH),
        "blobs/sha256": directory(0o755, EPOCH),
        _INDEX: file(json.dumps(index).encode(), 0o644, EPOCH),
        "oci-layout": file(b'{"imageLayoutVersion":"1.0.0"}', 0o644, EPOCH),
        **blobs,
    }
    members: list[TarEntry] = [(path, node, {}) for path, node in sorted(nodes.items())]
    return Output(suffix, tuple(tar_pieces(members)))


def _attested(job: Job, manifest: Descriptor, blobs: dict[str, Node]) -> list[dict[str, Any]]:
    """The index's entry for the system's SBOM, whose blobs are added to `blobs`; none without
    one."""
    options, store = job.request.sbom, job.store
    if options is None:
        return []
    wanted = options.path.strip("/")
    content = next(node.content for path, node, _ in job.system.with_boot() if path == wanted)
    with Contents(store.root) as contents:
        document = json.loads(b"".join(contents.chunks(content)))
    made = put_attestation(
        store,
        job.request.reference or "system",
        manifest,
        Platform("linux", job.request.architecture),
        document,
        predicate_type=SPDX if options.format == "spdx" else CYCLONEDX,
    )
    for blob in (made, *attestation_blobs(store.read(made.digest), made.digest)):
        blobs[blob.digest.path] = file_of((Slice(blob.digest.path, 0, blob.size),), 0o644, EPOCH)
    return [made.to_json()]
