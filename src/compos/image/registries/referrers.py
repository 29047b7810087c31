"""What a registry has about a manifest: signatures, attestations and other artifacts whose
manifests name it as their `subject`.

May touch: the network, through `registry`, and the store. Follows the OCI distribution
specification 1.1 ("Listing Referrers", "Pushing Manifests with Subject", "Referrers Tag Schema"): a
registry without the referrers API has the list under a tag, which clients keep.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from compos.errors import ImageError, ImageNotFound
from compos.http.address import same_server, without_secrets
from compos.http.client import Answer
from compos.image.digest import Digest
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import (
    EMPTY,
    INDEX,
    INDEX_TYPES,
    MANIFEST,
    MANIFEST_TYPES,
    Descriptor,
    ImageIndex,
    Manifest,
    parse_document,
)
from compos.image.reference import Reference
from compos.image.registries.registry import Registry, manifest_body
from compos.image.registries.session import Session
from compos.image.store import Store

__all__ = ["attach", "record_referrer", "referrers"]

"""The config of a manifest that needs none: `{}`."""

MAX_PAGES = 16
MAX_REFERRERS = 4096
"""Of one manifest; a registry that lists more is not believed."""

MAX_RACES = 16
"""How often a list is written again that others write at the same time."""

SETTLED = 0.4
"""Seconds at least until a list that was written is looked at again; several times what it took to
read and write it, if that is longer."""

_ACTIONS = "pull,push"
_NO_API = (400, 404, 405, 406, 501)

# The list under a tag is read, changed and written; threads of one process need not race for it.
_LISTS = threading.Lock()


def attach(
    registry: Registry,
    store: Store,
    subject: Reference,
    *,
    artifact_type: str,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Push an artifact about `subject`, a manifest or index that its registry has, beside it; the
    store must have the `layers`.

    Returns the artifact's manifest. The same artifact may be attached again: then nothing changes.
    Raises `ImageError` (`image-not-found`, `registry-*`, `store-*`), `NetworkError`.
    """
    # Not at the top: pushing records what refers to something.
    from compos.image.registries.push import push_root

    about, _ = registry.manifest(subject)
    made, _ = artifact(store, about, artifact_type, layers, annotations)
    target = subject._replace(tag="", digest=made.digest)
    push_root(store, made, registry=registry, target=str(target))
    return made


def artifact(
    store: Store,
    subject: Descriptor,
    artifact_type: str,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | None = None,
) -> tuple[Descriptor, Descriptor]:
    """The manifest of an artifact about `subject`, and its config; the store has them then (OCI
    image specification, "Guidelines for Artifact Usage")."""
    config = store.put(b"{}", EMPTY)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers or [config]],
        "subject": subject.plain.to_json(),
    }
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return store.put(canonical_json(document), MANIFEST), config


def referrers(
    registry: Registry, reference: Reference, digest: Digest, *, artifact_type: str = ""
) -> list[Descriptor]:
    """The artifacts that the repository of `reference` lists about its manifest `digest`, of one
    type if `artifact_type` is given; their manifests are not verified, and may be about something
    else.

    Raises `ImageError` (`registry-error` for lists that cannot be used), `NetworkError`.
    """
    found = _listed_by_registry(registry, reference, digest, artifact_type)
    if found is None:
        found = _listed_by_tag(registry, reference, digest)
    wanted = [
        one
        for one in found
        if one.media_type in MANIFEST_TYPES
        and one.digest.is_verifiable
        and (not artifact_type or one.artifact_type == artifact_type)
    ]
    return list({one.digest: one for one in wanted}.values())


def _listed_by_registry(
    registry: Registry, reference: Reference, digest: Digest, artifact_type: str
) -> list[Descriptor] | None:
    """What the referrers API lists; None when the registry has none."""
    session = registry.session(reference)
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url = session.url(f"referrers/{digest}{query}")
    found: list[Descriptor] = []
    for _ in range(MAX_PAGES):
        page = registry.patiently(lambda url=url: _page(session, url))  # type: ignore[misc]
        if page is None:
            return None
        found += page[0]
        if len(found) > MAX_REFERRERS:
            break
        if not page[1]:
            return found
        url = page[1]
    raise _unusable(f"it has more than {MAX_REFERRERS} entries", url, session)


