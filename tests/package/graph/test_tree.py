"""Packages found by folder and by the name of their image."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from compos.errors import ComposError, PackageError
from compos.package.graph import tree as module
from compos.package.graph.tree import PackageTree, package_folders
from compos.package.recipe import Recipe, load_recipe
from compos.progress import Silent, listening
from tests.package.graph.trees import ORG, recipe, write


def test_packages_are_found_at_and_below_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "pkg", {"b": None, "a": None})
    write(tmp_path / "pkg/group", {"c": None})
    write(tmp_path / "pkg/a/inside", {"x": None})
    write(tmp_path / "pkg/.hidden", {"y": None})
    (tmp_path / "pkg/link").symlink_to(tmp_path / "pkg")
    found = [str(path.relative_to(tmp_path)) for path in package_folders(tmp_path)]
    assert found == ["pkg/a", "pkg/b", "pkg/group/c"]
    assert package_folders(tmp_path / "pkg/a") == [tmp_path / "pkg/a"]
    # The folder that is named may be a link.
    assert package_folders(tmp_path / "pkg/link/b") == [tmp_path / "pkg/link/b"]


def test_no_packages_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(PackageError) as caught:
            package_folders(folder)
        assert caught.value.id == "package-missing"
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    monkeypatch.setattr(module, "MAX_FOLDERS", 4)
    with pytest.raises(PackageError, match="more than 4 folders"):
        package_folders(tmp_path)


def test_a_package_is_found_by_the_exact_name_of_its_image(tmp_path: Path) -> None:
    write(tmp_path, {"low": None, "lower": None})
    tree = PackageTree()
    tree.add(package_folders(tmp_path))
    found = tree.named(f"{ORG}/low:v1")
    assert found is not None
    assert found.folder == tmp_path / "low"
    digest = "sha256:" + "0" * 64
    for other in ("low:v2", "low", f"low:v1@{digest}", "lo:v1", "x/low:v1"):
        assert tree.named(f"{ORG}/{other}") is None, other
    assert tree.named("127.0.0.1:2/team/low:v1") is None
    assert tree.named("no/Reference at all") is None
    (tmp_path / "low/build.yml").write_text(recipe("low").replace("v1", "latest"))
    tree = PackageTree()
    tree.add([tmp_path / "low"])
    assert tree.named(f"{ORG}/low")


def test_only_packages_that_may_be_meant_are_read(tmp_path: Path) -> None:
    write(tmp_path, {f"package{number}": None for number in range(20)})
    read: list[str] = []

    def load(folder: Path) -> Recipe:
        read.append(folder.name)
        return load_recipe(folder)

    tree = PackageTree(load)
    tree.add(package_folders(tmp_path))
    for _ in range(2):
        assert tree.named(f"{ORG}/package7:v1")
        assert tree.named("docker.io/library/alpine:3") is None
    assert read == ["package7"]


def test_two_packages_with_one_name_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a", {"low": None})
    write(tmp_path / "b", {"low": None})
    tree = PackageTree()
    tree.add(package_folders(tmp_path))
    with pytest.raises(PackageError) as caught:
        tree.named(f"{ORG}/low:v1")
    assert caught.value.id == "package-duplicate"
    assert str(tmp_path / "a/low/build.yml") in str(caught.value.place)
    assert str(tmp_path / "b/low/build.yml") in str(caught.value.place)


@pytest.mark.parametrize("damage", ["imge: low", "image: [low", "\0low", "image: low\norg: 'Ä'"])
def test_a_sibling_that_cannot_be_read_is_passed_over_and_reported(
    tmp_path: Path, damage: str
) -> None:
    write(tmp_path, {"low": None, "app": None})
    broken = write(tmp_path, {"broken": None}) / "broken"
    (broken / "build.yml").write_text(damage)
    said: list[str] = []

    class Notices(Silent):
        def notice(self, text: str) -> None:
            said.append(text)

    tree = PackageTree()
    tree.add_siblings(tmp_path / "app")
    with listening(Notices()):
        assert tree.named(f"{ORG}/low:v1")
    assert [str(broken / "build.yml") in text for text in said] == [True]
    tree.add([broken])
    with pytest.raises(ComposError):
        tree.named(f"{ORG}/low:v1")


def test_hostile_trees(tmp_path: Path) -> None:
    """Neither devices nor pipes nor circles of links in a build.yml's place do harm."""
    write(tmp_path, {"low": None})
    for name in ("pipe", "loop", "folder"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe/build.yml")
    (tmp_path / "loop/build.yml").symlink_to("build.yml")
    (tmp_path / "folder/build.yml").mkdir()
    tree = PackageTree()
    tree.add_siblings(tmp_path / "low")
    assert tree.named(f"{ORG}/low:v1")


def test_names_with_the_hash_of_their_folder_are_gits(tmp_path: Path) -> None:
    write(tmp_path, {"low": None})
    (tmp_path / "low/build.yml").write_text(recipe("low").replace("tag: v1\n", ""))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path))
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run([*git, *command], check=True)
    said = subprocess.run([*git, "rev-parse", "HEAD:low"], check=True, capture_output=True)
    tree = PackageTree()
    tree.add_siblings(tmp_path / "low")
    assert tree.named(f"{ORG}/low:{said.stdout.decode().strip()}")
    assert tree.named(f"{ORG}/low:latest") is None
