"""`oci`: the bootable system as an OCI artifact, in an archive that any registry client pushes.

Reads contents, for their digests. Source: OCI image specification 1.1, "Image Manifest"
("Guidelines for Artifact Usage") and "Image Layout".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.model import MANIFEST
from compos.image.store import REF_NAME
from compos.output.initrd import initrd_pieces
from compos.output.job import Job
from compos.output.payload import required_kernel
from compos.output.write import Output
from compos.tree.contents import Contents, file_of
from compos.tree.node import EPOCH, Node, Piece, directory, file

__all__ = ["archive"]

ARTIFACT = "application/vnd.compos.system.v1"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
"""The file's name, for clients that unpack artifacts."""


def archive(job: Job) -> list[Output]:
    """`.oci.tar`: a layout with one manifest, whose layers are kernel, initrd and command line.

    Raises `OutputError` (`kernel-none`).
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
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [root],
    }
    nodes = {
        "blobs": directory(0o755, EPOCH),
        "blobs/sha256": directory(0o755, EPOCH),
        "index.json": file(json.dumps(index).encode(), 0o644, EPOCH),
        "oci-layout": file(b'{"imageLayoutVersion":"1.0.0"}', 0o644, EPOCH),
        **blobs,
    }
    entries: list[TarEntry] = [(path, node, {}) for path, node in sorted(nodes.items())]
    return [Output(".oci.tar", tuple(tar_pieces(entries)))]
