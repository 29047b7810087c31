"""buildah: no daemon, and no root where the machine lets users have namespaces.

May touch: the program `buildah`, the scratch folder. It pulls base images from the store, by way of
a registry on loopback, and keeps images in a folder of its own that is removed after the build:
neither the user's images nor their configuration of registries plays a part. Then it builds, in a
network namespace without a network unless the package wants one. How steps are isolated and layers
stored is the machine's choice, or that of `BUILDAH_ISOLATION` and `STORAGE_DRIVER`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from compos.image.reference import HUB
from compos.image.registries.serve import ServedImages, serve
from compos.package.builders.history import complete_history
from compos.package.builders.program import answer, common_flags, run, secret_values
from compos.package.builders.request import Base, Built, Request

__all__ = ["Buildah"]

_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
"""All that it can pull has passed the door."""


class Buildah:
    """`buildah build`."""

    title = "buildah"

    def obstacle(self) -> str:
        """Why it cannot be used here."""
        if shutil.which("buildah") is None:
            return "buildah is not installed"
        status, text = answer("buildah", "--version")
        return (text.splitlines() or ["it does not answer"])[-1] if status else ""

    def build(self, request: Request) -> Built:
        """Build an image; raises `PackageError` (`builder-failed`)."""
        scratch = request.scratch
        program = _Program(self.title, request)
        try:
            images = {base.reference: base.root for base in request.bases}
            with serve(request.store, images) as served:
                (scratch / "registries.conf").write_text(_registries(request.bases, served))
                for base in request.bases:
                    platforms = sorted({str(use.platform) for use in base.uses})
                    for platform in platforms:
                        pull = ("pull", "--quiet", "--policy", "always", "--platform", platform)
                        program.run(*pull, *program.policy, f"docker://{base.reference}")
            identity, layout = scratch / "identity", scratch / "image"
            program.run(
                *_arguments(request),
                *program.policy,
                # An empty list: that of the context has no effect.
                *("--ignorefile", scratch / "ignored", "--pull-never", "--iidfile", identity, "-"),
                wrapper=() if request.network else _without_network(),
                feed=lambda out: request.context(out, None),
            )
            program.run(
                *("push", *program.policy, "--format", "oci", "--disable-compression"),
                *(identity.read_text().strip(), f"oci:{layout}:built"),
            )
        finally:
            _remove(scratch)
        complete_history(layout)
        return Built(layout, "built")

    def cache(self, scratch: Path, *, prune: bool = False) -> str:
        """It keeps nothing."""
        return "buildah has no cache: its images last as long as the build"


class _Program:
    """Runs buildah with its storage and its configuration in the scratch folder of a request."""

    def __init__(self, title: str, request: Request) -> None:
        self._title = title
        self._request = request
        scratch = request.scratch
        self.policy = ("--signature-policy", scratch / "policy.json")
        (scratch / "policy.json").write_text(json.dumps(_POLICY))
        (scratch / "ignored").touch()
        # The served registry wants no credentials, and there is no other.
        (scratch / "auth.json").write_text("{}")
        self._environment = {
            "CONTAINERS_REGISTRIES_CONF": str(scratch / "registries.conf"),
            "REGISTRY_AUTH_FILE": str(scratch / "auth.json"),
        }
        self._alone = _mounts_alone()
        self._storage: tuple[str | Path, ...] = (
            "--root",
            scratch / "storage",
            "--runroot",
            scratch / "run",
        )
        # buildah itself forgets the variable where it is given a root.
        if driver := os.environ.get("STORAGE_DRIVER"):
            self._storage += ("--storage-driver", driver)

    def run(
        self,
        *arguments: str | Path,
        wrapper: Sequence[str] = (),
        feed: Callable[[BinaryIO], None] | None = None,
    ) -> None:
        """Run one of buildah's commands, through `wrapper`; raises `PackageError`
        (`builder-failed`)."""
        run(
            self._title,
            self._request.place,
            (*self._alone, *wrapper, "buildah", *self._storage, *arguments),
            feed=feed,
            environment=self._environment,
            hidden=secret_values(self._request.options.secrets),
            shows_output=self._request.options.shows_output,
        )


def _mounts_alone() -> tuple[str, ...]:
    """What gives a command its own mounts. They end with it: of a killed one none is left in the
    store, which could not be removed then. Without root, buildah's namespace does this."""
    alone = ("unshare", "--mount", "--")
    return () if os.geteuid() or answer(*alone, "true")[0] else alone


def _without_network() -> tuple[str, ...]:
    """What gives a command an empty network namespace. `--network none` would be enough, if chroot
    isolation heeded it."""
    alone = ("unshare", "--net", "--")
    # Without root that needs a user namespace, in which buildah must have its ranges of users.
    return ("buildah", "unshare", "--", *alone) if os.geteuid() else alone


def _remove(scratch: Path) -> None:
    """Remove what buildah keeps. Without root it belongs to users of its namespace."""
    folders = [str(scratch / name) for name in ("storage", "run")]
    if os.geteuid():
        answer("buildah", "unshare", "rm", "-rf", *folders)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _registries(bases: tuple[Base, ...], served: ServedImages) -> str:
    """containers-registries.conf(5): each base image's repository is the one that is served."""
    lines = [f'unqualified-search-registries = ["{HUB}"]', 'short-name-mode = "disabled"']
    for reference in dict.fromkeys(base.reference._replace(tag="", digest="") for base in bases):
        lines += [
            "[[registry]]",
            f'prefix = "{reference}"',
            f'location = "{served.repository(reference)}"',
            "insecure = true",
        ]
    return "\n".join(lines) + "\n"


def _arguments(request: Request) -> list[str]:
    arguments = ["build", "--platform", str(request.platform), "--file", request.dockerfile]
    arguments += ["--format", "oci", "--identity-label=false", "--timestamp", str(request.epoch)]
    if not request.network:
        arguments += ["--network", "none"]
    arguments += common_flags(request)
    return arguments
