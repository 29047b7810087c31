"""The history of an image that buildah has built upon one without a history, completed.

May touch: an OCI image layout of the builder. The history in an image's config may be left out, but
where it is, it has one entry for each layer (OCI image specification, config.md, "history").
Buildah adds entries for its own layers only, and then refuses to build upon its own image.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from compos.image.json_document import MAX_JSON, canonical_json, parse_json

__all__ = ["complete_history"]

_BASE = {"created_by": "base image"}


def complete_history(layout: Path) -> None:
    """Let the only image of `layout` have a history of all its layers, if it has one. What is no
    such layout is left as it is: the door judges it."""
    try:
        index, manifest = _only(layout)
        config = _read(layout, manifest["config"])
        history = config.get("history") or []
        layers = sum(not entry.get("empty_layer") for entry in history)
        lacking = len(manifest["layers"]) - layers
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return
    if not history or lacking <= 0:
        return
    config["history"] = [_BASE] * lacking + history
    manifest["config"] |= _written(layout, config)
    index["manifests"][0] |= _written(layout, manifest)
    (layout / "index.json").write_bytes(canonical_json(index))


def _only(layout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    index = parse_json((layout / "index.json").read_bytes())
    if len(index["manifests"]) != 1:
        raise ValueError("more than one image")
    return index, _read(layout, index["manifests"][0])


def _read(layout: Path, descriptor: dict[str, Any]) -> dict[str, Any]:
    algorithm, _, name = descriptor["digest"].partition(":")
    if algorithm != "sha256" or not name.isalnum():
        raise ValueError("no digest")
    path = layout / "blobs" / algorithm / name
    if path.is_symlink() or path.stat().st_size > MAX_JSON:
        raise ValueError("no document")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != name:
        raise ValueError("not what its digest says")
    document: dict[str, Any] = parse_json(data)
    return document


def _written(layout: Path, document: dict[str, Any]) -> dict[str, Any]:
    data = canonical_json(document)
    name = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}
