"""SBOMs beside images: fetched with them and only with them, verified, read, told when they cannot
be had, pushed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compos import progress
from compos.errors import ComposError
from compos.image import attestation
from compos.image.attestation import attested, spdx_documents
from compos.image.door import stored_image
from compos.image.model import INDEX, Image
from compos.image.platform import Platform
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from tests.attested import PROVENANCE, SPDX, document, make_attested, put_attestation, statement
from tests.image.conftest import StartRegistry
from tests.images import AMD64, ARM64, put_image
from tests.registry import FakeRegistry, Fault


class Notices(progress.Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def notices() -> Iterator[list[str]]:
    listener = Notices()
    progress.listen(listener)
    yield listener.texts
    progress.listen(progress.Silent())


def served(fake: FakeRegistry, source: Store, name: str = "xx:1") -> tuple[str, Image]:
    """An index for two platforms, each with an SBOM, in the registry: its reference there, and
    amd64's image."""
    image = make_attested(
        source, name, {AMD64: [document("for-amd64")], ARM64: [document("for-arm64")]}
    )
    repository, _, tag = name.partition(":")
    return fake.load(source, image.name, repository, tag), image


def names(store: Store, image: Image) -> list[str]:
    return [package["name"] for one in spdx_documents(store, image) for package in one["packages"]]


def forget(store: Store, image: Image, *, layers: bool = True) -> None:
    """Make the store one that some other tool has filled."""
    for manifest in image.attestations:
        parts = json.loads(store.read(manifest.digest))["layers"] if layers else []
        for digest in (manifest.digest, *(part["digest"] for part in parts)):
            store.path(digest).unlink()


