"""Why a package has to be built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compos.image.model import INDEX, Descriptor
from compos.image.names import BUILT_FROM, LEFT_OUT, ORIGIN, RECIPE
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.build import Builder
from compos.package.recipe import Recipe, load_recipe, named
from compos.package.recipe_key import recipe_key
from compos.package.state import built_from, state_of
from tests.package.graph.trees import ORG, recipe, write
from tests.package.workshop import AMD64

RISCV64 = Platform("linux", "riscv64")
BASE = "example.com/base:1"
OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def low(tmp_path: Path, store: Store) -> Recipe:
    """A recipe whose image is there."""
    found = load_recipe(write(tmp_path / "pkg", {"low": None}) / "low")
    Builder(store, lambda: pytest.fail("no mirror")).build(found, AMD64, named(found))
    return found


@pytest.fixture
def app(tmp_path: Path, store: Store, low: Recipe) -> Recipe:
    """A Dockerfile's package, under whose name lies the image of a recipe."""
    write(tmp_path / "pkg", {"app": f"FROM {BASE}\n"})
    found = load_recipe(tmp_path / "pkg/app")
    name(store, found, built_from(found, {(BASE, AMD64): OLD}))
    return found


def name(store: Store, app: Recipe, parents: str) -> None:
    root = store.named(f"{ORG}/low:v1")
    annotations = {
        f"{RECIPE}.amd64": recipe_key(app, "amd64"),
        f"{BUILT_FROM}.amd64": parents,
    }
    store.tag(named(app), Descriptor(INDEX, root.digest, root.size), annotations=annotations)


def reasons(store: Store, found: Recipe, platform: Platform = AMD64) -> list[str]:
    return list(state_of(store, found, platform, named(found)).reasons)


def test_of_a_recipe(tmp_path: Path, store: Store, low: Recipe) -> None:
    assert reasons(store, low) == []
    assert reasons(store, low, RISCV64) == [
        "the store's image has not been built for linux/riscv64"
    ]
    (low.folder / "build.yml").write_text(recipe("low", "two"))
    changed = load_recipe(low.folder)
    assert reasons(store, changed) == ["its build.yml, or a file that this names, has changed"]
    assert reasons(Store(tmp_path / "other"), low) == ["it is not in the store"]


def test_of_a_damaged_image(store: Store, low: Recipe) -> None:
    (large,) = [path for path in store.root.glob("blobs/sha256/*") if b"ustar" in path.read_bytes()]
    large.unlink()
    (reason,) = reasons(store, low)
    assert reason.startswith("the store's image cannot be used: a layer of the image is missing")


def test_of_an_image_without_updates(
    store: Store, low: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = store.named(named(low))
    store.tag(named(low), root, annotations={f"{LEFT_OUT}.amd64": "trixie-security"})
    assert reasons(store, low) == ["it was built without updates"]


def test_of_an_image_from_elsewhere(store: Store, low: Recipe) -> None:
    root = store.named(named(low))
    plain = Descriptor(root.media_type, root.digest, root.size)
    store.tag(named(low), plain, annotations={ORIGIN: "registry example.com"})
    assert reasons(store, low) == ["the store's image came from elsewhere"]
    state = state_of(store, low, AMD64, named(low), foreign=True)
    assert state.current == store.named(named(low))
    assert state.foreign


def test_of_what_a_dockerfile_was_built_from(store: Store, app: Recipe) -> None:
    # The store does not have the base image any more.
    assert reasons(store, app) == []
    for now, expected in (
        (OLD, []),
        (NEW, [f"{BASE} is another image than it was built from: {OLD[:19]} → {NEW[:19]}"]),
    ):
        asked: list[tuple[str, Platform]] = []

        def digest_of(*one: str | Platform, now: str = now) -> str:
            asked.append(one)  # type: ignore[arg-type]  # noqa: B023
            return now

        assert list(state_of(store, app, AMD64, named(app), digest_of).reasons) == expected
        assert asked == [(BASE, AMD64)]
    (app.folder / "mark").write_text("other")
    assert reasons(store, app) == ["a file of its folder or of an extra source has changed"]


def test_of_the_names_in_build_arguments(tmp_path: Path, store: Store, low: Recipe) -> None:
    write(tmp_path / "pkg", {"app": f"FROM {BASE}\n"})
    with (tmp_path / "pkg/app/build.yml").open("a") as stream:
        stream.write("buildArgs: ['LOW=@lkt:pkg:../low']\n")
    app = load_recipe(tmp_path / "pkg/app")
    name(store, app, built_from(app, {}))
    assert reasons(store, app) == []
    text = (low.folder / "build.yml").read_text()
    (low.folder / "build.yml").write_text(text.replace("one", "two"))
    assert reasons(store, app) == []
    (low.folder / "build.yml").write_text(text.replace("v1", "v2"))
    assert reasons(store, app) == ["the build argument LOW has another value"]


@pytest.mark.parametrize(
    "parents",
    [
        "",
        "null",
        "[]",
        "{",
        "{}",
        '{"arguments": {}, "images": []}',
        '{"arguments": 1, "images": {}}',
        '{"arguments": {}, "images": {"x": "y"}}',
        '{"arguments": {}, "images": {"x bad/bad/bad/bad": "y"}}',
        "[" * 100_000,
    ],
)
def test_hostile_annotations_lead_to_a_build(store: Store, app: Recipe, parents: str) -> None:
    name(store, app, parents)
    assert reasons(store, app) == ["it is not known what it was built from"]


def test_what_is_recorded_is_one_document(app: Recipe) -> None:
    assert json.loads(built_from(app, {(BASE, AMD64): OLD, (BASE, RISCV64): NEW})) == {
        "arguments": {},
        "images": {f"{BASE} linux/amd64": OLD, f"{BASE} linux/riscv64": NEW},
    }
