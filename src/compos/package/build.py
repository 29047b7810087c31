"""Building a brick: Debian packages and own files to an OCI image in the store, natively and
reproducibly.

The packages come from the recipe's suite and its updates: trixie, trixie-updates and
trixie-security. The same indexes give the same bytes, and the brick's SBOM names the indexes.

May touch: the store, the Debian mirror, the brick's folder (reading).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compos import progress
from compos.compose.files import files_components
from compos.compose.host_files import read_sources
from compos.errors import PackageError
from compos.image.attestation import put_attestation
from compos.image.digest import Digest
from compos.image.model import Descriptor, Image, parse_document
from compos.image.names import BUILT_FROM, CHOICE, LEFT_OUT, RECIPE
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.assemble import assemble, tag_image
from compos.package.choice import Choice, PackageSource
from compos.package.debian.mirror import Mirror
from compos.package.debian.package import Package
from compos.package.files import packages_tree
from compos.package.indexes import Indexes
from compos.package.kernel import is_kernels, kernel_tree
from compos.package.kernel_sources import kernel_sources
from compos.package.local_package import LocalPackage
from compos.package.newest import Newest
from compos.package.recipe import Recipe
from compos.package.recipe_fields import MADE_OF, Debian
from compos.package.recipe_key import recipe_key
from compos.package.sbom import brick_document
from compos.package.select import moved, selected
from compos.package.state import built_from
from compos.tree.contents import Contents
from compos.tree.gate import clean
from compos.tree.node import EPOCH, FILE, Node, Tree, ancestors, directory, file, symlink
from compos.tree.overlay import Overlay

if TYPE_CHECKING:
    from compos.package.builders.build import Dockerfiles

__all__ = ["Builder"]

MAX_PROGRAM = 1 << 30
"""Bytes of a program or library that is read for what it needs; Debian's largest, a browser's, has
250 MB."""

MAX_CONCATENATION = 64 << 20
"""Bytes of a file that is made of others: it is made in memory. All certificates have 220 KB."""


@dataclass
class Builder:
    """Builds packages into `store`; `mirror` is asked for when the first Debian package is needed,
    `dockerfiles` when the first Dockerfile is built. `packages` says which Debian packages are
    taken: by default the newest that the mirror has. `shared` may have the image of a recipe, built
    by another machine, and then names it in the store. For several threads."""

    store: Store
    mirror: Callable[[], Mirror]
    packages: PackageSource | None = None
    dockerfiles: Callable[[], Dockerfiles] | None = None
    shared: Callable[[Recipe, Platform, str], bool] | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.newest = Newest(self.mirror, self.store.root / "debian")

    @property
    def indexes(self) -> Indexes:
        """Debian's indexes as they are now."""
        return self.newest.indexes

    @property
    def _source(self) -> PackageSource:
        return self.packages or self.newest

    def build(self, recipe: Recipe, platform: Platform, name: str) -> Image:
        """Build `recipe` for `platform` and name the image `name` (canonical). Raises
        `PackageError`."""
        if platform.architecture not in recipe.arches or platform.os != "linux":
            raise PackageError(
                "brick-architecture",
                f"{recipe.image} is not built for {platform}",
                place=str(recipe.folder / "build.yml"),
                hint=f"Use one of its architectures: {', '.join(recipe.arches) or 'none'}.",
            )
        if recipe.empty:
            raise PackageError(
                "package-empty",
                f"the recipe of {recipe.name} has no contents",
                place=str(recipe.folder / "build.yml"),
                hint=f"Add one of {', '.join(MADE_OF)} to build.yml.",
            )
        key = recipe_key(recipe, platform.architecture)
        if recipe.dockerfile:
            return self._from_dockerfile(recipe, platform, name, key)
        with progress.task(f"build {recipe.name} for {platform.architecture}"):
            tree: Tree = {}
            used: set[Package] = set()
            choice = self._source.choose(recipe, platform.architecture)
            if recipe.debian is not None:
                tree, used = self._debian_tree(recipe, recipe.debian, choice)
            local: tuple[LocalPackage, ...] = ()
            if recipe.kernel is not None:
                tree, local = self._kernel_tree(recipe, tree, platform.architecture)
            own = self._files(recipe, platform.architecture)
            image, manifest = assemble(
                self.store, name, self._whole(recipe, tree, own), platform, recipe.settings
            )
            document = brick_document(
                self.store,
                recipe,
                platform.architecture,
                manifest.digest,
                (*used, *local),
                own,
                choice,
            )
            attestation = put_attestation(self.store, recipe.name, manifest, platform, document)
            _require_unchanged(recipe, platform, key)
            with self._lock:
                annotations = {
                    f"{RECIPE}.{platform.architecture}": key,
                    f"{CHOICE}.{platform.architecture}": choice.digest,
                    f"{LEFT_OUT}.{platform.architecture}": " ".join(choice.left_out),
                }
                tag_image(self.store, name, manifest, (attestation,), annotations)
        return image._replace(attestations=(attestation,))

    def _from_dockerfile(self, recipe: Recipe, platform: Platform, name: str, key: str) -> Image:
        # Not at the top: few packages have one.
        from compos.package.builders.build import dockerfile_of

        if self.dockerfiles is None:
            raise PackageError(
                "package-dockerfile",
                f"{recipe.name} has a Dockerfile, and there is no builder for it",
                place=str(recipe.folder),
                hint="Build it with `compos pkg build`.",
            )
        dockerfiles, dockerfile = self.dockerfiles(), dockerfile_of(recipe, name)
        bases = dockerfiles.bases(dockerfile, platform)
        image = dockerfiles.build(dockerfile, platform, bases)
        _require_unchanged(recipe, platform, key)
        data = self.store.read(image.digest)
        media_type, _ = parse_document(data)
        manifest = Descriptor(media_type, Digest(image.digest), len(data), {}, platform)
        with self._lock:
            annotations = {
                f"{RECIPE}.{platform.architecture}": key,
                f"{BUILT_FROM}.{platform.architecture}": built_from(
                    recipe,
                    {
                        (str(base.reference), one): digest
                        for base in bases
                        for one, digest in base.digests.items()
                    },
                ),
            }
            tag_image(self.store, name, manifest, image.attestations, annotations)
        return image

    def _debian_tree(
        self, recipe: Recipe, debian: Debian, choice: Choice
    ) -> tuple[Tree, set[Package]]:
        """What the brick takes from Debian, and the packages that it takes something from; of a
        kernel brick all that they have."""
        archives = self._source.fetch(choice.packages)
        files, owners = packages_tree(self.store, choice.packages, archives)
        place = str(recipe.folder / "build.yml")
        if recipe.kernel is not None:
            return files, _owning(owners, filter(is_kernels, files))
        made, parts = self._concatenated(recipe, files)
        # A brick of concatenations alone takes no other file of its packages.
        keep = debian.keep if debian.keep is not None or not made else ()
        tree = selected(files, keep, debian.drop, self._elf, place)
        return {**moved(tree, debian.move, place), **made}, _owning(owners, (*tree, *parts))

    def _kernel_tree(
        self, recipe: Recipe, packages: Tree, architecture: str
    ) -> tuple[Tree, tuple[LocalPackage, ...]]:
        """The kernel image of Debian's `packages` and the folder's files, and these files."""
        sources = kernel_sources(self.store, recipe, architecture)
        tree = kernel_tree(
            self.store,
            {**packages, **sources.tree},
            str(recipe.folder / "build.yml"),
            architecture=architecture,
            extra=sources.extra,
            without_modules=sources.without_modules,
        )
        return tree, sources.packages

    def _whole(self, recipe: Recipe, tree: Tree, own: list[tuple[str, Node]]) -> Tree:
        overlay = Overlay(str(recipe.folder / "build.yml"))
        for path, node in (*sorted(tree.items()), *own, *_links(recipe)):
            overlay.add(path, node)
        return overlay.tree

    def _read(self, node: Node) -> bytes:
        with Contents(self.store.root) as contents:
            return b"".join(contents.chunks(node.content))

    def _elf(self, node: Node) -> bytes:
        """The bytes of an ELF file; what is none, or larger than any program, is not read to its
        end."""
        with Contents(self.store.root) as contents:
            chunks = contents.chunks(node.content)
            start = next(chunks, b"")
            if not start.startswith(b"\x7fELF") or node.size > MAX_PROGRAM:
                return b""
            return b"".join((start, *chunks))

    def _concatenated(self, recipe: Recipe, packages: Tree) -> tuple[Tree, list[str]]:
        """The files that are made of others, and the paths of those others."""
        made: Tree = {}
        used: list[str] = []
        for entry in recipe.concatenate:
            place = f"{recipe.folder / 'build.yml'}: concatenate"
            parts = selected(packages, entry.sources, (), self._elf, place)
            size = sum(node.size for node in parts.values() if node.kind == FILE)
            if size > MAX_CONCATENATION:
                raise PackageError(
                    "brick-concatenation",
                    f"the parts of {entry.path} have {size} bytes",
                    place=place,
                    hint=f"Join at most {MAX_CONCATENATION >> 20} MiB.",
                )
            data = b"".join(
                self._read(node) for _, node in sorted(parts.items()) if node.kind == FILE
            )
            path = entry.path.strip("/")
            for parent in ancestors(path):
                made.setdefault(parent, directory(0o755, EPOCH))
            made[path] = file(data, 0o644, EPOCH)
            used += parts
        return made, used

    def _files(self, recipe: Recipe, architecture: str) -> list[tuple[str, Node]]:
        """The brick's own files. Parents that packages have keep their mode: unlike in a system's
        `files`."""
        entries = tuple(
            entry._replace(source=str(recipe.source(entry.source, architecture)))
            if entry.source
            else entry
            for entry in recipe.files
        )

        def no_metadata(form: str) -> bytes:
            raise PackageError(
                "package-unknown-key",
                "a brick cannot have a metadata file",
                place=str(recipe.folder),
            )

        nodes: list[tuple[str, Node]] = []
        for entry, component in zip(
            entries,
            files_components(entries, read_sources(self.store, entries), {}, no_metadata),
            strict=True,
        ):
            path = clean(entry.path or "")
            nodes += [(parent, directory(0o755, EPOCH)) for parent in ancestors(path)]
            nodes.append((path, component.tree[path]))
        return _without_repeated_parents(nodes)


def _require_unchanged(recipe: Recipe, platform: Platform, key: str) -> None:
    if recipe_key(recipe, platform.architecture) != key:
        raise PackageError(
            "package-changed",
            f"a file of {recipe.name} changed during the build",
            place=str(recipe.folder),
            hint="Build it again.",
        )


def _owning(owners: Mapping[str, Package], paths: Iterable[str]) -> set[Package]:
    return {owners[path] for path in paths if path in owners}


def _links(recipe: Recipe) -> Iterator[tuple[str, Node]]:
    """Symbolic links to programs with many names; relative, so that they hold below any prefix."""
    for target, paths in recipe.links.items():
        for path in paths:
            yield path, symlink("../" * path.count("/") + target, EPOCH)


def _without_repeated_parents(nodes: list[tuple[str, Node]]) -> list[tuple[str, Node]]:
    explicit = {path for path, node in nodes if node.kind != "d" or node.mode != 0o755}
    seen: set[str] = set()
    kept = []
    for path, node in nodes:
        if node.kind == "d" and node.mode == 0o755 and (path in seen or path in explicit):
            continue
        seen.add(path)
        kept.append((path, node))
    return kept
