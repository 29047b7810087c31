"""Which builder builds a Dockerfile: the one that is asked for, or the first that this machine
offers.

May touch: the programs of the builders, which are asked whether they work. As in LinuxKit a
platform may have a Docker context of its own (docs/linuxkit.md#cli-2.10).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from compos.errors import PackageError
from compos.image.platform import Platform
from compos.package.builders.buildah import Buildah
from compos.package.builders.buildctl import Buildctl
from compos.package.builders.buildx import Buildx
from compos.package.builders.engine import Engine
from compos.package.builders.program import answer
from compos.package.builders.request import BuildOptions, DockerfileBuilder
from compos.suggestion import question, similar

__all__ = ["NAMES", "choose", "obstacles", "parse_builders"]

NAMES = ("buildx", "buildctl", "docker", "buildah")
"""In the order in which they are tried."""

VARIABLE = "COMPOS_BUILDER"
CONTEXTS_VARIABLE = "LINUXKIT_BUILDERS"


def choose(
    options: BuildOptions, platform: Platform, environment: Mapping[str, str]
) -> DockerfileBuilder:
    """The builder for `platform`. Raises `PackageError` (`builder-unknown`, `builder-missing`,
    `builder-context`)."""
    wanted = options.builder or environment.get(VARIABLE, "")
    places = {**parse_builders(environment.get(CONTEXTS_VARIABLE, "")), **options.builders}
    place = places.get(str(platform), "")
    if "://" in wanted:
        place, wanted = place or wanted, ""
    if wanted and wanted not in NAMES:
        near = [*similar(wanted, NAMES)]
        raise PackageError(
            "builder-unknown",
            f"there is no builder {wanted[:100]!r}",
            place="--builder",
            hint=question(near)
            or f"Use one of {', '.join(NAMES)}, or the address of a BuildKit daemon.",
        )
    address = place if "://" in place else ""
    context = _context(platform, "" if address else place, wanted)
    if options.container is not None and not address:
        if wanted in ("docker", "buildah"):
            raise PackageError(
                "builder-unknown",
                f"{wanted} does not use a BuildKit daemon in a container",
                place="--builder-name",
                hint="Use --builder buildx or buildctl, or leave out the flags of the container.",
            )
        # Not at the top: few builds have one.
        from compos.package.builders.container import prepared

        address, context = prepared(options.container, context), ""
    obstacles: list[str] = []
    for name in (wanted,) if wanted else NAMES:
        builder = _made(name, context, address)
        obstacle = builder.obstacle() if builder else "it runs on this machine only"
        if builder and not obstacle:
            return builder
        obstacles.append(f"{name}: {obstacle}")
    raise PackageError(
        "builder-missing",
        f"no builder for {platform} can be used: {'; '.join(obstacles)}",
        place="--builder",
        hint="Install docker with its buildx plugin, or buildah.",
    )


def obstacles() -> dict[str, str]:
    """Why each builder cannot be used on this machine; empty for those that can."""
    made = {name: _made(name, "", "") for name in NAMES}
    return {name: builder.obstacle() for name, builder in made.items() if builder}


def parse_builders(text: str) -> dict[str, str]:
    """`PLATFORM=CONTEXT,…`, as `--builders` and `LINUXKIT_BUILDERS` have it. Raises `PackageError`
    (`builder-context`), or `ImageError` for what is not a platform."""
    found: dict[str, str] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        name, equals, context = one.partition("=")
        if not equals or not context:
            raise PackageError(
                "builder-context",
                f"{one[:100]!r} is not PLATFORM=CONTEXT",
                place="--builders",
                hint="Write linux/arm64=CONTEXT.",
            )
        found[str(Platform.parse(name))] = context
    return found


def _made(name: str, context: str, address: str) -> DockerfileBuilder | None:
    """A builder; None if it cannot be reached where it is to run."""
    if name == "buildx":
        return Buildx(context, address)
    if name == "buildctl" and not context:
        return Buildctl(address)
    if name == "docker" and not address:
        return Engine(context)
    if name == "buildah" and not address and not context:
        return Buildah()
    return None


def _context(platform: Platform, asked: str, wanted: str) -> str:
    """The Docker context for a platform: the one that was asked for, which must exist, or else
    `linuxkit-OS-ARCH` if there is one; empty for the default."""
    if wanted in ("buildctl", "buildah") or shutil.which("docker") is None:
        if asked and not wanted:
            raise _no_context(asked, platform, "docker is not installed")
        return asked
    own = f"linuxkit-{platform}".replace("/", "-")
    status, text = answer("docker", "context", "ls", "--format", "{{.Name}}")
    there = () if status else text.split()
    if asked and asked not in there:
        raise _no_context(asked, platform, f"there are only {', '.join(there)}" if there else text)
    return asked or (own if own in there else "")


def _no_context(name: str, platform: Platform, reason: str) -> PackageError:
    return PackageError(
        "builder-context",
        f"there is no Docker context {name!r} for {platform}: {reason}",
        place="--builders",
        hint="Create it with `docker context create`, or write the address of a BuildKit daemon.",
    )
