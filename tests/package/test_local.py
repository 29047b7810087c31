"""`@pkg:FOLDER` and images in local files: names relative to the YAML that says them."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.config.load import load
from compos.errors import CombinedError, ComposError
from compos.package.local import LocalPackages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "systems").mkdir()
    (tmp_path / "pkg/web").mkdir(parents=True)
    (tmp_path / "pkg/web/build.yml").write_text(
        "image: web\norg: ours\ntag: v3\nfiles: [{path: a, contents: b}]\n"
    )
    (tmp_path / "pkg/kit").mkdir()
    (tmp_path / "pkg/kit/build.yml").write_text(
        "image: kit\nnetwork: true\nbuildArgs: [A=b]\narches: [amd64]\n"
    )
    (tmp_path / "pkg/kit/Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def test_every_image_can_be_a_template(folder: Path) -> None:
    (folder / "systems/os.yml").write_text(
        "kernel: {image: '@pkg:../pkg/kit'}\ninit: ['@pkg:../pkg/web', plain]\n"
        "volumes: [{name: v, image: '@pkg:../pkg/kit'}]\n"
        f"onboot: [{{name: a, image: '@pkg:{folder}/pkg/web', command: ['@pkg:../pkg/web']}}]\n"
        "services: [{name: a, image: '@pkg:../pkg/web'}]\n"
    )
    packages = LocalPackages()
    config = load([str(folder / "systems/os.yml")], rename=packages.rename)
    web, kit = "docker.io/ours/web:v3", "docker.io/linuxkit/kit:latest"
    assert config.kernel is not None
    assert (config.kernel.image, config.init, config.volumes[0].image) == (kit, (web, "plain"), kit)
    assert [entry.image for entry in (*config.onboot, *config.services)] == [web, web]
    # Only images' names are templates (N15).
    assert config.onboot[0].settings.command == ("@pkg:../pkg/web",)
    assert {name: recipe.dockerfile for name, recipe in packages.recipes.items()} == {
        web: "",
        kit: "Dockerfile",
    }


def test_mistakes_have_the_place_in_the_yaml(folder: Path) -> None:
    path = folder / "systems/os.yml"
    (folder / "pkg/bad").mkdir()
    (folder / "pkg/bad/build.yml").write_text("image: [\n")
    path.write_text("init:\n- '@pkg:../none'\n- '@pkg:../pkg/bad'\n")
    with pytest.raises(CombinedError) as caught:
        load([str(path)], rename=LocalPackages().rename)
    assert [error.id for error in caught.value.errors] == ["package-missing", "yaml-syntax"]
    assert [error.place for error in caught.value.errors] == [
        f"{path}:2:3: init[0]",
        f"{path}:3:3: init[1]",
    ]


def test_local_images_are_relative_to_the_file(folder: Path) -> None:
    path = folder / "systems/os.yml"
    path.write_text(
        "init: ['oci:../images/a:v1', 'docker-archive:/x/y.tar', 'oci-archive:b.tar']\n"
    )
    config = load([str(path)], rename=LocalPackages().rename)
    assert config.init == (
        f"oci:{folder}/images/a:v1",
        "docker-archive:/x/y.tar",
        f"oci-archive:{folder}/systems/b.tar",
    )


def test_standard_input_is_relative_to_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    config = load(["-"], stdin=lambda: b"init: ['@pkg:pkg/web']", rename=LocalPackages().rename)
    assert config.init == ("docker.io/ours/web:v3",)


def test_what_was_fetched_names_nothing_here() -> None:
    with pytest.raises(ComposError) as caught:
        LocalPackages().rename("oci:/etc", "http://127.0.0.1/os.yml")
    assert caught.value.id == "config-template"


def test_what_was_fetched_names_what_is_here_when_it_may(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    packages = LocalPackages(allow_local_files=True)
    assert (
        packages.rename("oci:images/a:v1", "http://127.0.0.1/os.yml") == f"oci:{folder}/images/a:v1"
    )
    assert packages.rename("@pkg:pkg/web", "http://127.0.0.1/os.yml") == "docker.io/ours/web:v3"