def _page(session: Session, url: str) -> tuple[tuple[Descriptor, ...], str] | None:
    """A part of the list, and the URL of the next one, if there is one."""
    with session.request("GET", url, headers={"Accept": INDEX}, allowed=_NO_API) as answer:
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        # Servers that answer every address with a page have no API.
        if answer.status in _NO_API or kind not in INDEX_TYPES:
            return None
        following = _next_page(session, url, answer)
        return _index(manifest_body(answer), url, session).manifests, following


def _next_page(session: Session, url: str, answer: Answer) -> str:
    """The URL of `Link: <URL>; rel="next"`; empty when the answer has none."""
    link = re.match(r'\s*<([^<>]*)>\s*;\s*rel="?next"?', answer.headers.get("Link", ""))
    if link is None:
        return ""
    following = session.follow(url, link[1])
    if not same_server(url, following):
        raise _unusable("it goes on at another server", url, session)
    return following


def _listed_by_tag(registry: Registry, reference: Reference, digest: Digest) -> list[Descriptor]:
    """What is listed under the tag that stands in for the referrers API."""
    beside = _beside(reference, digest)
    try:
        root, data = registry.manifest(beside)
    except ImageNotFound:
        return []
    _, document = parse_document(data, media_type=root.media_type)
    return list(document.manifests) if isinstance(document, ImageIndex) else []


def record_referrer(
    registry: Registry, reference: Reference, artifact: Descriptor, manifest: Manifest
) -> None:
    """List `artifact`, whose `manifest` has a subject, under the tag that stands in for the
    referrers API, in the repository of `reference`.

    Most registries do not heed `If-Match`: whoever read the list before this entry was written, and
    writes it later, takes the entry away, and cannot know. So each looks at the list again once
    such a writer must be done, and adds its entry to what is there by then. Raises `ImageError`,
    `NetworkError`.
    """
    if manifest.subject is None or not manifest.subject.digest.is_verifiable:
        return
    entry = artifact.plain._replace(
        artifact_type=manifest.artifact_type, annotations=manifest.annotations
    )
    session = registry.session(reference, actions=_ACTIONS)
    url = session.url(f"manifests/{_beside(reference, manifest.subject.digest).tag}")
    for _ in range(MAX_RACES):
        began = time.monotonic()
        # Read anew for each attempt: a list from before a pause would take others' entries away.
        if not registry.patiently(lambda: _add(session, url, entry)):
            return
        took = time.monotonic() - began
        # Two that have looked at the same moment must not do so the next time.
        registry.pause(max(SETTLED, 4 * took) * (1 + random.random()))  # noqa: S311
    raise _unusable("others keep changing it", url, session)


def _add(session: Session, url: str, entry: Descriptor) -> bool:
    """Add an entry to the list, unless it is there; whether it was not."""
    with _LISTS:
        tag, entries = _read_list(session, url)
        if any(one.get("digest") == entry.digest for one in entries):
            return False
        _write_list(session, url, tag, [*entries, entry.to_json()])
        return True


def _read_list(session: Session, url: str) -> tuple[str, list[dict[str, Any]]]:
    """The list's `ETag`, if there is one, and its entries as they are."""
    with session.request("GET", url, headers={"Accept": INDEX}, allowed=(404,)) as answer:
        if answer.status == 404:
            return "", []
        data = manifest_body(answer)
        _index(data, url, session)
        return answer.headers.get("ETag", ""), list(parse_json(data).get("manifests") or ())


def _write_list(session: Session, url: str, tag: str, entries: list[dict[str, Any]]) -> None:
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    headers = {"Content-Type": INDEX, **({"If-Match": tag} if tag else {})}
    body = json.dumps(index, separators=(",", ":")).encode()
    # Refused because it has changed meanwhile: it is read again.
    with session.request("PUT", url, headers=headers, body=body, allowed=(412,)):
        pass


def _index(data: bytes, url: str, session: Session) -> ImageIndex:
    try:
        _, document = parse_document(data, media_type=INDEX)
    except ImageError as error:
        raise _unusable("it is not an image index", url, session) from error
    if not isinstance(document, ImageIndex):
        raise _unusable("it is not an image index", url, session)
    return document


def _beside(reference: Reference, digest: Digest) -> Reference:
    """`sha256-HEX` in the same repository."""
    return reference._replace(tag=digest.replace(":", "-"), digest="")


def _unusable(why: str, url: str, session: Session) -> ImageError:
    return ImageError(
        "registry-error",
        f"the registry's list of referrers cannot be used: {why}",
        place=f"{session.name} at {without_secrets(url)}",
        hint="Contact the registry's operator.",
    )
