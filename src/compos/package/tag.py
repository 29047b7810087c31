"""The tag of a package's image: a digest of its folder as git has it, the same that LinuxKit
computes (docs/linuxkit.md#cli-2.3).

May touch: the folder and its git work tree (reading), by way of the `git` program, since it is
git's own ids that count.
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

__all__ = ["content_hash", "render_tag"]

HEAD = "HEAD"
_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_PRINTF = re.compile(r'printf\s+"%(?:\.(\d{1,3}))?s"\s+\.Hash')
_OBJECT = re.compile(r"[0-7]{6} \w+ ([0-9a-f]{40,64})\t")


def content_hash(folder: Path, extra_sources: Sequence[str] = ()) -> str:
    """The package's hash: the tree id of `folder` in HEAD, chained with those of its extra sources
    (`SOURCE:DESTINATION`), with `-dirty-` and seven digits when something is not committed; empty
    outside of git.

    Raises `PackageError` (`package-git`, `package-uncommitted`).
    """
    folder = folder.resolve()
    if not _in_work_tree(folder):
        return ""
    digest = _tree_id(folder)
    if extra_sources:
        texts = [digest]
        for extra in extra_sources:
            source, _, destination = extra.partition(":")
            if not source or not destination or ":" in destination:
                raise PackageError(
                    "package-extra-source",
                    f"{extra!r} is not SOURCE:DESTINATION",
                    place=str(folder / "build.yml"),
                    hint="Write ../common:/common.",
                )
            texts.append(_tree_id((folder / source).resolve()))
        digest = hashlib.sha1("".join(texts).encode(), usedforsecurity=False).hexdigest()
    return f"{digest}-dirty-{_dirty_suffix(folder)}" if _is_dirty(folder) else digest


def render_tag(template: str, digest: str) -> str:
    """The tag that `template` makes of `digest`: `{{.Hash}}`, `{{printf "%.8s" .Hash}}`, text
    around them; `latest` when nothing comes out. Raises `PackageError` (`package-tag`)."""

    def value(found: re.Match[str]) -> str:
        if found[1] == ".Hash":
            return digest
        if printf := _PRINTF.fullmatch(found[1]):
            return digest[: int(printf[1])] if printf[1] else digest
        raise PackageError(
            "package-tag",
            f"{found[0]!r} is not supported in a tag",
            hint='Use {{.Hash}} or {{printf "%.8s" .Hash}}.',
        )

    return _TEMPLATE.sub(value, template) or "latest"


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Quoted names are part of LinuxKit's rule; a file system monitor would run a program that the
    # folder names.
    options = ("-c", "core.quotepath=true", "-c", "core.fsmonitor=false")
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(
            ["git", *options, "-C", str(folder), *arguments],
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


def _text(folder: Path, *arguments: str) -> str:
    done = _git(folder, *arguments)
    if done.returncode:
        raise _failed(folder, done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape")


def _failed(folder: Path, message: bytes) -> PackageError:
    lines = message.decode("utf-8", "replace").strip().splitlines()
    said = lines[0].removeprefix("fatal: ") if lines else "no reason given"
    return PackageError(
        "package-git",
        f"git cannot read the package: {said}",
        place=str(folder),
        hint="Run `git status` in the folder.",
    )


def _in_work_tree(folder: Path) -> bool:
    if not folder.is_dir():
        raise PackageError(
            "package-missing",
            "the folder does not exist",
            place=str(folder),
            hint="Use the folder of a package.",
        )
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return False
    done = _git(folder, "rev-parse", "--is-inside-work-tree")
    if done.returncode or done.stdout.strip() != b"true":
        raise _failed(folder, done.stderr or b"it is no work tree")
    return True


def _tree_id(folder: Path) -> str:
    top = _text(folder, "rev-parse", "--show-toplevel").rstrip("\n")
    if Path(top).resolve() == folder:
        return _text(folder, "show", "--format=%T", "-s", HEAD).strip()
    found = _OBJECT.match(
        _text(
            folder,
            "ls-tree",
            "--full-tree",
            HEAD,
            "--",
            str(folder.relative_to(Path(top).resolve())),
        )
    )
    if found is None:
        raise PackageError(
            "package-uncommitted",
            "the package is not in git's last commit, so it has no tag",
            place=str(folder),
            hint="Commit the package.",
        )
    return found[1]


def _is_dirty(folder: Path) -> bool:
    changed = _git(
        folder, "diff", "--no-ext-diff", "--exit-code", "--quiet", HEAD, "--", "."
    ).returncode
    return bool(changed) or bool(
        _text(folder, "ls-files", "--exclude-standard", "--others", "--", ".")
    )


def _dirty_suffix(folder: Path) -> str:
    hasher = hashlib.sha256()
    names = (
        _text(folder, "ls-files") + _text(folder, "ls-files", "--exclude-standard", "--others")
    ).splitlines()
    for name in names:
        path = folder / name
        # What git quotes, what is no regular file and what cannot be read does not count (reference
        # 2.3, step 5).
        if name.startswith('"') or path.is_symlink() or not path.is_file():
            continue
        with suppress(OSError), path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
    return hasher.hexdigest()[:7]
