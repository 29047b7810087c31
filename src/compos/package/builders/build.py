"""A package with a Dockerfile as an image in the store: its base images are found, a builder makes
the image, and it comes in through the one door.

May touch: the package's folder and its extra sources (reading), the store, the sources of images,
the builder's program. Base images are found as those of systems are, before a builder is asked:
packages of the same tree, bricks, and what registries have, with the same mirrors, credentials and
checks (docs/linuxkit.md#N27).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from compos.errors import ComposError, ImageError, PackageError
from compos.image.archives.local import carried
from compos.image.attestation import attested, put_attestation, spdx_documents
from compos.image.digest import Digest
from compos.image.door import admit
from compos.image.model import Descriptor, Image, parse_document
from compos.image.platform import Platform
from compos.image.reference import HUB, Reference
from compos.image.source import Images
from compos.image.store import Store
from compos.package.arguments import build_arguments
from compos.package.builders.choice import choose
from compos.package.builders.context import write_context
from compos.package.builders.depends import NO_FILES, Files, Save, image_files
from compos.package.builders.dockerfile import MAX_DOCKERFILE, Use, images_used
from compos.package.builders.request import NO_SBOM, Base, BuildOptions, Built, Request
from compos.package.labels import image_labels
from compos.package.tag import version_of
from compos.progress import notice, task
from compos.tree.node import EPOCH

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["Dockerfile", "Dockerfiles", "dockerfile_of", "read_dockerfile"]

MAX_DIGITS = 11
"""Of a time in seconds: enough for a thousand years."""


class Dockerfile(NamedTuple):
    """A Dockerfile to build: its path in `folder`, what is around it, and what it is built with.

    `name` is the image's canonical name; `depends` is that of build.yml.
    """

    folder: Path
    path: str
    name: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    extra_sources: tuple[str, ...] = ()
    network: bool = False
    cache: bool = True
    depends: Mapping[str, Any] = {}

    @property
    def place(self) -> str:
        """Where it is, for errors."""
        return str(self.folder / self.path)


def dockerfile_of(recipe: Recipe, name: str) -> Dockerfile:
    """The Dockerfile of a package, whose image is called `name` (canonical). Raises `PackageError`
    (`package-build-arg`, `package-git`)."""
    version = version_of(recipe.folder, recipe.extra_sources, recipe.naming)
    return Dockerfile(
        recipe.folder,
        recipe.dockerfile,
        name,
        build_arguments(recipe, version),
        image_labels(recipe, version),
        recipe.extra_sources,
        recipe.network,
        not recipe.disable_cache,
        recipe.depends,
    )


class Dockerfiles:
    """Builds Dockerfiles into `store`; `images` finds base images, `save` writes images as files.
    For several threads."""

    def __init__(
        self,
        store: Store,
        images: Callable[[], Images],
        save: Save,
        options: BuildOptions,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._store = store
        self._images = images
        self._save = save
        self._options = options
        self._environment = environment

    def build(
        self, dockerfile: Dockerfile, platform: Platform, bases: tuple[Base, ...] | None = None
    ) -> Image:
        """The image for `platform`, complete in the store with all that is attested of it, and not
        named there yet; `bases` are those that `bases` has found. Raises `PackageError`
        (`builder-*`, `dockerfile-*`), `ImageError`, `NetworkError`."""
        text = read_dockerfile(dockerfile)
        options = self._options
        network = dockerfile.network if options.network is None else options.network
        cache = dockerfile.cache if options.cache is None else options.cache
        if bases is None:
            bases = self.bases(dockerfile, platform)
        builder = choose(options, platform, self._environment)

        notice(f"{dockerfile.name} {platform} is built by {builder.title}")
        with self._store.scratch() as scratch, task(f"build {dockerfile.name} for {platform}"):
            files = self._files(dockerfile, platform, scratch / "files")

            def context(out: BinaryIO, instead: str | None) -> None:
                replaced = {} if instead is None else {dockerfile.path: instead.encode()}
                write_context(
                    out,
                    dockerfile.folder,
                    dockerfile.extra_sources,
                    instead=replaced,
                    added=files.added,
                    without=files.without,
                )

            folder = scratch / "builder"
            folder.mkdir()
            built = builder.build(
                Request(
                    dockerfile.place,
                    self._store,
                    folder,
                    dockerfile.path,
                    text,
                    context,
                    platform,
                    dockerfile.arguments,
                    dockerfile.labels,
                    bases,
                    network,
                    cache,
                    _epoch(self._environment),
                    options,
                )
            )
            image = self._admitted(dockerfile, platform, built)
            return self._described(dockerfile, platform, image, bases)

    def _files(self, dockerfile: Dockerfile, platform: Platform, scratch: Path) -> Files:
        """The images that the Dockerfile needs as files, as far as it needs any."""
        if not dockerfile.depends:
            return NO_FILES
        scratch.mkdir()
        return image_files(
            dockerfile.folder, dockerfile.depends, platform, self._images, scratch, self._save
        )

    def bases(self, dockerfile: Dockerfile, platform: Platform) -> tuple[Base, ...]:
        """The images that a Dockerfile uses, complete in the store. Raises as `build` does."""
        uses = images_used(
            read_dockerfile(dockerfile),
            dockerfile.arguments,
            platform,
            Platform.host(),
            dockerfile.place,
        )
        images: dict[str, list[Use]] = {}
        for use in uses:
            images.setdefault(use.image, []).append(use)
        # Most Dockerfiles that use none are for a program that was built elsewhere.
        source = self._images() if images else None
        return tuple(
            self._base(source, image, uses, dockerfile.place)
            for image, uses in images.items()
            if source is not None
        )

    def _base(self, images: Images, image: str, uses: Sequence[Use], place: str) -> Base:
        platforms = sorted({use.platform for use in uses})
        place = f"{place}:{uses[0].line}"
        try:
            reference = Reference.parse(image)
            if not reference.tag and not reference.digest:
                # As builders do, and as the packages of a tree are named.
                reference = reference._replace(tag="latest")
            admitted = [images.image(str(reference), platform) for platform in platforms]
            if len(admitted) == 1 and not reference.digest:
                # What was admitted, even if another process has named another image so by now.
                root = _descriptor(self._store, admitted[0].digest)
            else:
                root = self._store.named(str(reference))
        except ComposError as error:
            error.place = f"{place}: {error.place}" if error.place else place
            raise
        digests = {one: found.digest for one, found in zip(platforms, admitted, strict=True)}
        return Base(image, reference, root, tuple(uses), digests, tuple(admitted))

    def _described(
        self, dockerfile: Dockerfile, platform: Platform, image: Image, bases: Sequence[Base]
    ) -> Image:
        """The image with an SBOM of ours, if its builder has made none and was not told so."""
        if self._options.sbom_scanner == NO_SBOM or any(spdx_documents(self._store, image)):
            return image
        # Not at the top: the SBOM of a builder is the better one.
        from compos.package.builders.sbom import own_document

        name = dockerfile.name.removeprefix(f"{HUB}/")
        epoch = _epoch(self._environment)
        document = own_document(self._store, image, name, bases, epoch)
        if document is None:
            return image
        manifest = _descriptor(self._store, image.digest)
        made = put_attestation(self._store, name, manifest, platform, document)
        return image._replace(attestations=(*image.attestations, made))

    def _admitted(self, dockerfile: Dockerfile, platform: Platform, built: Built) -> Image:
        """The image that a builder has handed back, if it is the one that was asked for."""
        with ExitStack() as stack:
            try:
                offer = carried(
                    self._store, dockerfile.name, built.path, platform, built.selector, stack
                )
                image = admit(self._store, offer, platform)
                complete = attested(self._store, image)
            except ImageError as error:
                error.message = f"the builder's image cannot be used: {error.message}"
                error.place = dockerfile.place
                raise
        lost = [
            name
            for name, value in dockerfile.labels.items()
            if image.config.labels.get(name) != value
        ]
        if lost or not complete:
            raise PackageError(
                "builder-output",
                f"the builder returned an image without the label {lost[0][:200]!r} that it was "
                "asked for"
                if lost
                else "the builder returned an image without all of its attestations",
                place=dockerfile.place,
                hint="Build it again, or use another --builder.",
            )
        return image


def _epoch(environment: Mapping[str, str]) -> int:
    """The time of what is built: SOURCE_DATE_EPOCH (reproducible-builds.org), or that of recipes'
    files."""
    given = environment.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return EPOCH // 1_000_000_000
    if not given.isascii() or not given.isdecimal() or len(given) > MAX_DIGITS:
        raise PackageError(
            "package-epoch",
            f"SOURCE_DATE_EPOCH is not a number of seconds: {given[:100]!r}",
            hint="Unset it, or use the time of the last commit: git log -1 --pretty=%ct.",
        )
    return int(given)


def read_dockerfile(dockerfile: Dockerfile) -> str:
    """The Dockerfile's text. A link that leads out of the folder is not followed."""
    path = dockerfile.folder / dockerfile.path
    reason = ""
    data = b""
    try:
        if not path.resolve().is_relative_to(dockerfile.folder.resolve()):
            reason = "it is a link that leads out of the package's folder"
        elif path.stat().st_size > MAX_DOCKERFILE:
            reason = f"it is larger than {MAX_DOCKERFILE >> 20} MiB"
        else:
            data = path.read_bytes()
    except (OSError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
    if reason:
        raise PackageError(
            "package-dockerfile",
            f"the Dockerfile cannot be read: {reason}",
            place=dockerfile.place,
            hint="Use a Dockerfile in the package's folder.",
        )
    return data.decode("utf-8-sig", "surrogateescape")


def _descriptor(store: Store, digest: str) -> Descriptor:
    """A manifest of the store as a descriptor."""
    data = store.read(digest)
    media_type, _ = parse_document(data)
    return Descriptor(media_type, Digest(digest), len(data))
