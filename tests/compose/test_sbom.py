"""The system's bill of materials: valid for tools that we did not write, the same every time,
whatever images say."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from compos.compose.sbom import SbomOptions
from compos.compose.spdx import joined_path
from compos.errors import ComposError
from compos.image.model import Image
from compos.tree.contents import Contents
from tests.attested import document, make_attested
from tests.compose.systems import World
from tests.images import AMD64, ARM64

SHA1 = {"algorithm": "SHA1", "checksumValue": "a" * 40}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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


@pytest.mark.parametrize("options", BOTH, ids=["spdx", "cyclonedx"])
def test_a_system_of_silent_images_has_one_too(world: World, options: dict[str, str]) -> None:
    text = raw(world, INIT, SbomOptions(format=options["format"]))
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert ": " not in text.replace("Tool: ", "").replace("SBOM: ", "")
    value = json.loads(text)
    assert problems(value) == []
    if options["format"] == "spdx":
        assert (value["spdxVersion"], value["dataLicense"], value["name"]) == (
            "SPDX-2.3",
            "CC0-1.0",
            "sbom",
        )
        assert value["creationInfo"]["created"] == "2017-04-18T16:30:00Z"
        assert "docker.io/acme/init:1" in value["comment"]
        assert "packages" not in value
    else:
        assert (value["specVersion"], value["metadata"]["timestamp"]) == (
            "1.6",
            "2017-04-18T16:30:00Z",
        )
        assert names(value, "components") == ["docker.io/acme/init"]


def test_every_section_below_its_folder(world: World) -> None:
    """The table of docs/linuxkit.md#3.9 and #3.2: where each image's files are said to lie."""
    one = {"SPDXID": "SPDXRef-File-1", "fileName": "/bin/app", "checksums": [SHA1]}
    two = {"SPDXID": "SPDXRef-File-2", "fileName": "./usr/../lib//x", "checksums": [SHA1]}
    for number, name in enumerate(("kernel", "init", "volume", "once", "locked", "off", "web")):
        package = {
            "name": name,
            "SPDXID": "SPDXRef-Package",
            "downloadLocation": "NONE",
            "packageFileName": f"p/{name}.deb",
        }
        image = f"acme/{name}:2"
        attest(world, image, document(package, "rest", files=[one, two]), files=str(number))
    kernel = [[("kernel", "file", 0o644, "K")]]
    world.images["acme/kernel:2"] = make_attested(
        world.store, "acme/kernel:2", {AMD64: [document("linux")]}, layers=kernel
    )  # fmt: skip
    value = sbom(
        world,
        """
kernel: {image: 'acme/kernel:2', tar: none}
init: ['acme/init:2']
volumes: [{name: data, image: 'acme/volume:2'}]
onboot: [{name: once, image: 'acme/once:2'}, {name: locked, image: 'acme/locked:2', readonly: true}]
onshutdown: [{name: off, image: 'acme/off:2'}]
services: [{name: web, image: 'acme/web:2'}]
""",
    )
    folders = {
        "init": "",
        "volume": "containers/volumes/data/lower/",
        "once": "containers/onboot/000-once/lower/",
        "locked": "containers/onboot/001-locked/rootfs/",
        "off": "containers/onshutdown/000-off/lower/",
        "web": "containers/services/web/lower/",
    }
    assert names(value) == ["linux", *(name for one in folders for name in (one, "rest"))]
    places = {package["name"]: package.get("packageFileName") for package in value["packages"]}
    assert {name: places[name] for name in folders} == {
        name: f"{folder}p/{name}.deb" for name, folder in folders.items()
    }
    assert "packageFileName" not in value["packages"][0], "nothing is said of nothing"
    assert value["packages"][4]["packageFileName"] == "containers/volumes/data/lower", (
        "empty: the folder itself"
    )
    assert [file["fileName"] for file in value["files"]] == [
        f"{folder}{path}" for folder in folders.values() for path in ("bin/app", "lib/x")
    ]


