"""Digests: what is one, and that nothing else becomes a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import ImageError
from compos.image.digest import EMPTY, Digest, digest_of
from compos.image.store import Store

HEX = "ab" * 32


@pytest.mark.parametrize(
    "text",
    [
        f"sha256:{HEX}",
        f"sha384:{HEX}{'0' * 32}",
        f"sha512:{HEX * 2}",
        "md5+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
    ],
)
def test_digests(text: str) -> None:
    assert Digest.parse(text) == text
    assert Digest.parse(text).is_verifiable is text.startswith("sha256:")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "sha256",
            "sha256:",
            f":{HEX}",
            f"sha256:{HEX[1:]}",
            f"sha256:{HEX}0",
            f"sha256:{HEX.upper()}",
            HEX,
        ),
        *(
            "/etc:passwd",
            "..:index.json",
            "~/.ssh:id_rsa",
            f"sha256:{HEX}/../x",
            f"sha256:../{HEX[3:]}",
            "a/b:c",
            "a:b/c",
        ),
        *(
            f"sha256:{HEX}\n",
            f"sha256:{HEX}\0",
            f"SHA256:{HEX}",
            f"sha256:sha256:{HEX}",
            "x:" + "a" * 300,
            "é:a",
        ),
        *(None, 5, ["sha256"], {"a": 1}),
    ],
)
def test_what_is_none(text: object) -> None:
    with pytest.raises(ImageError) as caught:
        Digest.parse(text)
    assert caught.value.id == "image-malformed"


@pytest.mark.parametrize("text", ["/etc:passwd", "..:index.json", f"sha512:{HEX * 2}", "blobs"])
def test_the_store_makes_no_path_of_anything_else(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    assert not store.has(text)
    for call in (store.path, store.require, store.read):
        with pytest.raises(ImageError):
            call(text)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_blob_has_one_digest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(b"x", "")
    for digest, right in ((EMPTY, True), (digest_of(b"something"), False)):
        store.path(digest).write_bytes(b"")
        assert store.has(digest, 0) is right
