"""Bricks built from a small signed archive: contents, reproducibility, what builds them and what
forgets them."""

from __future__ import annotations

import shutil
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from compos.errors import ComposError, ImageNotFound, PackageError
from compos.image.attestation import spdx_documents
from compos.image.model import Image
from compos.image.offer import Wanted
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import Store
from compos.package import bricks, recipe
from compos.package.bricks import Bricks, current_bricks, find_brick, own_name
from compos.package.build import Builder
from compos.package.debian.mirror import Mirror
from compos.package.local import LocalPackages
from compos.package.recipe import load_recipe, named
from compos.package.recipe_key import has_key, recipe_key
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from tests.package.debian.archive_of import DATE
from tests.package.workshop import AMD64, Workshop
from tests.sources import Maker


def test_a_bricks_files(workshop: Workshop, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    image = workshop.build(store)
    tree = image_tree(store, image)
    assert {path for path, node in tree.items() if node.kind != "d"} == {
        "opt/tool",
        "etc/all.pem",
        "etc/tool.conf",
        "bin/a",
        "usr/local/bin/b",
    }
    with Contents(store.root) as contents:
        assert b"".join(contents.chunks(tree["etc/all.pem"].content)) == b"A\nB\n"
    assert (tree["bin/a"].link, tree["usr/local/bin/b"].link) == (
        "../opt/tool",
        "../../../opt/tool",
    )
    assert (tree["etc/tool.conf"].mode, tree["data"].kind, tree["etc"].mode) == (0o600, "d", 0o755)
    assert image.config.cmd == ("/usr/bin/tool",)
    assert image.config.labels == {"org.mobyproject.config": '{"pid":"host"}'}


def test_two_stores_get_the_same_bytes(workshop: Workshop, tmp_path: Path) -> None:
    first, second = Store(tmp_path / "one"), Store(tmp_path / "two" / "deeper")
    assert workshop.build(first) == workshop.build(second)
    blobs = [
        {path.name for path in (store.root / "blobs/sha256").iterdir()} for store in (first, second)
    ]
    assert blobs[0] == blobs[1]
    assert (first.root / "index.json").read_bytes() == (second.root / "index.json").read_bytes()


def test_the_sbom_names_the_indexes(workshop: Workshop, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (document,) = spdx_documents(store, workshop.build(store))
    signed = time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(parsedate_to_datetime(DATE).timestamp())
    )
    suites = ("trixie", "trixie-security", "trixie-updates")
    listed = ", ".join(f"{suite} of {signed}" for suite in suites)
    assert document["creationInfo"]["comment"] == f"Debian's indexes: {listed}"


def test_other_architectures_stay_in_the_index(workshop: Workshop, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (workshop.brick / "build.yml").write_text(
        "image: tool\norg: compos\ntag: v1\nfiles: [{path: x, contents: y}]\n"
    )
    recipe = load_recipe(workshop.brick)
    for architecture in ("amd64", "arm64"):
        workshop.builder(store).build(recipe, Platform("linux", architecture), named(recipe))
    from compos.image.door import stored_image

    root = store.resolve(named(recipe))
    assert root is not None
    for architecture in ("amd64", "arm64"):
        platform = Platform("linux", architecture)
        assert stored_image(store, named(recipe), root, platform).config.platform == platform


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("arches: [arm64]", "brick-architecture"),
        ("", "package-empty"),
        ("debian: {packages: [tools]}", "debian-package-missing"),
        ("debian: {packages: [tool], keep: [no/such]}", "brick-no-match"),
        ("kernel: {}\ndebian: {packages: [tool]}", "brick-kernel"),
    ],
)
def test_mistakes(workshop: Workshop, tmp_path: Path, text: str, id: str) -> None:
    (workshop.brick / "build.yml").write_text(f"image: tool\n{text}\n")
    store = Store(tmp_path / "store")
    with pytest.raises(ComposError) as caught:
        workshop.build(store)
    assert caught.value.id == id
    assert store.entries() == []


def test_an_unsigned_index_stops_the_build(workshop: Workshop, tmp_path: Path) -> None:
    release = workshop.archive.root / "dists/trixie/InRelease"
    release.write_bytes(release.read_bytes().replace(b"Codename: trixie", b"Codename: trixix"))
    with pytest.raises(ComposError) as caught:
        workshop.build(Store(tmp_path / "store"))
    assert caught.value.id == "debian-signature"


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("compos/nginx:v1", True),
        ("compos/nginx", True),
        ("127.0.0.1:5000/compos/nginx:v1", True),
        ("127.0.0.1:5000/mirror/compos/nginx:v1", True),
        ("compos/nginx:v0", False),
        ("compos/node_exporter:v1", True),
        ("compos/open-vm-tools:v1", True),
        ("compos/nothing:v1", False),
        ("library/nginx:v1", False),
        ("notcompos/nginx:v1", False),
    ],
)
def test_which_names_are_ours(reference: str, found: bool) -> None:
    assert (find_brick(Reference.parse(reference)) is not None) is found


def published_or_not(image: Image | None) -> Image:
    """What a registry says."""
    if image is None:
        raise ImageNotFound("image-not-found", "no")
    return image


