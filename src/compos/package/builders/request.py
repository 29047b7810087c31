"""What is to be built from a Dockerfile, and what every builder of Dockerfiles can do. Pure.

A builder is a program on this machine, here or somewhere else behind it. It gets a request, and
hands back an archive of an image, in which nothing is believed before the door has seen it
(`image.door`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, Protocol

from compos.image.model import Descriptor, Image
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.registries.credentials import Credentials
from compos.image.registries.mirrors import Endpoint
from compos.image.store import Store
from compos.package.builders.dockerfile import Use

__all__ = [
    "NO_SBOM",
    "Base",
    "BuildOptions",
    "Built",
    "Container",
    "DockerfileBuilder",
    "Request",
]

NO_SBOM = "false"
"""In place of a scanner: no SBOM at all."""


class Container(NamedTuple):
    """A container of the Docker Engine with a BuildKit daemon; `config` is its `buildkitd.toml`.
    The defaults are LinuxKit's."""

    name: str = "linuxkit-builder"
    image: str = "moby/buildkit:v0.26.3"
    config: Path | None = None
    restart: bool = False


class BuildOptions(NamedTuple):
    """How Dockerfiles are built, whatever package it is.

    `builder` is a builder's name or the address of a BuildKit daemon; empty: the first that can be
    used. `builders` are Docker contexts or such addresses by platform. `secrets`, `ssh`, `cache_to`
    and `cache_from` are passed on in the syntax of `docker buildx build`, as is `provenance` unless
    it is empty. `sbom_scanner` is the image of BuildKit's scanner; empty: an SBOM of ours;
    `NO_SBOM`: none. `network` and `cache` override what a package says. With `fresh_bases`, base
    images are asked of registries even if the store has them; `credentials` are for these
    registries, in place of the user's own. `shows_output` reports what a builder prints, line by
    line. `container` is where a BuildKit daemon runs, unless an address says another.
    """

    builder: str = ""
    builders: Mapping[str, str] = MappingProxyType({})
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    sbom_scanner: str = ""
    provenance: str = ""
    network: bool | None = None
    cache: bool | None = None
    fresh_bases: bool = False
    credentials: Callable[[Endpoint], Credentials | None] | None = None
    shows_output: bool = False
    container: Container | None = None


class Base(NamedTuple):
    """An image that a Dockerfile uses, complete in the store: `text` is how it is named, with
    arguments replaced, `root` the manifest, or the index if it is named by that or used for several
    platforms. `images` are those of these platforms, `digests` their digests."""

    text: str
    reference: Reference
    root: Descriptor
    uses: tuple[Use, ...]
    digests: Mapping[Platform, str]
    images: tuple[Image, ...]


class Request(NamedTuple):
    """One image to build. `store` has the `bases`; `scratch` is an empty folder for the builder.

    `dockerfile` is its path in the context, `text` its contents. `context` writes the context as a
    tar; with another text, that stands in the Dockerfile's place. No time in the image is later
    than `epoch` (seconds since 1970), as far as the builder can see to it: the same package then
    gives the same bytes on any day.
    """

    place: str
    store: Store
    scratch: Path
    dockerfile: str
    text: str
    context: Callable[[BinaryIO, str | None], None]
    platform: Platform
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    bases: tuple[Base, ...]
    network: bool
    cache: bool
    epoch: int
    options: BuildOptions


class Built(NamedTuple):
    """An image as a builder handed it back: a folder or tar, and which of its images it is (empty:
    the only one)."""

    path: Path
    selector: str = ""


class DockerfileBuilder(Protocol):
    """A program that builds Dockerfiles."""

    @property
    def title(self) -> str:
        """How it is named to the user, with where it runs."""

    def obstacle(self) -> str:
        """Why it cannot be used here; empty if it can."""

    def build(self, request: Request) -> Built:
        """Build an image into `request.scratch`. Raises `PackageError` (`builder-failed`, …)."""

    def cache(self, scratch: Path, *, prune: bool = False) -> str:
        """What its cache of steps has, or with `prune` what was removed of it, in its own words;
        `scratch` is an empty folder for it. Raises `PackageError` (`builder-failed`)."""
