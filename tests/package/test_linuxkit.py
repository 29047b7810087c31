"""LinuxKit's packages by our bricks: names, notices, and what is left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

import compos
from compos.api.load import load
from compos.api.options import LoadOptions
from compos.config.images import image_references
from compos.package.bricks import bricks_folder
from compos.package.recipe import load_recipe
from compos.progress import Silent, listening

SYSTEM = """
kernel: {image: "linuxkit/kernel:6.6.71", cmdline: "console=ttyS0"}
init:
  - linuxkit/init:8eea386739975a43af558eec757a7dcb3a3d2e7b
  - docker.io/linuxkit/runc:v1@sha256:DIGEST
onboot:
  - {name: sysctl, image: linuxkit/sysctl:5a374e4bf3e5a7deeacff6571d0f30f7ea8f56db}
services:
  - {name: none, image: linuxkit/no-such-package:1}
  - {name: web, image: nginx:alpine}
  - {name: theirs, image: registry.example/linuxkit/sysctl:1}
""".replace("DIGEST", "ab" * 32)


class Notices(Silent):
    """A listener that keeps notices."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


def tagged(name: str) -> str:
    return f"compos/{name}:{load_recipe(bricks_folder() / name).tag}"


@pytest.mark.parametrize("by", ["option", "YAML"])
def test_names(tmp_path: Path, by: str) -> None:
    path = tmp_path / "os.yml"
    path.write_text(SYSTEM + ("bricks: linuxkit\n" if by == "YAML" else ""))
    options = LoadOptions("amd64", bricks_for="linuxkit" if by == "option" else None)
    notices = Notices()
    with listening(notices):
        config = load([path], options).config
    assert [*image_references(config)] == [
        tagged("kernel-generic"),
        tagged("init"),
        tagged("runc"),
        tagged("sysctl"),
        "linuxkit/no-such-package:1",
        "nginx:alpine",
        "registry.example/linuxkit/sysctl:1",
    ]
    assert notices.texts[0] == f"linuxkit/kernel:6.6.71 is replaced by {tagged('kernel-generic')}"
    assert len(notices.texts) == 5, "one for each package, none for other images"
    assert "no-such-package:1 has no equal" in notices.texts[-1]


def test_ctr_comes_with_containerd(tmp_path: Path) -> None:
    """LinuxKit's image has both, in one."""
    path = tmp_path / "os.yml"
    path.write_text("init: ['linuxkit/containerd:1', 'linuxkit/runc:1']\n")
    notices = Notices()
    with listening(notices):
        config = load([path], LoadOptions("amd64", bricks_for="linuxkit")).config
    assert config.init == (tagged("containerd"), tagged("ctr"), tagged("runc"))
    assert notices.texts[0] == (
        f"linuxkit/containerd:1 is replaced by {tagged('containerd')} and {tagged('ctr')}"
    )


def test_without_it_names_stay(tmp_path: Path) -> None:
    path = tmp_path / "os.yml"
    path.write_text(SYSTEM)
    assert "linuxkit/kernel:6.6.71" in [*image_references(compos.load([path]).config)]


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("vpnkit-expose-port", "the brick docker publish ports"),
        ("vpnkit-forwarder", "the brick vsudd forwards vsock"),
        ("kernel-bcc", "the brick bpftrace needs neither"),
    ],
)
def test_what_has_no_equal(tmp_path: Path, package: str, words: str) -> None:
    """What serves instead is a brick that there is."""
    path = tmp_path / "os.yml"
    path.write_text(f"init: ['linuxkit/{package}:1']\n")
    notices = Notices()
    with listening(notices):
        load([path], LoadOptions("amd64", bricks_for="linuxkit"))
    (text,) = notices.texts
    assert text.startswith(f"linuxkit/{package}:1 has no equal")
    assert words in text


@pytest.mark.parametrize(
    ("package", "brick"),
    [("kernel-perf", "perf"), ("firmware-all", "firmware"), ("cadvisor", "cadvisor")],
)
def test_other_names(tmp_path: Path, package: str, brick: str) -> None:
    path = tmp_path / "os.yml"
    path.write_text(f"init: ['linuxkit/{package}:1']\n")
    config = load([path], LoadOptions("amd64", bricks_for="linuxkit")).config
    assert [*image_references(config)] == [tagged(brick)]


def test_another_family_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "os.yml"
    path.write_text("bricks: yocto\n")
    with pytest.raises(compos.ComposError) as caught:
        compos.load([path])
    assert caught.value.message == "'yocto' is neither linuxkit nor a registry"
