"""`bootc`: the system as a container image that has its kernel, in an archive that any registry
client pushes.

Reads contents, for their digests. Sources: bootc's "Bootable container images" (label
`containers.bootc`; kernel and initramfs below `usr/lib/modules/VERSION`, an empty `boot`),
"Kernel arguments" (`usr/lib/bootc/kargs.d`); OCI image specification 1.1, "Image Configuration".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from compos.errors import OutputError
from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.model import CONFIG, LAYER_TAR, MANIFEST
from compos.image.store import REF_NAME
from compos.output.artifact import layout
from compos.output.initrd import initrd_pieces
from compos.output.job import Job
from compos.output.payload import required_kernel
from compos.output.write import Output
from compos.tree.contents import Contents, file_of
from compos.tree.node import DIRECTORY, EPOCH, Node, Piece, directory
from compos.tree.packed import packed

__all__ = ["archive"]

LABELS = {"containers.bootc": "1", "ostree.bootable": "true"}
KARGS = "usr/lib/bootc/kargs.d/10-compos.toml"
_MODULES = re.compile("(?:usr/)?lib/modules/([^/]+)")


def archive(job: Job) -> list[Output]:
    """`.bootc.tar`: a layout with one image of one layer. Raises `OutputError` (`kernel-none`,
    `format-root`)."""
    blobs: dict[str, Node] = {}

    def blob(content: Iterable[Piece]) -> dict[str, object]:
        hasher = hashlib.sha256()
        with Contents(job.store.root) as contents:
            for chunk in contents.chunks(content):
                hasher.update(chunk)
        node = file_of(content, 0o644, EPOCH)
        blobs[f"blobs/sha256/{hasher.hexdigest()}"] = node
        return {"digest": f"sha256:{hasher.hexdigest()}", "size": node.size}

    layer = blob(packed(tar_pieces(_members(job))))
    architecture = job.request.architecture
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": LABELS},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created_by": "compos build -f bootc"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **blob((json.dumps(config).encode(),))},
        "layers": [{"mediaType": LAYER_TAR, **layer}],
        "annotations": LABELS,
    }
    root = {
        "mediaType": MANIFEST,
        **blob((json.dumps(manifest).encode(),)),
        "annotations": {REF_NAME: job.request.reference or "latest"},
        "platform": {"architecture": architecture, "os": "linux"},
    }
    return [layout(blobs, [root], ".bootc.tar")]


def _members(job: Job) -> list[TarEntry]:
    """The root filesystem, sorted, with kernel, initramfs and command line where bootc has them."""
    nodes = {path: node for path, node, _ in job.system.root.nodes}
    versions = [match[1] for path in nodes if (match := _MODULES.match(path))]
    place = f"usr/lib/modules/{versions[0] if versions else 'compos'}"
    cmdline = job.system.cmdline.split()
    added: dict[str, Sequence[Piece]] = {
        f"{place}/vmlinuz": required_kernel(job),
        f"{place}/initramfs.img": initrd_pieces(job, microcode=True),
        KARGS: (f"kargs = {json.dumps(cmdline)}\n".encode(),),
    }
    for path, content in added.items():
        parts = path.split("/")
        for count in range(1, len(parts)):
            parent = nodes.setdefault("/".join(parts[:count]), directory(0o755, EPOCH))
            if parent.kind != DIRECTORY:
                raise OutputError(
                    "format-root",
                    f"{'/'.join(parts[:count])} is no directory, and a kernel has to be below it",
                    hint="Choose another format.",
                )
        nodes[path] = file_of(content, 0o644, EPOCH)
    nodes.setdefault("boot", directory(0o755, EPOCH))
    return [(path, node, {}) for path, node in sorted(nodes.items())]
