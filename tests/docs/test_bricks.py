"""The bricks are alike: each has a recipe, a README that says what goes into it, a row in the
documentation and a test; and the table of bricks is what its script writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compos.api.load import load
from hatch_build import PROGRAMS
from scripts.bricks import LINUXKIT, PAGE, ROOT, brick_folders, linuxkits, page
from scripts.bricks import test_of as module_of

FOLDERS = brick_folders()
NAMES = [folder.name for folder in FOLDERS]


def test_the_table_is_what_its_script_writes() -> None:
    """`make bricks` writes it."""
    assert PAGE.read_text() == page()


def test_the_table_has_every_brick() -> None:
    listed = re.findall(r"^\| ([\w-]+) \|", PAGE.read_text(), re.MULTILINE)
    assert listed == ["brick", *NAMES]


def test_every_folder_is_a_brick_or_sources() -> None:
    for folder in sorted(path for path in (ROOT / "bricks").iterdir() if path.is_dir()):
        if folder not in FOLDERS:
            assert [path.name for path in folder.iterdir()] == ["src"], folder
            assert any(folder.name in str(sources) for sources in PROGRAMS.values()), folder


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_brick_is_documented(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    assert readme.startswith(f"# {folder.name}\n")
    # "There are no inputs", or a table of them.
    assert re.search(
        r"^\| input \| meaning \|(?: default \|)?\n\|[-|]+\|\n\| ", readme, re.MULTILINE
    ) or ("no inputs" in " ".join(readme.split()))
    row = f"| [{folder.name}](../bricks/{folder.name}/README.md) | "
    assert row in (ROOT / "docs" / "bricks.md").read_text()
    if linuxkits(folder.name):
        assert "LinuxKit" in readme, "what differs from LinuxKit's"


@pytest.mark.parametrize("name", NAMES)
def test_a_brick_has_a_test(name: str) -> None:
    test = module_of(name)
    assert test, "add it to a guest in tests/boot"
    assert (ROOT / test).is_file()


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_the_yaml_of_a_readme_is_valid(folder: Path, tmp_path: Path) -> None:
    readme = (folder / "README.md").read_text()
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)):
        path = tmp_path / f"{number}.yml"
        path.write_text(text)
        load([path])


def test_no_package_of_linuxkits_stands_for_two_bricks() -> None:
    stands = [package for name in NAMES for package in linuxkits(name)]
    assert len(stands) == len(set(stands))
    assert set(stands) <= set(LINUXKIT)