def test_an_image_counts_once_at_its_first_place(world: World) -> None:
    attest(
        world,
        "acme/app:2",
        document("a", files=[{"fileName": "x", "SPDXID": "SPDXRef-F", "checksums": [SHA1]}]),
    )
    world.images["acme/other:2"] = world.images["acme/app:2"]._replace(
        name="docker.io/acme/other:2"
    )
    value = sbom(
        world,
        """
onboot: [{name: one, image: 'acme/app:2'}]
services: [{name: a, image: 'acme/app:2'}, {name: b, image: 'acme/other:2'}]
""",
    )
    assert names(value) == ["a"]
    assert [file["fileName"] for file in value["files"]] == ["containers/onboot/000-one/lower/x"]


def test_references_follow_renamed_identifiers(world: World) -> None:
    """Two images with the same identifiers and licence names for different things, and one thing
    that is the same (N24)."""

    def said(name: str, licence: str) -> dict[str, Any]:
        package = {
            "name": name, "SPDXID": "SPDXRef-P", "downloadLocation": "NOASSERTION",
            "licenseConcluded": "MIT AND (LicenseRef-x OR LicenseRef-same)", "licenseDeclared": "DocumentRef-ext:LicenseRef-x",
        }  # fmt: skip
        file = {
            "fileName": name,
            "SPDXID": "SPDXRef-F",
            "checksums": [SHA1],
            "licenseInfoInFiles": ["LicenseRef-x"],
        }
        relationships = [
            ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-P"), ("SPDXRef-P", "CONTAINS", "SPDXRef-F"),
            ("SPDXRef-P", "DEPENDS_ON", "DocumentRef-ext:SPDXRef-Q"), ("SPDXRef-P", "DEPENDS_ON", "NONE"),
        ]  # fmt: skip
        return document(
            package,
            files=[file],
            hasExtractedLicensingInfos=[
                {"licenseId": "LicenseRef-x", "extractedText": licence},
                {"licenseId": "LicenseRef-same", "extractedText": "the same"},
            ],
            externalDocumentRefs=[
                {
                    "externalDocumentId": "DocumentRef-ext",
                    "spdxDocument": f"https://x.invalid/{name}",
                    "checksum": SHA1,
                }
            ],
            relationships=[
                {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": two}
                for one, kind, two in relationships
            ],
        )

    attest(world, "acme/one:2", said("one", "one's"), files="1")
    second = attest(world, "acme/two:2", said("two", "two's"), files="2")
    value = sbom(world, "init: ['acme/one:2', 'acme/two:2']\n")
    mark = second.digest.removeprefix("sha256:")[:12]
    assert [one["SPDXID"] for one in value["packages"]] == ["SPDXRef-P", f"SPDXRef-P-{mark}"]
    assert [one["SPDXID"] for one in value["files"]] == ["SPDXRef-F", f"SPDXRef-F-{mark}"]
    end = f"-{mark}"
    assert relations(value) == [
        (one.replace("@", tail), kind, two.replace("@", tail))
        for tail in ("", end)
        for one, kind, two in [
            ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-P@"), ("SPDXRef-P@", "CONTAINS", "SPDXRef-F@"),
            ("SPDXRef-P@", "DEPENDS_ON", "DocumentRef-ext@:SPDXRef-Q"), ("SPDXRef-P@", "DEPENDS_ON", "NONE"),
        ]
    ]  # fmt: skip
    licences = {
        one["licenseId"]: one["extractedText"] for one in value["hasExtractedLicensingInfos"]
    }
    assert licences == {
        "LicenseRef-x": "one's",
        "LicenseRef-same": "the same",
        f"LicenseRef-x{end}": "two's",
    }
    assert (
        value["packages"][1]["licenseConcluded"]
        == f"MIT AND (LicenseRef-x{end} OR LicenseRef-same)"
    )
    assert value["packages"][1]["licenseDeclared"] == f"DocumentRef-ext{end}:LicenseRef-x"
    assert value["files"][1]["licenseInfoInFiles"] == [f"LicenseRef-x{end}"]


ODD: dict[str, Mapping[str, Any]] = {
    "the same identifier twice": document(
        {"name": "a", "SPDXID": "SPDXRef-x", "downloadLocation": "NONE"},
        {"name": "b", "SPDXID": "SPDXRef-x", "downloadLocation": "NONE"},
        files=[{"fileName": "f", "SPDXID": "SPDXRef-x", "checksums": [SHA1]}],
    ),
    "no identifiers": document({"name": "a"}, {"name": "b", "SPDXID": 7}, files=[{"fileName": "f"}]),
    "identifiers that are none": document({"name": "a", "SPDXID": "SPDXRef-ä ö/ü"}, {"name": "b", "SPDXID": "SPDXRef-"}),
    "a package that is the document": document({"name": "a", "SPDXID": "SPDXRef-DOCUMENT"}, {"name": "b", "SPDXID": ""}),
    "relationships to nowhere": document(
        "a",
        relationships=[
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": two}
            for one, kind, two in [
                ("SPDXRef-no", "CONTAINS", "SPDXRef-Package-a"), ("SPDXRef-Package-a", "CONTAINS", "SPDXRef-no"),
                ("NONE", "CONTAINS", "SPDXRef-Package-a"), ("DocumentRef-no:SPDXRef-x", "OTHER", "SPDXRef-Package-a"),
                ("SPDXRef-Package-a", "LIKES", "SPDXRef-Package-a"), ("SPDXRef-Package-a", "OTHER", "a:b:c"),
            ]
        ],
        documentDescribes=["SPDXRef-no", "SPDXRef-Package-a", "SPDXRef-Package-a"],
    ),
    "files of a package that was not analysed": document(
        {"name": "a", "SPDXID": "SPDXRef-a", "filesAnalyzed": False, "hasFiles": ["SPDXRef-f"],
         "licenseInfoFromFiles": ["MIT"], "packageVerificationCode": {"packageVerificationCodeValue": "0" * 40}},
        {"name": "b", "SPDXID": "SPDXRef-b", "hasFiles": ["SPDXRef-f", "SPDXRef-no"]},
        files=[{"fileName": "f", "SPDXID": "SPDXRef-f", "checksums": [SHA1]}],
        relationships=[
            {"spdxElementId": "SPDXRef-a", "relationshipType": "CONTAINS", "relatedSpdxElement": "SPDXRef-f"},
            {"spdxElementId": "SPDXRef-f", "relationshipType": "CONTAINED_BY", "relatedSpdxElement": "SPDXRef-a"},
        ],
    ),
    "values that nobody knows": document(
        {
            "name": "a", "SPDXID": "SPDXRef-a", "supplier": "somebody", "originator": "Tool: x", "homepage": "no",
            "downloadLocation": "somewhere else", "releaseDate": "yesterday", "builtDate": "2024-13-01T00:00:00Z",
            "primaryPackagePurpose": "FUN", "licenseConcluded": "", "versionInfo": None, "unheard": {"of": 1},
            "checksums": [
                {"algorithm": "CRC32", "checksumValue": "00"}, {"algorithm": "SHA256", "checksumValue": "xyz"},
                {"algorithm": "SHA1", "checksumValue": "A" * 40},
            ],
            "externalRefs": [
                {"referenceCategory": "FUN", "referenceType": "x", "referenceLocator": "y"},
                {"referenceCategory": "PACKAGE_MANAGER", "referenceType": "purl", "referenceLocator": "pkg:npm/x@1"},
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "no purl"},
                {"referenceCategory": "SECURITY", "referenceType": "own", "referenceLocator": "z"},
            ],
            "annotations": [
                {"annotationDate": "now", "annotationType": "OTHER", "annotator": "Tool: x", "comment": "c"}
            ],
        },
        {"name": "b", "licenseDeclared": "LicenseRef-unknown"},
        annotations=[
            {"annotationDate": "2024-01-01T00:00:00Z", "annotationType": "REVIEW", "annotator": "Person: p", "comment": "c"}
        ],
        snippets=[{"SPDXID": "SPDXRef-s"}],
        revieweds=[{}],
    ),
    "characters that no encoding has": document("a\ud800b", "\u2028\x00"),
    "nothing": document(),
    "only files": document(files=[{"fileName": "/"}, {"fileName": "../../etc/passwd"}, {"fileName": "a/../../b"}]),
}  # fmt: skip


