"""Policies and builds for several architectures in one run: what was built here for the first one
is not taken for somebody else's image when the next one's turn comes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import ImageError
from compos.image.names import RECIPE
from compos.image.offer import Offer
from compos.image.registries.registry import Registry
from compos.trust.guard import Guard
from compos.trust.policy import read_policy
from tests.images import AMD64, ARM64, Member, make_index, put_image
from tests.trust.team import Team

BOTH = ("--arch", "amd64,arm64")


def recipe(team: Team, name: str, text: str = "one", more: str = "") -> Path:
    """A package with a recipe, named at the registry of the team."""
    folder = team.folder / "tree" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "build.yml").write_text(
        f"image: {name}\norg: {team.host}\ntag: v1\n{more}"
        f"files: [{{path: {name}, contents: {text}, mode: '0755'}}]\n"
    )
    return folder


def build(team: Team, system: str, *options: str, policy: Path, store: str = "builder") -> str:
    """Build for both architectures; gives what is said, and sees that there is a tar for each only
    if both are right."""
    path = team.folder / "os.yml"
    path.write_text(system)
    outputs = [team.folder / f"os-{one}.tar" for one in ("amd64", "arm64")]
    for output in outputs:
        output.unlink(missing_ok=True)
    flags = ("--cache", str(team.folder / store), "--dir", str(team.folder), "-f", "tar")
    where = ("--policy", str(policy), *BOTH)
    code = main(["build", *flags, *where, *options, str(path)])
    error = team.printed().err
    assert [output.exists() for output in outputs] == [code == 0] * 2, error
    return error


@pytest.mark.parametrize("named", ["folder", "image"])
def test_packages_that_are_built_for_each(team: Team, named: str) -> None:
    """Nobody signs what is made here; the policy rejects everything that is not."""
    recipe(team, "base", more="arches: [amd64, arm64]\n")
    recipe(team, "app", more="arches: [amd64, arm64]\n")
    policy = team.policy({"type": "reject"})
    names = {
        "folder": ["@pkg:./tree/base", "@pkg:./tree/app"],
        "image": [team.name("base"), team.name("app")],
    }
    packages = ("--packages", str(team.folder / "tree"))
    system = f"init: {json.dumps(names[named])}\n"
    for text in ("one", "two"):
        recipe(team, "app", text, "arches: [amd64, arm64]\n")
        assert "error[" not in build(team, system, *packages, policy=policy)
    # Without the folders, the names mean what a registry has, in each round.
    if named == "image":
        assert "error[image-" in build(team, system, policy=policy, store="stranger")


def test_an_image_of_somebody_else_under_the_name(team: Team) -> None:
    """In the store before the package is built: it is judged, and not taken for ours."""
    team.push_index("app")
    store = str(team.folder / "builder")
    assert main(["cache", "pull", "--cache", store, team.name("app")]) == 0
    policy = team.policy({"type": "reject"})
    system = f"init: ['{team.name('app')}']\n"
    assert "error[image-untrusted]" in build(team, system, policy=policy)
    recipe(team, "app", more="arches: [amd64, arm64]\n")
    packages = ("--packages", str(team.folder / "tree"))
    assert "error[" not in build(team, system, *packages, policy=policy)
    # For one architecture only: the other one is somebody else's again.
    recipe(team, "app", "two", "arches: [amd64]\n")
    assert "error[" in build(team, system, *packages, policy=policy)


@pytest.mark.parametrize("signed", ["index", "nothing"])
def test_images_of_registries(team: Team, signed: str) -> None:
    """A signature of the index serves all of its platforms."""
    team.push_index("team/app")
    if signed == "index":
        team.sign("team/app")
    said = build(team, f"init: ['{team.name('team/app')}']\n", policy=team.policy(team.signed_by()))
    assert ("error[image-signature]" in said) == (signed == "nothing")


def test_another_platform_is_built_meanwhile(team: Team) -> None:
    """Between an image's offer and its judgement, the package's index gets another platform: the
    image that was offered is the one that was built. Another one under its name is not."""
    name, store = "registry.example.com/app:v1", team.store
    layer = [Member("a", content="a")]
    made = {one: put_image(store, layers=[layer], platform=one)[0] for one in (AMD64, ARM64)}
    make_index(store, name, {AMD64: made[AMD64]})
    offer = Offer(name, store.named(name).plain)
    make_index(store, name, made)
    store.tag(name, store.named(name).plain, annotations={f"{RECIPE}.amd64": "key"})
    guard = Guard(store, [read_policy(team.policy({"type": "reject"}))], Registry)
    root = offer.root.digest
    assert store.named(name).digest != root
    assert guard.require(offer, AMD64, (root, made[AMD64].digest)) == root
    other = put_image(store, layers=[[Member("a", content="b")]], platform=AMD64)[0]
    for platform, manifest in ((AMD64, other), (ARM64, made[ARM64]), (AMD64, made[ARM64])):
        with pytest.raises(ImageError, match="the policy rejects it"):
            guard.require(offer, platform, (root, manifest.digest))


@pytest.mark.slow
def test_packages_from_packages(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pkg build --platforms`: a Dockerfile upon a package of the same tree, for both."""
    if shutil.which("buildah") is None:
        pytest.fail("buildah is missing")
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    monkeypatch.setenv("COMPOS_POLICY", str(team.policy({"type": "reject"})))
    base = recipe(team, "base", more="arches: [amd64, arm64]\n")
    app = team.folder / "tree/app"
    app.mkdir()
    (app / "build.yml").write_text(
        f"image: app\norg: {team.host}\ntag: v1\narches: [amd64, arm64]\n"
    )
    (app / "Dockerfile").write_text(f"FROM {team.name('base')}\nCOPY build.yml /app\n")
    flags = ("--cache", str(team.folder / "builder"), "--builder", "buildah")
    both = ("--platforms", "linux/amd64,linux/arm64")
    assert main(["pkg", "build", *flags, *both, str(base), str(app)]) == 0, team.printed().err
    recipe(team, "base", "two", "arches: [amd64, arm64]\n")
    tree = ("--all", str(team.folder / "tree"))
    assert main(["pkg", "build", *flags, *both, *tree]) == 0, team.printed().err
