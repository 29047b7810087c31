"""A build for several architectures: what is written, what is shared, what a registry gets."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import compos
from compos.api.build import BuildOptions
from compos.api.options import ImageOptions
from compos.cli.main import main
from compos.errors import ComposError
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.store import Store
from tests.image.conftest import docker_registry
from tests.images import AMD64, ARM64, Member, layer_tar, make_index, put_image
from tests.output.bootable import bzimage

__all__ = ["docker_registry"]

YAML = """
kernel: {image: 'acme/kernel:1', cmdline: quiet}
init: ['acme/init:1']
files:
  - {path: etc/motd, contents: hello, mode: '0644'}
arch:
  arm64:
    files:
      - {path: etc/arm, contents: more, mode: '0644'}
"""
ALL = "amd64,arm64"
ARTIFACT = "application/vnd.compos.system.v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `os.yml`, whose images the store there has for two architectures."""
    filled(tmp_path)
    return tmp_path


def filled(folder: Path) -> None:
    store = Store(folder / "store")
    modules = layer_tar([Member("lib/modules/x", content="m")])
    kernels = {AMD64: bzimage(), ARM64: bzimage(0xAA64)}
    for name in ("acme/kernel:1", "acme/init:1"):
        manifests = {}
        for platform, kernel in kernels.items():
            members = {
                "acme/kernel:1": [
                    Member("kernel", content=kernel),
                    Member("kernel.tar", content=modules),
                ],
                "acme/init:1": [
                    Member("init", mode=0o755, content="#!"),
                    Member("etc/arch", content=platform.architecture),
                ],
            }[name]
            manifests[platform] = put_image(store, layers=[members], platform=platform)[0]
        make_index(store, name, manifests)
    (folder / "os.yml").write_text(YAML)
    (folder / "out").mkdir()


def build(folder: Path, *options: str, arch: str = ALL, expected: int = 0) -> dict[str, bytes]:
    """The outputs by name."""
    out = folder / "out"
    arguments = ["build", "--cache", str(folder / "store"), "--arch", arch, "--dir", str(out)]
    assert main([*arguments, *options, str(folder / "os.yml")]) == expected
    return {path.name: path.read_bytes() for path in out.iterdir()}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def raw(source: str) -> dict[str, Any]:
    """What skopeo finds under a name."""
    command = ["skopeo", "inspect", "--raw"]
    if source.startswith("docker:"):
        command.append("--tls-verify=false")
    document: dict[str, Any] = json.loads(
        subprocess.run([*command, source], check=True, capture_output=True).stdout
    )
    return document


def test_each_is_what_it_is_alone(folder: Path) -> None:
    """One architecture keeps its names, and has the same bytes."""
    many = build(folder, "-f", "kernel+initrd,tar-kernel-initrd")
    assert sorted(many) == [
        "os-amd64-cmdline", "os-amd64-initrd.img", "os-amd64-initrd.tar", "os-amd64-kernel",
        "os-arm64-cmdline", "os-arm64-initrd.img", "os-arm64-initrd.tar", "os-arm64-kernel",
    ]  # fmt: skip
    for architecture in ALL.split(","):
        for path in (folder / "out").iterdir():
            path.unlink()
        alone = build(folder, "-f", "kernel+initrd,tar-kernel-initrd", arch=architecture)
        for name, data in alone.items():
            other = many[name.replace("os-", f"os-{architecture}-", 1)]
            assert digest(data) == digest(other)
    assert digest(many["os-amd64-kernel"]) == digest(bzimage())
    assert digest(many["os-arm64-kernel"]) == digest(bzimage(0xAA64))


def test_sections_for_one_architecture(folder: Path) -> None:
    build(folder, "-f", "tar")
    found = {}
    for architecture in ALL.split(","):
        with tarfile.open(folder / "out" / f"os-{architecture}.tar") as archive:
            member = archive.extractfile("etc/arch")
            assert member is not None
            assert member.read().decode() == architecture
            found[architecture] = "etc/arm" in archive.getnames()
    assert found == {"amd64": False, "arm64": True}


def test_one_of_a_list_is_one(folder: Path) -> None:
    assert sorted(build(folder, "-f", "tar", arch="amd64, x86_64,")) == ["os.tar"]


def test_one_archive_has_all(folder: Path, tmp_path: Path) -> None:
    first = build(folder, "-f", "oci")
    assert sorted(first) == ["os.oci.tar"]
    source = f"oci-archive:{folder / 'out' / 'os.oci.tar'}"
    index = raw(source)
    assert _platforms(index) == ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]
    target = tmp_path / "copied"
    subprocess.run(["skopeo", "copy", "-q", "--all", source, f"dir:{target}"], check=True)
    _check(index, lambda name: (target / name).read_bytes())
    assert build(folder, "-f", "oci", "--force") == first
    without = build(folder, "-f", "oci", "--no-sbom")
    assert without != first
    assert _platforms(raw(source)) == ["linux/amd64", "linux/arm64"]