@pytest.mark.parametrize("options", BOTH, ids=["spdx", "cyclonedx"])
@pytest.mark.parametrize("case", ODD)
def test_what_images_say_may_be_odd(world: World, case: str, options: dict[str, str]) -> None:
    """Twice, so that all its identifiers meet themselves; `sbom` asks the validator."""
    attest(world, "acme/one:2", ODD[case], files="1")
    attest(world, "acme/two:2", ODD[case], ODD[case], files="2")
    value = sbom(world, "init: ['acme/one:2', 'acme/two:2']\n", **options)
    if options["format"] == "spdx":
        assert len(value.get("packages", ())) == 3 * len(ODD[case]["packages"])
        assert len(value.get("files", ())) == 3 * len(ODD[case].get("files", ()))
        assert not any(file["fileName"].startswith(("/", "..")) for file in value.get("files", ()))


def test_what_is_kept_of_odd_values(world: World) -> None:
    attest(world, "acme/one:2", ODD["values that nobody knows"])
    first, second = sbom(world, "init: ['acme/one:2']\n")["packages"]
    assert first == {
        "SPDXID": "SPDXRef-a",
        "name": "a",
        "downloadLocation": "NOASSERTION",
        "checksums": [SHA1],
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": "pkg:npm/x@1",
            },
            {"referenceCategory": "OTHER", "referenceType": "own", "referenceLocator": "z"},
        ],
    }
    assert (second["SPDXID"], second["licenseDeclared"]) == (
        "SPDXRef-packages-1",
        "LicenseRef-unknown",
    )


