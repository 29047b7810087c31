"""`build.yml`: what is read, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.bricks import bricks_folder
from compos.package.recipe import load_recipe


def recipe(folder: Path, text: str) -> Path:
    (folder / "build.yml").write_text(text)
    return folder


def test_defaults_and_names(tmp_path: Path) -> None:
    found = load_recipe(recipe(tmp_path, "image: foo\n"))
    assert (found.name, found.arches, found.debian) == ("linuxkit/foo:latest", ("amd64", "arm64", "riscv64"), None)


def test_the_label_is_compact_json(tmp_path: Path) -> None:
    found = load_recipe(recipe(tmp_path, "image: foo\nconfig: {pid: host, binds: ['/a:/b']}\n"))
    assert json.loads(found.settings.labels["org.mobyproject.config"]) == {"pid": "host", "binds": ["/a:/b"]}


def test_packages_by_architecture(tmp_path: Path) -> None:
    text = "image: k\ndebian: {packages: [a, {amd64: b, riscv64: c}]}\n"
    debian = load_recipe(recipe(tmp_path, text)).debian
    assert debian is not None
    assert [debian.names(arch) for arch in ("amd64", "arm64", "riscv64")] == [("a", "b"), ("a",), ("a", "c")]


@pytest.mark.parametrize(
    ("text", "id", "part"),
    [
        ("image: [", "yaml-syntax", "YAML"),
        ("- a", "package-type", "mapping"),
        ("org: x", "package-image", "image"),
        ("image: x\nimge: y", "package-unknown-key", "imge"),
        ("image: 5", "package-type", "image"),
        ("image: x\ndebian: {packages: []}", "package-type", "packages"),
        ("image: x\ndebian: {pakages: [a]}", "package-unknown-key", "pakages"),
        ("image: x\nfiles: [{contents: y}]", "package-type", "path"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, id: str, part: str) -> None:
    with pytest.raises(PackageError) as caught:
        load_recipe(recipe(tmp_path, text))
    assert caught.value.id == id
    assert part in f"{caught.value.message} {caught.value.place}"


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as caught:
        load_recipe(tmp_path)
    assert caught.value.id == "package-missing"


def test_a_changed_source_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1")
    found = load_recipe(recipe(tmp_path, "image: x\nfiles: [{path: f, source: f}]\n"))
    first = found.digest("amd64")
    (tmp_path / "f").write_text("2")
    assert found.digest("amd64") != first
    (tmp_path / "f").unlink()
    with pytest.raises(PackageError) as caught:
        found.digest("amd64")
    assert caught.value.id == "brick-source"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in bricks_folder().glob("*/build.yml")))
def test_our_bricks(name: str) -> None:
    found = load_recipe(bricks_folder() / name)
    assert found.name == f"compos/{name}:v1"
    for entry in found.files:
        if entry.source and "bin/" not in entry.source:
            assert found.source(entry.source, "amd64").is_file()
