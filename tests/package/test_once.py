"""Packages that several want at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from compos.errors import PackageError
from compos.image.model import Image
from compos.image.names import RECIPE
from compos.image.platform import Platform
from compos.image.removal import clean, remove
from compos.image.store import Store
from compos.package.build import Builder
from compos.package.once import Stopped, Turns, build_once
from compos.package.recipe import Recipe, load_recipe, named
from compos.package.state import state_of
from compos.progress import Silent, listening
from tests.package.workshop import AMD64

RISCV64 = Platform("linux", "riscv64")


class Counting(Builder):
    """Counts builds; each waits until `go` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, lambda: pytest.fail("no Debian package is needed"))
        self.built: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def build(self, recipe: Recipe, platform: Platform, name: str) -> Image:
        self.built.append(f"{name} {platform}")
        assert self.go.wait(60)
        return super().build(recipe, platform, name)


class Notices(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


def package(folder: Path, contents: str = "one", name: str = "tool") -> Recipe:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "build.yml").write_text(
        f"image: {name}\norg: 127.0.0.1:1/team\ntag: v1\n"
        f"files: [{{path: x, contents: {contents}}}]\n"
    )
    return load_recipe(folder / name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_several_threads_build_a_package_once(tmp_path: Path, store: Store) -> None:
    recipe, builder, said = package(tmp_path), Counting(store), Notices()
    builder.go.clear()

    def work(_: int) -> Any:
        # Each with a store of its own, as processes have.
        one = Counting(Store(store.root))
        one.built, one.go = builder.built, builder.go
        with listening(said):
            return build_once(one, recipe, AMD64, named(recipe))

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(work, number) for number in range(4)]
        while sum("waiting" in text for text in said.texts) < 3:
            assert not any(task.done() for task in tasks)
        builder.go.set()
        roots = {task.result().root.digest for task in tasks}
    assert len(roots) == 1
    assert len(builder.built) == 1
    assert sum("has been built by somebody else" in text for text in said.texts) == 3
    assert list((store.root / "locks").iterdir()) == []


def test_a_package_is_built_again_for_a_reason_only(tmp_path: Path, store: Store) -> None:
    recipe, builder = package(tmp_path), Counting(store)
    name = named(recipe)
    for _ in range(2):
        build_once(builder, recipe, AMD64, name)
    assert len(builder.built) == 1
    build_once(builder, recipe, AMD64, name, force=True)
    assert len(builder.built) == 2
    changed = package(tmp_path, "two")
    assert state_of(store, changed, AMD64, name).current is None
    build_once(builder, changed, AMD64, name)
    assert len(builder.built) == 3
    assert state_of(store, changed, RISCV64, name).current is None
    build_once(builder, changed, RISCV64, name)
    assert state_of(store, changed, AMD64, name).current
    layer = builder.build(changed, AMD64, name).layers[0]
    store.path(layer.digest).unlink()
    assert state_of(store, changed, AMD64, name).current is None


def test_platforms_that_are_built_at_the_same_time_are_all_kept(
    tmp_path: Path, store: Store
) -> None:
    recipe = package(tmp_path)
    platforms = [Platform("linux", one) for one in recipe.arches]
    barrier = threading.Barrier(len(platforms))

    class Meeting(Builder):
        def build(self, recipe: Recipe, platform: Platform, name: str) -> Image:
            barrier.wait(60)
            return super().build(recipe, platform, name)

    def work(platform: Platform) -> None:
        builder = Meeting(Store(store.root), lambda: pytest.fail("no mirror is needed"))
        build_once(builder, recipe, platform, named(recipe))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, platforms))
    assert all(state_of(store, recipe, one, named(recipe)).current for one in platforms)


def test_somebody_elses_package_is_not_taken_for_ours(tmp_path: Path, store: Store) -> None:
    ours, theirs = package(tmp_path / "a"), package(tmp_path / "b", "two")

    class Beaten(Builder):
        def build(self, recipe: Recipe, platform: Platform, name: str) -> Image:
            image = super().build(recipe, platform, name)
            super().build(theirs, platform, name)
            return image

    with pytest.raises(PackageError, match="something else has taken the package's name"):
        build_once(Beaten(store, lambda: pytest.fail("no mirror")), ours, AMD64, named(ours))


def test_a_stale_name_is_not_forgotten_when_it_was_renewed(tmp_path: Path, store: Store) -> None:
    recipe, builder = package(tmp_path), Counting(store)
    name = named(recipe)
    old = build_once(builder, recipe, AMD64, name).root
    new = build_once(builder, package(tmp_path, "two"), AMD64, name).root
    assert store.untag(name, only=old)
    assert store.resolve(name) == new
    store.untag(name, only=new)
    assert store.resolve(name) is None


def test_who_waits_stops_when_told_to(tmp_path: Path, store: Store) -> None:
    recipe, builder, turns = package(tmp_path), Counting(store), Turns()
    builder.go.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build_once, builder, recipe, AMD64, named(recipe))
        while not builder.built:
            pass
        second = pool.submit(build_once, builder, recipe, AMD64, named(recipe), turns=turns)
        turns.stop()
        with pytest.raises(Stopped):
            second.result(60)
        builder.go.set()
        assert f"{RECIPE}.amd64" in first.result(60).root.annotations


def test_cleaning_takes_all_that_is_left(tmp_path: Path, store: Store) -> None:
    recipe, builder = package(tmp_path), Counting(store)
    build_once(builder, recipe, AMD64, named(recipe))
    (store.root / "locks" / "left-by-a-killed-one").touch()
    remove(store, named(recipe))
    assert list((store.root / "blobs/sha256").iterdir()) == []
    clean(store)
    assert [path.name for path in store.root.iterdir() if path.name not in (".lock", ".use")] == []
