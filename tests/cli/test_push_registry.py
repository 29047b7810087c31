"""`compos push registry` into Debian's docker-registry, fetched by skopeo."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compos.api.keys import new_keys
from compos.cli.main import main
from tests.compose.systems import World
from tests.image.conftest import HTPASSWD, docker_registry
from tests.output.bootable import YAML, bzimage, filled

__all__ = ["docker_registry"]

ARTIFACT = "application/vnd.compos.system.v1"
TLS = "--src-tls-verify=false"


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = filled(World(tmp_path))
    (tmp_path / "web.yml").write_text(YAML)
    return found


def push(world: World, name: str, source: str, *flags: str) -> int:
    line = ["push", "registry", *world.flags, "--dir", str(world.folder), "--img-name", name]
    return main([*line, *flags, str(world.folder / source)])


def fetched(name: str, folder: Path, *flags: str) -> tuple[dict[str, Any], list[bytes]]:
    """The manifest, and the contents of its layers, whose digests skopeo has checked."""
    command = ["skopeo", "copy", "-q", TLS, *flags, f"docker://{name}", f"dir:{folder}"]
    subprocess.run(command, check=True)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    names = [one["digest"].removeprefix("sha256:") for one in manifest["layers"]]
    return manifest, [(folder / name).read_bytes() for name in names]


def test_a_system_is_pushed_and_fetched(
    world: World, docker_registry: Callable[[], str], tmp_path: Path
) -> None:
    name = f"{docker_registry()}/os/web:7"
    assert push(world, name, "web.yml") == 0
    manifest, layers = fetched(name, tmp_path / "first")
    assert manifest["artifactType"] == ARTIFACT
    titles = [one["annotations"]["org.opencontainers.image.title"] for one in manifest["layers"]]
    assert titles == ["kernel", "initrd.img", "cmdline"]
    assert layers[0] == bzimage()
    # What was built is what is there, and it is the same the next time.
    archive = main(["build", *world.flags, "-f", "kernel+initrd", "--dir", str(tmp_path),
                    str(tmp_path / "web.yml")])  # fmt: skip
    assert archive == 0
    assert layers[1] == (tmp_path / "web-initrd.img").read_bytes()
    assert push(world, name, "web.yml") == 0
    assert fetched(name, tmp_path / "second")[0] == manifest


@pytest.mark.slow
def test_an_archive_that_was_built_is_pushed(
    world: World,
    docker_registry: Callable[[], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also one that has no name yet."""
    host = docker_registry()
    line = ["build", *world.flags, "-f", "oci", "--dir", str(tmp_path)]
    assert main([*line, str(tmp_path / "web.yml")]) == 0
    assert push(world, f"{host}/os/web:1", "web") == 0, capsys.readouterr().err
    nameless, _ = fetched(f"{host}/os/web:1", tmp_path / "1")
    assert main([*line, "--push", f"{host}/os/built:1", str(tmp_path / "web.yml")]) == 0
    for source, tag in (("web", "2"), ("web.oci.tar", "3")):
        assert push(world, f"{host}/os/web:{tag}", source) == 0, capsys.readouterr().err
        manifest, _ = fetched(f"{host}/os/web:{tag}", tmp_path / tag)
        assert manifest == nameless
        assert manifest == fetched(f"{host}/os/built:1", tmp_path / f"built{tag}")[0]


