"""A lock as somebody else may have written it: read whole and strictly, or refused with its
place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compos.errors import PackageError
from compos.image.digest import digest_of
from compos.image.json_document import canonical_json
from compos.package.lock.document import lock_text, read_lock

ZEROS = f"sha256:{'0' * 64}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PACKAGE = "trixie/lib_1:2.3-4+b1_amd64"
LOCK: dict[str, Any] = {
    "schemaVersion": 1,
    "tool": "0.1.0",
    "mirror": "registry.example:5000/team/parts",
    "sources": {"https://example.com/base.yml": {"digest": ZEROS, "size": 7}},
    "images": {
        "docker.io/compos/init:v1": {
            "platforms": {
                "linux/amd64": {
                    "mediaType": MANIFEST,
                    "digest": ZEROS,
                    "size": 400,
                    "attestations": [{"mediaType": MANIFEST, "digest": ZEROS, "size": 459}],
                    "recipe": ZEROS,
                    "bases": ["docker.io/library/web:1"],
                    "indexes": ["trixie@2026-11-21T09:15:44Z"],
                    "leftOut": ["trixie-updates"],
                    "packages": [PACKAGE],
                }
            }
        },
        "docker.io/library/web:1": {
            "mediaType": INDEX,
            "digest": ZEROS,
            "size": 1,
            "platforms": {"linux/arm/v7": {"digest": ZEROS}},
        },
        "oci:../image": {
            "mediaType": INDEX,
            "digest": ZEROS,
            "size": 1,
            "platforms": {"linux/amd64": {"digest": ZEROS}},
        },
    },
    "debian": {
        "indexes": {"trixie@2026-11-21T09:15:44Z": {"main/binary-amd64/Packages": "0" * 64}},
        "packages": {
            PACKAGE: {
                "path": "pool/main/l/lib/lib_2.3-4+b1_amd64.deb",
                "size": 5,
                "sha256": "0" * 64,
                "source": "libs",
                "sourceVersion": "1:2.3-4",
                "homepage": "https://example.org/ü",
            }
        },
    },
}
BUILT = ("images", "docker.io/compos/init:v1", "platforms", "linux/amd64")
YAML = ("sources", "https://example.com/base.yml")
DEB = ("debian", "packages", PACKAGE)


def written(path: Path, document: dict[str, Any]) -> Path:
    """As compos writes it, with the right digest."""
    whole = {**document, "digest": digest_of(canonical_json(document))}
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    return path


def test_what_is_read_is_written_again(tmp_path: Path) -> None:
    path = written(tmp_path / "os.lock", LOCK)
    assert lock_text(read_lock(path)) == path.read_text()


def test_every_line_has_one_value(tmp_path: Path) -> None:
    """A changed package is a few changed lines for version control."""
    for line in lock_text(read_lock(written(tmp_path / "os.lock", LOCK))).splitlines():
        assert line.count('": ') <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "lock-invalid"),
        ("[]", "lock-invalid"),
        ("[" * 100_000, "lock-invalid"),
        ('{"schemaVersion": 1e999}', "lock-schema"),
        ('{"schemaVersion": 2}', "lock-schema"),
        ('{"schemaVersion": 1}', "lock-edited"),
        ('{"schemaVersion": 1, "digest": NaN}', "lock-invalid"),
        (json.dumps({"schemaVersion": 1, "digest": ZEROS}), "lock-edited"),
    ],
)
def test_what_is_no_lock(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "os.lock"
    path.write_text(text)
    with pytest.raises(PackageError) as raised:
        read_lock(path)
    assert raised.value.id == expected
    assert str(raised.value.place).startswith(str(path))


@pytest.mark.parametrize(("old", "new"), [("0.1.0", "0.1.1"), ('"size": 5', '"size": 6')])
def test_an_edited_lock(tmp_path: Path, old: str, new: str) -> None:
    path = written(tmp_path / "os.lock", LOCK)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PackageError, match="digest does not match") as raised:
        read_lock(path)
    assert raised.value.id == "lock-edited"


def put(*keys: str, value: object = None) -> Callable[[dict[str, Any]], None]:
    """Set what stands at `keys`; remove it for None."""

    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        if value is None:
            del document[keys[-1]]
        else:
            document[keys[-1]] = value

    return change


def renamed(*keys: str, name: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[name] = document.pop(keys[-1])

    return change


@pytest.mark.parametrize(
    ("change", "place"),
    [
        # Paths.
        (put(*DEB, "path", value="../../etc/passwd"), f"debian.packages.{PACKAGE}.path"),
        (put(*DEB, "path", value="/etc/passwd"), f"debian.packages.{PACKAGE}.path"),
        (put(*DEB, "path", value="pool/../../x"), f"debian.packages.{PACKAGE}.path"),
        (put(*DEB, "path", value="pool/a b?c#d\n"), f"debian.packages.{PACKAGE}.path"),
        (put(*DEB, "sha256", value="../" * 22), f"debian.packages.{PACKAGE}.sha256"),
        (put(*DEB, "sha256", value="A" * 64), f"debian.packages.{PACKAGE}.sha256"),
        (put(*DEB, "size", value=-1), f"debian.packages.{PACKAGE}.size"),
        (put(*DEB, "size", value=True), f"debian.packages.{PACKAGE}.size"),
        (put(*DEB, "size", value=10**20), f"debian.packages.{PACKAGE}.size"),
        (put(*DEB, "source", value="../x"), f"debian.packages.{PACKAGE}.source"),
        (put(*DEB, "sourceVersion", value="1\n"), f"debian.packages.{PACKAGE}.sourceVersion"),
        (put(*DEB, "homepage", value="a\x1b[2J"), f"debian.packages.{PACKAGE}.homepage"),
        (put(*DEB, "homepage", value="\ud800"), f"debian.packages.{PACKAGE}.homepage"),
        (put(*DEB, "extra", value=1), f"debian.packages.{PACKAGE}"),
        (renamed(*DEB, name="trixie/../lib_1_amd64"), "debian.packages.trixie/../lib_1_amd64"),
        (renamed(*DEB, name="lib"), "debian.packages.lib"),
        # Digests and references.
        (put(*BUILT, "digest", value="sha256:../../x"), "digest"),
        (put(*BUILT, "digest", value=f"sha512:{'0' * 128}"), "digest"),
        (put(*BUILT, "recipe", value=5), "recipe"),
        (put(*BUILT, "attestations", value={}), "attestations"),
        (put(*BUILT, "attestations", value=[{}]), "attestations[0]"),
        (put(*BUILT, "mediaType", value=INDEX), "mediaType"),
        (put(*BUILT, "bases", value=["../x"]), "bases"),
        (put(*BUILT, "indexes", value=["sid@2026-11-21T09:15:44Z"]), "indexes"),
        (put(*BUILT, "packages", value=["trixie/none_1_amd64"]), "packages"),
        (put(*BUILT, "packages", value=[PACKAGE, PACKAGE]), "packages"),
        (put(*BUILT, "packages", value="lib"), "packages"),
        (put(*BUILT, "indexes", value=[]), "packages"),
        (put(*BUILT, "leftOut", value=["a b"]), "leftOut"),
        (put(*BUILT, "recipe"), "amd64"),
        (renamed(*BUILT, name="linux/../.."), "platforms"),
        (renamed(*BUILT[:2], name="compos/init:v1"), "images"),
        (renamed(*BUILT[:2], name="oci:\n"), "images"),
        (put("images", "docker.io/library/web:1", "mediaType", value="text/html"), "mediaType"),
        (put("images", "docker.io/library/web:1", "platforms"), "docker.io/library/web:1"),
        (put("images", value=[]), "images"),
        (put("mirror", value="https://user:secret@host/x"), "mirror"),
        (put("mirror", value="host.example/x:tag"), "mirror"),
        (put("tool", value="1;2"), "tool"),
        (put("sources", value=[]), "sources"),
        (put("sources", value={"os.yml": {}}), "sources"),
        (put("sources", value={"file:///etc/passwd": {}}), "sources"),
        (put("sources", value={"https://u:secret@example.com/": {}}), "sources"),
        (put(*YAML, value={"digest": ZEROS}), "sources.https://example.com/base.yml"),
        (put(*YAML, "digest", value="sha256:.."), "sources.https://example.com/base.yml.digest"),
        (put(*YAML, "size", value=-1), "sources.https://example.com/base.yml.size"),
        (put("other", value=1), ""),
        (put("debian"), ""),
        (
            renamed("debian", "indexes", "trixie@2026-11-21T09:15:44Z", name="trixie@today"),
            "debian.indexes.trixie@today",
        ),
        (
            put("debian", "indexes", "trixie@2026-11-21T09:15:44Z", value={"../x": "0" * 64}),
            "debian.indexes.trixie@2026-11-21T09:15:44Z",
        ),
    ],
)
def test_a_hostile_lock(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], place: str
) -> None:
    """Its digest is right: whoever wrote it can compute that."""
    document = copy.deepcopy(LOCK)
    change(document)
    path = tmp_path / "os.lock"
    whole = {**document, "digest": digest_of(canonical_json(document))}
    path.write_text(json.dumps(whole))
    with pytest.raises(PackageError) as raised:
        read_lock(path)
    assert raised.value.id == "lock-invalid"
    assert str(raised.value.place).startswith(str(path))
    assert place in str(raised.value.place)
    assert "secret" not in str(raised.value)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in `value`, with each of its keys."""
    own: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        own = [(value, key) for key in value]
    elif isinstance(value, list):
        own = [(value, number) for number in range(len(value))]
    return own + [one for container, key in own for one in places(container[key])]


@pytest.mark.slow
@given(st.data())
def test_any_value_in_any_place(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """It is read, and can then be written, or it is refused with an error of ours."""
    document = copy.deepcopy(LOCK)
    container, key = data.draw(st.sampled_from(places(document)))
    if isinstance(container, dict) and data.draw(st.booleans()):
        container[data.draw(st.text())] = container.pop(key)
    else:
        container[key] = data.draw(Json)
    path = tmp_path_factory.getbasetemp() / "mutated.lock"
    whole = {**document, "digest": digest_of(canonical_json(document))}
    path.write_text(json.dumps(whole))
    with suppress(PackageError):
        lock_text(read_lock(path)).encode()
