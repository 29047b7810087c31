"""Under which names a package is published: its own, one for each architecture, and those of a
release (docs/linuxkit.md#cli-2.9). Pure, apart from asking git for tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compos.errors import ImageError, PackageError
from compos.image.reference import Reference
from compos.package.git import HEAD, WorkTree
from compos.progress import notice

if TYPE_CHECKING:
    from compos.package.recipe import Recipe
    from compos.package.tag import Version

__all__ = ["architecture_tag", "releases", "require_publishable"]


def require_publishable(recipe: Recipe, version: Version) -> None:
    """Raise `PackageError` for a package whose contents no commit has (`package-dirty`), or that is
    to be named after another commit than HEAD (`package-hash-commit`)."""
    require_head(recipe)
    if version.dirty:
        raise PackageError(
            "package-dirty",
            f"{recipe.name} has changes that are not committed, so it is not pushed",
            place=str(recipe.folder),
            hint="Commit or stash the changes; `git status` in the folder lists them.",
        )


def require_head(recipe: Recipe) -> None:
    """Raise `PackageError` (`package-hash-commit`) if the tag is another commit's: what is in the
    folder is built, and would get its name."""
    commit = recipe.naming.hash_commit
    if commit != HEAD:
        raise PackageError(
            "package-hash-commit",
            f"what is built is in the folder, and cannot be named after the commit {commit[:100]}",
            place=str(recipe.folder),
            hint="Check that commit out, or leave out --hash-commit.",
        )


def releases(recipe: Recipe, given: str | None) -> tuple[str, ...]:
    """The tags that a package is released under, besides its own: the `given` one, or those of git
    at HEAD if the package's tag is made of its hash. Raises `PackageError` (`package-release`)."""
    if given is not None:
        _release_name(recipe, given)
        return (given,)
    tree = WorkTree.of(recipe.folder) if recipe.names_content else None
    found = []
    for tag in tree.tags_at_head() if tree else ():
        try:
            _release_name(recipe, tag)
            found.append(tag)
        except PackageError:
            notice(f"git's tag {tag} is no tag of an image, so it is no release of {recipe.name}")
    if found:
        notice(f"{recipe.name} is released as {' and '.join(found)}, the tags of the commit")
    return tuple(found)


def _release_name(recipe: Recipe, tag: str) -> None:
    try:
        if Reference.parse(f"{recipe.org}/{recipe.image}:{tag}").tag == tag:
            return
        reason = "it is not a tag"
    except ImageError as error:
        reason = error.message
    raise PackageError(
        "package-release",
        f"{tag[:100]!r} cannot be a release: {reason}",
        place=f"{recipe.org}/{recipe.image}",
        hint="Use letters, digits, dots, dashes and underscores.",
    )


def architecture_tag(reference: Reference, architecture: str) -> Reference:
    """`NAME:TAG-ARCHITECTURE`. Raises `ImageError` for a tag that becomes too long."""
    return Reference.parse(f"{reference.domain}/{reference.path}:{reference.tag}-{architecture}")
