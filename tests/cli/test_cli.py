"""The command line as a user meets it: verbs, help, exit status, and errors of one screen that lose
nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compos import __version__
from compos.cli.main import VERBS, main
from tests.compose.systems import World


def compos(
    *arguments: str, cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "compos", *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_version() -> None:
    for arguments in (["version"], ["--version"], ["version", "ignored"]):
        done = compos(*arguments)
        assert (done.returncode, done.stdout.splitlines()[0]) == (
            0,
            f"compos version {__version__}",
        )


def test_help_names_every_verb_and_each_verb_has_help(capfd: pytest.CaptureFixture[str]) -> None:
    text = compos("--help").stdout
    for verb in VERBS:
        assert verb in text
        assert main([verb, "--help"]) == 0
        assert f"Usage: compos {verb}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["buld"], "Did you mean 'build'?"),
        (["build"], "Missing argument"),
        (["build", "--frmat", "tar", "x"], "--frmat"),
        (["-q", "-v", "2", "version"], "cannot be combined"),
        (["build", "-v", "7", "x"], "0<=x<=3"),
        (["build", "--o", "x", "--name", "y", "z.yml"], "--o cannot be combined"),
        (["run"], "missing path"),
    ],
)
def test_usage_mistakes(arguments: list[str], text: str) -> None:
    done = compos(*arguments)
    assert done.returncode == 1
    assert "error[usage]" in done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


MISTAKES = {
    "unknown key": ("servics: []\n", "config-unknown-key", "Did you mean"),
    "no YAML": ("init: [\n", "yaml-syntax", ""),
    "empty": ("", "yaml-empty", ""),
    "unknown image": (
        "init: ['127.0.0.1:1/acme/none:1']\n",
        "network-connect",
        "os.yml:1:8: init[0]: http",
    ),
    "bad capability": (
        "services: [{name: a, image: 'acme/app:1', capabilities: [CAP_CHOWM]}]\n",
        "config-capability",
        "CAP_CHOWN",
    ),
    "platform": (
        "init: ['acme/init:1']\n",
        "image-platform",
        "os.yml:1:8: init[0]: docker.io/acme/init:1",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_yaml(tmp_path: Path, mistake: str) -> None:
    world = World(tmp_path)
    text, id, hint = MISTAKES[mistake]
    (tmp_path / "os.yml").write_text(text)
    (tmp_path / "out").mkdir()
    arch = "arm64" if mistake == "platform" else "amd64"
    done = compos(
        "build",
        "--cache",
        str(world.store.root),
        "--arch",
        arch,
        "--dir",
        "out",
        "os.yml",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert id in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 24, "an error is one screen at most"
    assert list((tmp_path / "out").iterdir()) == []


def test_several_mistakes_in_one_run_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text(
        "init: 5\nservices:\n  - name: a\n    image: x\n    readonly: yes\n"
    )
    done = compos("build", "os.yml", cwd=tmp_path)
    assert done.stderr.count("error[") == 2
    assert "os.yml:1:7" in done.stderr
    assert "os.yml:5:15: services[0].readonly" in done.stderr
    assert "5 |     readonly: yes" in done.stderr


def test_a_corrupted_layer_in_the_store(tmp_path: Path) -> None:
    world = World(tmp_path)
    blob = max((world.store.root / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer = next(world.store.path(layer.digest) for layer in world.images["acme/init:1"].layers)
    assert blob.exists()
    data = bytearray(layer.read_bytes())
    data[len(data) // 2] ^= 0xFF
    layer.write_bytes(data)
    (tmp_path / "os.yml").write_text("init: ['acme/init:1']\n")
    done = compos(
        "build",
        *world.flags,
        "--name",
        "x",
        "os.yml",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "error[store-corrupt]" in done.stderr
    assert not list(tmp_path.glob("x-*"))


def test_a_missing_output_folder_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text("init: ['acme/none:1']\n")
    done = compos("build", "--dir", "nowhere", "os.yml", cwd=tmp_path)
    assert "error[output-folder]" in done.stderr


def test_dry_run_prints_yaml_that_reads_back(tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text("init: [a/b:1]\nfiles: [{path: x, contents: y}]\n")
    done = compos("build", "--dry-run", "os.yml", cwd=tmp_path)
    assert done.returncode == 0
    (tmp_path / "again.yml").write_text(done.stdout)
    assert compos("build", "--dry-run", "again.yml", cwd=tmp_path).stdout == done.stdout


def test_cache_lists_and_removes(tmp_path: Path) -> None:
    world = World(tmp_path)
    cache = ["--cache", str(world.store.root)]
    listed = compos("cache", "ls", *cache).stdout
    assert listed.splitlines()[0].split() == ["image", "name", "root", "manifest", "hash", "origin"]
    assert "docker.io/acme/app:1 " in listed
    assert compos("cache", "rm", *cache, "acme/app:1").returncode == 0
    assert "docker.io/acme/app:1" not in compos(*cache, "cache", "ls").stdout
    gone = compos("cache", "rm", *cache, "acme/app:1")
    assert gone.returncode == 1
    assert "image-not-found" in gone.stderr
    assert compos("cache", "clean", *cache).returncode == 0
    assert compos("cache", "ls", *cache).stdout.splitlines()[1:] == []


def test_the_store_is_found_through_the_variables(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("COMPOS_CACHE", "LINUXKIT_CACHE"):
        environment = {"COMPOS_CACHE": "", "LINUXKIT_CACHE": "", name: str(world.store.root)}
        assert "acme/app:1" in compos("cache", "ls", environment=environment).stdout


def test_quiet_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    (tmp_path / "os.yml").write_text("init: ['acme/init:1']\n")
    arguments = ["build", *world.flags, "--dir", str(tmp_path), "-q"]
    assert main([*arguments, str(tmp_path / "os.yml")]) == 0
    assert capfd.readouterr() == ("", "")