def test_an_sbom_comes_with_its_image_alone(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    name, original = served(fake, source)
    image = Images(store, registry=registry).image(name, AMD64)
    assert image.attestations == original.attestations
    assert attested(store, image)
    assert names(store, image) == ["for-amd64"]
    there = {path.name for path in (store.root / "blobs/sha256").iterdir()}
    root = store.resolve(name)
    assert root is not None
    (manifest,) = image.attestations
    parts = json.loads(store.read(manifest.digest))
    wanted = [
        root.digest,
        image.digest,
        image.config_digest,
        *(layer.digest for layer in image.layers),
    ]
    wanted += [manifest.digest, *(part["digest"] for part in [parts["config"], *parts["layers"]])]
    assert there == {digest.removeprefix("sha256:") for digest in wanted}, (
        "nothing of the other platform"
    )


def test_the_second_build_asks_nobody(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    name, _ = served(fake, source)
    image = Images(store, registry=registry).image(name, AMD64)
    fake.requests.clear()
    again = Images(store, registry=registry)
    assert again.image(name, AMD64) == image
    again.fetch_attestations([image])
    assert fake.requests == []


def test_each_variant_has_its_own(store: Store) -> None:
    """LinuxKit fails here (N24): two manifests of one architecture."""
    six, seven = Platform("linux", "arm", "v6"), Platform("linux", "arm", "v7")
    image = make_attested(
        store, "xx:1", {six: [document("six")], seven: [document("seven")]}, wanted=seven
    )
    assert names(store, image) == ["seven"]
    root = store.resolve(image.name)
    assert root is not None
    assert names(store, stored_image(store, image.name, root, six)) == ["six"]


def test_several_documents_and_several_manifests(store: Store) -> None:
    manifest = put_image(store)[0]
    entries = [
        {**manifest.to_json(), "platform": AMD64.to_json()},
        put_attestation(
            store, manifest, [(SPDX, statement(document("a"))), (SPDX, statement(document("b")))]
        ),
        put_attestation(
            store,
            manifest,
            [(PROVENANCE, statement({}, PROVENANCE)), (SPDX, statement(document("c")))],
        ),
        put_attestation(
            store, manifest, [(SPDX, statement(document("of something else")))], kind="other"
        ),
    ]
    index = store.put(json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), INDEX)
    assert names(store, stored_image(store, "xx", index, AMD64)) == ["a", "b", "c"]


@pytest.mark.parametrize("harm", ["none in the registry", "layers gone", "refused", "no network"])
def test_an_image_serves_without_what_cannot_be_had(
    source: Store, store: Store, registry: Registry, notices: list[str], harm: str
) -> None:
    with FakeRegistry() as fake:
        name, original = served(fake, source)
        blob = json.loads(source.read(original.attestations[0].digest))["layers"][0]["digest"]
        if harm == "none in the registry":
            del fake.documents["xx", original.attestations[0].digest]
        elif harm == "refused":
            fake.misbehave(Fault("status", on=original.attestations[0].digest, value=403, times=9))
        elif harm == "no network":
            fake.misbehave(Fault("truncate", on=blob, value=5, times=99))
        else:
            del fake.blobs[blob]
        image = Images(store, registry=registry).image(name, AMD64)
    assert names(store, image) == []
    assert not attested(store, image)
    assert len(notices) == 1
    assert name in notices[0]
    assert "SBOM" in notices[0]


def test_it_is_completed_when_it_can_be(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry, notices: list[str]
) -> None:
    name, _ = served(fake, source)
    images = Images(store, registry=registry)
    image = images.image(name, AMD64)
    for layers in (True, False):
        forget(store, image, layers=layers)
        assert Images(store, registry=registry).image(name, AMD64) == image, (
            "looked up as quickly as ever"
        )
        assert names(store, image) == []
        fake.requests.clear()
        Images(store, registry=registry).fetch_attestations([image])
        assert names(store, image) == ["for-amd64"]
        assert not fake.asked("/manifests/1")
    # A manifest without its layers, as a tool may leave it.
    for part in json.loads(store.read(image.attestations[0].digest))["layers"]:
        store.path(part["digest"]).unlink()
    assert not attested(store, image)
    images.fetch_attestations([image])
    assert attested(store, image)
    assert notices == []


def test_without_a_network_one_attempt_is_enough(
    source: Store, store: Store, registry: Registry, notices: list[str]
) -> None:
    with FakeRegistry() as fake:
        found = [
            Images(store, registry=registry).image(
                served(fake, source, f"{letter * 2}:1")[0], AMD64
            )
            for letter in "abc"
        ]
    for image in {image.attestations: image for image in found}.values():
        forget(store, image)
    Images(store, registry=registry).fetch_attestations(found)
    assert len(notices) == 1
    assert found[0].name in notices[0]


def test_a_wrong_digest_is_an_error(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    name, original = served(fake, source)
    blob = json.loads(source.read(original.attestations[0].digest))["layers"][0]["digest"]
    fake.misbehave(Fault("corrupt", on=blob, times=9))
    with pytest.raises(ComposError) as caught:
        Images(store, registry=registry).image(name, AMD64)
    assert caught.value.id == "digest-mismatch"
    assert not store.has(blob)


BAD: dict[str, bytes] = {
    "no JSON": b"{",
    "too deep": b"[" * 200_000,
    "no object": b"[]",
    "another predicate": statement(document("x"), PROVENANCE),
    "no predicate": statement(None),
    "a text": statement("x"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_statements(store: Store, case: str) -> None:
    with pytest.raises(ComposError) as caught:
        list(spdx_documents(store, with_statement(store, BAD[case])))
    assert caught.value.id == "sbom-invalid"
    assert str(caught.value.place).startswith("docker.io/library/xx: sha256:")
    assert "--no-sbom" in str(caught.value.hint)


def test_a_statement_that_is_too_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attestation, "_MAX_STATEMENT", 100)
    with pytest.raises(ComposError) as caught:
        list(spdx_documents(store, with_statement(store, statement(document("x" * 100)))))
    assert caught.value.id == "sbom-invalid"


def with_statement(store: Store, data: bytes) -> Image:
    manifest = put_image(store)[0]
    entries: list[dict[str, Any]] = [{**manifest.to_json(), "platform": AMD64.to_json()}]
    entries.append(put_attestation(store, manifest, [(SPDX, data)]))
    index = store.put(json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), INDEX)
    return stored_image(store, "docker.io/library/xx", index, AMD64)


def test_ours_is_like_buildkits(store: Store) -> None:
    """The whole structure, but for digests and the subject's name, which nobody reads."""
    manifest = put_image(store)[0]
    ours = attestation.put_attestation(store, "a/b:1", manifest, AMD64, {"spdxVersion": "SPDX-2.3"})
    theirs = put_attestation(store, manifest, [(SPDX, statement({"spdxVersion": "SPDX-2.3"}))])
    assert shape(store, ours.to_json()) == shape(store, theirs)
    said = json.loads(store.read(json.loads(store.read(ours.digest))["layers"][0]["digest"]))
    assert said["subject"] == [
        {
            "name": "pkg:docker/a/b:1?platform=linux%2Famd64",
            "digest": {"sha256": manifest.digest.partition(":")[2]},
        }
    ]


def shape(store: Store, entry: dict[str, Any]) -> object:
    manifest = json.loads(store.read(entry["digest"]))
    config = json.loads(store.read(manifest["config"]["digest"]))
    statements = [json.loads(store.read(layer["digest"])) for layer in manifest["layers"]]
    for one in statements:
        del one["subject"]
    layers = [(layer["mediaType"], layer["annotations"]) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    config["rootfs"]["diff_ids"] = []
    kept = {key: value for key, value in entry.items() if key not in ("digest", "size")}
    return kept, manifest["mediaType"], manifest["config"]["mediaType"], config, layers, statements


def test_it_travels_through_a_real_registry(
    docker_registry: StartRegistry, source: Store, store: Store, tmp_path: Path
) -> None:
    host = docker_registry()
    image = make_attested(source, "x/y:1", {AMD64: [document("one")], ARM64: [document("two")]})
    push(source, "x/y:1", registry=Registry(), target=f"{host}/x/y:1")
    pulled = Images(store).image(f"{host}/x/y:1", AMD64)
    assert (pulled.digest, pulled.attestations) == (image.digest, image.attestations)
    assert names(store, pulled) == ["one"]
    out = tmp_path / "out"
    copy = [
        "skopeo",
        "copy",
        "--all",
        "--src-tls-verify=false",
        f"docker://{host}/x/y:1",
        f"oci:{out}:t",
    ]
    subprocess.run(copy, check=True, capture_output=True)
    (manifest,) = image.attestations
    assert (out / "blobs" / manifest.digest.replace(":", "/")).read_bytes() == source.read(
        manifest.digest
    )
