"""What builds need: the store and its disk, Debian's archive, a registry, builders."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence

from compos.api.access import Access
from compos.api.doctor.finding import Finding, Verdict
from compos.errors import ComposError
from compos.version import __version__

__all__ = ["BUILDING"]

AREA = "build"
SPACE = 2 << 30
"""Bytes that a first build of bricks takes."""


def program(access: Access) -> Sequence[Finding]:
    """compos and Python."""
    text = f"compos {__version__}, Python {platform.python_version()}, {platform.machine()}"
    return [Finding(AREA, "compos", Verdict.OK, text)]


def store(access: Access) -> Sequence[Finding]:
    """The store can be used, and has room."""
    root = access.root
    existing = root
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        return [
            Finding(
                AREA,
                "store",
                Verdict.PROBLEM,
                f"{root} cannot be written to",
                "export COMPOS_CACHE=DIR  # a folder of yours",
            )
        ]
    if root.exists():
        access.store.entries()  # raises what is wrong with it
    free = shutil.disk_usage(existing).free
    text = f"{root}, {free / 1e9:.1f} GB free"
    if free < SPACE:
        return [Finding(AREA, "store", Verdict.PROBLEM, text, "compos cache clean")]
    return [Finding(AREA, "store", Verdict.OK, text)]


def debian_mirror(access: Access) -> Sequence[Finding]:
    """Debian's archive, from which bricks are built."""
    from compos.http.client import Client
    from compos.package.debian.mirror import default_mirror

    options = access.options
    try:
        mirror = default_mirror(
            options.debian_mirror,
            options.debian_security_mirror,
            certificates=options.certificates,
        )
        url = mirror.address("stable", "dists/stable/InRelease")
        if not url.startswith("file:"):
            with Client(options.certificates).request("HEAD", url) as answer:
                if answer.status >= 400:
                    return [_no_mirror(f"it answers {answer.status}")]
    except ComposError as error:
        return [_no_mirror(error.message, error.hint or "")]
    return [Finding(AREA, "Debian mirror", Verdict.OK, "it answers")]


def _no_mirror(reason: str, hint: str = "") -> Finding:
    remedy = hint or "compos build --debian-mirror URL os.yml"
    text = f"{reason}; bricks that the store lacks cannot be built"
    return Finding(AREA, "Debian mirror", Verdict.ABSENT, text, remedy)


def registry(access: Access) -> Sequence[Finding]:
    """The registry that short names of images mean, or its mirror."""
    from compos.image.reference import Reference

    try:
        access.registry.exists(Reference.parse("library/busybox:latest"))
    except ComposError as error:
        text = f"{error.message}; images that the store lacks cannot be had"
        return [Finding(AREA, "registry", Verdict.ABSENT, text, "compos build --mirror URL os.yml")]
    return [Finding(AREA, "registry", Verdict.OK, "it answers")]


REMEDIES = {
    "buildx": "apt-get install docker.io docker-buildx",
    "buildctl": "start buildkitd, and set BUILDKIT_HOST",
    "docker": "apt-get install docker.io",
    "buildah": "apt-get install buildah",
}


def builders(access: Access) -> Sequence[Finding]:
    """What builds Dockerfiles: one is enough."""
    from compos.package.builders.choice import obstacles

    found = obstacles()
    usable = [name for name, obstacle in found.items() if not obstacle]
    if usable:
        return [Finding(AREA, "Dockerfiles", Verdict.OK, f"built by {', '.join(usable)}")]
    text = "; ".join(f"{name}: {obstacle}" for name, obstacle in found.items())
    text = f"packages with Dockerfiles cannot be built: {text}"
    return [Finding(AREA, "Dockerfiles", Verdict.ABSENT, text, REMEDIES["buildah"])]


BUILDING = (program, store, debian_mirror, registry, builders)
