"""What the library is told beside a system's YAML: how it is read, and where images come from.

Pure. Whatever is left at its default comes from the environment, as the command line's flags do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from compos.config.variables import Variable

__all__ = ["ImageOptions", "LoadOptions"]


class LoadOptions(NamedTuple):
    """How YAML is read.

    `architecture` is amd64, arm64 or riscv64, by default this machine's. `variables` win over the
    files' own defaults; a plain string will do as a value. `allow_local_files` lets YAML that comes
    from the network name files, packages and images of this machine. `bricks_for` linuxkit puts
    bricks in place of LinuxKit's packages. `certificates` are PEM files of additional CAs, for YAML
    that is fetched.
    """

    architecture: str | None = None
    variables: Mapping[str, Variable | str] = MappingProxyType({})
    allow_local_files: bool = False
    bricks_for: Literal["linuxkit"] | None = None
    certificates: tuple[str, ...] = ()


class ImageOptions(NamedTuple):
    """Where images come from, and where they are kept.

    `cache` is the store's folder, by default that of COMPOS_CACHE, LINUXKIT_CACHE or the user's
    cache; `trust_cache` uses it though other users can write to it. `mirrors` are written
    `[REGISTRY=]URL`, `certificates` are PEM files of additional CAs, `insecure_registries` may
    speak plain HTTP. The Debian mirrors serve bricks that are built; by default they are those of
    apt's configuration.
    """

    cache: Path | None = None
    trust_cache: bool = False
    mirrors: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    debian_mirror: str | None = None
    debian_security_mirror: str | None = None