def test_a_password_is_needed_and_stays_out_of_messages(
    world: World,
    docker_registry: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    name = f"{docker_registry(auth=auth)}/os/web:1"
    assert push(world, name, "web.yml") == 1
    assert "error[registry" in capsys.readouterr().err
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    token = "dGVzdGVyOnNlY3JldA=="  # tester:secret
    host = name.partition("/")[0]
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": token}}}))
    assert push(world, name, "web.yml") == 0
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err
    assert token not in shown.out + shown.err
    manifest, _ = fetched(name, tmp_path / "copied", "--src-creds", "tester:secret")
    assert manifest["artifactType"] == ARTIFACT


def test_a_dry_run_sends_nothing(
    world: World, docker_registry: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{docker_registry()}/os/web:1"
    assert push(world, name, "web.yml", "--dry-run") == 0
    assert f"would be pushed as {name}" in capsys.readouterr().err
    command = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_container_image_with_a_kernel(
    world: World, docker_registry: Callable[[], str], tmp_path: Path
) -> None:
    """Where bootc's documentation has kernel, initramfs and arguments; skopeo reads the image."""
    name = f"{docker_registry()}/os/web:boot"
    assert push(world, name, "web.yml", "--bootable") == 0
    manifest, layers = fetched(name, tmp_path / "fetched")
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"]
    about = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert about["Labels"]["containers.bootc"] == "1"
    assert (about["Os"], about["Architecture"]) == ("linux", "amd64")
    assert len(manifest["layers"]) == 1
    with tarfile.open(fileobj=io.BytesIO(unpacked(layers[0]))) as archive:
        names = archive.getnames()
        found = {one: archive.extractfile(one) for one in names if "/modules/6.1/" in one}
        kargs = archive.extractfile("usr/lib/bootc/kargs.d/10-compos.toml")
        assert kargs is not None
        assert tomllib.loads(kargs.read().decode())["kargs"][0] == "console=ttyS0"
        kernel, initramfs = (
            found[f"usr/lib/modules/6.1/{name}"] for name in ("vmlinuz", "initramfs.img")
        )
        assert kernel is not None
        assert initramfs is not None
        assert kernel.read() == bzimage()
        line = ["build", *world.flags, "-f", "kernel+initrd", "--dir", str(tmp_path)]
        assert main([*line, str(tmp_path / "web.yml")]) == 0
        assert initramfs.read() == (tmp_path / "web-initrd.img").read_bytes()
        assert [one for one in names if one.startswith("boot")] == ["boot"]
        assert "etc/motd" in names
    # The archive that was built is pushed, too, and is the same image.
    again = f"{name.rpartition(':')[0]}:again"
    assert push(world, again, "web", "--bootable") == 0
    assert fetched(again, tmp_path / "again")[0] == manifest


def unpacked(layer: bytes) -> bytes:
    """A layer as pushes compress it."""
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


UPDATE = YAML + "update: {compatible: acme-gateway, version: 1.4.0}\n"


@pytest.fixture
def bundle(world: World) -> Path:
    new_keys(world.folder / "keys")
    (world.folder / "os.yml").write_text(UPDATE)
    flags = ["-f", "update", "--keys", str(world.folder / "keys"), "--dir", str(world.folder)]
    flags += ["--root", "erofs-verity-appended", str(world.folder / "os.yml")]
    assert main(["build", *world.flags, *flags]) == 0
    return world.folder / "os.raucb"


def test_an_update_and_how_far_it_is_rolled_out(
    world: World, bundle: Path, docker_registry: Callable[[], str], tmp_path: Path
) -> None:
    name = f"{docker_registry()}/acme/gateway:stable"
    assert push(world, name, bundle.name) == 0
    first, layers = fetched(name, tmp_path / "first")
    assert layers == [bundle.read_bytes()]
    assert first["artifactType"] == "application/vnd.compos.update.v1"
    (layer,) = first["layers"]
    assert layer["mediaType"] == "application/vnd.compos.update.bundle.v1"
    assert layer["annotations"] == {"org.opencontainers.image.title": "os.raucb"}
    assert first["annotations"] == {"org.opencontainers.image.version": "1.4.0"}
    for given, said in (("5", "5"), ("0.5%", "0.5"), ("100", "100")):
        assert push(world, name, bundle.name, "--rollout", given) == 0
        wider, _ = fetched(name, tmp_path / said)
        assert wider["annotations"]["org.compos.update.rollout"] == said
        assert wider["layers"] == first["layers"]


@pytest.mark.parametrize("rollout", ["", "x", "101", "-1", "1.234", "1\n", "1e1"])
def test_what_is_no_percentage(
    world: World, rollout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(world, "127.0.0.1:1/a/b:c", "os.raucb", f"--rollout={rollout}") == 1
    assert "error[rollout]" in capsys.readouterr().err


def test_only_updates_are_rolled_out(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(world, "127.0.0.1:1/a/b:c", "web.yml", "--rollout", "5") == 1
    assert "only updates are rolled out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"x" * 7, bytes(8), b"\xff" * 100, bytes(100) + b"\0\0\0\0\0\0\0\x64"),
        *(bytes(1 << 17) + b"\0\0\0\0\0\1\0\0", b"[update]\ncompatible=a\nversion=\n" + bytes(8)),
        None,
    ],
    ids=range(8),
)
def test_what_is_no_update(
    world: World, data: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if data is not None:
        (world.folder / "no.raucb").write_bytes(data)
    assert push(world, "127.0.0.1:1/a/b:c", "no.raucb") == 1
    assert "error[cloud-file]: no.raucb is no update: " in capsys.readouterr().err
