"""The table of derived results: it is whole, its names are files' names, and nobody makes names
beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.image.derived import KindOfResults, is_stored_name
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import digest_of
from compos.image.removal import remove
from compos.image.store import Store
from tests.images import Member, make_image

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((ROOT / "src/compos").rglob("*.py"))


def rows() -> Iterator[str]:
    """The table as `docs/architecture.md` has it."""
    for kind in DerivedKind:
        removed = "with its blob" if kind.of_blob else ""
        cells = (f"`derived/{kind.folder}`", kind.content, kind.key, kind.form, removed)
        yield f"| {' | '.join(cells)} |".replace("  ", " ")


def test_the_documentation_has_the_table() -> None:
    page = (ROOT / "docs/architecture.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `derived/")] == [*rows()]


def test_records_and_writers_are_told_apart() -> None:
    """By what stands in the heads of records, and in front of what is in the keys of one folder."""
    records = [kind.title for kind in DerivedKind if kind.form == "record"]
    assert len({*records}) == len(records)
    places = [(kind.folder, kind.label) for kind in DerivedKind]
    assert len({*places}) == len(places)
    assert all(kind.version for kind in DerivedKind if kind.form == "record")


@pytest.mark.parametrize("kind", DerivedKind, ids=lambda kind: kind.name)
def test_what_is_made_is_found_under_the_kind_s_name(tmp_path: Path, kind: DerivedKind) -> None:
    store = Store(tmp_path / "store")
    results = KindOfResults(store, kind)
    assert results.find("key") is None
    with results.make("key") as path:
        path.write_bytes(b"made")
    name = kind.stored_name("key")
    assert name == results.stored_name("key") == f"derived/{kind.folder}/key"
    assert (results.root / name).read_bytes() == b"made"
    assert results.find("key") == store.derived(kind, "key") == store.root / name
    assert [*store.results(kind)] == [*store.results()] == [name]
    for other in DerivedKind:
        if other.folder != kind.folder:
            assert store.derived(other, "key") is None
            assert [*store.results(other)] == []


@pytest.mark.parametrize(
    ("name", "sliced"),
    [
        ("derived/layer/x.tar", True),
        ("derived/image/x", True),
        (f"blobs/sha256/{'0' * 64}", True),
        ("derived/tree/x", False),
        ("derived/local/x", False),
        ("derived/nothing/x", False),
        ("derived/layer/../x", False),
        ("derived/layer/x/y", False),
        ("derived/layer/x\n", False),
        ("derived/layer/", False),
        ("derived/layer", False),
        ("/derived/layer/x", False),
        ("other/layer/x", False),
    ],
)
def test_only_bytes_are_sliced(name: str, sliced: bool) -> None:
    assert is_stored_name(name) is sliced


def test_what_was_made_of_a_blob_goes_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    image = make_image(store, "one:1", [[Member("a", content="one")]])
    gone, stays = (
        digest.replace(":", "-") for digest in (image.layers[0].digest, digest_of(b"other"))
    )
    for kind in DerivedKind:
        for key in (f"{gone}-v1", f"{stays}-v1"):
            with store.derive(kind, key) as path:
                path.write_bytes(b"made")
    remove(store, image.name)
    folders = {kind.folder for kind in DerivedKind if kind.of_blob}
    for kind in DerivedKind:
        assert (store.derived(kind, f"{gone}-v1") is None) is (kind.folder in folders), kind
        assert store.derived(kind, f"{stays}-v1") is not None


def texts(path: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_bytes())
    said = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_names_are_made_in_one_place(path: Path) -> None:
    assert not [text for text in texts(path) if "derived/" in text]
