"""The tag of a package's image: a digest of its folder as git has it, the same that LinuxKit
computes (docs/linuxkit.md#cli-2.3).

May touch: the folder and its git work tree (reading).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compos.errors import PackageError
from compos.package.git import HEAD, WorkTree, digest_of_contents
from compos.package.naming import Naming

__all__ = ["Version", "content_hash", "render_tag", "version_of"]

_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_PRINTF = re.compile(r'printf\s+"%(?:\.(\d{1,3}))?s"\s+\.Hash')


class Version(NamedTuple):
    """What a package's folder is in git.

    `hash` is empty outside of git, and ends in `-dirty-` and seven digits if something is not
    committed. `dirty` is that, too, whoever said the hash. `revision` is the commit HEAD, `go` its
    version as Go counts; both are empty outside of git.
    """

    hash: str
    dirty: bool = False
    revision: str = ""
    go: str = ""


def version_of(folder: Path, extra_sources: Sequence[str], naming: Naming) -> Version:
    """Raises `PackageError` (`package-git`, `package-uncommitted`, `package-hash-path`)."""
    tree = WorkTree.of(folder)
    if tree is None:
        return Version(naming.given_hash)
    dirty = naming.force_dirty or bool(_dirty(folder, extra_sources, naming))
    digest = content_hash(folder, extra_sources, naming)
    revision = tree.head()
    return Version(digest, dirty, revision, tree.go_version() if revision else "")


def content_hash(
    folder: Path, extra_sources: Sequence[str] = (), naming: Naming | None = None
) -> str:
    """The package's hash: the one that `naming` says, or the tree id of `folder` in HEAD, chained
    with those of its extra sources (`SOURCE:DESTINATION`), with `-dirty-` and seven digits when
    something is not committed; empty outside of git.

    Raises `PackageError` (`package-git`, `package-uncommitted`, `package-hash-path`).
    """
    naming = naming or Naming()
    if naming.given_hash:
        return naming.given_hash
    tree = WorkTree.of(folder)
    if tree is None:
        return ""
    commit = naming.hash_commit
    digest = WorkTree(_hashed(folder, naming)).tree_id(commit)
    sources = _sources(folder, extra_sources)
    if sources:
        texts = [digest, *(WorkTree(source).tree_id(commit) for source in sources)]
        digest = hashlib.sha1("".join(texts).encode(), usedforsecurity=False).hexdigest()
    dirty = _dirty(folder, extra_sources, naming)
    if not dirty and not naming.force_dirty:
        return digest
    # The package's own files always count, those of its sources if they are why: LinuxKit does not
    # look at these.
    changed = [tree, *(WorkTree(source) for source in sources if source in dirty)]
    return f"{digest}-dirty-{digest_of_contents(changed)[:7]}"


def _dirty(folder: Path, extra_sources: Sequence[str], naming: Naming) -> list[Path]:
    """Which of the folders that the hash is made of have changes; none if another commit than HEAD
    is hashed."""
    if naming.hash_commit != HEAD:
        return []
    folders = [_hashed(folder, naming), *_sources(folder, extra_sources)]
    return [one for one in folders if WorkTree(one).is_dirty()]


def _hashed(folder: Path, naming: Naming) -> Path:
    """The folder whose tree is the hash."""
    folder = folder.resolve()
    if naming.hash_path is None:
        return folder
    path = naming.hash_path.resolve()
    if not folder.is_relative_to(path):
        raise PackageError(
            "package-hash-path",
            "the package is not in the folder that is to be hashed",
            place=f"--hash-path {naming.hash_path}",
            hint=f"Use a folder that {folder} is in.",
        )
    return path


def _sources(folder: Path, extra_sources: Sequence[str]) -> list[Path]:
    found = []
    for extra in extra_sources:
        source, _, destination = extra.partition(":")
        if not source or not destination or ":" in destination:
            raise PackageError(
                "package-extra-source",
                f"{extra!r} is not SOURCE:DESTINATION",
                place=str(folder / "build.yml"),
                hint="Write ../common:/common.",
            )
        path = (folder / source).resolve()
        if WorkTree.of(path) is None:
            raise PackageError(
                "package-extra-source",
                "an extra source must be in git, since it is a part of the tag",
                place=str(path),
                hint="Commit it.",
            )
        found.append(path)
    return found


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
