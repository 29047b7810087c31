"""Packages of one's own in a remote cache: built once, and built again where the cache lacks
something."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import compos
from compos.errors import ImageError
from compos.remote.pull import RemoteCache
from tests.image.conftest import StartRegistry, docker_registry
from tests.remote.site import Notices, noise
from tests.trust.pairs import key_pair, require_cryptography

__all__ = ["docker_registry"]

YAML = "init: ['@pkg:./init']\nservices: [{name: app, image: '@pkg:./app'}]\n"
BUILD = """
image: {name}
org: acme
files:
  - {{path: {path}, source: program, mode: "0755"}}
config:
  command: [/{path}]
"""


class Listener(Notices):
    """Remembers what was done, too."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[str] = []

    def start(self, name: str, total: int | None) -> Listener:
        self.tasks.append(name)
        return self

    def built(self) -> list[str]:
        return [name for name in self.tasks if name.startswith("build ")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    require_cryptography()
    key_pair(tmp_path, "ED25519")
    (tmp_path / "os.yml").write_text(YAML)
    for name, path in (("init", "init"), ("app", "bin/app")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "build.yml").write_text(BUILD.format(name=name, path=path))
        (folder / "program").write_bytes(noise(name, 100_000))
    return tmp_path


def build(
    tree: Path, machine: str, remote: compos.RemoteOptions, form: str = "kernel+initrd"
) -> tuple[dict[str, str], Listener]:
    """Build on a machine of its own; gives the outputs' digests."""
    folder = tree / machine
    folder.mkdir()
    options = compos.BuildOptions(
        compos.LoadOptions("amd64"),
        compos.ImageOptions(folder / "store"),
        (form,),
        folder=folder,
        remote=remote,
    )
    listener = Listener()
    outputs = compos.build([tree / "os.yml"], options, listener=listener)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs}, listener


@pytest.mark.slow
def test_packages_are_built_once(tree: Path, docker_registry: StartRegistry) -> None:
    cache = f"{docker_registry()}/team/cache"
    fill = compos.RemoteOptions((), cache, str(tree / "ED25519.pem"))
    use = compos.RemoteOptions((cache,), None, str(tree / "ED25519.pub.pem"))
    first, did = build(tree, "first", fill)
    assert len(did.built()) == 2
    second, did = build(tree, "second", use)
    assert second == first
    assert not did.built()
    # Nor did their layers come.
    blobs = [path.stat().st_size for path in (tree / "second/store/blobs/sha256").iterdir()]
    assert max(blobs) < 100_000
    # Another format reads more of them: the cache has the layers, too.
    tar, did = build(tree, "tar", use, "tar")
    assert not did.built()
    assert not did.warnings()
    assert tar == build(tree, "plain tar", compos.RemoteOptions(), "tar")[0]
    # A change of one builds that one.
    (tree / "app/program").write_bytes(noise("changed", 100_000))
    third, did = build(tree, "third", use)
    assert len(did.built()) == 1
    assert third != first
    assert third == build(tree, "fourth", compos.RemoteOptions())[0]


@pytest.mark.slow
def test_what_the_cache_lacks_is_built(
    tree: Path, docker_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that loses everything once the documents of packages have been fetched: their
    layers are nowhere."""
    cache = f"{docker_registry()}/team/cache"
    first, _ = build(tree, "first", compos.RemoteOptions((), cache, str(tree / "ED25519.pem")))
    storage = tree / "registry/docker/registry/v2/repositories/team/cache/_layers/sha256"
    document = RemoteCache.document
    fetched = set()

    def losing(self: RemoteCache, name: str) -> bytes | None:
        data = document(self, name)
        fetched.add(name)
        if len(fetched) == 2:
            for link in storage.glob("*/link"):
                link.unlink()
        return data

    monkeypatch.setattr(RemoteCache, "document", losing)
    use = compos.RemoteOptions((cache,), None, str(tree / "ED25519.pub.pem"))
    second, did = build(tree, "second", use)
    assert second == first
    assert len(did.built()) == 2
    assert [text for text in did.warnings() if "without what remote caches have" in text]


def test_keys(tree: Path) -> None:
    """No cache without a key, and none is filled with the public one."""
    for remote, message in (
        (compos.RemoteOptions(("h.example/a/b",)), "needs a key"),
        (compos.RemoteOptions((), "h.example/a/b"), "needs a key"),
        (
            compos.RemoteOptions((), "h.example/a/b", str(tree / "ED25519.pub.pem")),
            "needs its private key",
        ),
        (compos.RemoteOptions(("h.example/a/b",), None, str(tree / "none")), "cannot be read"),
        (compos.RemoteOptions(("h.example/a/b",), None, str(tree / "os.yml")), "no public key"),
    ):
        with pytest.raises(ImageError, match=message):
            build(tree, hashlib.sha256(repr(remote).encode()).hexdigest(), remote)
