"""A brick's own SBOM: its Debian packages exactly, its files, as an attestation that another
architecture's build keeps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from compos.image.attestation import spdx_documents
from compos.image.door import stored_image
from compos.image.model import ImageIndex, parse_document
from compos.image.platform import Platform
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from compos.package import bricks
from compos.package.recipe import load_recipe, named
from tests.image.conftest import StartRegistry, docker_registry
from tests.package.workshop import AMD64, Workshop

__all__ = ["docker_registry"]


def test_what_it_says(workshop: Workshop, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    image = workshop.build(store)
    (document,) = spdx_documents(store, image)
    packages = {package["name"]: package for package in document["packages"]}
    # `lib` is a dependency of which no file is kept.
    assert set(packages) == {"compos/tool", "tool"}
    tool = packages["tool"]
    deb = next(workshop.archive.root.rglob("tool_*.deb"))
    assert tool["checksums"] == [
        {"algorithm": "SHA256", "checksumValue": hashlib.sha256(deb.read_bytes()).hexdigest()}
    ]
    (reference,) = tool["externalRefs"]
    assert reference["referenceLocator"].startswith(
        f"pkg:deb/debian/tool@{tool['versionInfo']}?arch="
    )
    (conf,) = document["files"]
    assert conf["fileName"] == "./etc/tool.conf"
    assert {"algorithm": "SHA256", "checksumValue": hashlib.sha256(b"conf").hexdigest()} in conf[
        "checksums"
    ]
    relations = {
        (one["spdxElementId"], one["relationshipType"]) for one in document["relationships"]
    }
    assert relations == {("SPDXRef-DOCUMENT", "DESCRIBES"), ("SPDXRef-Image", "CONTAINS")}
    root = store.resolve(image.name)
    assert root is not None
    assert stored_image(store, image.name, root, AMD64) == image
    assert tool["sourceInfo"] == f"built package from: tool {tool['versionInfo']}"
    assert packages["compos/tool"]["checksums"][0]["checksumValue"] == image.digest.removeprefix(
        "sha256:"
    )


SOME = """
image: tool
org: compos
tag: v1
debian:
  packages: [tool, certificates, mark]
  keep: [usr/bin/tool, usr/lib/mark]
concatenate:
  - {path: etc/all.pem, sources: ['usr/share/ca/*.pem']}
"""


def test_packages_that_something_is_taken_from(workshop: Workshop, tmp_path: Path) -> None:
    """A file's part and an empty file are something; a dependency, a folder and what is dropped are
    nothing."""
    workshop.archive.add_deb("certificates", {"usr/share/ca/a.pem": b"A"}, depends="more")
    workshop.archive.add_deb("more", {"usr/bin/other": b"x"})
    workshop.archive.add_deb("mark", {"usr/lib/mark": b""}, depends="aside")
    workshop.archive.add_deb("aside", {"usr/lib/aside": b"x"})
    workshop.archive.write()
    (workshop.brick / "build.yml").write_text(SOME)
    store = Store(tmp_path / "store")
    (document,) = spdx_documents(store, workshop.build(store))
    assert [package["name"] for package in document["packages"]] == [
        "compos/tool",
        "certificates",
        "mark",
        "tool",
    ]


def test_it_is_reproducible_and_valid(workshop: Workshop, tmp_path: Path) -> None:
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    documents: list[dict[str, Any]] = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        documents += spdx_documents(store, workshop.build(store))
    assert documents[0] == documents[1]
    parsed = JsonLikeDictParser().parse(documents[0])  # type: ignore[no-untyped-call]
    assert validate_full_spdx_document(parsed) == []


def test_other_architectures_keep_theirs(workshop: Workshop, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (workshop.brick / "build.yml").write_text(
        "image: tool\norg: compos\ntag: v1\nfiles: [{path: a, contents: x}]\n"
    )
    recipe = load_recipe(workshop.brick)
    name = named(recipe)
    for architecture in ("arm64", "amd64", "amd64"):
        workshop.builder(store).build(recipe, Platform("linux", architecture), name)
    root = store.resolve(name)
    assert root is not None
    _, index = parse_document(store.read(root.digest))
    assert isinstance(index, ImageIndex)
    assert sorted(str(one.platform) for one in index.manifests) == [
        "linux/amd64",
        "linux/arm64",
        "unknown/unknown",
        "unknown/unknown",
    ]
    for platform in (AMD64, Platform("linux", "arm64")):
        (document,) = spdx_documents(store, stored_image(store, name, root, platform))
        assert document["name"].endswith(platform.architecture)


def test_it_travels_with_the_image(
    workshop: Workshop, tmp_path: Path, docker_registry: StartRegistry
) -> None:
    host = docker_registry()
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    image = workshop.build(store)
    push(store, image.name, registry=Registry(), target=f"{host}/compos/tool:v1")
    pulled = Images(other).image(f"{host}/compos/tool:v1", AMD64)
    assert (pulled.digest, pulled.attestations) == (image.digest, image.attestations)
    assert list(spdx_documents(other, pulled)) == list(spdx_documents(store, image))


def test_a_brick_of_an_earlier_compos_serves_and_gets_one_when_it_is_built_again(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    image = workshop.build(store)
    root = store.resolve(image.name)
    assert root is not None
    _, index = parse_document(store.read(root.digest))
    assert isinstance(index, ImageIndex)
    kept = [one.to_json() for one in index.manifests if one.digest == image.digest]
    earlier = store.put(
        json.dumps({"schemaVersion": 2, "manifests": kept}).encode(), root.media_type
    )
    store.tag(image.name, earlier, annotations=root.annotations)
    monkeypatch.setattr(bricks, "bricks_folder", lambda: workshop.brick.parent)
    bricks.current_bricks(store, [image.name], AMD64)
    old = stored_image(store, image.name, earlier, AMD64)
    assert store.resolve(image.name) is not None
    assert (old.digest, list(spdx_documents(store, old))) == (image.digest, [])
    assert workshop.build(store) == image
    assert store.resolve(image.name) == root
