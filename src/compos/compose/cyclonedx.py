"""A system's bill of materials as CycloneDX 1.6: the images, and what their SPDX documents say is
in them.

Pure. Source: the CycloneDX 1.6 JSON schema; the package-url types `oci` and `deb`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from compos.compose.spdx import NAMESPACE, Merged, timestamp
from compos.image.model import Image
from compos.version import __version__

__all__ = ["cyclonedx_document"]

SYSTEM = "system"
_HASHES = {
    "MD5": "MD5", "SHA1": "SHA-1", "SHA256": "SHA-256", "SHA384": "SHA-384", "SHA512": "SHA-512",
    "SHA3-256": "SHA3-256", "SHA3-384": "SHA3-384", "SHA3-512": "SHA3-512",
    "BLAKE2b-256": "BLAKE2b-256", "BLAKE2b-384": "BLAKE2b-384", "BLAKE2b-512": "BLAKE2b-512",
}  # fmt: skip
_KINDS = {
    "APPLICATION": "application", "FRAMEWORK": "framework", "CONTAINER": "container",
    "DEVICE": "device",
    "OPERATING_SYSTEM": "operating-system", "FIRMWARE": "firmware", "FILE": "file",
}  # fmt: skip
_UNKNOWN = ("", "NONE", "NOASSERTION")


def cyclonedx_document(
    merged: Merged, images: Sequence[Image], *, name: str, created: int
) -> dict[str, Any]:
    """The whole document; `created` is in Unix seconds, an element's owner in `merged` a place in
    `images`.

    Of files, only those are in it whose hash is known: others are the file lists of packages.
    """
    refs = [f"image-{number}" for number in range(len(images))]
    containers = [_container(ref, image) for ref, image in zip(refs, images, strict=True)]
    skipped = _selves(merged)
    packages = [_package(one) for one in merged.packages if one["SPDXID"] not in skipped]
    files = [_file(one) for one in merged.files if _hashes(one)]
    components = [*containers, *packages, *files]
    known = {one["bom-ref"] for one in (*packages, *files)}
    needs = {SYSTEM: dict.fromkeys(refs), **{ref: dict[str, None]() for ref in refs}}
    for element in (*packages, *files):
        needs[refs[merged.owners[element["bom-ref"]]]][element["bom-ref"]] = None
    for origin, target in _dependencies(merged):
        if origin in known and target in known:
            needs.setdefault(origin, {})[target] = None
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(created),
            "tools": {
                "components": [{"type": "application", "name": "compos", "version": __version__}]
            },
            "component": {"type": "operating-system", "bom-ref": SYSTEM, "name": name},
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": list(on)} for ref, on in needs.items()],
    }
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{NAMESPACE}/{digest}')}"
    return document


def _container(ref: str, image: Image) -> dict[str, Any]:
    name, _, digest = image.name.partition("@")
    base, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    last = re.sub(r"[^a-z0-9._-]+", "-", base.rpartition("/")[2].lower()) or "image"
    qualifiers = {"arch": image.config.architecture, "repository_url": base, "tag": tag}
    query = "&".join(
        f"{key}={quote(value, safe='/:')}" for key, value in qualifiers.items() if value
    )
    return {
        "type": "container",
        "bom-ref": ref,
        "name": base,
        "version": tag or digest or image.digest,
        "hashes": [{"alg": "SHA-256", "content": image.digest.removeprefix("sha256:")}],
        "purl": f"pkg:oci/{last}@{quote(image.digest, safe='')}?{query}",
    }


def _selves(merged: Merged) -> set[str]:
    """Packages that stand for the images themselves."""
    described = {
        one["relatedSpdxElement"]
        for one in merged.relationships
        if one["relationshipType"] == "DESCRIBES"
    }
    return {
        one["SPDXID"]
        for one in merged.packages
        if one["SPDXID"] in described and one.get("primaryPackagePurpose") == "CONTAINER"
    }


def _package(package: Mapping[str, Any]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": _KINDS.get(package.get("primaryPackagePurpose", ""), "library"),
        "bom-ref": package["SPDXID"],
    }
    if (supplier := _actor(package.get("supplier", ""))) is not None:
        component["supplier"] = {"name": supplier}
    component["name"] = package["name"]
    if version := package.get("versionInfo"):
        component["version"] = version
    if description := package.get("description") or package.get("summary"):
        component["description"] = description
    component |= _common(package)
    references = {
        one["referenceType"]: one["referenceLocator"]
        for one in reversed(package.get("externalRefs", ()))
    }
    if cpe := references.get("cpe23Type"):
        component["cpe"] = cpe
    if purl := references.get("purl"):
        component["purl"] = purl
    return component


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "file", "bom-ref": file["SPDXID"], "name": file["fileName"], **_common(file)}


def _common(element: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if hashes := _hashes(element):
        found["hashes"] = hashes
    licences = [element.get(name, "") for name in ("licenseConcluded", "licenseDeclared")]
    if known := [licence for licence in licences if licence not in _UNKNOWN]:
        found["licenses"] = [{"expression": known[0]}]
    if (copyrights := element.get("copyrightText", "")) not in _UNKNOWN:
        found["copyright"] = copyrights
    return found


def _hashes(element: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"alg": _HASHES[one["algorithm"]], "content": one["checksumValue"]}
        for one in element.get("checksums", ())
        if one["algorithm"] in _HASHES and one["checksumValue"].strip("0")
    ]


def _actor(value: str) -> str | None:
    kind, colon, name = value.partition(": ")
    return name if colon and kind in ("Person", "Organization") else None


def _dependencies(merged: Merged) -> Iterator[tuple[str, str]]:
    for one in merged.relationships:
        origin, target = one["spdxElementId"], one["relatedSpdxElement"]
        if one["relationshipType"] in ("DEPENDS_ON", "CONTAINS"):
            yield origin, target
        elif one["relationshipType"] in ("DEPENDENCY_OF", "RUNTIME_DEPENDENCY_OF", "CONTAINED_BY"):
            yield target, origin