@pytest.mark.parametrize(
    ("reference", "mirrored", "published", "asks"),
    [
        ("compos/tool:v1", False, True, False),  # nobody but us may answer for our names on the hub
        ("compos/tool:v1", True, True, True),
        ("127.0.0.1:5000/compos/tool:v1", False, True, True),
        ("127.0.0.1:5000/compos/tool:v1", False, False, True),
    ],
)
def test_who_is_asked_for_a_brick(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    reference: str, mirrored: bool, published: bool, asks: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(bricks, "bricks_folder", lambda: workshop.brick.parent)
    store = Store(tmp_path / "store")
    other = Store(tmp_path / "other")
    built = workshop.build(other)
    registry = Maker(other, lambda text: published_or_not(built if published else None))
    source = Bricks(
        lambda: workshop.builder(store), registry, registry="r.example" if mirrored else ""
    )
    offers = [*source.offers(Wanted(str(Reference.parse(reference)), (AMD64,)))]
    assert len(offers) == 1
    assert bool(registry.asked) is asks
    assert (store.resolve(offers[0].asked) is None) is (asks and published)


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        ({}, True),
        ({"tool.conf": "other"}, False),
        (
            {"build.yml": "image: tool\norg: compos\ntag: v1\nfiles: [{path: x, contents: y}]\n"},
            False,
        ),
        ({"build.yml": "image: tool\norg: mine\ntag: v1\nfiles: [{path: x, contents: y}]\n"}, True),
        (
            {"build.yml": "image: tool\norg: compos\ntag: v2\nfiles: [{path: x, contents: y}]\n"},
            True,
        ),
        (
            {
                "build.yml": "image: tool\norg: host.test/compos\ntag: v1\nfiles: [{path: x, contents: y}]\n"
            },
            True,
        ),
    ],
)
def test_names_of_shipped_bricks_are_taken(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    accepted: bool,
) -> None:
    monkeypatch.setattr(bricks, "bricks_folder", lambda: workshop.brick.parent)
    copy = tmp_path / "copy"
    shutil.copytree(workshop.brick, copy)
    for name, text in change.items():
        (copy / name).write_text(text)
    (tmp_path / "os.yml").touch()

    template = LocalPackages()
    if accepted:
        name = named(load_recipe(copy))
        assert (
            own_name(load_recipe(copy))
            == template.rename("@pkg:copy", str(tmp_path / "os.yml"))
            == name
        )
    else:
        with pytest.raises(PackageError, match="package-name"):
            own_name(load_recipe(copy))
        with pytest.raises(PackageError, match="package-name"):
            template.rename("@pkg:copy", str(tmp_path / "os.yml"))
    assert own_name(load_recipe(workshop.brick)) == "docker.io/compos/tool:v1"


def test_a_brick_of_another_recipe_is_forgotten(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bricks, "bricks_folder", lambda: workshop.brick.parent)
    store = Store(tmp_path / "store")
    workshop.build(store)
    assert current_bricks(store, ["compos/tool:v1", "compos/other:v1"], AMD64) == {"compos/tool:v1"}
    assert store.resolve("docker.io/compos/tool:v1") is not None
    (workshop.brick / "tool.conf").write_text("changed")
    assert current_bricks(store, ["compos/tool:v1"], AMD64) == set()
    assert store.resolve("docker.io/compos/tool:v1") is None


def test_a_current_brick_is_known_without_its_yaml(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bricks, "bricks_folder", lambda: workshop.brick.parent)
    store = Store(tmp_path / "store")
    workshop.build(store)
    monkeypatch.delattr(recipe, "load_recipe")
    assert current_bricks(store, ["compos/tool:v1"], AMD64) == {"compos/tool:v1"}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "0" * 64,
        "[]",
        "{}",
        "[1, 2]",
        '["x", null]',
        '["x", "../../../etc/passwd"]',
        '["x", "a\\u0000b"]',
        "[" * 100_000,
    ],
)
def test_a_key_that_no_compos_has_written(workshop: Workshop, key: str) -> None:
    assert not has_key(workshop.brick, "compos/tool:v1", "amd64", key)


def test_the_key_of_another_name_or_architecture(workshop: Workshop) -> None:
    key = recipe_key(load_recipe(workshop.brick), "amd64")
    assert has_key(workshop.brick, "compos/tool:v1", "amd64", key)
    assert not has_key(workshop.brick, "compos/tool:v2", "amd64", key)
    assert not has_key(workshop.brick, "compos/tool:v1", "arm64", key.replace("0", "1"))


def test_a_file_that_changes_meanwhile(workshop: Workshop, tmp_path: Path) -> None:
    recipe = load_recipe(workshop.brick)
    mirror = workshop.builder(Store(tmp_path / "other")).mirror

    def changing() -> Mirror:
        (workshop.brick / "tool.conf").write_text("changed")
        return mirror()

    store = Store(tmp_path / "store")
    with pytest.raises(ComposError) as caught:
        Builder(store, changing).build(recipe, AMD64, named(recipe))
    assert caught.value.id == "package-changed"
    assert store.entries() == []
