"""Where else a registry has a blob: in the repositories of the images that the store has from it.

Reads the store. A registry mounts such a blob in another repository without its being sent (OCI
distribution specification 1.1, "Mounting a blob from another repository").
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from compos.image.digest import Digest
from compos.image.reference import Reference
from compos.image.registries.registry import Registry
from compos.image.store import Store, name_of

__all__ = ["mounts"]

MAX_IMAGES = 256
"""Of one registry that are looked at: reading manifests must not take longer than it saves."""


def mounts(store: Store, registry: Registry, target: Reference) -> Callable[[Digest], str | None]:
    """A function that says in which repository, other than that of `target`, its registry may have
    a blob; whether it does is up to the registry. The store is read at the first question."""
    lock = threading.Lock()
    known: dict[str, str] | None = None

    def find(digest: Digest) -> str | None:
        nonlocal known
        with lock:
            if known is None:
                known = _blobs_elsewhere(store, registry, target)
            return known.get(digest)

    return find


def _blobs_elsewhere(store: Store, registry: Registry, target: Reference) -> dict[str, str]:
    """Repository by digest, for all blobs of images of the registry of `target`."""
    host, own = registry.repository(target)
    found: dict[str, str] = {}
    looked_at = 0
    for entry in store.entries():
        reference = Reference.find(name_of(entry.to_json()) or "")
        if reference is None or looked_at >= MAX_IMAGES:
            continue
        place, repository = registry.repository(reference)
        if place == host and repository != own:
            looked_at += 1
            for digest in store.reachable([entry.to_json()]):
                found.setdefault(digest, repository)
    return found
