"""Platforms: spelling, the host's own, and what serves for what."""

from __future__ import annotations

import subprocess

import pytest

from compos.errors import ImageError
from compos.image.platform import Platform


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64/v8", "linux/arm/v7", "windows/amd64"])
def test_round_trip(text: str) -> None:
    platform = Platform.parse(text)
    assert str(platform) == text
    assert Platform.from_json(platform.to_json()) == platform


@pytest.mark.parametrize(
    "text", ["", "amd64", "linux/", "/amd64", "linux/arm/v7/x", "Linux/amd64", "linux/amd64\n"]
)
def test_nonsense(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Platform.parse(text)
    assert caught.value.id == "platform-syntax"


def test_names_of_machines_are_not_platforms_of_images() -> None:
    assert Platform.parse("linux/x86_64").architecture == "x86_64"


def test_host_is_what_dpkg_says() -> None:
    debian = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, check=True, text=True
    ).stdout.strip()
    names = {"armhf": "arm", "i386": "386", "ppc64el": "ppc64le"}
    assert Platform.host().architecture == names.get(debian, debian)
    assert Platform.host().os == "linux"


# offered, wanted, whether it serves
OFFERS = [
    ("linux/amd64", "linux/amd64", True),
    ("linux/amd64", "linux/arm64", False),
    ("windows/amd64", "linux/amd64", False),
    ("linux/arm64/v8", "linux/arm64", True),
    ("linux/arm64", "linux/arm64/v8", True),
    ("linux/arm/v6", "linux/arm", True),
    ("linux/arm/v6", "linux/arm/v7", True),
    ("linux/arm/v7", "linux/arm/v6", False),
    ("linux/amd64/v3", "linux/amd64", True),
    ("linux/arm", "linux/arm/v7", True),
    ("linux/amd64/v3", "linux/amd64/v1", False),
]


@pytest.mark.parametrize(("offered", "wanted", "serves"), OFFERS)
def test_offers(offered: str, wanted: str, serves: bool) -> None:
    assert Platform.parse(offered).offers(Platform.parse(wanted)) is serves
