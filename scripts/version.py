"""The version of this source tree: of its release, or what git says since the last tag.

hatchling takes it from here (`tool.hatch.version`). May touch: PKG-INFO; starts git.
"""

from __future__ import annotations

import re
import subprocess
from email.parser import HeaderParser
from pathlib import Path

__all__ = ["described", "version"]

ROOT = Path(__file__).resolve().parent.parent
FIRST = "0.1.0"
"""The version that is being made before there is any tag."""
UNKNOWN = "0+unknown"
"""Of a tree that comes neither from a source distribution nor from git."""

_DESCRIPTION = re.compile(r"v(?P<tag>[0-9][0-9a-z.]*)-(?P<commits>[0-9]+)-g(?P<commit>[0-9a-f]+)")


def version(root: Path = ROOT) -> str:
    """The version as PEP 440 writes it: that in PKG-INFO for a source distribution, else from
    git."""
    information = root / "PKG-INFO"
    if information.is_file():
        return str(HeaderParser().parsestr(information.read_text())["Version"])
    # A tree that lies in somebody else's repository has not its version.
    if not (root / ".git").exists():
        return UNKNOWN
    if description := _git(root, "describe", "--tags", "--long", "--match=v[0-9]*"):
        return described(description, changed=_changed(root))
    commits, commit = _git(root, "rev-list", "--count", "HEAD"), _git(root, "rev-parse", "HEAD")
    return _development(FIRST, commits, commit, _changed(root)) if commit else UNKNOWN


def described(description: str, *, changed: bool) -> str:
    """The version for what `git describe --long` says: the tag's own at the tag, else a development
    version before the next one. Raises `ValueError` for a tag that is no version."""
    match = _DESCRIPTION.fullmatch(description)
    if match is None:
        raise ValueError(f"not the tag of a version: {description}")
    if match["commits"] == "0" and not changed:
        return match["tag"]
    following = re.sub(r"[0-9]+$", lambda last: str(int(last[0]) + 1), match["tag"])
    return _development(following, match["commits"], match["commit"], changed)


def _development(following: str, commits: str, commit: str, changed: bool) -> str:
    # As long in every clone: git's own abbreviation depends on how many objects there are.
    return f"{following}.dev{commits}+g{commit[:7]}{'.changed' if changed else ''}"


def _changed(root: Path) -> bool:
    return bool(_git(root, "status", "--porcelain", "--untracked-files=no"))


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except OSError:
        return ""
    return done.stdout.decode().strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    print(version())
