"""A system's bill of materials, and what judges it: validators that we did not write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from compos.compose.sbom import SbomOptions
from compos.image.model import Image
from compos.tree.contents import Contents
from tests.attested import make_attested
from tests.compose.systems import World
from tests.images import AMD64

__all__ = ["BOTH", "INIT", "SHA1", "attest", "names", "problems", "raw", "relations", "sbom"]

SHA1 = {"algorithm": "SHA1", "checksumValue": "a" * 40}


def attest(world: World, name: str, *documents: object, files: str = "app", **config: Any) -> Image:
    """An image with `documents`; `files` makes it another image than others."""
    layers = [[("bin/app", "file", 0o755, files.encode())]]
    world.images[name] = make_attested(
        world.store, name, {AMD64: documents}, layers=layers, config=config
    )
    return world.images[name]


def sbom(world: World, yaml: str, **options: Any) -> dict[str, Any]:
    """The document of a system, checked by the format's own validator."""
    text = raw(world, yaml, SbomOptions(**options))
    value: dict[str, Any] = json.loads(text)
    assert problems(value) == []
    return value


def raw(world: World, yaml: str, options: SbomOptions) -> str:
    system = world.compose(yaml, sbom=options)
    ((node, component),) = [
        (node, owner) for path, node, owner in system.with_boot() if path == options.path
    ]
    assert (node.kind, node.mode, node.uid, node.gid, node.mtime // 10**9) == (
        "f",
        0o644,
        0,
        0,
        1492533000,
    )
    assert component.source == ""
    with Contents(world.store.root) as contents:
        return b"".join(contents.chunks(node.content)).decode()


def problems(value: dict[str, Any]) -> list[str]:
    if value.get("bomFormat") == "CycloneDX":
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(value))
        return [] if error is None else [str(error)]
    from spdx_tools.spdx.parser.error import SPDXParsingError
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    try:
        parsed = JsonLikeDictParser().parse(value)  # type: ignore[no-untyped-call]
    except SPDXParsingError as error:
        return [str(error)]
    return [message.validation_message for message in validate_full_spdx_document(parsed)]


def names(value: Mapping[str, Any], kind: str = "packages") -> list[str]:
    return [one["name"] for one in value.get(kind, ())]


def relations(value: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"])
        for one in value["relationships"]
    ]


INIT = "init: ['acme/init:1']\n"
BOTH = [{"format": "spdx"}, {"format": "cyclonedx"}]