@pytest.mark.parametrize("version", ["SPDX-2.1", "SPDX-2.2", "SPDX-2.3"])
def test_earlier_versions_are_raised(world: World, version: str) -> None:
    package = {"name": "a", "SPDXID": "SPDXRef-a", "hasFiles": ["SPDXRef-f"]}
    file = {"fileName": "f", "SPDXID": "SPDXRef-f", "checksums": [SHA1]}
    attest(
        world,
        "acme/one:2",
        document(package, files=[file], documentDescribes=["SPDXRef-a"], version=version),
    )
    value = sbom(world, "init: ['acme/one:2']\n")
    assert value["spdxVersion"] == "SPDX-2.3"
    assert relations(value) == [
        ("SPDXRef-a", "CONTAINS", "SPDXRef-f"),
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-a"),
    ]
    assert "hasFiles" not in value["packages"][0]


INVALID: dict[str, object] = {
    "another version": document(version="SPDX-3.0"),
    "no version": {"packages": []},
    "a version that is no text": document(version=["SPDX-2.3"]),  # type: ignore[arg-type]
    "packages that are no list": document() | {"packages": {}},
    "a package that is no object": document() | {"packages": ["a"]},
    "a package without a name": document({"SPDXID": "SPDXRef-a"}),
    "a name that is no text": document({"name": 1}),
    "a flag that is none": document({"name": "a", "filesAnalyzed": "no"}),
    "checksums that are no list": document({"name": "a", "checksums": "x"}),
    "a file without a name": document(files=[{}]),
    "relationships that are none": document(relationships=[7]),
    "a relationship of a number": document(
        relationships=[
            {"spdxElementId": 1, "relationshipType": "OTHER", "relatedSpdxElement": "NONE"}
        ]
    ),
    "hasFiles of a number": document({"name": "a", "SPDXID": "SPDXRef-a", "hasFiles": 5}),
    "described numbers": document(documentDescribes=[5]),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_documents_name_their_image(world: World, case: str) -> None:
    attest(world, "acme/one:2", INVALID[case])
    with pytest.raises(ComposError) as caught:
        world.compose("init: ['acme/one:2']\n", sbom=SbomOptions())
    assert caught.value.id == "sbom-invalid"
    assert caught.value.place == "docker.io/acme/one:2"
    assert "--no-sbom" in str(caught.value.hint)


def test_the_namespace_is_of_the_content(world: World, tmp_path: Path) -> None:
    attest(world, "acme/one:2", document("a"))
    yaml = "init: ['acme/one:2']\n"
    first = raw(world, yaml, SbomOptions())
    (tmp_path / "elsewhere").mkdir()
    other = World(tmp_path / "elsewhere")
    attest(other, "acme/one:2", document("a"))
    assert raw(other, yaml, SbomOptions()) == first
    attest(other, "acme/one:2", document("b"))
    later = sbom(other, yaml, created=1_700_000_000)
    assert later["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    spaces = {
        json.loads(first)["documentNamespace"],
        later["documentNamespace"],
        sbom(other, yaml)["documentNamespace"],
    }
    assert len(spaces) == 3
    assert all(space.startswith("https://compos.invalid/") for space in spaces)
    serials = {
        sbom(other, yaml, format="cyclonedx", created=at)["serialNumber"] for at in (None, None, 5)
    }
    assert len(serials) == 2


def test_cyclonedx_has_images_packages_and_files(world: World) -> None:
    package = {
        "name": "libc6", "SPDXID": "SPDXRef-libc", "versionInfo": "2.41-1", "supplier": "Organization: Debian",
        "licenseDeclared": "LGPL-2.1-or-later", "licenseConcluded": "NOASSERTION", "primaryPackagePurpose": "LIBRARY",
        "checksums": [{"algorithm": "SHA256", "checksumValue": "b" * 64}],
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": "pkg:deb/debian/libc6@2.41-1?arch=amd64"},
            {"referenceCategory": "SECURITY", "referenceType": "cpe23Type",
             "referenceLocator": "cpe:2.3:a:gnu:glibc:2.41:*:*:*:*:*:*:*"},
        ],
    }  # fmt: skip
    own = {"name": "self", "SPDXID": "SPDXRef-self", "primaryPackagePurpose": "CONTAINER"}
    files = [
        {"fileName": "etc/a", "SPDXID": "SPDXRef-a", "checksums": [SHA1]},
        {
            "fileName": "usr/lib/x",
            "SPDXID": "SPDXRef-x",
            "checksums": [{**SHA1, "checksumValue": "0" * 40}],
        },
    ]
    needs = {
        "spdxElementId": "SPDXRef-libc",
        "relationshipType": "DEPENDENCY_OF",
        "relatedSpdxElement": "SPDXRef-app",
    }
    application = {"name": "app", "SPDXID": "SPDXRef-app", "primaryPackagePurpose": "APPLICATION"}
    image = attest(
        world,
        "h.example:5000/acme/one:2",
        document(
            own,
            package,
            application,
            files=files,
            documentDescribes=["SPDXRef-self"],
            relationships=[needs],
        ),
    )
    value = sbom(
        world,
        "init: ['h.example:5000/acme/one:2', 'acme/init:1']\n",
        format="cyclonedx",
        path="sbom.cdx.json",
    )
    components = {one["name"]: one for one in value["components"]}
    assert list(components) == [
        "h.example:5000/acme/one",
        "docker.io/acme/init",
        "libc6",
        "app",
        "etc/a",
    ]
    digest = image.digest.removeprefix("sha256:")
    assert components["h.example:5000/acme/one"] == {
        "type": "container",
        "bom-ref": "image-0",
        "name": "h.example:5000/acme/one",
        "version": "2",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "purl": f"pkg:oci/one@sha256%3A{digest}?arch=amd64&repository_url=h.example:5000/acme/one&tag=2",
    }
    assert components["libc6"] == {
        "type": "library",
        "bom-ref": "SPDXRef-libc",
        "supplier": {"name": "Debian"},
        "name": "libc6",
        "version": "2.41-1",
        "hashes": [{"alg": "SHA-256", "content": "b" * 64}],
        "licenses": [{"expression": "LGPL-2.1-or-later"}],
        "cpe": "cpe:2.3:a:gnu:glibc:2.41:*:*:*:*:*:*:*",
        "purl": "pkg:deb/debian/libc6@2.41-1?arch=amd64",
    }
    assert components["etc/a"]["type"] == "file"
    assert {one["ref"]: one["dependsOn"] for one in value["dependencies"]} == {
        "system": ["image-0", "image-1"],
        "image-0": ["SPDXRef-libc", "SPDXRef-app", "SPDXRef-a"],
        "image-1": [],
        "SPDXRef-app": ["SPDXRef-libc"],
    }


