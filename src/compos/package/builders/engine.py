"""A Docker Engine's own BuildKit, through `docker build` without the buildx plugin, as docker.io of
Debian 12 has it (version 23 and newer need the plugin: `builders.buildx`).

May touch: the program `docker` and the engine behind it. The engine pulls base images from the
store, by way of a registry on loopback, so it has to run on this machine. The image gets a name of
its own in the engine, is saved from there, and removed.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from compos.image.registries.serve import serve
from compos.package.builders.dockerfile import renamed
from compos.package.builders.program import (
    answer,
    common_flags,
    proxy_arguments,
    reported,
    run,
    secret_values,
)
from compos.package.builders.request import Built, Request

__all__ = ["Engine", "saved"]

_PLUGIN_SINCE = 23
"""The version of `docker` from which on its `build` is nothing without the plugin."""


class Engine:
    """`DOCKER_BUILDKIT=1 docker build`, in a Docker `context` if one is given."""

    def __init__(self, context: str = "") -> None:
        self._docker = ("docker", *(("--context", context) if context else ()))
        self.title = "the Docker Engine's BuildKit" + (
            f" in the Docker context {context}" if context else ""
        )

    def obstacle(self) -> str:
        """Why it cannot be used here."""
        if shutil.which("docker") is None:
            return "docker is not installed"
        status, text = answer(
            *self._docker, "version", "--format", "{{.Client.Version}} {{.Server.Version}}"
        )
        if status:
            return text.splitlines()[-1] if text else "it does not answer"
        major = text.partition(".")[0]
        if not major.isdecimal() or int(major) >= _PLUGIN_SINCE:
            return f"docker {text.partition(' ')[0]} builds through its buildx plugin only"
        return ""

    def build(self, request: Request) -> Built:
        """Build an image; raises `PackageError` (`builder-failed`)."""
        return saved(
            request,
            self._docker,
            lambda tag, text: self._run(request, text, "--tag", tag),
        )

    def cache(self, scratch: Path, *, prune: bool = False) -> str:
        """The cache of the engine, with what else is on its disk."""
        verb = ("builder", "prune", "--force") if prune else ("system", "df")
        return reported(self.title, (*self._docker, *verb))

    def _run(self, request: Request, text: str, *output: str) -> None:
        run(
            self.title,
            request.place,
            [*self._docker, *_arguments(request), *output, "-"],
            feed=lambda out: request.context(out, text),
            environment={"DOCKER_BUILDKIT": "1"},
            hidden=secret_values(request.options.secrets),
            shows_output=request.options.shows_output,
        )


def saved(request: Request, docker: Sequence[str], build: Callable[[str, str], None]) -> Built:
    """What `build` makes in an engine of the Dockerfile that it is given, under the tag that it is
    given, saved. Nobody else's tag is lost when ours is removed."""
    tag = f"compos-build:{secrets.token_hex(16)}"
    path = request.scratch / "saved.tar"
    images = {base.reference: base.root for base in request.bases}
    with serve(request.store, images) as served:
        names = {use: served.name(base.reference) for base in request.bases for use in base.uses}
        build(tag, renamed(request.text, names))
    try:
        run("docker", request.place, [*docker, "image", "save", "--output", path, tag])
    finally:
        answer(*docker, "image", "rm", tag)
    return Built(path, tag)


def _arguments(request: Request) -> list[str]:
    arguments = ["build", "--progress", "plain", "--platform", str(request.platform)]
    arguments += ["--file", request.dockerfile]
    arguments += ["--network", "default" if request.network else "none"]
    arguments += proxy_arguments(request.network)
    arguments += common_flags(request, cache_to=False)
    return arguments
