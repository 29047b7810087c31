"""Builds that share a cache at Debian's docker-registry: what comes out, and what is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from compos.cli.main import main
from tests.image.conftest import StartRegistry, docker_registry
from tests.remote.proxy import CountingProxy
from tests.remote.site import SERVICES, Machine, Site
from tests.trust.pairs import require_cryptography

pytestmark = pytest.mark.slow

__all__ = ["docker_registry"]


@pytest.fixture
def proxy(docker_registry: StartRegistry) -> Iterator[CountingProxy]:
    with CountingProxy(docker_registry()) as proxy:
        yield proxy


@pytest.fixture
def site(tmp_path: Path, proxy: CountingProxy) -> Site:
    require_cryptography()
    return Site(tmp_path, proxy.host)


def test_a_whole_result_comes_without_layers(site: Site, proxy: CountingProxy) -> None:
    first = Machine(site, "first").build(cache_to=site.cache, key=site.private)
    proxy.forget()
    second = Machine(site, "second")
    assert second.build(cache_from=(site.cache,), key=site.public) == first
    assert not second.notices.warnings()
    for name in ("kernel", "init", *SERVICES):
        assert not site.layers(name) & {*proxy.blobs()}
    assert sum("/cache/manifests/" in path for path in proxy.paths) == 1


def test_after_one_service_has_changed(site: Site, proxy: CountingProxy) -> None:
    Machine(site, "first").build(cache_to=site.cache, key=site.private)
    site.service("mail", "2")
    proxy.forget()
    second = Machine(site, "second")
    made = second.build(cache_from=(site.cache,), key=site.public)
    blobs = {*proxy.blobs()}
    assert made == Machine(site, "third").build()
    assert not second.notices.warnings()
    assert site.layers("mail") <= blobs
    for name in ("kernel", "init", "web", "chat"):
        assert not (site.layers(name) - site.layers("mail")) & blobs


def test_what_the_registry_has_lost_is_sent_again(
    site: Site, proxy: CountingProxy, tmp_path: Path
) -> None:
    first = Machine(site, "first")
    made = first.build(cache_to=site.cache, key=site.private)
    for blob in (tmp_path / "registry/docker/registry/v2/repositories/team").rglob("_layers/*/*"):
        shutil.rmtree(blob)
    site.service("mail", "2")
    first.build(cache_to=site.cache, key=site.private)
    assert not first.notices.warnings()
    assert Machine(site, "second").build(cache_from=(site.cache,), key=site.public) != made
    assert not first.notices.warnings()


def test_an_unchanged_build_sends_nothing(site: Site, proxy: CountingProxy) -> None:
    first = Machine(site, "first")
    first.build(cache_to=site.cache, key=site.private)
    assert any("results added" in text for text in first.notices.texts)
    first.build(cache_to=site.cache, key=site.private)
    assert not any("results added" in text for text in first.notices.texts)


def test_a_locked_build_takes_from_the_cache(site: Site, proxy: CountingProxy) -> None:
    """A service whose tag has moved on since stays what it was."""
    first = Machine(site, "first")
    made = first.build(cache_to=site.cache, key=site.private)
    yaml, store = first.folder / "os.yml", str(first.store.root)
    assert main(["lock", "--cache", store, "--arch", "amd64", str(yaml)]) == 0
    site.service("mail", "2")
    proxy.forget()
    second = Machine(site, "second")
    lock = first.folder / "os.lock"
    assert second.build(cache_from=(site.cache,), key=site.public, lock=lock) == made
    assert not second.notices.warnings()
    for name in ("kernel", "init", *SERVICES):
        assert not site.layers(name) & {*proxy.blobs()}


def test_an_output_of_slices_comes_from_the_parts_of_layers(
    site: Site, proxy: CountingProxy
) -> None:
    """A root file system that consists of slices."""
    formats = ("kernel+erofs",)
    first = Machine(site, "first").build(cache_to=site.cache, key=site.private, formats=formats)
    site.service("mail", "2")
    proxy.forget()
    second = Machine(site, "second")
    made = second.build(cache_from=(site.cache,), key=site.public, formats=formats)
    blobs = {*proxy.blobs()}
    assert made == Machine(site, "third").build(formats=formats) != first
    assert not second.notices.warnings()
    for name in ("kernel", "init", "web", "chat"):
        assert not (site.layers(name) - site.layers("mail")) & blobs


@pytest.mark.parametrize(
    ("form", "compression", "root"),
    [
        ("kernel+initrd", "max", "auto"),
        ("kernel+squashfs", "zstd", "auto"),
        ("qcow2-bios", "zstd", "erofs"),
    ],
)
def test_what_is_compressed_together_is_read_from_parts_of_layers(
    site: Site,
    proxy: CountingProxy,
    form: str,
    compression: Literal["zstd", "max"],
    root: str,
) -> None:
    """All of it is compressed again after a service has changed: of the other images nothing but
    the contents that go in is fetched."""
    how = partial(Machine.build, formats=(form,), compression=compression, root=root)
    how(Machine(site, "first"), cache_to=site.cache, key=site.private)
    site.service("mail", "2")
    proxy.forget()
    second = Machine(site, "second")
    made = how(second, cache_from=(site.cache,), key=site.public)
    blobs = {*proxy.blobs()}
    assert made == how(Machine(site, "third"))
    assert not second.notices.warnings()
    assert site.layers("mail") <= blobs
    for name in ("kernel", "init", "web", "chat"):
        assert not (site.layers(name) - site.layers("mail")) & blobs
