"""The SBOM of an image whose builder has made none: what dpkg and apk say, what its base says, and
what hostile databases make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from compos.image.model import Descriptor
from compos.image.reference import Reference
from compos.image.store import Store
from compos.package.builders import sbom
from compos.package.builders.request import Base
from compos.package.builders.sbom import own_document
from tests.attested import SPDX, put_attestation, statement
from tests.images import Member, Members, make_image

DPKG = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u1
Description: long
 continued

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bash
Status: install ok installed
Version: 5.2
"""
APK = (
    "C:Q1=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\nF:lib\nR:x\n\nP:busybox\nV:1.36-r1\nA:x86_64\n\n"
)
RELEASE = 'ID=debian\nVERSION_CODENAME="bookworm"\n'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def document(store: Store, members: Members, *bases: Base) -> dict[str, Any] | None:
    image = make_image(store, "test/app:v1", [members])
    return own_document(store, image, "test/app:v1", bases, 0)


def purls(found: dict[str, Any] | None) -> list[str]:
    assert found is not None
    return [one["externalRefs"][0]["referenceLocator"] for one in found["packages"][1:]]


def test_databases(store: Store, tmp_path: Path) -> None:
    members = [
        Member("var/lib/dpkg/status", content=DPKG),
        Member("var/lib/dpkg/status.d/tzdata", content="Package: tzdata\nVersion: 2024a\n"),
        Member("var/lib/dpkg/status.d/tzdata.md5sums", content="Package: no\nVersion: 1\n"),
        Member("etc/os-release", content=RELEASE),
        Member("lib/apk/db/installed", content=APK),
    ]
    found = document(store, members)
    assert purls(found) == [
        "pkg:apk/debian/busybox@1.36-r1?arch=x86_64",
        "pkg:apk/debian/musl@1.2.5-r0?arch=x86_64",
        "pkg:deb/debian/bash@5.2?distro=bookworm",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=bookworm",
        "pkg:deb/debian/tzdata@2024a?distro=bookworm",
    ]
    assert found is not None
    assert found["packages"][4]["sourceInfo"] == "built package from: glibc 2.36-9"
    assert found["packages"][0]["name"] == "test/app"
    # The specification's own program has no objection.
    path = tmp_path / "app.spdx.json"
    path.write_text(json.dumps(found))
    assert validate_full_spdx_document(parse_file(str(path))) == []
    assert document(store, members) == found
    assert document(store, [Member("file", content="x")]) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n\n",
        "Package\nVersion\n",
        "Package: ../../x\nVersion: 1\n",
        "Package: a b\nVersion: 1\n",
        "Package: a\nVersion: 1?x=y\n",
        "Package: a\nVersion: 1\nStatus:\n",
        f"Package: {'a' * 1000}\nVersion: 1\n",
        "P:\nV:\n",
        "\x00\xff:\r\n",
    ],
)
def test_databases_that_say_nonsense(content: str, store: Store) -> None:
    paths = ("var/lib/dpkg/status", "lib/apk/db/installed", "etc/os-release")
    members = [Member(path, content=content) for path in paths]
    assert document(store, members) is None
    linked = [Member("var/lib/dpkg/status", "symlink", content="/etc/passwd")]
    assert document(store, linked) is None


def base(store: Store, name: str, members: Members, predicate: object) -> Base:
    """A base image with an SBOM."""
    image = make_image(store, name, [members])
    root = store.named(str(Reference.parse(name)))
    entry = put_attestation(store, root, [(SPDX, statement(predicate))])
    image = image._replace(attestations=(Descriptor.from_json(entry),))
    return Base(name, Reference.parse(name), root, (), {}, (image,))


def listed(name: object, purl: object, **more: object) -> dict[str, object]:
    reference = {"referenceType": "purl", "referenceLocator": purl}
    return {"name": name, "versionInfo": "1", "externalRefs": [reference], **more}


def test_what_the_base_says(store: Store) -> None:
    """Of the image's own base, not of one that files are copied from; and only what is usable."""
    below = [Member("base", content="x")]
    good = listed("tool", "pkg:deb/debian/tool@1", sourceInfo="built package from: src 1")
    entries = [good, listed(1, "pkg:a"), listed("b", ["pkg:b"]), listed("c", "x" * 2000), 7, {}]
    hostile = {"externalRefs": [1, {}, {"referenceType": "purl"}], "name": "d"}
    bases = (
        base(store, "test/base:v1", below, {"packages": [*entries, hostile]}),
        base(store, "test/copied:v1", [Member("y")], {"packages": [listed("no", "pkg:no")]}),
        base(store, "test/odd:v1", below, {"packages": "all"}),
    )
    image = make_image(store, "test/app:v1", [below, [Member("own")]])
    found = own_document(store, image, "test/app:v1", bases, 0)
    assert purls(found) == ["pkg:deb/debian/tool@1"]
    assert found is not None
    assert found["packages"][1]["sourceInfo"] == "built package from: src 1"
    assert own_document(store, image, "test/app:v1", bases[1:], 0) is None


def test_limits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [Member("var/lib/dpkg/status", content=DPKG)]
    monkeypatch.setattr(sbom, "MAX_PACKAGES", 1)
    assert len(purls(document(store, members))) == 1
    monkeypatch.setattr(sbom, "MAX_DATABASE", 10)
    assert document(store, members) is None