@pytest.mark.parametrize("path", ["", "/", ".", "../x", "a/../../x", "etc", "bin/app/sbom", "lib"])
def test_names_that_cannot_be(world: World, path: str) -> None:
    attest(world, "acme/one:2", document("a"))
    yaml = "init: ['acme/one:2', 'acme/init:1']\nfiles: [{path: lib, directory: true}]\n"
    with pytest.raises(ComposError) as caught:
        world.compose(yaml, sbom=SbomOptions(path))
    assert caught.value.id == "sbom-output"


def test_other_places(world: World) -> None:
    for path, real in (("/usr/share/sbom.json", "usr/share/sbom.json"), ("boot/sbom", "boot/sbom")):
        found = {name for name, _, _ in world.compose(INIT, sbom=SbomOptions(path)).with_boot()}
        assert real in found


@pytest.mark.parametrize(
    ("prefix", "path", "joined"),
    [
        ("", "/usr/x", "usr/x"),
        ("a/b", "./c", "a/b/c"),
        ("a", "../../x", "a/x"),
        ("a", "", "a"),
        ("", "", ""),
    ],
)
def test_paths_stay_below_their_folder(prefix: str, path: str, joined: str) -> None:
    assert joined_path(prefix, path) == joined


def test_a_tar_has_it_without_records(world: World, tmp_path: Path) -> None:
    from compos.cli.main import main

    make_attested(world.store, "acme/one:2", {AMD64: [document("a")], ARM64: [document("b")]})
    (tmp_path / "os.yml").write_text("init: ['acme/one:2']\n")
    arguments = ["build", "-q", *world.flags, "--o", str(tmp_path / "x.tar")]
    assert main([*arguments, str(tmp_path / "os.yml")]) == 0
    with tarfile.open(tmp_path / "x.tar") as archive:
        member = archive.getmember("sbom.spdx.json")
        stream = archive.extractfile(member)
        assert stream is not None
        value = json.load(io.BytesIO(stream.read()))
    assert (member.mode, member.uid, member.gid, member.mtime, member.pax_headers) == (
        0o644,
        0,
        0,
        1492533000,
        {},
    )
    assert names(value) == ["a"]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ([], "sbom.spdx.json"),
        (["--sbom-format", "cyclonedx"], "sbom.cdx.json"),
        (["--sbom-output", "usr/x.json"], "usr/x.json"),
        (["--sbom-output", "/y", "--sbom-format", "cyclonedx"], "y"),
        (["--no-sbom"], None),
        (["--no-sbom", "--sbom-output", ""], None),
    ],
)
def test_flags(world: World, tmp_path: Path, flags: Sequence[str], name: str | None) -> None:
    found = built(world, tmp_path, *flags)
    assert [path for path in found if path.endswith(".json") or path == "y"] == (
        [name] if name else []
    )


