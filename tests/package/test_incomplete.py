"""Updates whose package list on the mirror is not the one that Debian signed: refused, or left out
where everybody sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.image.attestation import spdx_documents
from compos.image.names import LEFT_OUT
from compos.image.store import Store
from compos.package.bricks import current_bricks
from compos.package.debian import mirror
from compos.package.debian.mirror import INCOMPLETE_VARIABLE, accepts_incomplete
from compos.package.outdated import bricks_of, outdated
from compos.package.recipe import load_recipe, named
from compos.progress import Silent, listening
from tests.package.workshop import AMD64, Workshop

LISTS = "dists/trixie{}/main/binary-amd64/Packages.xz"


class Notices(Silent):
    """What the user is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


def garbled(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


DAMAGES = [garbled, shortened, Path.unlink]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """One with packages in its updates: lists are kept by their hashes, and empty ones are
    equal."""
    made = Workshop(tmp_path)
    for kind in ("updates", "security"):
        archive = made.archive.beside(kind)
        archive.add_deb(kind, {})
        archive.write()
    return made


def list_of(workshop: Workshop, kind: str) -> Path:
    archive = workshop.archive.beside(kind) if kind else workshop.archive
    return archive.root / LISTS.format(f"-{kind}" if kind else "")


@pytest.mark.parametrize("kind", ["security", "updates"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_refused(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.delenv(INCOMPLETE_VARIABLE, raising=False)
    damage(list_of(workshop, kind))
    store = Store(tmp_path / "store")
    with pytest.raises(PackageError) as caught:
        workshop.build(store)
    assert caught.value.id in ("debian-hash-mismatch", "debian-not-found")
    assert f"trixie-{kind}" in caught.value.message
    assert f"{INCOMPLETE_VARIABLE}=1" in str(caught.value.hint)
    assert store.entries() == []


@pytest.mark.parametrize("kind", ["security", "updates"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_left_out_and_said(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    damage: Callable[[Path], None],
) -> None:
    suite = f"trixie-{kind}"
    good = list_of(workshop, kind).read_bytes()
    damage(list_of(workshop, kind))
    monkeypatch.setenv(INCOMPLETE_VARIABLE, "1")
    store, notices = Store(tmp_path / "store"), Notices()
    with listening(notices):
        image = workshop.build(store)
    (warning,) = notices.texts
    assert warning.startswith(f"WARNING: bricks for amd64 are built without {suite}: ")
    (document,) = spdx_documents(store, image)
    comment = document["creationInfo"]["comment"]
    assert comment.endswith(f"; left out: {suite}")
    assert f"{suite} of" not in comment

    # Each later build says so, too, or builds it anew.
    recipe = load_recipe(workshop.brick)
    local = {named(recipe): recipe}
    with listening(notices):
        assert current_bricks(store, local, AMD64, local) == set()
    assert store.resolve(named(recipe)) is not None
    assert notices.texts[1:] == [f"WARNING: {named(recipe)} was built without {suite}"]
    monkeypatch.setenv(INCOMPLETE_VARIABLE, "0")
    current_bricks(store, local, AMD64, local)
    assert store.resolve(named(recipe)) is None

    list_of(workshop, kind).write_bytes(good)
    (document,) = spdx_documents(store, workshop.build(store))
    assert f"{suite} of" in document["creationInfo"]["comment"]
    assert "left out" not in document["creationInfo"]["comment"]
    entry = store.resolve(named(recipe))
    assert entry is not None
    assert not [key for key in entry.annotations if key.startswith(LEFT_OUT)]


def test_what_is_outdated_is_not_known(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where builds leave security updates out by default, too."""
    monkeypatch.setattr(mirror, "LAGGING", ("amd64",))
    for variable in ("CI", INCOMPLETE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    garbled(list_of(workshop, "security"))
    store = Store(tmp_path / "store")
    workshop.build(store)
    (brick,) = bricks_of(store, [load_recipe(workshop.brick)])
    indexes = workshop.builder(store).indexes
    with pytest.raises(PackageError) as caught:
        outdated(store, indexes, brick)
    assert caught.value.id == "debian-incomplete"
    monkeypatch.setenv(INCOMPLETE_VARIABLE, "1")
    assert not outdated(store, indexes, brick).newer


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_suite_itself_is_never_left_out(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.setenv(INCOMPLETE_VARIABLE, "1")
    damage(list_of(workshop, ""))
    with pytest.raises(PackageError) as caught:
        workshop.build(Store(tmp_path / "store"))
    assert caught.value.id in ("debian-hash-mismatch", "debian-not-found")


def test_an_unsigned_index_of_updates_stops_the_build(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INCOMPLETE_VARIABLE, "1")
    release = workshop.archive.beside("security").root / "dists/trixie-security/InRelease"
    release.write_bytes(release.read_bytes().replace(b"trixie-security", b"trixix-security"))
    with pytest.raises(PackageError) as caught:
        workshop.build(Store(tmp_path / "store"))
    assert caught.value.id == "debian-signature"


@pytest.mark.parametrize(
    ("architecture", "environment", "accepted"),
    [
        ("amd64", {}, False),
        ("arm64", {}, False),
        ("riscv64", {}, True),
        ("riscv64", {"CI": "true"}, False),
        ("riscv64", {"CI": "true", INCOMPLETE_VARIABLE: "1"}, True),
        ("riscv64", {INCOMPLETE_VARIABLE: "0"}, False),
        ("amd64", {INCOMPLETE_VARIABLE: "1"}, True),
        ("amd64", {"CI": "", INCOMPLETE_VARIABLE: ""}, False),
    ],
)
def test_where_it_is_accepted(
    architecture: str, environment: dict[str, str], accepted: bool
) -> None:
    assert accepts_incomplete(architecture, environment) is accepted
