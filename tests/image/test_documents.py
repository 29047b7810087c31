"""Whatever an image's documents say, through whatever door they come: an image, or an error with
id, place and hint.

And nothing outside of the store is touched, in bounded time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from compos.errors import ComposError
from compos.image.archives.archive import opened
from compos.image.archives.import_archive import import_archive
from compos.image.names import Origin
from compos.image.registries.mirrors import Mirrors
from compos.image.registries.registry import Registry
from compos.image.removal import remove
from compos.image.source import Images
from compos.image.store import Store
from tests.image.documents import DOCUMENTS, Made, changed
from tests.images import AMD64
from tests.registry import FakeRegistry

VALUES = {
    "null": "null",
    "a number": "5",
    "below zero": "-1",
    "not whole": "0.5",
    "not finite": "1e999",
    "no number": "NaN",
    "more than 64 bits": "36893488147419103232",
    "5,000 digits": "1" * 5000,
    "true": "true",
    "an empty text": '""',
    "a text": '"x"',
    "a surrogate": '"\\ud800"',
    "a NUL": '"a\\u0000b"',
    "a path upwards": '"../../../../outside"',
    "a path": '"/etc:passwd"',
    "a long text": f'"{"x" * 70_000}"',
    "a list": "[]",
    "a list of lists": "[[]]",
    "a list of null": "[null]",
    "a list of texts": '["../x", "../x"]',
    "an object": "{}",
    "an object of objects": '{"a": {"b": {}}}',
    "twice": '{"digest": "x", "digest": 5}',
    "deep": "[" * 100_000,
    "deep and closed": "[" * 50_000 + "]" * 50_000,
    "no JSON": "}{",
    "another digest": f'"sha256:{"ab" * 32}"',
    "sha512": f'"sha512:{"ab" * 64}"',
    "a digest that leaves": '"sha256:../../../outside"',
    "a digest of a folder": '"..:outside"',
    "a digest in capitals": f'"sha256:{"AB" * 32}"',
    "no digest of its algorithm": f'"sha512:{"ab" * 32}"',
}


Door = Callable[[Made, Path, Store, FakeRegistry], object]


def layout(made: Made, folder: Path, store: Store, _: FakeRegistry) -> object:
    return Images(store).image(f"oci:{made.layout(folder / 'layout')}", AMD64)


def imported(made: Made, folder: Path, store: Store, _: FakeRegistry) -> object:
    with opened(made.layout(folder / "layout")) as archive:
        return import_archive(store, archive, Origin("archive", "x"))


def saved(made: Made, folder: Path, store: Store, _: FakeRegistry) -> object:
    return Images(store).image(f"docker-archive:{made.archive(folder / 'saved.tar')}", AMD64)


def imported_saved(made: Made, folder: Path, store: Store, _: FakeRegistry) -> object:
    with opened(made.archive(folder / "saved.tar")) as archive:
        return import_archive(store, archive, Origin("archive", "x"))


def pulled(made: Made, _: Path, store: Store, registry: FakeRegistry) -> object:
    return Images(store, registry=patient()).image(made.publish(registry), AMD64)


def pulled_alone(made: Made, _: Path, store: Store, registry: FakeRegistry) -> object:
    return Images(store, registry=patient()).image(made.publish(registry, "manifest"), AMD64)


def pulled_whole(made: Made, _: Path, store: Store, registry: FakeRegistry) -> object:
    return Images(store, registry=patient()).layout(made.publish(registry), None, AMD64)


def anothers_store(made: Made, _: Path, store: Store, registry: FakeRegistry) -> object:
    found = made.store(store)
    # What its store cannot give is asked of the image's registry, which is this one, and has
    # nothing.
    mirrors = Mirrors.parse((f"x.example={registry.url}",), {})
    image = Images(found, registry=Registry(mirrors, wait=lambda _: None)).image(
        "x.example/app:1", AMD64
    )
    remove(found, "x.example/app:1")
    return image


def patient() -> Registry:
    return Registry(wait=lambda _: None)


DOORS: dict[str, tuple[Door, tuple[str, ...]]] = {
    "a layout": (layout, ("config", "manifest", "index")),
    "an import": (imported, ("config", "manifest", "index")),
    "docker save": (saved, ("config", "saved")),
    "an import of docker save": (imported_saved, ("config", "saved")),
    "a registry": (pulled, ("config", "manifest", "index")),
    "a registry's single image": (pulled_alone, ("config", "manifest")),
    "a registry's whole image": (pulled_whole, ("config", "manifest", "index")),
    "a store of another tool": (anothers_store, ("config", "manifest", "index")),
}
"""How an image comes in, and which documents that reads."""


STRIDE = 1 if os.environ.get("COMPOS_ALL_DOCUMENTS") else 31
"""Of the 20,000 changes every so many-th is tried; all of them (10 minutes) on request."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("door", "document"), [(door, name) for door in DOORS for name in DOORS[door][1]]
)
def test_every_value_at_every_place(tmp_path: Path, door: str, document: str) -> None:
    enter, _ = DOORS[door]
    wrong = []
    first = [*DOORS].index(door) % STRIDE
    with FakeRegistry() as registry:
        for number, (what, texts) in enumerate(
            islice(changed(document, VALUES), first, None, STRIDE)
        ):
            folder = tmp_path / str(number) / "inner"
            folder.mkdir(parents=True)
            outside = folder.parent / "outside"
            outside.write_text("mine")
            registry.documents.clear()
            registry.blobs.clear()
            started = time.process_time()
            try:
                enter(Made(texts), folder, Store(folder / "store"), registry)
            except ComposError as error:
                if not error.place or not error.hint:
                    wrong.append(f"{what}: no place or hint: {error!r} {error.place} {error.hint}")
                if len(str(error)) > 1000:
                    wrong.append(f"{what}: the error has {len(str(error))} characters")
            except Exception as error:
                wrong.append(f"{what}: {error!r}"[:300])
            if time.process_time() - started > 5:
                wrong.append(f"{what}: {time.process_time() - started:.1f} s")
            there = {path.name for path in folder.parent.iterdir()}
            if there != {"inner", "outside"} or outside.read_text() != "mine":
                wrong.append(f"{what}: beside the store is {there}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("door", DOORS)
def test_what_is_not_changed_is_an_image(tmp_path: Path, door: str) -> None:
    """Else none of the others shows anything."""
    enter, _ = DOORS[door]
    _, texts = next(changed("config", {"itself": json.dumps(DOCUMENTS["config"])}))
    with FakeRegistry() as registry:
        assert enter(Made(texts), tmp_path, Store(tmp_path / "store"), registry)
