"""What images say of themselves, odd and invalid, in the system's bill of materials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from compos.compose.sbom import SbomOptions
from compos.errors import ComposError
from tests.attested import document
from tests.compose.bill import BOTH, SHA1, attest, relations, sbom
from tests.compose.systems import World

# One worker imports jsonschema, which compiles grammars for a second.
pytestmark = pytest.mark.xdist_group("jsonschema")


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
