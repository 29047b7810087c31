"""What may be said of packages beside their folders: the flags that all verbs of `pkg` have, which
LinuxKit's have, too (docs/linuxkit.md#cli-2.3). Pure.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["DEV", "Naming"]

DEV = "dev"
"""The hash of a package that is being worked on."""


class Naming(NamedTuple):
    """What stands in place of the package's own words.

    `build_yml` and `dockerfile` are paths in its folder, `tag` is a template; None: not given. With
    `dev`, the hash is `dev` unless `hash` says another. `hash_commit` is the commit whose tree is
    hashed, and `hash_path` the folder of which it is. `force_dirty` takes the package as changed.
    `argument_files` have further build arguments.
    """

    build_yml: str = "build.yml"
    org: str | None = None
    tag: str | None = None
    hash: str = ""
    hash_commit: str = "HEAD"
    hash_path: Path | None = None
    force_dirty: bool = False
    dev: bool = False
    dockerfile: str | None = None
    argument_files: tuple[Path, ...] = ()

    @property
    def given_hash(self) -> str:
        """The hash that is not computed; empty if it is."""
        return self.hash or (DEV if self.dev else "")
