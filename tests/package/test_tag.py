"""Content-hash tags against the check values that LinuxKit gives (docs/linuxkit.md#cli-2.3)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.tag import content_hash, render_tag

TREE = "c062b16e589020a4dcf690552608f93efd1555a1"


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *names, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "p/build.yml").write_text("image: foo\n")
    (tmp_path / "p/Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "x/f").write_text("hi\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_a_committed_folder_has_its_tree_id(repository: Path) -> None:
    assert content_hash(repository / "p") == TREE


def test_the_repository_itself(repository: Path) -> None:
    assert content_hash(repository) == "effa86039cef411fd8971a4df5655b6481494ec5"


def test_a_changed_file(repository: Path) -> None:
    with (repository / "p/Dockerfile").open("a") as stream:
        stream.write("new\n")
    assert content_hash(repository / "p") == f"{TREE}-dirty-a039081"
    (repository / "p/aaa").write_text("un\n")
    git(repository, "checkout", "-q", "p/Dockerfile")
    assert content_hash(repository / "p").startswith(f"{TREE}-dirty-")


def test_an_untracked_file(repository: Path) -> None:
    with (repository / "p/Dockerfile").open("a") as stream:
        stream.write("new\n")
    (repository / "p/aaa").write_text("un\n")
    assert content_hash(repository / "p") == f"{TREE}-dirty-64c5d17"


def test_changes_elsewhere_do_not_count(repository: Path) -> None:
    (repository / "x/f").write_text("other\n")
    (repository / "new").write_text("other\n")
    assert content_hash(repository / "p") == TREE


def test_extra_sources_are_chained(repository: Path) -> None:
    (repository / "p/build.yml").write_text("image: foo\nextra-sources:\n- ../x:/x\n")
    git(repository, "commit", "-qam", "two")
    assert content_hash(repository / "p", ["../x:/x"]) == "8d15f54af0b9139eb1697221f808fcc8cfba73fe"


def test_a_link_to_the_repository(repository: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repository / "p")
    assert content_hash(link) == TREE


def test_outside_of_git(tmp_path: Path) -> None:
    assert content_hash(tmp_path) == ""
    assert render_tag("{{.Hash}}", "") == "latest"


def test_a_folder_that_is_not_committed(repository: Path) -> None:
    (repository / "q").mkdir()
    (repository / "q/build.yml").write_text("image: q\n")
    with pytest.raises(PackageError) as caught:
        content_hash(repository / "q")
    assert caught.value.id == "package-uncommitted"


@pytest.mark.parametrize("extra", ["x", "a:b:c", ":/x", "../x:"])
def test_extra_sources_that_cannot_be_read(repository: Path, extra: str) -> None:
    with pytest.raises(PackageError):
        content_hash(repository / "p", [extra])


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("{{.Hash}}", "0123456789"),
        ("6.6-{{ .Hash }}", "6.6-0123456789"),
        ('v-{{printf "%.4s" .Hash}}-x', "v-0123-x"),
        ("v1", "v1"),
        ("", "latest"),
    ],
)
def test_templates(template: str, tag: str) -> None:
    assert render_tag(template, "0123456789") == tag


def test_a_template_that_is_none() -> None:
    with pytest.raises(PackageError) as caught:
        render_tag("{{.Commit}}", "x")
    assert caught.value.id == "package-tag"
