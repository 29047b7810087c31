"""Options of the library besides a system's YAML: how the YAML is read, and where images come from.

Pure. Options that keep their defaults are taken from the environment, as for the command line's
flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from compos.config.variables import Variable

__all__ = ["ImageOptions", "LoadOptions", "RemoteOptions"]


class LoadOptions(NamedTuple):
    """How the YAML is read.

    `architecture` is amd64, arm64 or riscv64; the default is this machine's. `variables` take
    precedence over the defaults in the files; values may be plain strings. `allow_local_files`
    allows YAML from the network to use files, packages and images of this machine. With
    `bricks_for` set to linuxkit, bricks replace LinuxKit's packages. `certificates` are PEM files
    of additional CAs, for YAML that is fetched. `packages` are folders with packages whose images
    the YAML may name.
    """

    architecture: str | None = None
    variables: Mapping[str, Variable | str] = MappingProxyType({})
    allow_local_files: bool = False
    bricks_for: Literal["linuxkit"] | None = None
    certificates: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class ImageOptions(NamedTuple):
    """Where images come from, and where they are stored.

    `cache` is the folder of the store; the default is COMPOS_CACHE, LINUXKIT_CACHE or the user's
    cache. `trust_cache` uses the store even if other users can write to it. `mirrors` have the form
    `[REGISTRY=]URL`, `certificates` are PEM files of additional CAs, and plain HTTP is allowed for
    `insecure_registries`. `bricks` is a registry that bricks are taken from, `HOST[:PORT]/PATH`,
    and `bricks_key` the PEM file of the public key that must have signed them. `policy` is a
    containers-policy.json(5) file that images must satisfy; the default is this machine's. The
    Debian mirrors are used to build bricks; the default is apt's configuration. `debian_snapshot`
    is an archive of the past, for locked packages that they do not have any more.
    """

    cache: Path | None = None
    trust_cache: bool = False
    mirrors: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    debian_mirror: str | None = None
    debian_security_mirror: str | None = None
    bricks: str | None = None
    bricks_key: str | None = None
    policy: str | None = None
    debian_snapshot: str | None = None


class RemoteOptions(NamedTuple):
    """Remote caches: registries that share what builds derive from images.

    `sources` are asked for results, `target` is filled with them, each `HOST[:PORT]/PATH[:TAG]`;
    the tag is by default the name of the outputs with the architecture. `key` is a PEM file, or a
    key in PEM: the private key of the cache, or for `sources` alone the public one.
    """

    sources: tuple[str, ...] = ()
    target: str | None = None
    key: str | None = None
