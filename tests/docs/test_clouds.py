"""Every command of docs/clouds.md is run: those that push and run as dry runs, those that list on
moto."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.cloud.needs import NEEDS
from tests.cloud.disks import small_disk
from tests.cloud.worlds import OPENERS, require

PAGE = (Path(__file__).parents[2] / "docs/clouds.md").read_text()
COMMANDS = re.findall(r"^    (compos .*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`web` in every container, whose contents nobody looks at."""
    found = tmp_path_factory.mktemp("page")
    for container in ("raw", "vhd", "qcow2", "gcp", "ova"):
        disk = small_disk(found, container)
        shutil.move(disk, found / disk.name.replace("system", "web", 1))
        if container == "qcow2":
            (found / "system.raw").unlink()
    (found / "user-data.json").write_text("{}")
    return found


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 13
    assert {command.split()[1] for command in COMMANDS} == {"push", "run", "clouds"}


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.split()[1] != "clouds"])
def test_dry_run(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = shlex.split(command)[1:]
    if words[1] == "aws":
        require("aws")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "project")
    monkeypatch.setenv("COMPOS_CACHE", str(tmp_path / "store"))
    # A system is built by other tests: what is pushed of it is the disk.
    if words[:2] == ["push", "aws"]:
        words[-1] = words[-1].replace("web.yml", "web.raw")
    if words[0] == "push" and words[1] != "registry":
        words.append("--no-check")
    if words[:2] == ["push", "registry"]:
        words[-1] = "web"
    assert main([*words, *(() if "--dry-run" in words else ("--dry-run",))]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in COMMANDS if one.split()[1] == "clouds"])
def test_listing(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("aws")
    with OPENERS["aws"](tmp_path) as world:
        for key, value in world.environment.items():
            monkeypatch.setenv(key, value)
        assert main(shlex.split(command)[1:]) == 0


def test_the_table_of_needs_is_the_code() -> None:
    for name, need in NEEDS.items():
        (row,) = [
            line
            for line in PAGE.splitlines()
            if line.startswith(f"| `{name}` |") and "UEFI" in line
        ]
        words = set(re.findall("`([a-z0-9_]+)`", row)) - {name}
        groups = (*need.disk_drivers, *need.network_drivers)
        assert words == {driver for group in groups for driver in group}, name
