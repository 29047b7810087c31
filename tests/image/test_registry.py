"""The client against Debian's docker-registry, with skopeo as the peer, and against a registry that
misbehaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from compos.errors import ComposError
from compos.image.model import MANIFEST, Descriptor
from compos.image.reference import Reference
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from tests.image.conftest import HTPASSWD, StartRegistry
from tests.images import AMD64, ARM64, Members, as_json, make_image, make_index, put_image
from tests.registry import FakeRegistry, Fault

LAYERS: list[Members] = [
    [("etc", "dir", 0o755), ("etc/motd", "file", 0o644, "hello\n")],
    [("bin", "dir", 0o755), ("bin/big", "file", 0o755, bytes(range(256)) * 2000)],
]


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, check=True, text=True)
    return done.stdout


def same_image(one: Store, other: Store, digests: list[str]) -> None:
    for digest in digests:
        assert one.read(digest) == other.read(digest)


@pytest.mark.parametrize("docker", [False, True])
def test_pulls_what_skopeo_pushed(
    docker_registry: StartRegistry, source: Store, store: Store, registry: Registry, docker: bool
) -> None:
    host = docker_registry()
    image = make_image(source, "x/y:1", LAYERS, {"Cmd": ["run"]})
    form = ["--format", "v2s2"] if docker else []
    skopeo(
        "copy",
        "--dest-tls-verify=false",
        *form,
        f"oci:{source.root}:{image.name}",
        f"docker://{host}/x/y:1",
    )
    pulled = Images(store, registry=registry).image(f"{host}/x/y:1", AMD64)
    assert pulled.name == f"{host}/x/y:1"
    assert pulled.config.cmd == ("run",)
    assert [layer.digest for layer in pulled.layers] == [layer.digest for layer in image.layers]
    same_image(store, source, [layer.digest for layer in pulled.layers])
    said = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/x/y:1"))
    assert said["Digest"] == pulled.digest


def test_skopeo_reads_what_push_sent(
    docker_registry: StartRegistry, source: Store, tmp_path: Path
) -> None:
    host = docker_registry()
    registry = Registry()
    image = make_image(source, "x/y:1", LAYERS, compression="zstd")
    push(source, "x/y:1", registry=registry, target=f"{host}/a/b/c:tag")
    assert registry.digest(Reference.parse(f"{host}/a/b/c:tag")) == image.digest
    assert registry.digest(Reference.parse(f"{host}/a/b/c:other")) is None
    skopeo(
        "copy", "--src-tls-verify=false", f"docker://{host}/a/b/c:tag", f"oci:{tmp_path / 'out'}:t"
    )
    same_image(
        Store(tmp_path / "out"),
        source,
        [image.config_digest, *(layer.digest for layer in image.layers)],
    )


def test_index_goes_round(
    docker_registry: StartRegistry, source: Store, store: Store, registry: Registry
) -> None:
    host = docker_registry()
    manifests = {
        platform: put_image(source, layers=LAYERS[:1], platform=platform)[0]
        for platform in (AMD64, ARM64)
    }
    index = make_index(source, "x/y:1", manifests)
    push(source, "x/y:1", registry=registry, target=f"{host}/x/y:1")
    image = Images(store, registry=registry).image(f"{host}/x/y:1", ARM64)
    assert image.digest == manifests[ARM64].digest
    root = store.resolve(f"{host}/x/y:1")
    assert root is not None
    assert root.digest == index.digest
    assert not store.has(manifests[AMD64].digest)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}/x/y:1")
    assert raw.encode() == source.read(index.digest)


def test_basic_authentication(
    docker_registry: StartRegistry,
    source: Store,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_text(HTPASSWD)
    host = docker_registry(auth={"htpasswd": {"realm": "test", "path": str(passwords)}})
    make_image(source, "x/y:1", LAYERS)
    with pytest.raises(ComposError) as caught:
        push(source, "x/y:1", registry=Registry(), target=f"{host}/x/y:1")
    assert caught.value.id == "registry-auth"
    skopeo(
        "login",
        "--tls-verify=false",
        "--authfile",
        str(tmp_path / "auth.json"),
        "-u",
        "tester",
        "-p",
        "secret",
        host,
    )
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    push(source, "x/y:1", registry=Registry(), target=f"{host}/x/y:1")
    assert Images(store, registry=Registry()).image(f"{host}/x/y:1", AMD64).layers
    wrong = {"auths": {host: {"username": "tester", "password": "wrong-password"}}}
    (tmp_path / "auth.json").write_text(json.dumps(wrong))
    with pytest.raises(ComposError) as caught:
        Registry().manifest(Reference.parse(f"{host}/x/y:1"))
    assert caught.value.id in ("registry-auth", "registry-denied")
    assert "wrong-password" not in f"{caught.value} {caught.value.hint}"


def pull(store: Store, registry: Registry, name: str) -> Descriptor:
    """Pull through `Images`; gives what the name stands for."""
    Images(store, registry=registry).image(name, AMD64)
    root = store.resolve(name)
    assert root is not None
    return root


def remains(store: Store) -> list[str]:
    """What lies about in the store that should not."""
    return (
        [path.name for path in (store.root / "ingest").iterdir()]
        if (store.root / "ingest").exists()
        else []
    )


# Faults after which the image arrives all the same: the fault, and the waits between attempts.
PASSING = {
    "server error": (Fault("status", value=503), [0.5]),
    "three server errors": (Fault("status", value=500, times=3), [0.5, 1.0, 2.0]),
    "gateway error": (Fault("status", value=502, headers={"Retry-After": "7"}), [7.0]),
    "rate limit": (Fault("status", value=429, headers={"Retry-After": "3"}), [3.0]),
    "rate limit without a time": (Fault("status", value=429), [0.5]),
    "reset at once": (Fault("reset", value=0), [0.5]),
    "truncated at once": (Fault("truncate", value=0), [0.5]),
    "truncated": (Fault("truncate", value=100), [0.5]),
    "truncated twice": (Fault("truncate", value=10, times=2), [0.5, 1.0]),
    "slow": (Fault("slow", value=100), []),
    "without length": (Fault("chunked"), []),
}


@pytest.mark.parametrize("on", ["/manifests/", "/blobs/"])
@pytest.mark.parametrize("case", PASSING)
def test_faults_that_pass(
    fake: FakeRegistry,
    source: Store,
    store: Store,
    registry: Registry,
    waits: list[float],
    case: str,
    on: str,
) -> None:
    image = make_image(source, "x:1", [LAYERS[0]])
    name = fake.load(source, image.name, "xx", "1")
    fault, expected = PASSING[case]
    fake.misbehave(Fault(**{**vars(fault), "on": on}))
    assert pull(store, registry, name).digest == image.digest
    assert waits == expected
    assert remains(store) == []
    same_image(store, source, [layer.digest for layer in image.layers])


def test_resumes_where_it_broke(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    image = make_image(source, "x:1", [LAYERS[1]], compression="plain")
    layer = image.layers[0]
    fake.misbehave(
        Fault("truncate", on=layer.digest, value=300_000),
        Fault("reset", on=layer.digest, value=50_000),
    )
    assert pull(store, registry, fake.load(source, image.name, "xx", "1")).digest == image.digest
    asked = [request.headers.get("range") for request in fake.asked(layer.digest)]
    assert asked == [None, "bytes=300000-", "bytes=350000-"]
    assert store.read(layer.digest) == source.read(layer.digest)


def test_goes_on_after_a_short_body(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    image = make_image(source, "x:1", [LAYERS[0]])
    fake.misbehave(Fault("short", on="/blobs/", value=10))
    assert pull(store, registry, fake.load(source, image.name, "xx", "1")).digest == image.digest


def test_starts_anew_where_ranges_are_unknown(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    image = make_image(source, "x:1", [LAYERS[1]], compression="plain")
    fake.ranges = False
    fake.misbehave(Fault("truncate", on=image.layers[0].digest, value=300_000))
    assert pull(store, registry, fake.load(source, image.name, "xx", "1")).digest == image.digest
    assert store.read(image.layers[0].digest) == source.read(image.layers[0].digest)


# Faults after which there is an error: the fault on a blob, the error's id.
LASTING = {
    "server error": (Fault("status", value=503, times=9), "registry-error"),
    "rate limit": (Fault("status", value=429, times=9), "registry-rate-limit"),
    "long rate limit": (
        Fault("status", value=429, headers={"Retry-After": "3600"}),
        "registry-rate-limit",
    ),
    "forbidden": (Fault("status", value=403), "registry-denied"),
    "gone": (Fault("status", value=404), "image-not-found"),
    "teapot": (Fault("status", value=418), "registry-error"),
    "resets": (Fault("reset", value=0, times=99), "download-truncated"),
    "truncated": (Fault("truncate", value=5, times=99), "download-truncated"),
    "shorter": (Fault("short", value=10, times=99), "download-truncated"),
    "longer": (Fault("long", value=10, times=99), "download-oversized"),
    "longer without length": (Fault("chunked", value=10, times=99), "download-oversized"),
    "corrupt": (Fault("corrupt", times=99), "digest-mismatch"),
    "circle": (Fault("redirect", times=99), "registry-redirect"),
    "other scheme": (Fault("redirect", text="file:///etc/passwd"), "registry-redirect"),
}


@pytest.mark.parametrize("case", LASTING)
def test_faults_that_last(
    fake: FakeRegistry,
    source: Store,
    store: Store,
    registry: Registry,
    waits: list[float],
    case: str,
) -> None:
    image = make_image(source, "x:1", [LAYERS[0]])
    name = fake.load(source, image.name, "xx", "1")
    fault, expected = LASTING[case]
    digest = image.layers[0].digest
    fake.misbehave(Fault(**{**vars(fault), "on": digest}))
    with pytest.raises(ComposError) as caught:
        pull(store, registry, name)
    assert caught.value.id == expected
    assert caught.value.place is not None
    assert store.resolve(name) is None
    assert remains(store) == []
    assert not store.has(digest)
    assert len(waits) < 10


def test_too_long_is_refused_before_it_is_read(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    image = make_image(
        source, "x:1", [[("big", "file", 0o644, bytes(9 << 20))]], compression="plain"
    )
    name = fake.load(source, image.name, "xx", "1")
    layer = image.layers[0]
    fake.blobs[layer.digest] += b"more"
    arrived: list[int] = []
    with pytest.raises(ComposError) as caught:
        registry.download(Reference.parse(name), layer, store, advance=arrived.append)
    assert caught.value.id == "download-oversized"
    assert str(layer.size) in caught.value.message
    assert arrived == []


def test_a_link_that_breaks_often_gets_there(
    fake: FakeRegistry, source: Store, store: Store, registry: Registry
) -> None:
    """Failures are counted in a row: a mebibyte of progress starts the count anew."""
    image = make_image(
        source, "x:1", [[("big", "file", 0o644, bytes(9 << 20))]], compression="plain"
    )
    fake.misbehave(Fault("truncate", on=image.layers[0].digest, times=7, value=1_200_000))
    assert pull(store, registry, fake.load(source, image.name, "xx", "1")).digest == image.digest


MANIFEST_V1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

# What a registry may send for a tag: media type, body, the error's id, a word of the message.
DOCUMENTS = {
    "schema 1": (
        MANIFEST_V1,
        as_json({"schemaVersion": 1, "name": "x"}),
        "image-media-type",
        "schema 1",
    ),
    "schema 1, undeclared": (
        "text/plain",
        as_json({"schemaVersion": 1}),
        "image-media-type",
        "schema 1",
    ),
    "chart": (
        "application/json",
        as_json({"mediaType": "application/vnd.x"}),
        "image-media-type",
        "vnd.x",
    ),
    "no JSON": (MANIFEST, b"<html>", "image-malformed", "JSON"),
    "a list": (MANIFEST, b"[]", "image-malformed", "object"),
    "both": (
        MANIFEST,
        as_json({"manifests": [], "layers": []}),
        "image-malformed",
        "both a manifest and an index",
    ),
    "bad digest": (
        MANIFEST,
        as_json(
            {"config": {"mediaType": "a", "digest": "sha256:../../x", "size": 1}, "layers": []}
        ),
        "image-malformed",
        "digest",
    ),
    "deep": (MANIFEST, b"[" * 100_000, "image-malformed", "JSON"),
    "large": (MANIFEST, b" " * (5 << 20), "registry-error", "larger"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents_that_are_refused(fake: FakeRegistry, registry: Registry, case: str) -> None:
    media_type, data, expected, word = DOCUMENTS[case]
    fake.documents["xx", "1"] = (media_type, data)
    with pytest.raises(ComposError) as caught:
        registry.manifest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == expected
    assert word in caught.value.message
    assert fake.host in str(caught.value.place)


def test_a_manifest_must_have_its_digest(
    fake: FakeRegistry, source: Store, registry: Registry
) -> None:
    image = make_image(source, "x:1", [LAYERS[0]])
    fake.load(source, image.name, "xx", "1")
    fake.misbehave(Fault("replace", on="/manifests/", data=as_json({"config": {}, "layers": []})))
    with pytest.raises(ComposError) as caught:
        registry.manifest(Reference.parse(f"{fake.host}/xx@{image.digest}"))
    assert caught.value.id == "digest-mismatch"


def test_nothing_listens(registry: Registry) -> None:
    with FakeRegistry() as gone:
        host = gone.host
    with pytest.raises(ComposError) as caught:
        registry.manifest(Reference.parse(f"{host}/xx:1"))
    assert caught.value.id.startswith("network-")
    assert caught.value.place == f"http://{host}/v2/"


def test_not_there(fake: FakeRegistry, registry: Registry) -> None:
    with pytest.raises(ComposError) as caught:
        registry.manifest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "image-not-found"
    assert "manifest unknown" in caught.value.message
    assert caught.value.hint
