"""Fuzzed: an image's four documents at once, whose digests stay right whatever is changed in them;
into a build's tree."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from compos.errors import ComposError
from tests.fuzz.engine import Target
from tests.image.documents import DOCUMENTS, Made

__all__ = ["TARGETS"]

SEPARATOR = b"\n\0\n"


def _run(data: bytes) -> None:
    from compos.image.archives.archive import opened
    from compos.image.archives.import_archive import import_archive
    from compos.image.door import stored_image
    from compos.image.names import Origin
    from compos.image.platform import Platform
    from compos.image.source import Images
    from compos.image.store import Store
    from compos.tree.flatten import image_tree

    texts = (data.split(SEPARATOR) + [b""] * len(DOCUMENTS))[: len(DOCUMENTS)]
    made = Made(
        {
            name: text.decode("utf-8", "surrogateescape")
            for name, text in zip(DOCUMENTS, texts, strict=True)
        }
    )
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        store = Store(folder / "store")
        layout, saved = made.layout(folder / "layout"), made.archive(folder / "saved.tar")
        for name in (f"oci:{layout}", f"docker-archive:{saved}"):
            with suppress(ComposError):
                image_tree(store, Images(store).image(name, Platform("linux", "amd64")))
        for path in (layout, saved):
            with suppress(ComposError), opened(path) as archive:
                import_archive(store, archive, Origin("archive"))
        with suppress(ComposError):
            other = made.store(Store(folder / "other"))
            stored_image(other, "x", other.named("x.example/app:1"), Platform("linux", "amd64"))
        if not {path.name for path in folder.iterdir()} <= {
            "store",
            "layout",
            "saved.tar",
            "other",
        }:
            raise AssertionError("something was written outside")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


WORDS = (
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b'""',
    b'"\\ud800"',
    b"[[[[",
    b'"..:x"',
    b'"sha512:ab"',
    b'"@manifest"',
    b'"@layer"',
    SEPARATOR,
)
TARGETS = (
    Target(
        "image",
        _run,
        [SEPARATOR.join(json.dumps(one).encode() for one in DOCUMENTS.values())],
        WORDS,
    ),
)
