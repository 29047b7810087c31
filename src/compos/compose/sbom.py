"""The system's bill of materials: one file made of what its images' indexes attest (reference
yaml-and-build.md 3.9).

May touch: the store (`SBOM` keeps the document, so that outputs slice it and remembered
results stay small). Differs from LinuxKit on purpose: deterministic, identifiers unique, the
selected manifest's attestations only (docs/linuxkit.md#N24).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from compos.errors import ConfigError
from compos.image.derived_kinds import DerivedKind
from compos.image.model import Image
from compos.image.store import Store

if TYPE_CHECKING:
    from compos.compose.component import Component

__all__ = ["FORMATS", "SbomOptions", "require_free", "sbom_component"]

FORMATS = {"spdx": "sbom.spdx.json", "cyclonedx": "sbom.cdx.json"}
"""The formats and their files' usual names."""

NAME = "sbom"


class SbomOptions(NamedTuple):
    """Where in the system the document lies, its format (a key of `FORMATS`), and what it says when
    it was made.

    `created` is in Unix seconds; None is the time of all that the build makes, which keeps the bits
    the same.
    """

    path: str = FORMATS["spdx"]
    format: str = "spdx"
    created: int | None = None


def sbom_component(
    store: Store, images: Sequence[tuple[Image, str]], options: SbomOptions
) -> Component:
    """The document about `images`, each with the folder that its files lie in (empty: the root), as
    one file.

    An image that stands in several places counts once, at the first. Raises `ConfigError`
    (`sbom-output`) and `ImageError` (`sbom-invalid`, `store-corrupt`).
    """
    from compos.compose.component import Component
    from compos.tree.gate import clean
    from compos.tree.node import EPOCH, FILE, Node, Slice

    try:
        path = clean(options.path)
    except ValueError:
        path = ""
    if not path or ".." in options.path.split("/"):
        raise _unnameable(options.path, "which is not a file path below the root")
    data = _document(store, images, options, EPOCH // 10**9)
    key = hashlib.sha256(data).hexdigest()
    if store.derived(DerivedKind.SBOM, key) is None:
        with store.derive(DerivedKind.SBOM, key) as target:
            target.write_bytes(data)
    content = (Slice(DerivedKind.SBOM.stored_name(key), 0, len(data)),)
    # No source: it comes from no section, and LinuxKit's tars have no records on it either.
    return Component(
        NAME, "", {path: Node(FILE, 0o644, mtime=EPOCH, size=len(data), content=content)}
    )


def require_free(sbom: Component, others: Iterable[Component]) -> None:
    """Raise `ConfigError` (`sbom-output`) when the document needs a folder of `others` to go, or a
    file for a folder."""
    from compos.tree.node import DIRECTORY, SYMLINK, Node, ancestors

    for path in sbom.tree:
        above = set(ancestors(path))
        for component in others:
            nodes: Iterable[tuple[str, Node]] = component.tree.items()
            if component.subtree and f"{path}/".startswith(f"{component.subtree.folder}/"):
                nodes = component.unpacked().tree.items()
            for other, node in nodes:
                if other.startswith(f"{path}/") or (other == path and node.kind == DIRECTORY):
                    raise _unnameable(path, "which is a folder of the system")
                if other in above and node.kind not in (DIRECTORY, SYMLINK):
                    raise _unnameable(path, f"for {other!r} is a file of the system")


def _unnameable(path: str, why: str) -> ConfigError:
    return ConfigError(
        "sbom-output",
        f"the SBOM cannot be named {path!r}, {why}",
        hint="Choose another name with --sbom-output, or build with --no-sbom.",
    )


def _document(
    store: Store, images: Sequence[tuple[Image, str]], options: SbomOptions, fixed: int
) -> bytes:
    from compos.compose.spdx import Merged, spdx_document
    from compos.image.attestation import spdx_documents

    merged = Merged()
    unique = {image.digest: (image, prefix) for image, prefix in reversed(images)}
    listed = [unique[digest] for digest in dict.fromkeys(image.digest for image, _ in images)]
    silent = []
    for number, (image, prefix) in enumerate(listed):
        mark = image.digest.removeprefix("sha256:")[:12]
        found = 0
        for document in spdx_documents(store, image):
            merged.add(document, prefix=prefix, mark=mark, owner=number, place=image.name)
            found += 1
        if not found:
            silent.append(f"{image.name} ({image.digest})")
    created = fixed if options.created is None else options.created
    value: dict[str, Any]
    if options.format == "cyclonedx":
        from compos.compose.cyclonedx import cyclonedx_document

        value = cyclonedx_document(
            merged, [image for image, _ in listed], name=NAME, created=created
        )
    else:
        comment = f"Images without an SBOM: {', '.join(silent)}" if silent else ""
        value = spdx_document(merged, name=NAME, created=created, comment=comment)
    # Lone surrogates, which JSON can escape, have no UTF-8.
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode(
        "utf-8", "replace"
    )