def built(world: World, folder: Path, *flags: str) -> dict[str, bytes]:
    from compos.cli.main import main

    (folder / "os.yml").write_text(INIT)
    arguments = ["build", "-q", *world.flags, "--o", str(folder / "x.tar")]
    assert main([*arguments, *flags, str(folder / "os.yml")]) == 0
    with tarfile.open(folder / "x.tar") as archive:
        return {
            member.name: stream.read()
            for member in archive
            if member.isreg() and (stream := archive.extractfile(member))
        }


def test_the_time_is_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def created(*flags: str) -> str:
        text: str = json.loads(built(world, tmp_path, *flags)["sbom.spdx.json"])["creationInfo"][
            "created"
        ]
        return text

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert created() == "2017-04-18T16:30:00Z"
    assert created("--sbom-current-time") == "2023-11-14T22:13:20Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert created("--sbom-current-time") > "2024"


def test_usage(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from compos.cli.main import main

    (tmp_path / "os.yml").write_text(INIT)
    assert main(["build", "--sbom-output", "", str(tmp_path / "os.yml")]) == 1
    assert "--no-sbom" in capsys.readouterr().err
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    cache = [*world.flags, "--dir", str(tmp_path)]
    assert main(["build", *cache, "--sbom-current-time", str(tmp_path / "os.yml")]) == 1
    assert "SOURCE_DATE_EPOCH" in capsys.readouterr().err


def test_an_unchanged_system_is_not_composed_again(world: World, tmp_path: Path) -> None:
    """The SBOM is an input as any other: its loss and its return are noticed, its presence costs a
    look."""
    image = make_attested(world.store, "acme/init:1", {AMD64: [document("a")]})
    results = world.store.root / "derived/result"
    first = built(world, tmp_path)
    assert built(world, tmp_path) == first
    assert len(list(results.iterdir())) == 1
    (manifest,) = image.attestations
    data = world.store.read(manifest.digest)
    world.store.path(manifest.digest).unlink()
    without = built(world, tmp_path)
    assert "packages" not in json.loads(without["sbom.spdx.json"])
    assert len(list(results.iterdir())) == 2
    world.store.put(data, manifest.media_type)
    assert built(world, tmp_path) == first
    assert len(list(results.iterdir())) == 2


def test_sections_of_an_earlier_build_are_not_in_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an SBOM that was in the tar does not stop init from being copied: this build writes one
    there, too."""
    from compos.cli.main import main

    world.images["acme/init:2"] = make_attested(
        world.store, "acme/init:2", {AMD64: [document("init")]}
    )
    make_attested(
        world.store,
        "acme/app:2",
        {AMD64: [document("app")]},
        layers=[[("app", "file", 0o755, b"")]],
    )
    (tmp_path / "os.yml").write_text(
        "init: ['acme/init:2']\nservices: [{name: web, image: 'acme/app:2'}]\n"
        "files: [{path: etc/os.yml, metadata: yaml}]\n"
    )
    common = [*world.flags]

    def build(out: str, *flags: str) -> dict[str, Any]:
        assert (
            main(["build", *common, "--o", str(tmp_path / out), *flags, str(tmp_path / "os.yml")])
            == 0
        )
        with tarfile.open(tmp_path / out) as archive:
            stream = archive.extractfile("sbom.spdx.json")
            assert stream is not None
            value: dict[str, Any] = json.load(stream)
            return value

    assert names(build("one.tar", "--sbom-output", "/sbom.spdx.json")) == ["init", "app"]
    world.store.untag("docker.io/acme/init:2")
    capsys.readouterr()
    again = build(
        "two.tar", "--sbom-output", "/sbom.spdx.json", "--input-tar", str(tmp_path / "one.tar")
    )
    said = capsys.readouterr().err
    assert "Copy init[0] files" in said
    assert "The SBOM does not cover" in said
    assert names(again) == ["app"]
    assert problems(again) == []
