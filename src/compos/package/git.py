"""What git knows of a folder: ids of trees, what is not committed, tags.

May touch: the folder and its work tree (reading), by way of the `git` program, since it is git's
own ids that count.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from compos.errors import PackageError

__all__ = ["HEAD", "WorkTree", "digest_of_contents"]

HEAD = "HEAD"
_OBJECT = re.compile(r"[0-7]{6} \w+ ([0-9a-f]{40,64})\t")
_RELEASE = re.compile(r"v(\d{1,9})\.(\d{1,9})\.(\d{1,9})")
"""A version as Go's modules are tagged, without a pre-release."""


class WorkTree:
    """A folder in a git work tree."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, folder: Path) -> WorkTree | None:
        """The work tree that `folder` is in; None outside of git. Raises `PackageError`
        (`package-git`, `package-missing`)."""
        folder = folder.resolve()
        if not folder.is_dir():
            raise PackageError(
                "package-missing",
                "the folder does not exist",
                place=str(folder),
                hint="Use the folder of a package.",
            )
        if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
            return None
        tree = cls(folder)
        done = tree._git("rev-parse", "--is-inside-work-tree")
        if done.returncode or done.stdout.strip() != b"true":
            raise tree._failed(done.stderr or b"it is no work tree")
        return tree

    def tree_id(self, commit: str = HEAD) -> str:
        """The id of the folder's tree in `commit`. Raises `PackageError` (`package-git`,
        `package-uncommitted`)."""
        if commit.startswith("-"):
            raise self._failed(f"{commit!r} is not a revision".encode())
        top = Path(self._text("rev-parse", "--show-toplevel").rstrip("\n")).resolve()
        if top == self._folder:
            return self._text("show", "--format=%T", "-s", commit, "--").strip()
        inside = str(self._folder.relative_to(top))
        found = _OBJECT.match(self._text("ls-tree", "--full-tree", commit, "--", inside))
        if found is None:
            where = "git's last commit" if commit == HEAD else f"the commit {commit}"
            raise PackageError(
                "package-uncommitted",
                f"the package is not in {where}, so it has no hash",
                place=str(self._folder),
                hint="Commit the package.",
            )
        return found[1]

    def is_dirty(self) -> bool:
        """Whether anything in the folder is changed, added or untracked."""
        changed = self._git("diff", "--no-ext-diff", "--exit-code", "--quiet", HEAD, "--", ".")
        return bool(changed.returncode) or bool(self._others("--", "."))

    def contents(self) -> Sequence[Path]:
        """The regular files of the folder that git knows, or would add, in LinuxKit's order.

        What git quotes, what is no regular file and what is missing does not count
        (docs/linuxkit.md#cli-2.3).
        """
        names = (self._text("ls-files") + self._others()).splitlines()
        paths = [self._folder / name for name in names if not name.startswith('"')]
        return [path for path in paths if not path.is_symlink() and path.is_file()]

    def head(self) -> str:
        """The id of the commit HEAD; empty before the first commit."""
        done = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return "" if done.returncode else done.stdout.decode().strip()

    def tags_at_head(self) -> tuple[str, ...]:
        """The names of the tags of HEAD, sorted."""
        return tuple(sorted(self._text("tag", "-l", "--points-at", HEAD).split()))

    def go_version(self) -> str:
        """The version that Go gives HEAD as a module: a tag `vX.Y.Z`, or the pseudo-version after
        the last one, with the commit's time in UTC (Go Modules Reference, "Pseudo-versions")."""
        exact = [tag for tag in self.tags_at_head() if _RELEASE.fullmatch(tag)]
        if exact:
            return max(exact, key=_numbers)
        day = ("--date=format-local:%Y%m%d%H%M%S", "--format=%cd-%H")
        time, _, commit = self._text("show", "-s", *day, HEAD).strip().partition("-")
        merged = self._text("tag", "-l", "v*", "--merged", HEAD).split()
        releases = [tag for tag in merged if _RELEASE.fullmatch(tag)]
        if not releases:
            return f"v0.0.0-{time}-{commit[:12]}"
        major, minor, patch = _numbers(max(releases, key=_numbers))
        return f"v{major}.{minor}.{patch + 1}-0.{time}-{commit[:12]}"

    def _others(self, *paths: str) -> str:
        return self._text("ls-files", "--exclude-standard", "--others", *paths)

    def _text(self, *arguments: str) -> str:
        done = self._git(*arguments)
        if done.returncode:
            raise self._failed(done.stderr)
        return done.stdout.decode("utf-8", "surrogateescape")

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # Quoted names are part of LinuxKit's rule; a file system monitor would run a program that
        # the folder names.
        options = ("-c", "core.quotepath=true", "-c", "core.fsmonitor=false")
        environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "TZ": "UTC"}
        try:
            return subprocess.run(
                ["git", *options, "-C", str(self._folder), *arguments],
                capture_output=True,
                check=False,
                env=environment,
            )
        except FileNotFoundError as error:
            raise PackageError(
                "package-git",
                "git is required to tag a package",
                hint="Install git.",
            ) from error

    def _failed(self, message: bytes) -> PackageError:
        lines = message.decode("utf-8", "replace").strip().splitlines()
        said = lines[0].removeprefix("fatal: ") if lines else "no reason given"
        return PackageError(
            "package-git",
            f"git cannot read the package: {said}",
            place=str(self._folder),
            hint="Run `git status` in the folder.",
        )


def digest_of_contents(trees: Sequence[WorkTree]) -> str:
    """The SHA-256 of all files' contents, one after the other; unreadable files do not count."""
    hasher = hashlib.sha256()
    for path in (path for tree in trees for path in tree.contents()):
        with suppress(OSError), path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
    return hasher.hexdigest()


def _numbers(tag: str) -> tuple[int, int, int]:
    major, minor, patch = map(int, tag.removeprefix("v").split("."))
    return major, minor, patch
