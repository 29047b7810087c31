"""The system's bill of materials: valid for tools that we did not write, the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compos.compose.sbom import SbomOptions
from compos.compose.spdx import joined_path
from compos.errors import ComposError
from tests.attested import document, make_attested
from tests.compose.bill import BOTH, INIT, SHA1, attest, names, problems, raw, sbom
from tests.compose.systems import World
from tests.images import AMD64

# One worker imports jsonschema, which compiles grammars for a second.
pytestmark = pytest.mark.xdist_group("jsonschema")


@pytest.mark.slow
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


@pytest.mark.slow
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


LOWER = "containers/services/app/lower"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", ".", "../x", "a/../../x", "etc", "bin/app/sbom", "lib"),
        *(LOWER, f"{LOWER}/bin", f"{LOWER}/bin/app/sbom"),
    ],
)
def test_names_that_cannot_be(world: World, path: str) -> None:
    attest(world, "acme/one:2", document("a"))
    yaml = (
        "init: ['acme/one:2', 'acme/init:1']\nfiles: [{path: lib, directory: true}]\n"
        "services: [{name: app, image: 'acme/app:1'}]\n"
    )
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
