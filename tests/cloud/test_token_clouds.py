"""Clouds that have only a fake of their documented calls: one push, found again, listed by its tag
and removed, and the dry run; each call's failures are tried in `test_faults`, if COMPOS_CLOUDS names
the cloud."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.cloud.push import push_image
from tests.cloud.disks import small_disk, small_image
from tests.cloud.worlds import FAKES, OPENERS, World, require

pytestmark = pytest.mark.slow

DRY = {
    "digitalocean": ("s3 PutObject", "POST /v2/images", "GET /v2/images/0", "s3 DeleteObject"),
    "hetzner": ("POST /ssh_keys", "POST /servers", "enable_rescue", "ssh root@", "create_image"),
    "scaleway": (
        "s3 PutObject",
        "import-from-object-storage",
        "POST /instance/v1/",
        "DeleteObject",
    ),
    "vcenter": ("POST /session", "update-session", "PUT UPLOAD", "action=complete"),
}


@pytest.fixture(params=FAKES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    require(request.param)
    with pytest.MonkeyPatch.context() as patch, OPENERS[request.param](tmp_path) as world:
        for key, value in world.environment.items():
            patch.setenv(key, value)
        yield world


def test_an_image_from_its_push_to_its_end(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = small_image(tmp_path, world.name, world.container)
    provider = world.connect(tmp_path)
    first = push_image(provider, world.name, image, tmp_path)
    again = push_image(provider, world.name, image, tmp_path)
    assert (first.found, again.found) == (False, True)
    assert first.pushed == again.pushed
    assert list(world.whole().values()) == [image.digest]
    assert main(["clouds", "list", world.name]) == 0
    assert f" {first.pushed.id} system " in capsys.readouterr().out
    assert main(["clouds", "gc", world.name, "--older", "0m"]) == 0
    assert world.everything() == []
    shown = capsys.readouterr()
    for key, value in world.environment.items():
        if any(word in key for word in ("SECRET", "TOKEN", "PASSWORD")):
            assert value not in shown.out + shown.err


@pytest.mark.parametrize("name", FAKES)
def test_a_dry_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the flags of the documentation."""
    require(name)
    page = (Path(__file__).parents[2] / "docs" / "clouds.md").read_text()
    (line,) = re.findall(rf"^    compos push {name} (.*)web\.\w+$", page, re.MULTILINE)
    flags = line.split()
    container = {"hetzner": "raw", "vcenter": "ova"}.get(name, "qcow2")
    flags += ["--dry-run", "--no-check", "--cache", str(tmp_path / "store")]
    with pytest.MonkeyPatch.context() as patch:
        for key in os.environ:
            if key.startswith(("SCW_", "HCLOUD_", "DIGITALOCEAN_", "SPACES_", "VC")):
                patch.delenv(key)
        assert main(["push", name, *flags, str(small_disk(tmp_path, container))]) == 0
    out = capsys.readouterr().out
    places = [out.index(call) for call in DRY[name]]
    assert places == sorted(places), out


def test_equinix_metal_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "equinixmetal", "--base-url", "x", "os"]) == 1
    assert "error[cloud-gone]" in capsys.readouterr().err


@pytest.mark.parametrize("name", FAKES)
def test_missing_credentials_name_the_ways(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for key in os.environ:
            if key.startswith(("SCW_", "HCLOUD_", "DIGITALOCEAN_", "SPACES_", "VC")):
                patch.delenv(key)
        patch.setenv("SCW_CONFIG_PATH", str(tmp_path / "none"))
        patch.setenv("SCW_DEFAULT_PROJECT_ID", "project")
        patch.setenv("VCURL", "https://vcenter.example")
        assert main(["clouds", "list", name]) == 1
    assert "error[cloud-credentials]" in capsys.readouterr().err
