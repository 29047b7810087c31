"""Artifacts about a manifest: attached and listed, with the referrers API and with the tag in its
place."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from compos.errors import ImageError
from compos.image.digest import Digest
from compos.image.model import INDEX, Descriptor
from compos.image.reference import Reference
from compos.image.registries.push import push
from compos.image.registries.referrers import attach, referrers
from compos.image.registries.registry import Registry
from compos.image.store import Store
from tests.image.conftest import StartRegistry
from tests.images import make_image
from tests.pushable import Behaviour, PushableRegistry, Refusal

pytestmark = pytest.mark.slow

TYPE = "application/vnd.example.note.v1"


@pytest.fixture
def there() -> Iterator[PushableRegistry]:
    with PushableRegistry() as registry:
        yield registry


def pushed(source: Store, host: str) -> Reference:
    """An image that the registry has."""
    image = make_image(source, "x/y:1", [[("a", "file", 0o644, "content")]])
    push(source, "x/y:1", registry=Registry(), target=f"{host}/a/b:1")
    return Reference.parse(f"{host}/a/b@{image.digest}")


def note(source: Store, text: str) -> Descriptor:
    return source.put(text.encode(), "text/plain")


def notes(subject: Reference, **filters: str) -> list[tuple[str, str]]:
    """What is listed: types and annotations."""
    digest = Digest(subject.digest)
    found = referrers(Registry(wait=lambda _: None), subject, digest, **filters)
    return [(one.artifact_type, one.annotations.get("k", "")) for one in found]


def put(source: Store, subject: Reference, text: str, kind: str = TYPE) -> Descriptor:
    return attach(
        Registry(wait=lambda _: None),
        source,
        subject,
        artifact_type=kind,
        layers=[note(source, text)],
        annotations={"k": text},
    )


@pytest.mark.parametrize("api", [True, False])
def test_attached_and_listed(source: Store, there: PushableRegistry, api: bool) -> None:
    there.behaviour = Behaviour(referrers=api, page=1)
    subject = pushed(source, there.host)
    assert notes(subject) == []
    made = put(source, subject, "one")
    assert put(source, subject, "one") == made
    put(source, subject, "two", "application/x-other")
    assert notes(subject) == [(TYPE, "one"), ("application/x-other", "two")]
    assert notes(subject, artifact_type=TYPE) == [(TYPE, "one")]
    tag = subject.digest.replace(":", "-")
    assert (("a/b", tag) in there.manifests) == (not api)
    # A manifest says whom it is about; the one of the image says nothing new.
    document = json.loads(there.manifests["a/b", made.digest][1])
    assert document["subject"]["digest"] == subject.digest
    assert document["artifactType"] == TYPE


def test_docker_registry_keeps_the_list_under_a_tag(
    docker_registry: StartRegistry, source: Store
) -> None:
    subject = pushed(source, docker_registry())
    put(source, subject, "one")
    put(source, subject, "two")
    assert notes(subject) == [(TYPE, "one"), (TYPE, "two")]
    host, repository = subject.origin
    tag = subject.digest.replace(":", "-")
    request = Request(f"http://{host}/v2/{repository}/manifests/{tag}", headers={"Accept": INDEX})
    with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
        entries = json.load(answer)["manifests"]
    assert [entry["artifactType"] for entry in entries] == [TYPE, TYPE]


def test_what_is_about_nothing(source: Store, there: PushableRegistry) -> None:
    subject = pushed(source, there.host)
    with pytest.raises(ImageError) as caught:
        put(source, subject._replace(digest=f"sha256:{'0' * 64}"), "one")
    assert caught.value.id == "image-not-found"


@pytest.mark.parametrize("conditional", [True, False])
def test_threads_that_attach_at_once(
    source: Store, there: PushableRegistry, conditional: bool
) -> None:
    there.behaviour = Behaviour(referrers=False, conditional=conditional)
    subject = pushed(source, there.host)
    threads = [
        threading.Thread(target=put, args=(source, subject, f"note {number}"))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(text for _, text in notes(subject)) == [f"note {number}" for number in range(8)]


def test_a_list_that_changed_meanwhile_is_read_again(
    source: Store, there: PushableRegistry
) -> None:
    there.behaviour = Behaviour(referrers=False, conditional=True)
    subject = pushed(source, there.host)
    put(source, subject, "one")
    there.misbehave(Refusal("PUT", 412, on=subject.digest.replace(":", "-"), times=2))
    put(source, subject, "two")
    assert [text for _, text in notes(subject)] == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "kind", "error"),
    [
        (b"[]", INDEX, "registry-error"),
        (b'{"manifests": 7}', INDEX, "registry-error"),
        (b'{"mediaType": "application/vnd.oci.image.manifest.v1+json"}', INDEX, "registry-error"),
        (b"<html>", "text/html", None),
    ],
)
def test_hostile_lists(
    source: Store, there: PushableRegistry, data: bytes, kind: str, error: str | None
) -> None:
    there.behaviour = Behaviour(referrers=True)
    subject = pushed(source, there.host)
    there.listed = (kind, data)
    if error is None:
        assert notes(subject) == []
        return
    with pytest.raises(ImageError) as caught:
        notes(subject)
    assert caught.value.id == error


@pytest.mark.parametrize("link", ["http://127.0.0.1:9/v2/a/b/referrers/x", "?n=0"])
def test_pages_that_lead_elsewhere_or_never_end(
    source: Store, there: PushableRegistry, link: str
) -> None:
    subject = pushed(source, there.host)
    there.listed = (INDEX, b'{"schemaVersion": 2, "manifests": []}')
    there.link = link
    with pytest.raises(ImageError) as caught:
        notes(subject)
    assert caught.value.id == "registry-error"


def test_entries_that_are_no_artifacts(source: Store, there: PushableRegistry) -> None:
    subject = pushed(source, there.host)
    entry = Descriptor(INDEX, Digest(subject.digest), 7).to_json()
    other = {**entry, "mediaType": "text/plain"}
    sha512 = {**entry, "digest": f"sha512:{'0' * 128}"}
    there.listed = (INDEX, json.dumps({"manifests": [entry, other, sha512]}).encode())
    assert notes(subject) == []


ATTACH = """
import sys
from pathlib import Path
from compos.image.reference import Reference
from compos.image.registries.referrers import attach
from compos.image.registries.registry import Registry
from compos.image.store import Store
folder, subject, text = sys.argv[1:]
store = Store(Path(folder))
layer = store.put(text.encode(), "text/plain")
registry = Registry()
sys.stdin.readline()
attach(registry, store, Reference.parse(subject), artifact_type="application/x", layers=[layer])
"""


def test_ten_processes_that_attach_at_once(
    docker_registry: StartRegistry, source: Store, tmp_path: Path
) -> None:
    """docker-registry takes no `If-Match`, and lists nothing by itself: all entries survive."""
    subject = pushed(source, docker_registry())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ATTACH, str(tmp_path / f"store{one}"), str(subject), str(one)],
            stdin=subprocess.PIPE,
        )
        for one in range(10)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert [process.wait(120) for process in processes] == [0] * 10
    assert len(notes(subject)) == 10


def test_an_entry_that_another_one_took_away(source: Store, there: PushableRegistry) -> None:
    """By a list that it had read before: it is there again when both are done."""
    there.behaviour = Behaviour(referrers=False)
    subject = pushed(source, there.host)
    put(source, subject, "one")
    key = ("a/b", subject.digest.replace(":", "-"))
    stale = there.manifests[key]
    waits = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            there.manifests[key] = stale

    attach(
        Registry(wait=pause),
        source,
        subject,
        artifact_type=TYPE,
        layers=[note(source, "two")],
        annotations={"k": "two"},
    )
    assert [text for _, text in notes(subject)] == ["one", "two"]
    assert len(waits) == 2
    assert all(seconds >= 0.4 for seconds in waits)
