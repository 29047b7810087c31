"""What is in the bricks: nothing of Alpine's, and no file that neither the recipe nor one of its
Debian packages names. Images are read by Python's tarfile, packages by dpkg-deb.

It is here because the boot tests have built the bricks already.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from compos.cli.main import main
from compos.image.attestation import spdx_documents
from compos.image.door import stored_image
from compos.image.platform import Platform
from compos.image.reference import HUB
from compos.image.store import Store
from scripts.bricks import brick_folders
from tests.boot.conftest import STORE

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.xdist_group("boot")]

FOLDERS = brick_folders()
ALPINE = re.compile(
    r"(?:.*/)?(?:(?:lib|etc|var/cache)/apk(?:/.*)?|alpine-release|ld-musl-[^/]*|libc\.musl-[^/]*|apk)"
)
"""Paths that only an Alpine system has."""

MAX_HEAD = 4096
"""Bytes of a program in which the name of its interpreter stands."""


class Brick(NamedTuple):
    """A brick in the store: its recipe as YAML has it, its layer, its Debian packages."""

    folder: Path
    recipe: Mapping[str, Any]
    architecture: str
    layer: Path
    packages: tuple[Path, ...]


@pytest.fixture(scope="module")
def bricks() -> dict[str, Brick]:
    """Every brick, for amd64 or the only architecture that it has."""
    found = {}
    recipes = {folder: yaml.safe_load((folder / "build.yml").read_text()) for folder in FOLDERS}
    for architecture in ("amd64", "arm64"):
        build = ["pkg", "build", "-q", "--cache", str(STORE)]
        build += ["--platforms", f"linux/{architecture}"]
        folders = [
            folder
            for folder, recipe in recipes.items()
            if recipe.get("arches", ["amd64"]).count("amd64") == (architecture == "amd64")
        ]
        assert main([*build, *map(str, folders)]) == 0
        made = [stored(folder, recipes[folder], architecture) for folder in folders]
        # A full cache drops packages that have not been used for long.
        lacking = [str(one.folder) for one in made if not all(map(os.path.exists, one.packages))]
        assert not lacking or main([*build, "--force", *lacking]) == 0
        found.update(
            {folder.name: stored(folder, recipes[folder], architecture) for folder in folders}
        )
    return found


def stored(folder: Path, recipe: Mapping[str, Any], architecture: str) -> Brick:
    """A brick as the store has it now."""
    store = Store(STORE)
    name = f"{HUB}/compos/{folder.name}:{recipe['tag']}"
    image = stored_image(store, name, store.named(name), Platform("linux", architecture))
    (layer,) = image.layers
    (document,) = spdx_documents(store, image)
    packages = [
        STORE / "debian" / "packages" / one["checksums"][0]["checksumValue"]
        for one in document["packages"]
        if one["SPDXID"] != "SPDXRef-Image"
    ]
    # The small ones are read first: most of what a package does not list is found there.
    by_size = sorted(packages, key=lambda path: path.stat().st_size if path.exists() else 0)
    return Brick(folder, recipe, architecture, store.path(layer.digest), tuple(by_size))


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_nothing_is_alpines(bricks: dict[str, Brick], name: str) -> None:
    for path, data in files(bricks[name].layer):
        assert not ALPINE.fullmatch(path), path
        assert b"/ld-musl" not in data[:MAX_HEAD], f"{path} needs Alpine's C library"
        if path.endswith("os-release"):
            assert b"alpine" not in data.lower(), path


EVERYWHERE = ("dev", "etc/resolv.conf", "proc", "sys")
"""What builds add to every container."""


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_a_root_that_is_only_read_has_what_is_mounted_on(
    bricks: dict[str, Brick], name: str
) -> None:
    """runc cannot make a mount point in it. (crun can: it mounts before it takes writing away.)"""
    config = bricks[name].recipe.get("config", {})
    if not config.get("readonly"):
        return
    targets = [bind.split(":")[1] for bind in config.get("binds", ())]
    targets += [tmpfs.split(":")[0] for tmpfs in config.get("tmpfs", ())]
    with tarfile.open(bricks[name].layer) as tar:
        paths = {path.strip("/") for path in tar.getnames()}
    assert {target.strip("/") for target in targets} <= paths | {*EVERYWHERE}


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_every_file_is_named(bricks: dict[str, Brick], name: str) -> None:
    brick = bricks[name]
    named = own_files(brick)
    moved = brick.recipe.get("debian", {}).get("move", {})
    for path, data in files(brick.layer):
        if path in named:
            assert named[path] in (None, data), f"{path} is not the recipe's"
        elif "kernel" in brick.recipe and path in KERNEL_FILES:
            kernel_file(brick, path, data)
        else:
            origin = before_move(path, moved)
            assert is_debians(brick, origin, data), f"nothing names {path} ({origin})"
    for path, target in links(brick.layer):
        origin = before_move(path, moved)
        ours = (
            path in own_links(brick)
            or path in KERNEL_LINKS
            or target in (f"/{usr(path)}", usr(path))
        )
        assert ours or any(usr(origin) in unlisted(package) for package in brick.packages), (
            f"nothing names the link {path} -> {target}"
        )


def test_the_scan_sees_what_is_wrong(tmp_path: Path, bricks: dict[str, Brick]) -> None:
    """A file that was added, and one that was changed."""
    brick = bricks["sysctl"]
    contents = dict(files(brick.layer))
    assert is_debians(brick, "usr/bin/busybox", contents["bin/busybox"])
    assert not is_debians(brick, "usr/bin/busybox", contents["bin/busybox"] + b"x")
    assert not is_debians(brick, "usr/bin/other", b"x")
    for path in ("lib/apk/db/installed", "etc/alpine-release", "lib/ld-musl-x86_64.so.1"):
        assert ALPINE.fullmatch(path)


def files(layer: Path | io.BytesIO) -> Iterator[tuple[str, bytes]]:
    """The regular files of a plain tar."""
    stream = layer.open("rb") if isinstance(layer, Path) else layer
    with stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.isreg() or member.islnk():
                content = tar.extractfile(member)
                assert content is not None
                yield member.name.removeprefix("./"), content.read()


def links(layer: Path) -> Iterator[tuple[str, str]]:
    """The symbolic links of a plain tar, with their targets."""
    with tarfile.open(layer, mode="r:") as tar:
        yield from ((member.name, member.linkname) for member in tar if member.issym())


def own_links(brick: Brick) -> set[str]:
    """The symbolic links of a recipe."""
    named = (path for paths in brick.recipe.get("links", {}).values() for path in paths)
    files = (entry["path"] for entry in brick.recipe.get("files", ()) if "symlink" in entry)
    return {*named, *files}


def own_files(brick: Brick) -> dict[str, bytes | None]:
    """The files of a recipe, with their contents; None where these are made of Debian's."""
    own: dict[str, bytes | None] = {}
    for entry in brick.recipe.get("files", ()):
        if "source" in entry:
            source = brick.folder / entry["source"].replace("${arch}", brick.architecture)
            own[entry["path"]] = source.read_bytes()
        elif "contents" in entry:
            own[entry["path"]] = entry["contents"].encode()
    return own | {entry["path"]: None for entry in brick.recipe.get("concatenate", ())}


