"""The images of a lock, as sources of images: exactly these, from the store, the lock's mirror,
their registry, or built again from exactly the locked Debian packages.

May touch: the store, the network, the folders of packages (reading).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import ComposError, ImageError, PackageError
from compos.image.attestation import attested
from compos.image.door import stored_image
from compos.image.names import LOCK, REGISTRY, Origin, is_built_here
from compos.image.offer import ImageSource, Offer, Wanted
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.store import Store
from compos.package.lock.model import (
    BuiltImage,
    Find,
    Lock,
    Locked,
    index_of,
    key_of,
    locked_recipe,
    recipe_digest,
)
from compos.progress import notice
from compos.version import __version__

if TYPE_CHECKING:
    from compos.image.model import Image
    from compos.image.source import Images
    from compos.package.build import Builder
    from compos.package.choice import Choice
    from compos.package.lock.mirror import LockMirror
    from compos.package.recipe import Recipe

__all__ = ["LockedImages"]


class LockedImages:
    """What the images of a system are by `lock`, which lies in `folder` (`image.source.Pins`).

    `published` has the images of registries. `builder` makes a builder that takes the Debian
    packages of a choice; `find` has the packages of the system's tree. `mirror` is
    asked first for what the store lacks. Several threads may ask.
    """

    def __init__(
        self,
        store: Store,
        lock: Lock,
        folder: Path,
        *,
        published: Callable[[Reference], ImageSource],
        builder: Callable[[Choice], Builder],
        find: Find,
        mirror: LockMirror | None = None,
    ) -> None:
        self._store = store
        self._lock = lock
        self._folder = folder
        self._published = published
        self._builder = builder
        self._find = find
        self._mirror = mirror
        self.stored: ImageSource = _Stored(self)
        self.others: ImageSource = _Others(self)

    def find(self, name: str) -> Locked | None:
        """What the lock says of an image; None when it does not have it."""
        return self._lock.images.get(key_of(name, self._folder))

    def require(self, name: str, platform: Platform, digest: str) -> None:
        """As `image.source.Pins`. Raises `PackageError` (`lock-entry-missing`,
        `lock-mismatch`)."""
        locked = self.find(name)
        expected = locked.digest(platform) if locked else None
        if expected is None:
            raise self._missing(name, platform)
        if expected != digest:
            raise _mismatch(f"{name} for {platform}", expected, digest)
        built = locked.built.get(platform) if locked else None
        if built and built.choice.left_out:
            notice(f"WARNING: {name} was locked without {' and '.join(built.choice.left_out)}")

    def require_root(self, name: str, digest: str) -> None:
        """Likewise; of an image that is built, its manifests are all that is locked."""
        locked = self.find(name)
        if locked is None:
            raise self._missing(name, None)
        if locked.published and locked.published.root.digest != digest:
            raise _mismatch(name, locked.published.root.digest, digest)

    def require_attested(self, source: Images, images: Iterable[Image]) -> None:
        """See that what is attested of `images` is in the store, for the SBOM: without it the
        system would be another one. Raises `PackageError` (`lock-sbom`)."""
        lacking = [image for image in images if not attested(self._store, image)]
        source.fetch_attestations(lacking)
        for image in lacking:
            if not attested(self._store, image):
                raise PackageError(
                    "lock-sbom",
                    "the SBOM that belongs to the locked image cannot be had",
                    place=image.name,
                    hint="Try again later, or build with --no-sbom.",
                )

    def is_built(self, name: str) -> bool:
        """Whether the image is locked as one that is built from a recipe."""
        locked = self.find(name)
        return locked is not None and bool(locked.built)

    def as_kept(self, image: Image, platform: Platform) -> Image:
        """`image`, by the name under which the store has what was built here from the lock."""
        locked = self.find(image.name)
        built = locked.built.get(platform) if locked else None
        return image if built is None else image._replace(name=_kept(image.name, platform, built))

    def packages(self, choice: Choice) -> list[Path]:
        """The files of the locked Debian packages, in their order. Raises `PackageError`
        (`lock-package-missing`)."""
        source = self._builder(choice).packages
        return source.fetch(choice.packages) if source else []

    def in_store(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """The image, if the store has it under its digest."""
        locked = self.find(wanted.text)
        if locked is None or _lacking(locked, wanted):
            return
        if locked.built and self._find(wanted.text):
            # An edited package must not be passed over because its old image is still there.
            self._require_recipe(wanted)
        if locked.published:
            root = locked.published.root
            if self._store.has(root.digest, root.size):
                yield Offer(
                    wanted.text,
                    root.plain,
                    self._origin(wanted),
                    kept_as=str(wanted.reference._replace(digest=root.digest)),
                    may_be_brick=True,
                )
        elif self._is_built(locked, wanted):
            yield self._offer(locked, wanted)

    def brought(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """The image, from the mirror, its registry, or built now."""
        locked = self.find(wanted.text)
        if locked is None or (lacking := _lacking(locked, wanted)):
            raise self._missing(wanted.text, lacking if locked else wanted.platform)
        from_mirror = self._mirrored(locked, wanted)
        if locked.published:
            reference = wanted.reference._replace(digest=locked.published.root.digest)
            if from_mirror and self._mirror:
                yield Offer(
                    wanted.text,
                    locked.published.root,
                    Origin(REGISTRY, self._mirror.host),
                    kept_as=str(reference),
                    may_be_brick=True,
                )
                return
            exact = wanted._replace(text=str(reference))
            for offer in self._published(wanted.reference).offers(exact):
                yield offer._replace(asked=wanted.text, kept_as=str(reference))
            return
        if not from_mirror:
            for platform in wanted.platforms:
                self._build(wanted.text, platform, locked.built[platform])
        yield self._offer(locked, wanted)

    def _origin(self, wanted: Wanted) -> Origin | None:
        """Where an image of the store came from, if that is not what its name says: a package that
        was built here may have the name of the image that is locked."""
        if any(is_built_here(self._store, wanted.text, one) for one in wanted.platforms):
            return Origin(REGISTRY, wanted.reference.origin[0])
        return None

    def _is_built(self, locked: Locked, wanted: Wanted) -> bool:
        """Whether the store has the images that are built, and their SBOMs, whole."""
        for platform in wanted.platforms:
            built = locked.built[platform]
            if not self._store.has(built.manifest.digest, built.manifest.size):
                return False
            try:
                if not attested(self._store, self._image(wanted.text, {platform: built}, platform)):
                    return False
            except ImageError:
                return False
        return True

    def _image(self, name: str, built: Mapping[Platform, BuiltImage], platform: Platform) -> Image:
        root, data = index_of(built)
        self._store.put(data, root.media_type)
        return stored_image(self._store, name, root, platform)

    def _offer(self, locked: Locked, wanted: Wanted) -> Offer:
        root, data = index_of({one: locked.built[one] for one in wanted.platforms})
        self._store.put(data, root.media_type)
        name = str(wanted.reference._replace(digest=root.digest))
        return Offer(wanted.text, root, Origin(LOCK), kept_as=name, may_be_brick=True)

    def _mirrored(self, locked: Locked, wanted: Wanted) -> bool:
        """Whether the mirror had the image, which is then in the store."""
        if self._mirror is None:
            return False
        try:
            if locked.published:
                chosen = locked.published.manifests
                if not wanted.as_published:
                    chosen = {one: chosen[one] for one in wanted.platforms}
                self._mirror.fetch_published(locked.published.root, chosen.values())
            else:
                images = [locked.built[one] for one in wanted.platforms]
                self._mirror.fetch_built(
                    [part for image in images for part in (image.manifest, *image.attestations)]
                )
        except ComposError as error:
            notice(
                f"{wanted.text}: the mirror {self._mirror.repository} does not help: "
                f"{error.message}"
            )
            return False
        notice(f"{wanted.text} comes from the lock's mirror {self._mirror.repository}")
        return True

    def _require_recipe(self, wanted: Wanted) -> Recipe:
        """The recipe of a built image, as it was locked. Raises `PackageError`
        (`lock-recipe`)."""
        locked = self.find(wanted.text)
        recipe = locked_recipe(wanted.text, self._find)
        if recipe is None:
            raise PackageError(
                "lock-recipe",
                "there is no recipe for this image, and its parts are not at hand",
                place=wanted.text,
                hint="Name a registry that has the lock's parts with --mirror-from.",
            )
        for platform in wanted.platforms:
            built = locked.built.get(platform) if locked else None
            if built and built.recipe != recipe_digest(recipe, platform):
                raise PackageError(
                    "lock-recipe",
                    f"the recipe of {recipe.name}, or a file that it names, is not the one that "
                    "was locked",
                    place=str(recipe.folder),
                    hint="Restore it, or lock what is there with `compos lock`.",
                )
        return recipe

    def _build(self, name: str, platform: Platform, locked: BuiltImage) -> None:
        """Build the brick again, and see that it is the locked one. Raises `PackageError`
        (`lock-brick-differs`, …)."""
        # Not at the top: most locked builds find what they need.
        from compos.package.once import build_once

        recipe = self._require_recipe(Wanted(name, (platform,)))
        kept = _kept(name, platform, locked)
        made = build_once(self._builder(locked.choice), recipe, platform, kept)
        image = stored_image(self._store, name, made.root, platform)
        if (image.digest, *(one.digest for one in image.attestations)) == locked.digests:
            if made.built:
                notice(f"{name} for {platform} was built again, and is what the lock has")
            return
        self._store.untag(kept)
        again = f"lock it again with `compos lock --update={recipe.name}`"
        if recipe.dockerfile:
            hint = (
                "A Dockerfile seldom gives the same bytes twice: keep its image in a registry with "
                f"`compos lock --mirror-to`, or {again}."
            )
        elif self._lock.tool != __version__:
            hint = (
                f"The lock was written by compos {self._lock.tool}, and this is {__version__}: use "
                f"that version, or a registry that has the lock's parts, or {again}."
            )
        else:
            hint = f"{again[0].upper()}{again[1:]}."
        same = image.digest == locked.manifest.digest
        raise PackageError(
            "lock-brick-differs",
            f"{recipe.name} for {platform} was built again from what is locked, and "
            + ("its attestations differ" if same else f"is {image.digest}")
            + f"; the lock has {locked.manifest.digest}",
            place=name,
            hint=hint,
        )

    def _missing(self, name: str, platform: Platform | None) -> PackageError:
        return PackageError(
            "lock-entry-missing",
            f"the lock does not have this image{f' for {platform}' if platform else ''}",
            place=name if is_local(name) else str(Reference.parse(name)),
            hint="Add it with `compos lock`, with the same --arch and --format as the build.",
        )


class _Stored:
    def __init__(self, images: LockedImages) -> None:
        self._images = images

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """What the store has."""
        return self._images.in_store(wanted)


class _Others:
    def __init__(self, images: LockedImages) -> None:
        self._images = images

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """What can be brought."""
        return self._images.brought(wanted)


def _kept(name: str, platform: Platform, built: BuiltImage) -> str:
    """What the store calls an image that is built from the lock: its name, and the digest of the
    index that has just this image."""
    root, _ = index_of({platform: built})
    return str(Reference.parse(name)._replace(digest=root.digest))


def _lacking(locked: Locked, wanted: Wanted) -> Platform | None:
    """A platform that is wanted and not locked. What an index has is locked with its root."""
    if locked.published and wanted.as_published:
        return None
    return next((one for one in wanted.platforms if locked.digest(one) is None), None)


def _mismatch(what: str, expected: str, found: str) -> PackageError:
    return PackageError(
        "lock-mismatch",
        f"the image is {found}, but the lock has {expected}",
        place=what,
        hint="Restore the locked image, or lock this one with `compos lock --update`.",
    )
