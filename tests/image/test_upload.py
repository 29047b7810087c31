"""Uploads to a registry that breaks off, refuses, forgets and lies: a table of faults. Whatever
happens, an image is at the registry whole, or its name is not."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator

import pytest

from compos.errors import ComposError
from compos.image.model import Image
from compos.image.registries import upload
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.progress import Silent, listening
from tests.image.conftest import StartRegistry
from tests.images import make_image
from tests.pushable import Behaviour, Cut, PushableRegistry, Refusal

pytestmark = pytest.mark.slow

CHUNK = 256 << 10
SIZE = 900_000
MORE = 300_000
"""Less than a layer, more than a chunk."""


@pytest.fixture
def there() -> Iterator[PushableRegistry]:
    with PushableRegistry() as registry:
        yield registry


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", CHUNK)
    monkeypatch.setattr(upload, "MIN_CHUNK", 32 << 10)
    monkeypatch.setattr(upload, "PROGRESS", CHUNK)


def image(source: Store, name: str = "x/y:1") -> Image:
    """A small layer, and one of four chunks."""
    big = [("big", "file", 0o644, hashlib.shake_128(name.encode()).digest(SIZE))]
    return make_image(source, name, [[("a", "file", 0o644, "content")], big])


def send(source: Store, there: PushableRegistry, waits: list[float], target: str = "a/b:1") -> None:
    push(source, "x/y:1", registry=Registry(wait=waits.append), target=f"{there.host}/{target}")


def whole(there: PushableRegistry, made: Image, repository: str = "a/b") -> bool:
    """Whether the registry has all of the image under its name; it may not have the name alone."""
    known = there.manifests.get((repository, "1"))
    if known is None:
        return False
    digest = f"sha256:{hashlib.sha256(known[1]).hexdigest()}"
    assert digest == made.digest
    for layer in made.layers:
        assert len(there.blobs[repository, layer.digest]) == layer.size
    return True


BIG = "uploads/upload"
FAULTS: dict[str, tuple[Cut | Refusal, ...]] = {
    "nothing": (),
    "cut at HEAD": (Cut("HEAD", "/blobs/"),),
    "cut at POST": (Cut("POST"),),
    "cut in POST": (Cut("POST", "digest=", after=100),),
    "cut after POST": (Cut("POST", answered=True),),
    "cut at PATCH": (Cut("PATCH"),),
    "cut in PATCH": (Cut("PATCH", after=100_000),),
    "cut in each PATCH": (Cut("PATCH", times=4, after=200_000),),
    "cut after PATCH": (Cut("PATCH", answered=True),),
    "cut at PUT": (Cut("PUT", BIG),),
    "cut after PUT": (Cut("PUT", BIG, answered=True),),
    "cut at the manifest": (Cut("PUT", "/manifests/", after=10),),
    "cut after the manifest": (Cut("PUT", "/manifests/", answered=True),),
    "cut again while asking": (Cut("PATCH", after=1000), Cut("GET", BIG)),
    "forgotten in PATCH": (Refusal("PATCH", 404),),
    "forgotten in PUT": (Refusal("PUT", 404, BIG),),
    "another range": (Refusal("PATCH", 416),),
    "busy at POST": (Refusal("POST", 503),),
    "busy at PATCH": (Refusal("PATCH", 500),),
    "busy at PUT": (Refusal("PUT", 502, BIG),),
    "busy at the manifest": (Refusal("PUT", 500, "/manifests/"),),
    "limited": (Refusal("PATCH", 429, headers={"Retry-After": "7"}),),
    "redirected in PATCH": (Refusal("PATCH", 307, headers={"Location": "{path}"}),),
    "only whole": (Refusal("PATCH", 400, times=9),),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass(
    source: Store, there: PushableRegistry, waits: list[float], fault: str
) -> None:
    made = image(source)
    there.misbehave(*FAULTS[fault])
    send(source, there, waits)
    assert whole(there, made)
    assert bool(waits) == (fault not in ("nothing", "redirected in PATCH", "only whole"))
    if fault == "limited":
        assert waits == [7]
    # A cut costs a chunk and what the registry did not say it has, not the blob again.
    sent = sum(layer.size for layer in made.layers)
    if fault.startswith("cut"):
        assert there.received < sent + CHUNK + 10_000
    # Nothing is sent again for another tag.
    before = there.received
    send(source, there, waits, "a/b:2")
    assert there.received - before == len(there.manifests["a/b", "2"][1])


LASTING: dict[str, tuple[tuple[Cut | Refusal, ...], str]] = {
    "always cut": ((Cut("PATCH", times=99),), "network-broken"),
    "always cut in one": ((Cut("PATCH", times=99, after=1000),), "network-broken"),
    "always busy": ((Refusal("PATCH", 503, times=99),), "registry-error"),
    "limited for an hour": (
        (Refusal("POST", 429, times=9, headers={"Retry-After": "3600"}),),
        "registry-rate-limit",
    ),
    "always forgotten": ((Refusal("PATCH", 404, times=99),), "registry-error"),
    "denied": ((Refusal("POST", 403, times=99),), "registry-denied"),
    "too large": (
        (Refusal("PATCH", 413, times=99), Refusal("PUT", 413, times=99)),
        "registry-error",
    ),
    "the manifest is refused": ((Refusal("PUT", 400, "/manifests/"),), "registry-error"),
    "redirected for ever": (
        (Refusal("PATCH", 307, times=99, headers={"Location": "/v2/x/blobs/uploads/y"}),),
        "network-redirect",
    ),
    "redirected to another protocol": (
        (Refusal("PATCH", 307, headers={"Location": "file:///etc/passwd"}),),
        "registry-redirect",
    ),
}


@pytest.mark.parametrize("fault", LASTING)
def test_faults_that_last(
    source: Store, there: PushableRegistry, waits: list[float], fault: str
) -> None:
    made = image(source)
    faults, expected = LASTING[fault]
    there.misbehave(*faults)
    with pytest.raises(ComposError) as caught:
        send(source, there, waits)
    if fault == "redirected for ever":
        assert caught.value.id in (expected, "registry-redirect")
    else:
        assert caught.value.id == expected
    assert not whole(there, made)
    assert len(waits) < 12


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(head=False),
        Behaviour(in_post=False),
        Behaviour(mount=False),
        Behaviour(status=False),
        Behaviour(chunks=False),
        Behaviour(ranges=False),
        Behaviour(least_chunk=2 * CHUNK),
        Behaviour(least_chunk=10**17),
        Behaviour(most=100_000),
        Behaviour(location="http://{host}{path}"),
        Behaviour(location="{path}?state=a%2Fb"),
    ],
    ids=str,
)
def test_registries(
    source: Store, there: PushableRegistry, waits: list[float], behaviour: Behaviour
) -> None:
    there.behaviour = behaviour
    made = image(source)
    send(source, there, waits)
    assert whole(there, made)
    assert waits == []
    chunks = there.asked("PATCH")
    if behaviour.least_chunk:
        assert len(chunks) == (2 if behaviour.least_chunk == 2 * CHUNK else 0)
    there.misbehave(Cut("PATCH", after=1000), Cut("PUT", BIG))
    made = image(source, "x/y:1")
    send(source, there, waits, "a/c:1")
    assert whole(there, made, "a/c")


def test_a_registry_that_takes_a_part_of_each_chunk(
    source: Store, there: PushableRegistry, waits: list[float]
) -> None:
    """It gets the rest; not byte by byte."""
    there.behaviour = Behaviour(takes=100_000)
    made = image(source)
    send(source, there, waits)
    assert whole(there, made)
    there.behaviour = Behaviour(takes=2)
    with pytest.raises(ComposError) as caught:
        send(source, there, waits, "c/d:1")
    assert caught.value.id == "registry-error"
    assert caught.value.message == f"the registry took 2 of {CHUNK} bytes"
    assert ("c/d", "1") not in there.manifests


def test_a_repository_that_must_be_created_first(
    source: Store, there: PushableRegistry, waits: list[float]
) -> None:
    image(source)
    there.misbehave(Refusal("POST", 404, times=99))
    with pytest.raises(ComposError) as caught:
        send(source, there, waits)
    assert caught.value.message.startswith("the registry does not have the repository")
    assert "Create the repository" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Behaviour(location=""), "registry-error"),
        (Behaviour(location="ftp://x/y"), "registry-redirect"),
        (Behaviour(location="http://[::1"), "registry-redirect"),
        (Behaviour(location="http://127.0.0.1:9/x"), "network-connect"),
        (Behaviour(stored=f"sha256:{'0' * 64}"), "digest-mismatch"),
    ],
    ids=str,
)
def test_registries_that_lie(
    source: Store,
    there: PushableRegistry,
    waits: list[float],
    behaviour: Behaviour,
    expected: str,
) -> None:
    there.behaviour = behaviour
    behaviour.in_post = bool(behaviour.stored)
    image(source)
    with pytest.raises(ComposError) as caught:
        send(source, there, waits)
    assert caught.value.id == expected
    assert ("a/b", "1") not in there.manifests


@pytest.mark.parametrize("head", [True, False])
def test_a_blob_of_another_repository_is_mounted(
    source: Store, there: PushableRegistry, waits: list[float], head: bool
) -> None:
    there.behaviour = Behaviour(head=head)
    made = image(source)
    send(source, there, waits, "base/image:1")
    root = source.named("docker.io/x/y:1")
    source.tag(f"{there.host}/base/image:1", root.plain)
    before = there.received
    send(source, there, waits, "a/b:1")
    assert whole(there, made)
    assert there.received - before == len(there.manifests["a/b", "1"][1])
    assert len(there.asked("POST", "from=base%2Fimage")) == 3


def test_a_mount_that_is_denied_is_an_upload(
    source: Store, there: PushableRegistry, waits: list[float]
) -> None:
    made = image(source)
    source.tag(f"{there.host}/base/image:1", source.named("docker.io/x/y:1").plain)
    there.misbehave(Refusal("POST", 403, "mount=", times=9))
    send(source, there, waits)
    assert whole(there, made)


@pytest.mark.parametrize("hasty", [False, True])
def test_tokens_that_expire_in_an_upload(
    source: Store,
    there: PushableRegistry,
    waits: list[float],
    hasty: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One after the other: a token must not expire while another request asks for its first one.
    monkeypatch.setattr("compos.image.registries.push._AT_ONCE", 1)
    made = image(source)
    there.hasty = hasty
    there.tokens = set()
    there.expires_at = ["PATCH", "PUT"]
    send(source, there, waits)
    assert whole(there, made)
    # When there is no answer, the question how much has arrived is answered.
    assert len(waits) == hasty
    assert len(there.granted) == 3
    assert all(scope.endswith(":pull,push") for scope in there.granted)


def test_blobs_go_at_once_and_a_failure_ends_all(
    source: Store, there: PushableRegistry, waits: list[float]
) -> None:
    files = [[(f"f{number}", "file", 0o644, os.urandom(SIZE))] for number in range(8)]
    made = make_image(source, "x/y:1", files)
    send(source, there, waits)
    assert whole(there, made)
    assert there.peak > 1
    before = there.received
    there.misbehave(Refusal("PATCH", 403))
    with pytest.raises(ComposError) as caught:
        send(source, there, waits, "c/d:1")
    assert caught.value.id == "registry-denied"
    assert there.received - before < sum(layer.size for layer in made.layers)
    assert not whole(there, made, "c/d")


def test_progress_counts_each_byte_once(
    source: Store, there: PushableRegistry, waits: list[float]
) -> None:
    made = image(source)
    there.misbehave(Cut("PATCH", after=1000, times=2), Refusal("PATCH", 404))
    lock = threading.Lock()
    done: list[int] = []

    class Counting(Silent):
        def start(self, name: str, total: int | None) -> Counting:
            done.append(-(total or 0))
            return self

        def advance(self, amount: int) -> None:
            with lock:
                done.append(amount)

    with listening(Counting()):
        send(source, there, waits)
    assert sum(done) == 0
    assert -done[0] >= sum(layer.size for layer in made.layers)


def test_ten_pushes_at_once(docker_registry: StartRegistry, source: Store) -> None:
    host = docker_registry()
    made = image(source)
    errors: list[BaseException] = []

    def one(number: int) -> None:
        try:
            push(source, "x/y:1", registry=Registry(), target=f"{host}/a/b:{number % 2}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    _skopeo_has(host, made)


@pytest.mark.parametrize("chunk", [CHUNK, 64 << 20])
def test_docker_registry_takes_chunks(
    docker_registry: StartRegistry, source: Store, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(upload, "CHUNK", chunk)
    host = docker_registry()
    made = image(source)
    push(source, "x/y:1", registry=Registry(), target=f"{host}/a/b:1")
    _skopeo_has(host, made)


def _skopeo_has(host: str, made: Image) -> None:
    """skopeo finds the manifest and copies all of its blobs, whose digests it checks."""
    import subprocess

    source = f"docker://{host}/a/b:1"
    found = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", source],
        check=True,
        capture_output=True,
    ).stdout
    assert f"sha256:{hashlib.sha256(found).hexdigest()}" == made.digest
    assert [layer["digest"] for layer in json.loads(found)["layers"]] == [
        layer.digest for layer in made.layers
    ]
    target = f"docker://{host}/copy/of:1"
    tls = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run(["skopeo", "copy", *tls, source, target], check=True, capture_output=True)
