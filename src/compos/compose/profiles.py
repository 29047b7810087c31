"""Seccomp profiles as files of the system: which one a container has, where it is, and the user's
own ones.

May touch: the store, reading a file of the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from compos.compose.seccomp import checked_profile
from compos.errors import ConfigError
from compos.tree.contents import Contents
from compos.tree.node import EPOCH, FILE, Node, Tree, directory, file

__all__ = ["MAX_PROFILE", "PROFILES", "Profile", "chosen_profile", "profile_nodes", "profile_path"]

PROFILES = "etc/compos/seccomp"
"""Where the profiles are that the build makes, each once, named by what is in it."""

MAX_PROFILE = 256 << 10
"""Bytes of a user's profile: a specification with one in it must fit into a request to containerd
(bricks/init/src/containers/spec.c)."""


class Profile(NamedTuple):
    """A profile: its path in the system (absolute), and its text; `made` says that the plan's
    component brings it."""

    path: str
    text: bytes
    made: bool


def profile_path(text: bytes) -> str:
    """Where a profile that the build makes is; absolute."""
    return f"/{PROFILES}/{hashlib.sha256(text).hexdigest()[:16]}.json"


def chosen_profile(
    given: str, default: bytes | None, root: Mapping[str, Node], store: Path, place: str
) -> Profile | None:
    """The profile of a container whose setting `seccomp` is `given`, and which would have the text
    `default`.

    `root` has what a path can name; `place` is where the setting stands. Raises `ConfigError`
    (`config-seccomp`).
    """
    if given.startswith("/"):
        return Profile(
            given, checked_profile(_text(given.strip("/"), root, store, place), place), made=False
        )
    return None if default is None else Profile(profile_path(default), default, made=True)


def _text(path: str, root: Mapping[str, Node], store: Path, place: str) -> bytes:
    node = root.get(path)
    if node is None or node.kind != FILE or node.size > MAX_PROFILE:
        raise ConfigError(
            "config-seccomp",
            f"the system has no seccomp profile /{path}",
            place=place,
            hint=f"Create it with `files`; it can have at most {MAX_PROFILE} bytes.",
        )
    with Contents(store) as contents:
        return b"".join(contents.chunks(node.content))


def profile_nodes(profiles: Iterable[Profile | None]) -> Tree:
    """The files of those profiles that the build makes."""
    tree = {
        profile.path.strip("/"): file(profile.text, 0o644, EPOCH)
        for profile in profiles
        if profile and profile.made
    }
    return {PROFILES: directory(0o755, EPOCH), **tree} if tree else {}
