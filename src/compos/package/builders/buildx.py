"""BuildKit through `docker buildx build`: any of buildx's builders, a Docker context, or a BuildKit
daemon by its address.

May touch: the programs `docker` and its plugin, and the daemon behind them. Base images are handed
to it as named contexts out of the store (`oci-layout`), so that the daemon may be anywhere. A
Docker Engine that keeps its images in containerd's store, and every BuildKit daemon, hands back an
OCI archive with all attestations. An engine with the old kind of store is served by
`builders.engine`: it pulls base images, and saves what it has built.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compos.package.builders.engine import saved
from compos.package.builders.program import (
    answer,
    common_flags,
    oci_exporter,
    proxy_arguments,
    reported,
    run,
    secret_values,
)
from compos.package.builders.request import NO_SBOM, Built, Request

__all__ = ["Buildx"]

_CONTAINERD = "io.containerd.snapshotter"
"""How an engine calls storage that can export OCI archives."""

_NAME = "compos"


class Buildx:
    """`docker buildx build`, with a Docker `context` or the `address` of a BuildKit daemon if one
    is given."""

    def __init__(self, context: str = "", address: str = "") -> None:
        self._docker = ("docker", *(("--context", context) if context else ()))
        self._address = address
        self.title = "BuildKit through docker buildx" + (
            f" at {address}" if address else f" in the Docker context {context}" if context else ""
        )

    def obstacle(self) -> str:
        """Why it cannot be used here."""
        if shutil.which("docker") is None:
            return "docker is not installed"
        if answer("docker", "buildx", "version")[0]:
            return "docker has no buildx plugin"
        if self._address:
            return ""
        status, text = answer(*self._docker, "buildx", "inspect")
        problem = _value(text, "Error")
        return (
            problem or (text.splitlines() or ["it does not answer"])[-1]
            if status or problem
            else ""
        )

    def build(self, request: Request) -> Built:
        """Build an image; raises `PackageError` (`builder-failed`)."""
        with self._daemon(request.scratch) as environment:
            archive = request.scratch / "image.tar"
            if self._exports(environment):
                output = (
                    "--output",
                    oci_exporter(archive),
                    *_contexts(request),
                )
                self._run(request, environment, None, *output)
                return Built(archive)
            return saved(
                request,
                self._docker,
                lambda tag, text: self._run(request, environment, text, "--load", "--tag", tag),
            )

    def cache(self, scratch: Path, *, prune: bool = False) -> str:
        """The cache of the builder."""
        verb = ("prune", "--force") if prune else ("du",)
        with self._daemon(scratch) as environment:
            return reported(self.title, (*self._docker, "buildx", *verb), environment)

    def _run(
        self, request: Request, environment: dict[str, str], text: str | None, *output: str
    ) -> None:
        run(
            self.title,
            request.place,
            [*self._docker, *_arguments(request), *output, "-"],
            feed=lambda out: request.context(out, text),
            environment={**environment, "SOURCE_DATE_EPOCH": str(request.epoch)},
            hidden=secret_values(request.options.secrets),
            shows_output=request.options.shows_output,
        )

    @contextmanager
    def _daemon(self, scratch: Path) -> Iterator[dict[str, str]]:
        """The environment in which buildx knows the daemon at the address. Its settings are its
        own: the user's are left alone."""
        environment = {"DOCKER_CLI_HINTS": "false"}
        if self._address:
            settings = scratch / "buildx"
            settings.mkdir()
            environment |= {"BUILDX_CONFIG": str(settings), "BUILDX_BUILDER": _NAME}
            run(
                self.title,
                self._address,
                (
                    *("docker", "buildx", "create", "--name", _NAME),
                    *("--driver", "remote", self._address),
                ),
                environment={**environment, "BUILDX_BUILDER": ""},
            )
        yield environment

    def _exports(self, environment: dict[str, str]) -> bool:
        """Whether the builder can hand back an OCI archive."""
        _, text = answer(*self._docker, "buildx", "inspect", environment=environment)
        if _value(text, "Driver") != "docker":
            return True
        _, status = answer(*self._docker, "info", "--format", "{{json .DriverStatus}}")
        return _CONTAINERD in status


def _value(text: str, name: str) -> str:
    """The first value of a name in what `buildx inspect` prints."""
    for line in text.splitlines():
        found, colon, value = line.partition(":")
        if colon and found.strip() == name:
            return value.strip()
    return ""


def _contexts(request: Request) -> list[str]:
    """The base images, out of the store."""
    layout = request.store.root.resolve()
    return [
        f"--build-context={base.text}=oci-layout://{layout}@{base.root.digest}"
        for base in request.bases
    ]


def _arguments(request: Request) -> list[str]:
    options = request.options
    arguments = ["buildx", "build", "--progress", "plain", "--platform", str(request.platform)]
    arguments += ["--file", request.dockerfile]
    arguments += ["--network", "default" if request.network else "none"]
    arguments += proxy_arguments(request.network)
    arguments += common_flags(request)
    if options.sbom_scanner not in ("", NO_SBOM):
        arguments += ["--attest", f"type=sbom,generator={options.sbom_scanner}"]
    if options.provenance:
        arguments.append(f"--provenance={options.provenance}")
    return arguments
