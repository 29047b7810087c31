"""Labels of an image that a Dockerfile makes, as LinuxKit sets them (docs/linuxkit.md#cli-2.7).
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from compos.package.tag import Version
from compos.version import __version__

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["image_labels"]

SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"
BUILT_BY = "org.mobyproject.linuxkit.version"


def image_labels(recipe: Recipe, version: Version) -> Mapping[str, str]:
    """What git knows, and what built the image; labels of build.yml take precedence. The settings
    of a container are among these already."""
    found = {
        SOURCE: recipe.gitrepo if version.revision else "",
        REVISION: "" if version.dirty else version.revision,
        BUILT_BY: f"compos {__version__}",
    }
    return {**{name: value for name, value in found.items() if value}, **recipe.settings.labels}
