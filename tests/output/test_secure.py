"""`secure: true`: what a build then requires, and what its outputs lack: nothing in them starts
without a signature."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.api.secure import Finding, findings
from compos.errors import OutputError
from compos.output.formats import FORMATS
from tests.compose.systems import World
from tests.images import Member, make_image
from tests.output.bootable import YAML, filled
from tests.output.test_formats import build, refused

pytestmark = pytest.mark.slow

SECURE = YAML + "secure: true\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return str(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return filled(World(tmp_path_factory.mktemp("world")))


def test_without_keys_it_says_what_to_do(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(world, capfd, "-f", "raw-efi", yaml=SECURE)
    assert "error[secure-keys]" in said
    assert "compos keys new keys" in said
    assert "--keys keys" in said


@pytest.mark.parametrize("form", [one.name for one in FORMATS.values() if not one.streamable])
def test_formats(form: str, keys: str, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Those in which something starts that nobody signs are refused."""
    if "amd64" not in FORMATS[form].architectures:
        return
    signed = form not in (
        *("kernel+initrd", "kernel+squashfs", "kernel+erofs", "kernel+iso", "tar-kernel-initrd"),
        *("iso-bios", "raw-bios", "qcow2-bios", "firecracker", "oci", "bootc"),
    )
    options = ("-f", form, "--keys", keys, "--size", "64M")
    if not signed:
        assert "error[secure-format]" in refused(world, capfd, *options, yaml=SECURE)
        return
    named = "update: {compatible: gateway, version: 1.0.0}\n" if form == "update" else ""
    (image,) = build(world, *options, yaml=SECURE + named).iterdir()
    if form == "ova":
        with tarfile.open(image) as archive:
            description = archive.extractfile(archive.getmembers()[0])
            assert description is not None
            assert b'firmware" vmw:value="efi"' in description.read()
    elif image.suffix == ".iso":
        line = ["xorriso", "-indev", str(image), "-report_el_torito", "plain"]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        assert "UEFI" in said
        assert "BIOS" not in said


def test_a_disk(keys: str, world: World) -> None:
    """`raw` has no loader for a BIOS, and all that `findings` asks for."""
    disk = build(world, "-f", "raw", "--keys", keys, yaml=SECURE) / "os.img"
    assert not any(disk.read_bytes()[:440])
    done = subprocess.run(["sfdisk", "--json", disk], capture_output=True, text=True, check=True)
    names = [one["name"] for one in json.loads(done.stdout)["partitiontable"]["partitions"]]
    assert names == ["EFI System", "root", "root-verity"]
    assert state(disk) == {"signature": True, "root": True, "policies": True}
    program = build(world, "-f", "uki", "--keys", keys, yaml=SECURE) / "os.efi"
    assert state(program) == {"signature": True, "root": True, "policies": True}


def state(file: Path) -> dict[str, bool]:
    return {one.name: one.on for one in findings(file)}


def test_what_a_plain_system_lacks(world: World) -> None:
    disk = build(world, "-f", "raw-efi", "--root", "erofs") / "os-efi.img"
    assert state(disk) == {"signature": False, "root": False, "policies": False}
    told = {one.name: one for one in findings(disk)}
    assert told["signature"] == Finding(
        "signature", on=False, text="the program is not signed: build with --keys"
    )
    (world.folder / "nonsense").write_text("nonsense")
    with pytest.raises(OutputError) as caught:
        findings(world.folder / "nonsense")
    assert caught.value.id == "measure-image"


def test_roots(keys: str, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    for root in ("erofs", "erofs-zstd", "squashfs", "ext4"):
        options = ("-f", "raw-efi", "--keys", keys, "--root", root)
        assert "error[secure-root]" in refused(world, capfd, *options, yaml=SECURE)
    for root in ("initrd", "squashfs-verity"):
        build(world, "-f", "raw-efi", "--keys", keys, "--root", root, yaml=SECURE)


def test_confinement(keys: str, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("-f", "raw-efi", "--keys", keys)
    yaml = f"{SECURE}confinement: linuxkit\n"
    assert "error[secure-confinement]" in refused(world, capfd, *options, yaml=yaml)
    labels = {"Labels": {"org.mobyproject.config": '{"capabilities": ["all"]}'}}
    make_image(world.store, "acme/grants:1", [[Member("bin/app", content="x")]], labels)
    granting = SECURE.replace("acme/app:1", "acme/grants:1")
    assert "acme/grants:1" in refused(world, capfd, *options, yaml=granting)
    build(world, *options, yaml=granting.replace("secure: true", ""))
