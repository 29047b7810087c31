"""Upload of an image from the store to a registry: blobs that it lacks, then manifests, then the
name.

May touch: the network, through `session`, and the store for reading. Follows the OCI
distribution specification 1.1 ("Pushing blobs", "Pushing manifests"); the upload is the POST,
PATCH, PUT that docker uses, which every registry knows.
"""

from __future__ import annotations

import mmap
from typing import cast
from urllib.parse import quote

from compos.errors import ImageError
from compos.image.model import Descriptor, Manifest, parse_document
from compos.image.reference import HUB, HUB_HOSTS, Reference, is_local
from compos.image.registries.registry import Registry
from compos.image.registries.session import Session
from compos.image.store import Store
from compos.progress import task

__all__ = ["push", "push_root", "push_target"]

_ACTIONS = "pull,push"


def push_target(text: str) -> Reference:
    """What an image can be pushed as; the tag is `latest` if `text` says none.

    Raises `ImageError` (`image-reference`) for what is no name, has a digest , or is a bare name:
    that means one of the images that the public hub keeps for itself.
    """
    reference = Reference.parse(text)
    bare = reference.domain in (HUB, *HUB_HOSTS) and reference.origin[1].startswith("library/")
    if is_local(text) or reference.digest or bare:
        raise ImageError(
            "image-reference",
            "images cannot be pushed under this name",
            place=text,
            hint="Write it as HOST[:PORT]/REPOSITORY[:TAG], or USER/REPOSITORY[:TAG] for the "
            "public hub.",
        )
    return reference if reference.tag else reference._replace(tag="latest")


def push(store: Store, name: str, *, registry: Registry, target: str | None = None) -> Descriptor:
    """Upload the image or index that the store has under `name`, as `target` (default: the same
    name).

    An index goes with everything it lists. What the registry already has is not sent again. Raises
    `ImageError`: `image-not-found` (not in the store), `store-*`, `registry-*`.
    """
    root = store.named(str(Reference.parse(name)))
    push_root(store, root, registry=registry, target=target or name)
    return root


def push_root(store: Store, root: Descriptor, *, registry: Registry, target: str) -> None:
    """Upload the manifest or index `root` of the store as `target`. Raises as `push` does."""
    reference = Reference.parse(target)
    session = registry.session(reference, actions=_ACTIONS)
    _push_document(
        store, root, session, registry, version=reference.tag or reference.digest or "latest"
    )


def _push_document(
    store: Store, root: Descriptor, session: Session, registry: Registry, *, version: str
) -> None:
    """Upload what a manifest or an index needs, then itself as `version` (a tag or its digest)."""
    data = store.read(root.digest)
    media_type, document = parse_document(data, media_type=root.media_type)
    if isinstance(document, Manifest):
        with task(f"push {session.name}", sum(blob.size for blob in document.blobs)) as progress:
            for blob in document.blobs:
                registry.patiently(lambda blob=blob: _push_blob(store, blob, session))  # type: ignore[misc]
                progress.advance(blob.size)
    else:
        for child in document.manifests:
            _push_document(store, child, session, registry, version=child.digest)

    def put() -> None:
        url = session.url(f"manifests/{version}")
        with session.request("PUT", url, headers={"Content-Type": media_type}, body=data):
            pass

    registry.patiently(put)


def _push_blob(store: Store, blob: Descriptor, session: Session) -> None:
    """Upload one blob, unless the registry has it."""
    with session.request("HEAD", session.url(f"blobs/{blob.digest}"), allowed=(404,)) as answer:
        if answer.status != 404:
            return
    _verify(store, blob)
    start = session.url("blobs/uploads/")
    with session.request("POST", start, headers={"Content-Length": "0"}) as answer:
        location = session.follow(start, answer.headers.get("Location", ""))
    if blob.size:
        location = _send(store, blob, session, location)
    url = f"{location}{'&' if '?' in location else '?'}digest={quote(blob.digest, safe='')}"
    with session.request("PUT", url, headers={"Content-Length": "0"}):
        pass


def _verify(store: Store, blob: Descriptor) -> None:
    with store.open(blob) as stream:
        while stream.read(1 << 20):
            pass


def _send(store: Store, blob: Descriptor, session: Session, location: str) -> str:
    """Send the content in one piece; gives where to finish the upload."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
    with (
        store.path(blob.digest).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages,
        memoryview(pages) as view,
    ):
        # The pages go from the page cache to the socket: a layer never stands in memory as a bytes
        # object.
        body = cast(bytes, view)
        with session.request("PATCH", location, headers=headers, body=body) as answer:
            return session.follow(location, answer.headers.get("Location", ""))
