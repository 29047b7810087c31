"""A registry on loopback over a few images of the store: skopeo pulls from it, and nobody gets what
was not asked for."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
from pathlib import Path

import pytest

from compos.image.digest import Digest
from compos.image.door import stored_image
from compos.image.model import Descriptor
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.registries import serve as module
from compos.image.registries.serve import ServedImages, serve
from compos.image.store import Store
from tests.images import Member, make_image

ONE, TWO = Reference.parse("docker.io/test/one:v1"), Reference.parse("host:5000/test/one:v1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for name, content in ((ONE, "one"), (TWO, "two" * 10_000), ("docker.io/test/other:v1", "x")):
        make_image(store, str(name), [[Member("file", content=content)]])
    return store


def answer(
    served: ServedImages, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    host = served.place.partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path, headers={"Host": host, **headers})
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return found


def below(served: ServedImages, name: str) -> str:
    return f"/v2/{served.place.partition('/')[2]}/{name}"


def test_skopeo_pulls(store: Store, tmp_path: Path) -> None:
    roots = {one: store.named(str(one)) for one in (ONE, TWO)}
    with serve(store, roots) as served:
        for number, (reference, root) in enumerate(roots.items()):
            target = tmp_path / str(number)
            name = f"docker://{served.name(reference)}"
            copy = ("skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false")
            subprocess.run([*copy, name, f"oci:{target}:x"], check=True, capture_output=True)
            assert (target / Digest(root.digest).path).read_bytes() == store.read(root.digest)
    with pytest.raises(ConnectionRefusedError):
        answer(served, "/v2/")


def test_what_is_served(store: Store) -> None:
    root, other = store.named(str(TWO)), store.named("docker.io/test/other:v1")
    with serve(store, {TWO: root}) as served:
        name = below(served, "host_5000/test/one")
        status, headers, data = answer(served, f"{name}/manifests/v1")
        assert (status, headers["Docker-Content-Digest"]) == (200, root.digest)
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == root.digest
        status, headers, data = answer(served, f"{name}/manifests/{root.digest}", "HEAD")
        assert (status, headers["Content-Length"], data) == (200, str(root.size), b"")
        blobs = {digest for digest in store.reachable([root.to_json()]) if digest != root.digest}
        for digest in blobs:
            assert answer(served, f"{name}/blobs/{digest}")[2] == store.read(digest)
        layer = stored_image(store, str(TWO), root, Platform("linux", "amd64")).layers[0].digest
        whole = store.read(layer)
        for given, expected in (("5-", whole[5:]), ("5-9", whole[5:10])):
            status, headers, data = answer(served, f"{name}/blobs/{layer}", Range=f"bytes={given}")
            assert (status, data) == (206, expected)
        assert headers["Content-Range"] == f"bytes 5-9/{len(whole)}"
        assert answer(served, f"{name}/blobs/{layer}", Range="bytes=99999999-")[0] == 416
        for path in (
            f"{name}/manifests/{other.digest}",
            f"{name}/blobs/{other.digest}",
            f"{name}/manifests/latest",
            f"{name}/tags/list",
            "/v2/host_5000/test/one/manifests/v1",
            below(served, "docker.io/test/other/manifests/v1"),
            f"{name}/blobs/../../../index.json",
            "/v2/_catalog",
            "/",
        ):
            assert answer(served, path)[0] == 404, path
        assert answer(served, "/v2/")[0] == 200
        # A page in a browser names the host that it came from.
        assert answer(served, f"{name}/manifests/v1", Host="evil.example")[0] == 403
        for method in ("PUT", "POST", "PATCH", "DELETE"):
            assert answer(served, f"{name}/manifests/v1", method)[0] == 501
        assert served.place.startswith("127.0.0.1:")
    with serve(store, {TWO: root}) as again:
        assert again.place.partition("/")[2] != served.place.partition("/")[2]


def test_a_damaged_blob_does_not_arrive_whole(store: Store) -> None:
    root = store.named(str(TWO))
    layer = stored_image(store, str(TWO), root, Platform("linux", "amd64")).layers[0].digest
    path = store.path(layer)
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with serve(store, {TWO: root}) as served, pytest.raises(http.client.IncompleteRead):
        answer(served, below(served, f"host_5000/test/one/blobs/{layer}"))


def test_a_root_that_is_missing(store: Store) -> None:
    root = Descriptor("application/vnd.oci.image.index.v1+json", Digest("sha256:" + "0" * 64), 2)
    with pytest.raises(Exception, match="store-missing"), serve(store, {ONE: root}):
        pass


def test_too_many_connections(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
    with serve(store, {ONE: store.named(str(ONE))}) as served:
        host = served.place.partition("/")[0]
        first = http.client.HTTPConnection(host, timeout=10)
        first.request("GET", "/v2/")
        first.getresponse().read()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            answer(served, "/v2/")
        first.close()
