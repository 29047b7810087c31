"""`compos push registry NAME.raucb`: an update as an OCI artifact, which machines find by its tag.

May touch: the bundle (reading), the store, the network. Source: OCI image specification 1.1,
"Guidelines for Artifact Usage"; docs/update-bundles.md has what machines read of the manifest.
"""

from __future__ import annotations

import re
from pathlib import Path

from compos.api.access import Access
from compos.errors import CloudUnfit
from compos.image.json_document import canonical_json
from compos.image.model import EMPTY, MANIFEST, TITLE, Descriptor
from compos.image.store import Store
from compos.output.rauc import bundle_version
from compos.progress import notice

__all__ = ["push_bundle", "require_percentage"]

ARTIFACT = "application/vnd.compos.update.v1"
BUNDLE = "application/vnd.compos.update.bundle.v1"
"""bricks/update/src/registry.c knows this one."""
VERSION = "org.opencontainers.image.version"
ROLLOUT = "org.compos.update.rollout"

_CHUNK = 1 << 20
_PERCENTAGE = re.compile(r"(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%?")


def require_percentage(text: str) -> None:
    """Raise `CloudUnfit` (`rollout`) for what is no percentage."""
    if not _PERCENTAGE.fullmatch(text):
        raise CloudUnfit(
            "rollout",
            f"{text[:100]!r} is not a percentage of machines",
            hint="Write a number from 0 to 100, with up to two decimals: --rollout 5.",
        )


def push_bundle(access: Access, bundle: Path, target: str, rollout: str | None) -> None:
    """Push a bundle as `target`, for `rollout` per cent of the machines (all, if it is None).

    A bundle that the registry has is not sent again, so that widening a rollout sends a manifest.
    Raises `CloudUnfit` (`cloud-file`) for what is no bundle, and `ImageError`.
    """
    from compos.image.registries.push import push_root

    root = _artifact(access.store, bundle, rollout)
    push_root(access.store, root, registry=access.registry, target=target)
    notice(f"pushed {target} {root.digest}")


def _artifact(store: Store, bundle: Path, rollout: str | None) -> Descriptor:
    """The manifest, which is in the store with its blobs."""
    try:
        with bundle.open("rb") as stream:
            version = bundle_version(stream)
            stream.seek(0)
            with store.writer() as blob:
                while chunk := stream.read(_CHUNK):
                    blob.write(chunk)
                layer = blob.commit(BUNDLE)
    except (OSError, ValueError) as error:
        raise CloudUnfit(
            "cloud-file",
            f"{bundle.name} is no update: {error}",
            place=str(bundle),
            hint="Build it: compos build -f update --keys KEYS FILE.yml.",
        ) from None
    annotations = {VERSION: version}
    if rollout is not None:
        annotations[ROLLOUT] = rollout.removesuffix("%")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": store.put(b"{}", EMPTY).to_json(),
        "layers": [{**layer.to_json(), "annotations": {TITLE: bundle.name}}],
        "annotations": annotations,
    }
    return store.put(canonical_json(manifest), MANIFEST)
