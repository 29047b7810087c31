"""`compos pkg build` and `compos pkg push`: packages become images in the store and at registries.
LinuxKit's `push` is `build --push`; here, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from compos.cli.builders import builder_options
from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.pkg.options import package_options
from compos.cli.settings import Settings, global_options, with_flags
from compos.cli.switches import Command

if TYPE_CHECKING:
    from compos.api.access import Access
    from compos.api.packages import PackageOptions
    from compos.image.platform import Platform
    from compos.package.builders.request import BuildOptions
    from compos.package.naming import Naming
    from compos.package.recipe import Recipe
    from compos.trust.keys import SigningKey

__all__ = ["build", "push"]

Result = TypeVar("Result")


class Tree(NamedTuple):
    """How many of a tree's packages are built at the same time (0: as many as this machine can),
    and whether an error stops it."""

    jobs: int
    keep_going: bool


_FLAGS = (
    click.argument("folders", nargs=-1, required=True, metavar="DIR..."),
    click.option(
        "--skip-platforms",
        metavar="LIST",
        help="Build for all platforms of a package but these: linux/ARCH,...",
    ),
    click.option("--force", is_flag=True, help="Build even what the store or a registry has."),
    click.option("--pull", is_flag=True, help="Pull what a registry has and the store lacks."),
    click.option("--docker", is_flag=True, help="Also load the images into the Docker Engine."),
    click.option("--nobuild", is_flag=True, help="When pushing, build nothing."),
    click.option(
        "--manifest",
        type=bool,
        metavar="BOOL",
        default=True,
        help="When pushing, whether to push a tag for each architecture, too [true].",
    ),
    click.option(
        "--release",
        metavar="TAG",
        help="When pushing, also push as this tag, unless it exists [the commit's tags in git].",
    ),
    click.option(
        "--registry",
        metavar="REGISTRY",
        help="Push to HOST[:PORT]/PATH, as NAME:TAG below it [the packages' own names].",
    ),
    click.option(
        "--sign-key",
        metavar="KEY",
        envvar="COMPOS_SIGN_KEY",
        help="Sign with this private key, as `compos sign` takes it [COMPOS_SIGN_KEY]; "
        "COMPOS_SIGN_PASSWORD is its password.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the docker commands that would build the packages, and build nothing.",
    ),
)


def _platforms_option(default: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    return click.option(
        "--platforms", metavar="LIST", help=f"Platforms to build for: linux/ARCH,... [{default}]."
    )


def _work_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags of both verbs to a command, which gets them as `wishes`."""

    @wraps(function)
    def command(
        *,
        skip_platforms: str | None,
        force: bool,
        pull: bool,
        docker: bool,
        nobuild: bool,
        manifest: bool,
        release: str | None,
        registry: str | None,
        sign_key: str | None,
        platforms: str | None,
        push: bool = True,
        **others: object,
    ) -> Result:
        from compos.api.packages import PackageOptions

        if force and (pull or nobuild):
            raise click.UsageError("--force cannot be combined with --pull and --nobuild")
        if platforms and skip_platforms:
            raise click.UsageError("--platforms cannot be combined with --skip-platforms")
        if not push and (release is not None or registry):
            raise click.UsageError("--release and --registry need --push")
        wishes = PackageOptions(
            platforms=_parsed(platforms),
            skip=_parsed(skip_platforms),
            force=force,
            pull=pull,
            never=nobuild,
            load=docker,
            push=push,
            registry=registry or "",
            release=release,
            architecture_tags=manifest,
        )
        return function(wishes=wishes, sign_key=sign_key if push else None, **others)

    return with_flags(command, _FLAGS)


def _parsed(text: str | None) -> tuple[Platform, ...]:
    from compos.image.platform import Platform

    return tuple(map(Platform.parse, text.split(","))) if text else ()


@click.command(cls=Command)
@_work_options
@_platforms_option("this machine's; with --push, all of a package's")
@click.option("--push", is_flag=True, help="Also push the packages.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Build all packages at or below DIR..., and what they are built from, in that order and "
    "several at a time.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Packages that --all builds at the same time [one per processor, up to 4].",
)
@click.option(
    "--keep-going",
    is_flag=True,
    help="After an error, let --all build what does not need the package that failed.",
)
@package_options
@builder_options
@debian_options
@global_options
def build(everything: bool, jobs: int | None, keep_going: bool, **others: object) -> None:
    """Build the packages in DIR... into the store.

    What the store has is not built again, nor what a registry has under a tag made of the package's
    hash.
    """
    if not everything and (jobs or keep_going):
        raise click.UsageError("--jobs and --keep-going need --all")
    tree = Tree(jobs or 0, keep_going) if everything else None
    _work(**others, tree=tree)  # type: ignore[arg-type]


@click.command(cls=Command)
@_work_options
@_platforms_option("all of a package's")
@package_options
@builder_options
@debian_options
@global_options
def push(**others: object) -> None:
    """Push the packages in DIR... for all their architectures, with their SBOMs; builds what the
    store lacks.

    What the registry has already is not sent again, and its other architectures stay.
    """
    _work(**others)  # type: ignore[arg-type]


def _work(
    folders: tuple[str, ...],
    *,
    settings: Settings,
    debian: DebianMirrors,
    dockerfiles: BuildOptions | None,
    naming: Naming,
    wishes: PackageOptions,
    sign_key: str | None,
    dry_run: bool,
    tree: Tree | None = None,
) -> None:
    from pathlib import Path

    from compos.api.access import Access
    from compos.api.packages import Made, build_commands, build_packages
    from compos.cli.pkg.report import say_made, say_published
    from compos.package.recipe import load_recipe

    access = Access(debian.over(settings), dockerfiles=dockerfiles)
    if tree is not None:
        if dry_run or wishes.never:
            raise click.UsageError("--all cannot be combined with --dry-run and --nobuild")
        recipes = _build_tree(access, folders, naming, wishes, tree)
        if not wishes.push and not wishes.load:
            return
        wishes = wishes._replace(force=False)
    else:
        recipes = [load_recipe(Path(folder), naming) for folder in folders]
    if dry_run:
        for command in build_commands(access, recipes, wishes, dockerfiles):
            click.echo(command)
        return
    if sign_key:
        wishes = wishes._replace(key=_key(sign_key))
    for one in build_packages(access, recipes, wishes):
        if isinstance(one, Made):
            say_made(one)
        else:
            say_published(one)


def _build_tree(
    access: Access, folders: tuple[str, ...], naming: Naming, wishes: PackageOptions, tree: Tree
) -> list[Recipe]:
    """Build all packages at or below `folders`; returns them."""
    from compos.api.package_graph import build_all, packages_below
    from compos.api.packages import name_built, platforms_of
    from compos.package.graph.build import Options
    from compos.progress import notice

    known, recipes = packages_below(folders, naming=naming)
    wanted = [
        (recipe, [one for one in platforms_of(recipe, wishes) if one.architecture in recipe.arches])
        for recipe in recipes
    ]
    made = build_all(
        access,
        wanted,
        known,
        Options(wishes.force, tree.jobs, keep_going=tree.keep_going),
        pull=wishes.pull,
    )
    for recipe in recipes:
        name_built(access, recipe)
    built = sum(once.built for once in made.values())
    notice(f"packages: {built} built, {len(made) - built} as they were")
    return recipes


def _key(path: str) -> SigningKey:

    from compos.trust.key_sources import signing_key

    return signing_key(path)
