"""The main examples on arm64, each until it does what it is for. `make matrix` runs them: emulated,
they take minutes, and what differs from amd64 is below them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from hatch_build import PROGRAMS, compile_program
from tests.boot.conftest import ROOT
from tests.boot.runtimes import until
from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.slow]

SECONDS = 600
"""Until a guest does what is waited for."""

NOBODYS_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOj9AFrne4zzbGBB9flrOUzy/bTQO5+qfcBG9TD9Amgg nobody"
)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Guest]:
    """Builds an example's text for arm64, and boots it with options."""
    for brick in PROGRAMS:
        compile_program(brick, "arm64")  # an installation from a checkout has this machine's only

    def build_and_boot(text: str, *options: str, number: int = 1) -> Guest:
        source = tmp_path / "system.yml"
        source.write_text(text)
        assert main(["build", "--arch", "arm64", "--dir", str(tmp_path), str(source)]) == 0
        state = ("--arch", "aarch64", "--state", f"{tmp_path}/state")
        return Guest(tmp_path / "system", *state, *options, log=tmp_path / f"console{number}.log")

    return build_and_boot


def example(name: str) -> str:
    return (ROOT / "examples" / f"{name}.yml").read_text()


def test_web(start: Callable[..., Guest]) -> None:
    port = free_port()
    with start(example("web"), "--publish", f"{port}:80") as guest:
        assert "Hello from a Linux composed of containers" in fetch(port, SECONDS)
        guest.prompt(SECONDS)
        assert "aarch64" in guest.run("uname -m")
        assert guest.power_off() == 0
        assert "so long and thanks for all the fish" in guest.text()


def test_one_build_for_two_architectures(tmp_path: Path) -> None:
    """What it makes for the other architecture is no output of this one under another name."""
    for brick in PROGRAMS:
        compile_program(brick, "arm64")
    source = tmp_path / "system.yml"
    source.write_text(example("web"))
    both = ["--arch", "amd64,arm64", "-f", "kernel+initrd,oci"]
    assert main(["build", *both, "--dir", str(tmp_path), str(source)]) == 0
    archive = f"oci-archive:{tmp_path / 'system.oci.tar'}"
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", archive], capture_output=True, text=True, check=True
    )
    listed = [one["platform"]["architecture"] for one in json.loads(shown.stdout)["manifests"]]
    # Those that are unknown are what is attested of the others.
    assert sorted(set(listed)) == ["amd64", "arm64", "unknown"]
    state = ("--arch", "aarch64", "--state", f"{tmp_path}/state")
    port = free_port()
    flags = (*state, "--publish", f"{port}:80")
    with Guest(tmp_path / "system-arm64", *flags, log=tmp_path / "console.log") as guest:
        assert "Hello from a Linux composed of containers" in fetch(port, SECONDS)
        guest.prompt(SECONDS)
        assert "aarch64" in guest.run("uname -m")
        assert guest.power_off() == 0


def test_sshd(start: Callable[..., Guest], tmp_path: Path) -> None:
    port, key = free_port(), tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    text = example("sshd")
    assert NOBODYS_KEY in text
    text = text.replace(NOBODYS_KEY, key.with_suffix(".pub").read_text().strip())
    client = ["ssh", "-F", "none", "-i", str(key), "-p", str(port)]
    for option in ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
        client += ["-o", option]
    with start(text, "--publish", f"{port}:22") as guest:
        until(guest, "Server listening on 0.0.0.0 port 22", SECONDS)
        done = subprocess.run(
            [*client, "root@127.0.0.1", "uname", "-m"],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.stdout == "aarch64\n", done.stderr


def test_wireguard(start: Callable[..., Guest]) -> None:
    with start(example("wireguard")) as guest:
        guest.expect(r"services started \(2 of 2\)", SECONDS)
        guest.prompt(SECONDS)
        assert "Hello through the tunnel" in guest.run("wget -qO- http://192.168.2.1/", SECONDS)
        assert guest.power_off() == 0


def test_persistent_disk(start: Callable[..., Guest], tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as stream:
        stream.truncate(256 << 20)
    for boot in (1, 2):
        options = ("--disk", f"file={disk},format=raw")
        with start(example("persistent-disk"), *options, number=boot) as guest:
            until(guest, rf"boots: {boot} /data/boots", SECONDS)
            guest.prompt(SECONDS)
            assert guest.power_off() == 0
