"""`compos push`, `run` and `clouds` as users see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.cloud.disks import small_disk
from tests.cloud.worlds import OPENERS, require

CONTAINERS = {"aws": "raw", "azure": "vhd", "gcp": "gcp", "openstack": "qcow2"}
PUSH_FLAGS = {
    "aws": (),
    "azure": ("--resource-group", "group", "--storage-account", "account"),
    "gcp": ("--project", "project", "--bucket", "bucket"),
    "openstack": (),
}
RUN_FLAGS = {
    **dict.fromkeys((*PUSH_FLAGS, "digitalocean", "hetzner", "scaleway"), ()),
    "azure": ("--resource-group", "group", "--accountName", "account"),
    "vcenter": ("--network", "LAN", "--cpus", "2"),
}
PUSH_CALLS = {
    "aws": ("StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot", "RegisterImage"),
    "azure": ("Put Blob", "Put Page", "Set Blob Metadata", "blobUri"),
    "gcp": ("uploadType=resumable", "bytes 0-", "rawDisk"),
    "openstack": ("POST /images", "PUT /images/"),
}
RUN_CALLS = {
    "aws": ("RunInstances", "GetConsoleOutput", "TerminateInstances"),
    "azure": ("virtualNetworks", "publicIPAddresses", "virtualMachines", "DELETE"),
    "gcp": ("/instances", "serialPort", "DELETE"),
    "openstack": ("POST /servers", "os-getConsoleOutput", "DELETE /servers"),
    "digitalocean": ("POST /v2/volumes", "POST /v2/droplets", "DELETE /v2/droplets"),
    "hetzner": ("POST /volumes", "POST /servers", "DELETE /servers"),
    "scaleway": ("/volumes", "user_data/cloud-init", "poweron", "terminate"),
    "vcenter": ("action=deploy", "action=attach", "power?action=start", "DELETE /vcenter/vm"),
}


@pytest.mark.parametrize("provider", PUSH_FLAGS)
def test_a_dry_run_of_a_push_needs_no_sdk(
    provider: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(tmp_path, CONTAINERS[provider])
    flags = ("--dry-run", "--no-check", "--cache", str(tmp_path / "store"), *PUSH_FLAGS[provider])
    if provider == "aws":
        require("aws")
    assert main(["push", provider, *flags, str(disk)]) == 0
    out = capsys.readouterr().out
    places = [out.index(call) for call in PUSH_CALLS[provider]]
    assert places == sorted(places)


@pytest.mark.parametrize("provider", RUN_FLAGS)
def test_a_dry_run_of_a_machine(provider: str, capsys: pytest.CaptureFixture[str]) -> None:
    if provider == "aws":
        require("aws")
    flags = ("--dry-run", "--rm", "--data", "the-word", "--disk", "size=10G", *RUN_FLAGS[provider])
    environment = {"CLOUDSDK_CORE_PROJECT": "project"}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        assert main(["run", provider, *flags, "web"]) == 0
    out = capsys.readouterr().out
    for call in RUN_CALLS[provider]:
        assert call in out
    assert "the-word" not in out
    assert "10" in out


@pytest.mark.slow
def test_a_push_prints_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    require("aws")
    with OPENERS["aws"](tmp_path) as world:
        for key, value in world.environment.items():
            monkeypatch.setenv(key, value)
        disk = small_disk(tmp_path, "raw")
        line = ["push", "aws", "--no-check", "--cache", str(tmp_path / "store"), str(disk)]
        monkeypatch.setattr("compos.cloud.aws.image.PAUSE", 0.01)
        capfd.readouterr()
        assert main(line) == 0
        out = capfd.readouterr().out.splitlines()
        (id,) = [one for one in out if one.startswith("ami-")]
        assert main([*line, "--json"]) == 0
        document = json.loads(capfd.readouterr().out.splitlines()[-1])
        assert document["id"] == document["ids"]["image"] == id
        assert document["found"] is True
        assert main(["clouds", "list", "aws", "--json"]) == 0
        listed = [json.loads(one) for one in capfd.readouterr().out.splitlines() if one[0] == "{"]
        assert [one["id"] for one in listed] == [id]
        assert main(["clouds", "gc", "aws", "--older", "1h"]) == 0
        assert list(world.whole()) == [id], "it is younger"
        assert main(["clouds", "gc", "aws", "--older", "0m", "--dry-run"]) == 0
        assert list(world.whole()) == [id], "nothing is removed in a dry run"
        assert main(["clouds", "gc", "aws", "--older", "0m"]) == 0
        assert world.everything() == []


@pytest.mark.slow
def test_credentials_that_lack_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require("aws")
    for key in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    disk = small_disk(tmp_path, "raw")
    line = ["push", "aws", "--no-check", "--cache", str(tmp_path / "store"), str(disk)]
    assert main(line) == 1
    error = capsys.readouterr().err
    assert "cloud-credentials" in error
    assert "AWS_PROFILE" in error


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    disk = small_disk(tmp_path, "raw")
    code = (
        "import sys\n"
        "sys.modules['boto3'] = None\n"
        "from compos.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    line = [
        sys.executable, "-c", code, "push", "aws", "--no-check", "--cache", str(tmp_path / "store"),
        str(disk),
    ]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'compos-linux[aws]'" in done.stderr


def test_help_imports_no_cloud() -> None:
    code = (
        "import sys\n"
        "from compos.cli.main import main\n"
        "main(['push', '--help']); main(['run', '--help'])\n"
        "print([one for one in sys.modules if one.startswith('compos.cloud')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (["push", "openstak", "x"], "openstack"),
        (["push", "equinixmetal", "x"], "Equinix Metal has ended"),
        (["push", "aws"], "Missing argument"),
        (["clouds", "gc", "aws"], "--older"),
        (["clouds", "gc", "aws", "--older", "soon"], "no age"),
        (["push", "aws", "--import", "x"], "--import requires --bucket"),
        (["push", "azure", "--version", "1.0.0", "x"], "resource-group"),
        (["push", "aws", "/nowhere/x"], "there is nothing to push"),
    ],
)
def test_mistakes(line: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 1
    assert word in capsys.readouterr().err
