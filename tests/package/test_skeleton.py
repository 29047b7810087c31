"""`compos pkg init`: the folder that it creates. Its own test, which boots a guest, is run by the
tutorial (docs/tutorials/brick.md)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from compos.api.load import load
from compos.cli.main import main
from compos.config.images import image_references
from compos.image.reference import HUB, Reference
from compos.package.bricks import find_brick
from compos.package.recipe import load_recipe


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LINUXKIT_PKG_ORG", raising=False)
    return tmp_path


def test_what_is_created(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pkg", "init", "my-tool"]) == 0
    listed = capsys.readouterr().out.split()
    made = sorted(str(path.relative_to(folder)) for path in folder.glob("my-tool/*"))
    assert sorted(listed) == made
    recipe = load_recipe(folder / "my-tool")
    assert recipe.name == "local/my-tool:v1"
    description = load([folder / "my-tool" / "example.yml"])
    names = [*image_references(description.config)]
    assert [*description.packages.recipes] == [f"{HUB}/local/my-tool:v1"]
    bricks = [Reference.parse(name) for name in names if name.startswith("compos/")]
    assert len(bricks) == len(names) - 1
    assert all(find_brick(brick) for brick in bricks), "with the tags that they have now"
    for path in folder.glob("my-tool/*"):
        assert not {"NAME", "ORG", "KERNEL"} & {*path.read_text().replace("'", " ").split()}
    assert "| input | meaning |" in (folder / "my-tool" / "README.md").read_text()


def test_its_scripts_are_shell(folder: Path) -> None:
    assert main(["pkg", "init", "my-tool"]) == 0
    assert os.access("my-tool/test", os.X_OK)
    for script in ("test", "my-tool.sh"):
        subprocess.run(["sh", "-n", f"my-tool/{script}"], check=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["Tool"], "package-name"),
        (["a_b"], "package-name"),
        (["-"], "package-name"),
        (["x" * 65], "package-name"),
        (["..", "--org", "x"], "package-name"),
        (["tool", "--org", "A B"], "package-name"),
        (["there"], "package-exists"),
        (["nowhere/tool"], "package-folder"),
    ],
)
def test_what_cannot_be(
    folder: Path, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "there").mkdir()
    assert main(["pkg", "init", *arguments]) == 1
    assert f"error[{error}]" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["there"]


def test_a_registrys_package(folder: Path) -> None:
    assert main(["pkg", "init", "tool", "--org", "r.example:5000/team"]) == 0
    assert load_recipe(folder / "tool").name == "r.example:5000/team/tool:v1"
