"""How Dockerfiles are built: the flags that every verb has which may build one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

import click

from compos.cli.settings import with_flags

if TYPE_CHECKING:
    from compos.image.registries.credentials import Credentials
    from compos.image.registries.mirrors import Endpoint
    from compos.package.builders.request import Container

__all__ = ["PLACE_FLAGS", "builder_options", "container_of"]

Result = TypeVar("Result")

PLACE_FLAGS = (
    click.option(
        "--builder",
        metavar="NAME",
        help="Builder for Dockerfiles: buildx, buildctl, docker, buildah, or the address of a "
        "BuildKit daemon [COMPOS_BUILDER, the first that can be used].",
    ),
    click.option(
        "--builders",
        metavar="LIST",
        help="Docker contexts or addresses of BuildKit daemons by platform: linux/ARCH=CONTEXT,... "
        "[LINUXKIT_BUILDERS].",
    ),
    click.option(
        "--builder-name",
        metavar="NAME",
        envvar="LINUXKIT_BUILDER_NAME",
        help="Use the BuildKit daemon in this container of the Docker Engine, which is created if "
        "need be [LINUXKIT_BUILDER_NAME; linuxkit-builder with one of the next three].",
    ),
    click.option(
        "--builder-image",
        metavar="IMAGE",
        envvar="LINUXKIT_BUILDER_IMAGE",
        help="Image of that container [LINUXKIT_BUILDER_IMAGE, moby/buildkit:v0.26.3].",
    ),
    click.option(
        "--builder-config",
        metavar="FILE",
        envvar="LINUXKIT_BUILDER_CONFIG",
        help="buildkitd.toml for that container [LINUXKIT_BUILDER_CONFIG].",
    ),
    click.option("--builder-restart", is_flag=True, help="Create that container again."),
)
"""Which builders are meant."""

_FLAGS = (
    *PLACE_FLAGS,
    click.option(
        "--secret",
        metavar="SPEC",
        multiple=True,
        help="Secret for RUN --mount=type=secret: id=ID,src=FILE or id=ID,env=NAME; repeatable.",
    ),
    click.option(
        "--ssh",
        metavar="SPEC",
        multiple=True,
        help="SSH agent or keys for RUN --mount=type=ssh: default or ID=SOCKET|KEY; repeatable.",
    ),
    click.option(
        "--builder-cache-to",
        metavar="SPEC",
        multiple=True,
        help="Where BuildKit exports its cache: type=registry,ref=...; repeatable.",
    ),
    click.option(
        "--builder-cache-from",
        metavar="SPEC",
        multiple=True,
        help="Where BuildKit imports a cache from; repeatable.",
    ),
    click.option("--network", is_flag=True, help="Give the steps of Dockerfiles network access."),
    click.option("--nonetwork", is_flag=True, help="Give them none, whatever build.yml says."),
    click.option("--enable-cache", is_flag=True, help="Use the builder's cache of steps."),
    click.option("--disable-cache", is_flag=True, help="Run all steps of Dockerfiles again."),
    click.option(
        "--sbom-scanner",
        metavar="IMAGE",
        help="BuildKit's scanner for an SBOM; false: no SBOM [what the image's databases say].",
    ),
    click.option(
        "--provenance",
        metavar="MODE",
        help="BuildKit's provenance: true, false, mode=max [the builder's choice].",
    ),
    click.option(
        "--ignore-cached",
        is_flag=True,
        help="Ask registries for base images, even if the store has them.",
    ),
    click.option(
        "--precache-images",
        is_flag=True,
        expose_value=False,
        help="Fetch base images before building, as is done in any case.",
    ),
    click.option(
        "--registry-creds",
        metavar="REG=USER:PASSWORD",
        multiple=True,
        help="Credentials for base images, or REG=TOKEN with a registry's token, in place of your "
        "own; repeatable. Others can read command lines: better keep them in docker's or podman's "
        "files.",
    ),
    click.option(
        "--progress",
        metavar="MODE",
        default="auto",
        show_default=True,
        help="plain shows what a builder prints; auto, tty and others do not.",
    ),
)


def builder_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags to a command, which gets them as `dockerfiles`."""

    @wraps(function)
    def command(
        *,
        builder: str | None,
        builders: str | None,
        secret: tuple[str, ...],
        ssh: tuple[str, ...],
        builder_cache_to: tuple[str, ...],
        builder_cache_from: tuple[str, ...],
        network: bool,
        nonetwork: bool,
        enable_cache: bool,
        disable_cache: bool,
        sbom_scanner: str | None,
        provenance: str | None,
        ignore_cached: bool,
        registry_creds: tuple[str, ...],
        progress: str,
        builder_name: str | None,
        builder_image: str | None,
        builder_config: str | None,
        builder_restart: bool,
        **others: object,
    ) -> Result:
        given = (
            *(builder, builders, secret, ssh, builder_cache_to, builder_cache_from),
            *(sbom_scanner, provenance, network, nonetwork, enable_cache, disable_cache),
            *(ignore_cached, registry_creds, progress == "plain"),
            *(builder_name, builder_image, builder_config, builder_restart),
        )
        if not any(given):
            # Nothing is imported.
            return function(dockerfiles=None, **others)
        from compos.package.builders.choice import parse_builders
        from compos.package.builders.request import BuildOptions

        options = BuildOptions(
            builder or "",
            parse_builders(builders or ""),
            secret,
            ssh,
            builder_cache_to,
            builder_cache_from,
            sbom_scanner or "",
            provenance or "",
            _switch("--network", network, "--nonetwork", nonetwork),
            _switch("--enable-cache", enable_cache, "--disable-cache", disable_cache),
            ignore_cached,
            _credentials(registry_creds),
            progress == "plain",
            container_of(builder_name, builder_image, builder_config, builder_restart),
        )
        return function(dockerfiles=options, **others)

    return with_flags(command, _FLAGS)


def _switch(name: str, on: bool, opposite: str, off: bool) -> bool | None:
    """What two flags say together; None if neither is given."""
    if on and off:
        raise click.UsageError(f"{name} and {opposite} cannot be combined")
    return on if on or off else None


def _credentials(texts: tuple[str, ...]) -> Callable[[Endpoint], Credentials | None] | None:
    if not texts:
        return None
    from compos.image.registries.credentials import given_credentials

    return given_credentials(texts)


def container_of(
    name: str | None, image: str | None, config: str | None, restart: bool
) -> Container | None:
    """The container that flags ask for; None if none does."""
    if not (name or image or config or restart):
        return None
    from pathlib import Path

    from compos.package.builders.request import Container

    found = Container(config=Path(config) if config else None, restart=restart)
    return found._replace(name=name or found.name, image=image or found.image)
