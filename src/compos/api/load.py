"""`compos.load`: read, merge and check the YAML of a system.

May touch: the YAML files, the files they include, and the folders of the packages they name (reads
only); the network for URLs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.api.options import LoadOptions

if TYPE_CHECKING:
    from compos.config.model import Config
    from compos.config.sources import Take
    from compos.image.platform import Platform
    from compos.package.local import LocalPackages

__all__ = ["Description", "load"]


class Description(NamedTuple):
    """A system as its YAML describes it, its platform, and the packages that it names by
    folder."""

    config: Config
    platform: Platform
    packages: LocalPackages


def load(
    sources: Sequence[str | os.PathLike[str]],
    options: LoadOptions = LoadOptions(),
    *,
    take: Take | None = None,
) -> Description:
    """Read `sources` (paths, http(s) URLs, or - for standard input), merged from left to right.
    `take` has the contents of each, and of what they include; the default reads them now.

    Raises `ConfigError`, or `CombinedError` for several errors; `PackageError` for packages named
    by folder; `ImageError` (`platform-*`); `NetworkError`.
    """
    from compos.config.check import FAMILY
    from compos.config.load import load as load_config
    from compos.config.sources import read_now
    from compos.config.variables import Variable
    from compos.image.platform import Platform
    from compos.package.local import LocalPackages

    platform = Platform.named(options.architecture) if options.architecture else Platform.host()
    packages = LocalPackages(allow_local_files=options.allow_local_files, folders=options.packages)
    config = load_config(
        tuple(os.fspath(source) for source in sources),
        architecture=platform.architecture,
        variables={
            name: Variable(value, "variables") if isinstance(value, str) else value
            for name, value in options.variables.items()
        },
        rename=packages.rename,
        allow_local_files=options.allow_local_files,
        certificates=options.certificates,
        take=take or read_now,
    )
    if FAMILY in (options.bricks_for, config.bricks):
        from compos.package.linuxkit import with_bricks

        config = with_bricks(config)
    return Description(config, platform, packages)