@pytest.mark.slow
def test_an_index_is_pushed(
    folder: Path, docker_registry: Callable[[], str], tmp_path: Path
) -> None:
    host = docker_registry()
    name = f"{host}/acme/system:7"
    build(folder, "-f", "oci,tar-kernel-initrd", "--push", name)
    index = raw(f"docker://{name}")
    assert len(_platforms(index)) == 4
    target = tmp_path / "copied"
    tls = "--src-tls-verify=false"
    subprocess.run(
        ["skopeo", "copy", "-q", "--all", tls, f"docker://{name}", f"dir:{target}"], check=True
    )
    _check(index, lambda name: (target / name).read_bytes())
    build(folder, "-f", "oci", "--push", name)
    assert raw(f"docker://{name}") == index


def _platforms(index: dict[str, Any]) -> list[str]:
    return sorted(
        f"{one['platform']['os']}/{one['platform']['architecture']}" for one in index["manifests"]
    )


def _check(index: dict[str, Any], read: Callable[[str], bytes]) -> None:
    """Each platform's artifact has its kernel; each has an SBOM of its own."""
    kernels = {"amd64": bzimage(), "arm64": bzimage(0xAA64)}
    about = []
    for entry in index["manifests"]:
        hexadecimal = entry["digest"].removeprefix("sha256:")
        data = read(f"{hexadecimal}.manifest.json")
        assert (digest(data), len(data)) == (hexadecimal, entry["size"])
        manifest = json.loads(data)
        layers = [read(one["digest"].removeprefix("sha256:")) for one in manifest["layers"]]
        if entry["platform"]["os"] == "linux":
            assert manifest["artifactType"] == ARTIFACT
            kernel = kernels.pop(entry["platform"]["architecture"])
            assert digest(layers[0]) == digest(kernel)
        else:
            statement = json.loads(layers[0])
            assert statement["predicateType"] == "https://spdx.dev/Document"
            assert statement["predicate"]["spdxVersion"] == "SPDX-2.3"
            subject = statement["subject"][0]["digest"]["sha256"]
            assert entry["annotations"]["vnd.docker.reference.digest"] == f"sha256:{subject}"
            about.append(subject)
    assert kernels == {}
    listed = [entry["digest"] for entry in index["manifests"]]
    assert all(f"sha256:{one}" in listed for one in about)
    assert len(set(about)) == 2


@pytest.mark.parametrize(
    ("options", "arch", "said"),
    [
        (("-f", "tar", "--o", "x.tar"), ALL, "architectures-one"),
        (("-f", "tar", "--input-tar", "x.tar"), ALL, "architectures-one"),
        (("-f", "raw-bios"), ALL, "format-architecture"),
        (("-f", "tar"), "amd64,vax", "platform"),
        (("-f", "tar"), "amd64,riscv64", "image-platform"),
    ],
)
def test_what_cannot_be_built(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    arch: str,
    said: str,
) -> None:
    """Nothing is written for the others, either."""
    (folder / "x.tar").touch()
    if "--o" in options:
        arguments = ["build", "--cache", str(folder / "store"), "--arch", arch, *options]
        assert main([*arguments, str(folder / "os.yml")]) == 1
    else:
        assert build(folder, *options, arch=arch, expected=1) == {}
    assert f"error[{said}" in capfd.readouterr().err


def test_the_merged_yaml_of_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(folder, "--dry-run")
    first, second = capsys.readouterr().out.split("---\n")
    assert "etc/arm" in second
    assert "etc/arm" not in first


def test_the_library(folder: Path) -> None:
    options = BuildOptions(
        images=ImageOptions(cache=folder / "store"),
        formats=("tar-kernel-initrd",),
        folder=folder / "out",
        architectures=("arm64", "amd64"),
    )
    written = compos.build([folder / "os.yml"], options)
    assert [path.name for path in written] == ["os-arm64-initrd.tar", "os-amd64-initrd.tar"]
    with pytest.raises(ComposError) as caught:
        compos.build(["-"], options)
    assert caught.value.id == "architectures-one"


@pytest.mark.slow
def test_remote_caches_have_each(
    folder: Path,
    docker_registry: Callable[[], str],
    capfd: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What one machine has made for each architecture serves another one, artifacts included."""
    cache = f"{docker_registry()}/team/cache"
    key = folder / "cache.key"
    assert main(["cache", "key", str(key)]) == 0
    formats = ("-f", "oci,tar-kernel-initrd", "--cache-key", str(key))
    first = build(folder, *formats, "--cache-to", cache)
    assert len(first) == 3
    other = tmp_path_factory.mktemp("other")
    filled(other)
    capfd.readouterr()
    assert build(other, *formats, "--cache-from", cache) == first
    assert capfd.readouterr().err.count("remote cache: ") == 2


def test_a_lock_has_all(folder: Path, docker_registry: Callable[[], str]) -> None:
    host = docker_registry()
    store = Store(folder / "store")
    for name in ("acme/kernel:1", "acme/init:1"):
        push(store, name, registry=Registry(), target=f"{host}/{name}")
    (folder / "os.yml").write_text(YAML.replace("acme/", f"{host}/acme/"))
    first = build(folder, "-f", "oci,kernel+initrd")
    flags = ("--cache", str(folder / "store"), "--arch", ALL)
    assert main(["lock", *flags, str(folder / "os.yml")]) == 0
    assert build(folder, "-f", "oci,kernel+initrd", "--locked", "--force") == first
