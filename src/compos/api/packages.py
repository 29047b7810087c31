"""Packages built and pushed: what `compos pkg build` and `push` do, for all packages alike
(docs/packages.md).

May touch: the store, registries, Debian's mirror, builders of Dockerfiles, the Docker Engine that
images are loaded into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.errors import PackageError
from compos.image.platform import Platform
from compos.package.bricks import own_name
from compos.package.flow import Done, Packages, Wish, is_stored
from compos.progress import notice

if TYPE_CHECKING:
    from compos.api.access import Access
    from compos.image.model import Image
    from compos.image.reference import Reference
    from compos.package.builders.request import BuildOptions
    from compos.package.publish import Published
    from compos.package.recipe import Recipe
    from compos.trust.keys import SigningKey

__all__ = [
    "Made",
    "PackageOptions",
    "build_commands",
    "build_packages",
    "name_built",
    "platforms_of",
]


class PackageOptions(NamedTuple):
    """How packages are built and pushed.

    `platforms` are those to build for; by default this machine's, or all of a package's with `push`
    or with `skip`, whose platforms are left out. `force` builds in any case, `never` in none.
    `pull` fetches what a registry has, and `load` hands images to the Docker Engine. With `push`,
    images go to `registry` (`HOST[:PORT]/PATH`; empty: where their names say) and are signed with
    `key`; `release` is a further tag, and with `architecture_tags` each architecture has its own.
    """

    platforms: tuple[Platform, ...] = ()
    skip: tuple[Platform, ...] = ()
    force: bool = False
    pull: bool = False
    never: bool = False
    load: bool = False
    push: bool = False
    registry: str = ""
    release: str | None = None
    architecture_tags: bool = True
    key: SigningKey | None = None


class Made(NamedTuple):
    """What was done for a platform of a package; `image` is what was built or pulled now."""

    name: str
    platform: Platform
    done: Done
    image: Image | None


class _Plan(NamedTuple):
    """A package with what is to be pushed of it: `target` is its name at the registry."""

    recipe: Recipe
    platforms: tuple[Platform, ...]
    target: Reference
    releases: tuple[str, ...]


def build_packages(
    access: Access, recipes: Sequence[Recipe], options: PackageOptions
) -> Iterator[Made | Published]:
    """Build `recipes` one after the other, and yield what was done for each platform and each name
    at a registry. What cannot be pushed is refused before anything is built. Raises `PackageError`,
    `ImageError`, `NetworkError`."""
    plans = [_plan(recipe, options) for recipe in recipes]
    packages = _packages(access, options)
    for plan in plans:
        name = own_name(plan.recipe)
        if not plan.platforms:
            notice(f"{plan.recipe.name} is not built for any architecture")
        for platform in plan.platforms:
            done, image = packages.make(plan.recipe, platform, plan.target)
            yield Made(name, platform, done, image)
        name_built(access, plan.recipe)
        if options.load:
            _load(access, plan)
        if options.push:
            yield from _push(access, plan, options)


def name_built(access: Access, recipe: Recipe) -> None:
    """Name each platform's image of a package that was built here, as LinuxKit's cache has them."""
    from compos.image.architectures import name_architectures
    from compos.image.names import is_built_here

    name = own_name(recipe)
    if any(is_built_here(access.store, name, Platform("linux", one)) for one in recipe.arches):
        name_architectures(access.store, name)


def build_commands(
    access: Access,
    recipes: Sequence[Recipe],
    options: PackageOptions,
    dockerfiles: BuildOptions | None = None,
) -> Iterator[str]:
    """Commands for a shell that would build what `build_packages` would build now."""
    from compos.package.dry_run import build_command

    packages = _packages(access, options, dry=True)
    for plan in [_plan(recipe, options) for recipe in recipes]:
        name = own_name(plan.recipe)
        for platform in plan.platforms:
            done, _ = packages.make(plan.recipe, platform, plan.target)
            if done is Done.DUE:
                yield build_command(plan.recipe, platform, name, dockerfiles)
            else:
                notice(f"{name} {platform} is {done.value}")


def _packages(access: Access, options: PackageOptions, *, dry: bool = False) -> Packages:
    return Packages(
        access.builder,
        lambda: access.images(pull=True),
        lambda: access.registry,
        Wish(options.force, options.pull or options.load, options.push and options.never, dry),
    )


def _plan(recipe: Recipe, options: PackageOptions) -> _Plan:
    from compos.image.reference import Reference
    from compos.package.release import require_head

    require_head(recipe)
    platforms = platforms_of(recipe, options)
    if not options.push:
        return _Plan(recipe, platforms, Reference.parse(own_name(recipe)), ())
    # Not at the top: most builds push nothing.
    from compos.package.publish import published_as
    from compos.package.release import releases, require_publishable
    from compos.package.tag import version_of

    target = published_as(recipe, options.registry)
    require_publishable(recipe, version_of(recipe.folder, recipe.extra_sources, recipe.naming))
    return _Plan(recipe, platforms, target, releases(recipe, options.release))


def platforms_of(recipe: Recipe, options: PackageOptions) -> tuple[Platform, ...]:
    """The platforms that a package is built for."""
    every = tuple(Platform("linux", architecture) for architecture in recipe.arches)
    if not every:
        return ()
    if options.platforms:
        # One of several packages may lack a platform; what is built alone has to have it.
        chosen = tuple(one for one in options.platforms if one in every)
        return chosen if options.push else options.platforms
    if options.push or options.skip:
        return tuple(one for one in every if one not in options.skip)
    return (Platform.host(),)


def _push(access: Access, plan: _Plan, options: PackageOptions) -> Iterator[Published]:
    from compos.package.publish import publish, release

    name, store, registry = own_name(plan.recipe), access.store, access.registry
    here = [one for one in plan.platforms if is_stored(store, plan.recipe, one, name)]
    ours = None
    if here:
        published = publish(
            store,
            plan.recipe,
            registry,
            plan.target,
            here,
            key=options.key,
            architecture_tags=options.architecture_tags,
        )
        ours = published.digest
        yield published
    else:
        notice(f"there is nothing to push of {plan.recipe.name}")
    for tag in plan.releases:
        released = release(
            store,
            registry,
            plan.target,
            tag,
            key=options.key,
            architecture_tags=options.architecture_tags,
        )
        yield released
        # A release that was there before with other contents is another image.
        if options.load and released.digest == ours:
            _release_in_engine(plan, name, tag)


def _release_in_engine(plan: _Plan, name: str, tag: str) -> None:
    """Give what `_load` has loaded the names of a release, too."""
    from compos.output.load import tag_loaded

    release = f"{name.rpartition(':')[0]}:{tag}"
    for platform in plan.platforms:
        for one in _engine_names(release, platform):
            tag_loaded(f"{name}-{platform.architecture}", one)


def _engine_names(name: str, platform: Platform) -> list[str]:
    """What an image is called in a Docker Engine: `NAME-ARCHITECTURE`, and `NAME` for this
    machine's architecture."""
    names = [f"{name}-{platform.architecture}"]
    return [*names, name] if platform == Platform.host() else names


def _load(access: Access, plan: _Plan) -> None:
    """Hand the images of a package to the Docker Engine."""
    from compos.image.door import stored_image
    from compos.output.export import docker_pieces
    from compos.output.load import load_image

    store, name = access.store, own_name(plan.recipe)
    for platform in plan.platforms:
        if not is_stored(store, plan.recipe, platform, name):
            raise PackageError(
                "package-not-stored",
                f"{plan.recipe.name} {platform} is not in the store, so it cannot be loaded",
                place=str(plan.recipe.folder),
                hint="Use --pull or --force.",
            )
        image = stored_image(store, name, store.named(name), platform)
        pieces = docker_pieces(store, [(image, _engine_names(name, platform))])
        load_image(store.root, pieces, name)