KERNEL_FILES, KERNEL_LINKS = ("kernel", "kernel.tar", "ucode.cpio"), ("intel-ucode.cpio",)
"""What `kernel:` in a recipe makes."""


def kernel_file(brick: Brick, path: str, data: bytes) -> None:
    """The kernel is Debian's; its modules are, too, but decompressed and with indexes. Microcode is
    judged by `tests/package`, of which package it is."""
    if path == "ucode.cpio":
        listed = subprocess.run(["cpio", "-it", "--quiet"], input=data, capture_output=True)
        makers = ("kernel/x86/microcode/AuthenticAMD.bin", "kernel/x86/microcode/GenuineIntel.bin")
        names = [name for name in listed.stdout.decode().split() if name.endswith(".bin")]
        assert sorted(names) == sorted(makers)
        return
    sums = [debian_sums(package) for package in brick.packages]
    if path == "kernel":
        assert hashlib.md5(data, usedforsecurity=False).hexdigest() in {
            known for one in sums for known in one.values()
        }
        return
    packaged = {usr(name) for one in sums for name in one}
    for name, _ in files(io.BytesIO(data)):
        index = re.fullmatch(r"(?:usr/)?lib/modules/[^/]+/modules\.[\w.]+", name)
        tree = name.startswith("boot/dtb/")
        assert index or tree or {usr(name), usr(f"{name}.xz")} & packaged, name


def before_move(path: str, moves: Mapping[str, str]) -> str:
    """Where a Debian package has a file of an image."""
    for old, new in moves.items():
        if path == new or path.startswith(f"{new}/"):
            return old + path[len(new) :]
    return path


def is_debians(brick: Brick, path: str, data: bytes) -> bool:
    """Whether one of a brick's packages has this file at this path."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if any(debian_sums(package).get(usr(path)) == md5 for package in brick.packages):
        return True
    # Packages give no sums of their configuration files.
    return any(unlisted(package).get(usr(path)) == md5 for package in brick.packages)


def usr(path: str) -> str:
    """Debian's /bin, /sbin and /lib are links into /usr, which bricks have not."""
    return f"usr/{path}" if path.split("/")[0] in ("bin", "sbin", "lib", "lib64") else path


@cache
def debian_sums(package: Path) -> dict[str, str]:
    """The MD5 sums of a package's files, as the package lists them, by path."""
    with tarfile.open(fileobj=io.BytesIO(extracted("--ctrl-tarfile", package))) as control:
        listed = control.extractfile("./md5sums")
        assert listed is not None
        lines = (line.split("  ", 1) for line in listed.read().decode().splitlines())
        return {usr(path): md5 for md5, path in lines}


@cache
def unlisted(package: Path) -> dict[str, str]:
    """The MD5 sums of a package's files, computed; links are listed without one."""
    data = extracted("--fsys-tarfile", package)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        found = {usr(one.name.removeprefix("./")): "" for one in tar if one.issym()}
    for path, content in files(io.BytesIO(data)):
        found[usr(path)] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return found


def extracted(what: str, package: Path) -> bytes:
    return subprocess.run(["dpkg-deb", what, package], capture_output=True, check=True).stdout
