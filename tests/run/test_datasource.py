"""Disks of cloud-init's data sources, read by xorriso, mtools and blkid; the guests that read them
are those of the tutorial and of `make matrix`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from compos.cli.main import main
from compos.errors import RunError
from compos.run.datasource import FORMS, MAX_USER_DATA, SOURCES, Instance, write_datasource

KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOj9AFrne4zzbGBB9flrOUzy me@host "it\'s" ü'
INSTANCE = Instance(
    b"#cloud-config\nhostname: x\n", "rack-1.example", (KEY, "ssh-rsa AAAA"), b'{"links": []}'
)


def contents(path: Path, form: str, folder: Path) -> dict[str, bytes]:
    """What another program finds on a disk."""
    folder.mkdir()
    if form == "iso":
        extract = ["xorriso", "-osirrox", "on", "-indev", f"stdio:{path}"]
        extract += ["-extract", "/", str(folder / "all")]
        subprocess.run(extract, check=True, capture_output=True)
    else:
        subprocess.run(["fsck.fat", "-n", path], check=True, capture_output=True)
        subprocess.run(["mcopy", "-s", "-n", "-i", path, "::/", folder / "all"], check=True)
    root = folder / "all"
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def label(path: Path) -> str:
    command = ["blkid", "-p", "-s", "LABEL", "-o", "value", str(path)]
    return subprocess.check_output(command, text=True).strip()


@pytest.mark.parametrize("form", FORMS)
def test_nocloud(tmp_path: Path, form: str) -> None:
    """Its documentation wants `user-data` and `meta-data`, in YAML, under the label `cidata`."""
    path = tmp_path / "seed"
    write_datasource(INSTANCE._replace(vendor_data=b"v"), "nocloud", form, path)
    assert label(path).lower() == "cidata"
    found = contents(path, form, tmp_path / "found")
    meta = yaml.safe_load(found.pop("meta-data"))
    assert meta.pop("instance-id")
    assert meta == {"local-hostname": "rack-1.example", "public-keys": [KEY, "ssh-rsa AAAA"]}
    assert found == {
        "user-data": INSTANCE.user_data,
        "network-config": INSTANCE.network,
        "vendor-data": b"v",
    }
    write_datasource(Instance(), "nocloud", form, path)
    assert set(contents(path, form, tmp_path / "empty")) == {"user-data", "meta-data"}


@pytest.mark.parametrize("form", FORMS)
def test_config_drive(tmp_path: Path, form: str) -> None:
    """OpenStack's tree, under the label `config-2`; `uuid` is what cloud-init cannot do without."""
    path = tmp_path / "drive"
    write_datasource(INSTANCE, "config-drive", form, path)
    assert label(path).lower() == "config-2"
    found = contents(path, form, tmp_path / "found")
    meta = json.loads(found.pop("openstack/latest/meta_data.json"))
    assert len(meta.pop("uuid")) == 36
    assert meta == {
        "hostname": "rack-1.example",
        "name": "rack-1",
        "public_keys": {"key-0": KEY, "key-1": "ssh-rsa AAAA"},
    }
    assert found == {
        "openstack/latest/user_data": INSTANCE.user_data,
        "openstack/latest/network_data.json": INSTANCE.network,
    }


def test_the_id_follows_from_all_that_is_said(tmp_path: Path) -> None:
    seen: set[str] = set()
    changes: tuple[dict[str, Any], ...] = ({}, {"user_data": b"y"}, {"hostname": "y"}, {"keys": ("ssh-rsa B",)}, {"network": b"{}"}, {"vendor_data": b"{}"})  # fmt: skip
    for change in changes:
        instance = INSTANCE._replace(**change)
        for number in range(2):
            write_datasource(instance, "nocloud", "fat", tmp_path / f"{number}")
        assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
        seen.add(yaml.safe_load(contents(tmp_path / "0", "fat", tmp_path / f"c{len(seen)}")["meta-data"])["instance-id"])  # fmt: skip
    assert len(seen) == len(changes)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"hostname": "a b"}, "metadata-hostname"),
        ({"hostname": "-a"}, "metadata-hostname"),
        ({"hostname": "a\nroot: x"}, "metadata-hostname"),
        ({"hostname": "a" * 64}, "metadata-hostname"),
        ({"hostname": "a." * 127 + "a"}, "metadata-hostname"),
        ({"id": "a b"}, "metadata-id"),
        ({"id": 'a"\n'}, "metadata-id"),
        ({"keys": ("ssh-rsa",)}, "metadata-key"),
        ({"keys": ("ssh-rsa AAAA\nssh-rsa BBBB",)}, "metadata-key"),
        ({"keys": ("-----BEGIN OPENSSH PRIVATE KEY-----",)}, "metadata-key"),
        ({"keys": ('command="x" ssh-rsa AAAA',)}, "metadata-key"),
        ({"network": b"version: 2"}, "metadata-json"),
        ({"network": b"[" * 100_000}, "metadata-json"),
        ({"network": b"\xff"}, "metadata-json"),
        ({"vendor_data": b"[]"}, "metadata-json"),
        ({"user_data": bytes(MAX_USER_DATA + 1)}, "metadata-size"),
    ],
)
def test_what_is_no_metadata(tmp_path: Path, change: dict[str, Any], error: str) -> None:
    with pytest.raises(RunError) as caught:
        write_datasource(INSTANCE._replace(**change), "config-drive", "iso", tmp_path / "x")
    assert caught.value.id == error
    assert "AAAA" not in str(caught.value)
    assert "PRIVATE" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", SOURCES)
def test_the_command(tmp_path: Path, source: str) -> None:
    keys, data = tmp_path / "id.pub", tmp_path / "data"
    keys.write_text(f"# mine\n\n{KEY}\r\n")
    data.write_bytes(b"\xff\0")
    path = tmp_path / "made"
    flags = ["--user-data", str(data), "--ssh-key", str(keys), "--instance-id", "i-1"]
    assert main(["metadata", source, str(path), *flags, "--hostname", "h", "--format", "fat"]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    found = contents(path, "fat", tmp_path / "found")
    assert b"\xff\0" in found.values()
    meta = next(data for name, data in found.items() if name.endswith(("meta-data", "a.json")))
    assert yaml.safe_load(meta).get("instance-id", "i-1") == "i-1"
    assert KEY in yaml.safe_load(meta).get("public-keys", [KEY])
