"""What a package is built from: the images of its Dockerfile, those that it needs as files, and the
packages that its build arguments name. A recipe is built from Debian packages and files alone.

May touch: the package's folder and those of the packages that it names (reading).
"""

from __future__ import annotations

from compos.errors import ComposError
from compos.image.platform import Platform
from compos.image.reference import Reference, is_reserved
from compos.package.bricks import find_brick, own_name
from compos.package.graph.model import Key, Need
from compos.package.graph.tree import PackageTree
from compos.package.recipe import Recipe

__all__ = ["Needs"]

DOCKERFILE = "Dockerfile"
"""How an image is used that a Dockerfile names: without a tag it means `latest` there."""


class Needs:
    """Finds what packages are built from: packages of `tree`, with `bricks` our bricks, too."""

    def __init__(self, tree: PackageTree, *, bricks: bool) -> None:
        self._tree = tree
        self._bricks = bricks

    def __call__(self, recipe: Recipe, platform: Platform) -> tuple[Need, ...]:
        """What `recipe` is built from for `platform`, each image once. Raises `PackageError`."""
        if not recipe.dockerfile:
            return ()
        # Not at the top: few packages have a Dockerfile.
        from compos.package.arguments import argument_packages
        from compos.package.builders.build import dockerfile_of, read_dockerfile
        from compos.package.builders.depends import listed_images
        from compos.package.builders.dockerfile import images_used

        self._tree.add_siblings(recipe.folder)
        dockerfile = dockerfile_of(recipe, own_name(recipe))
        found: dict[Key, Need] = {}
        for use in images_used(
            read_dockerfile(dockerfile),
            dockerfile.arguments,
            platform,
            Platform.host(),
            dockerfile.place,
        ):
            need = self.image(use.image, use.platform, DOCKERFILE, f"{dockerfile.place}:{use.line}")
            found.setdefault(need.key, need)
        for reference in listed_images(recipe.folder, recipe.depends):
            key = Key(str(reference), platform)
            found.setdefault(key, Need(key, key.name, "depends", recipe.place, None))
        for name, package, place in argument_packages(recipe):
            key = Key(own_name(package), platform)
            how = f"build argument {name}"
            found.setdefault(key, Need(key, key.name, how, place, package))
        return tuple(found.values())

    def image(self, text: str, platform: Platform, how: str, place: str) -> Need:
        """The image called `text`, as a need. Raises `ImageError` (`image-reference`),
        `PackageError`."""
        try:
            reference = Reference.parse(text)
            if how == DOCKERFILE and not reference.tag and not reference.digest:
                reference = reference._replace(tag="latest")
            recipe = self._tree.named(str(reference))
            if recipe is None and self._bricks and is_reserved(reference):
                recipe = find_brick(reference)
            name = str(reference) if recipe is None else own_name(recipe)
        except ComposError as error:
            error.place = f"{place}: {error.place}" if error.place else place
            raise
        return Need(Key(name, platform), str(reference), how, place, recipe)
