"""The plugin of pytest's is found by the package's entry point, and is quiet until it is used."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What pip leaves of the package's entry points."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site" / "compos_linux-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: compos-linux-tried\nVersion: 1\n"
    )
    lines = [f"{name} = {place}" for name, place in project["entry-points"]["pytest11"].items()]
    (folder / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    return folder.parent


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(installed), str(ROOT / "src")]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("-p", "compos.testing.pytest_plugin")])
def test_it_is_found(installed: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Also where it is named as well."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_nothing_of_ours_is_imported():\n"
        "    assert 'compos.testing.pytest_plugin' in sys.modules\n"
        "    assert 'compos.api' not in sys.modules\n"
        "def test_without_a_system(booted):\n"
        "    pass\n"
    )
    done = run(installed, tmp_path, "--compos-accel", "tcg", *arguments)
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert 'no system: use @pytest.mark.compos("os.yml")' in done.stdout


@pytest.mark.slow
def test_a_system_with_mistakes(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text("services: 7\n")
    (tmp_path / "test_it.py").write_text("def test_it(booted):\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ncompos_system = os.yml\n")
    done = run(installed, tmp_path)
    assert "ConfigError" in done.stdout
    assert "os.yml:1:11: services" in done.stdout
