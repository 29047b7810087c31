"""`@pkg:FOLDER` from the command line: built on first use, again after an edit, found by name when
a Dockerfile makes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.conformance.lab import read_tree
from tests.images import Member, make_image

RECIPE = "image: hello\norg: 127.0.0.1:1/team\nfiles: [{path: hello, contents: %s, mode: '0755'}]\nentrypoint: [/hello]\n"


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pkg/hello").mkdir(parents=True)
    (tmp_path / "pkg/hello/build.yml").write_text(RECIPE % "one")
    (tmp_path / "os.yml").write_text("services: [{name: hello, image: '@pkg:pkg/hello'}]\n")
    return tmp_path


def build(folder: Path) -> tuple[str, str]:
    """Content of the package's file, and the name of its image."""
    out = folder / "out.tar"
    flags = ["--cache", str(folder / "store"), "--o", str(out)]
    assert main(["build", *flags, str(folder / "os.yml")]) == 0
    entry = read_tree(out)["containers/services/hello/lower/hello"]
    return entry.text, str(entry.origin[0])


def test_outside_of_git_an_edit_is_noticed(folder: Path) -> None:
    assert build(folder) == ("one", "127.0.0.1:1/team/hello:latest")
    (folder / "pkg/hello/build.yml").write_text(RECIPE % "two")
    assert build(folder) == ("two", "127.0.0.1:1/team/hello:latest")


def test_in_git_the_tag_is_the_tree(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    tree = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD:pkg/hello"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert build(folder) == ("one", f"127.0.0.1:1/team/hello:{tree.stdout.strip()}")
    (folder / "pkg/hello/build.yml").write_text(RECIPE % "two")
    text, name = build(folder)
    assert (text, name.rpartition("-")[0]) == (
        "two",
        f"127.0.0.1:1/team/hello:{tree.stdout.strip()}-dirty",
    )


def test_a_package_with_a_dockerfile_is_found_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pkg/hello/build.yml").write_text(
        "image: hello\norg: 127.0.0.1:1/team\nnetwork: true\n"
    )
    (folder / "pkg/hello/Dockerfile").write_text("FROM scratch\n")
    make_image(
        Store(folder / "store"),
        "127.0.0.1:1/team/hello:latest",
        [[Member("hello", content="docker's")]],
    )
    assert build(folder) == ("docker's", "127.0.0.1:1/team/hello:latest")
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["pkg", "build", "--cache", str(folder / "store"), str(folder / "pkg/hello")]) == 1
    assert "error[builder-missing]" in capsys.readouterr().err


def test_mistakes_have_their_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pkg/hello/build.yml").unlink()
    assert main(["build", str(folder / "os.yml")]) == 1
    said = capsys.readouterr().err
    assert "error[package-missing]" in said
    assert "os.yml:1:33" in said
    assert "^^^^" in said


def test_mistakes_of_the_package_have_both_places(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pkg/hello/build.yml").write_text("image: hello\nimge: x\nconcatenate: [{path: x}]\n")
    assert main(["build", str(folder / "os.yml")]) == 1
    said = capsys.readouterr().err
    assert said.count("os.yml:1:33") == 2
    assert "pkg/hello/build.yml:2:1: imge" in said
    assert "pkg/hello/build.yml:3:15: concatenate[0]" in said
