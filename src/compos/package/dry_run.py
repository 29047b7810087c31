"""What would build a package, as commands for a shell (docs/linuxkit.md#cli-2.13).

May touch: the package's folder and git's work tree around it (reading).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from compos.image.platform import Platform

if TYPE_CHECKING:
    from compos.package.builders.request import BuildOptions
    from compos.package.recipe import Recipe

__all__ = ["build_command"]


def build_command(
    recipe: Recipe, platform: Platform, name: str, options: BuildOptions | None
) -> str:
    """The command for `platform` of the package whose image is called `name`: of docker if it has a
    Dockerfile, else of compos. Raises `PackageError` as building does."""
    if not recipe.dockerfile:
        return shlex.join(
            ["compos", "pkg", "build", "--platforms", str(platform), str(recipe.folder)]
        )
    # Not at the top: recipes need none of it.
    from compos.package.builders.build import dockerfile_of

    made = dockerfile_of(recipe, name)
    network, cache = made.network, made.cache
    if options is not None:
        network = network if options.network is None else options.network
        cache = cache if options.cache is None else options.cache
    words = ["docker", "buildx", "build", "--platform", str(platform)]
    words += ["-t", f"{name}-{platform.architecture}", "-f", made.place]
    words += [f"--build-arg={key}={value}" for key, value in sorted(made.arguments.items())]
    words += [f"--label={key}={value}" for key, value in sorted(made.labels.items())]
    words += [f"--network={'default' if network else 'none'}"]
    words += [] if cache else ["--no-cache"]
    return shlex.join([*words, str(recipe.folder)])
