"""`compos cache`: what the store holds, filling it, carrying it elsewhere, and making room."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.api.access import Access
from compos.cli.complete import complete_image
from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.settings import Settings, global_options
from compos.cli.switches import Group
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.image.model import Image
    from compos.image.platform import Platform
    from compos.image.store import Store
    from compos.trust.travelling import Travelling

__all__ = ["cache"]

NAME = "org.opencontainers.image.ref.name"


@click.group(cls=Group)
def cache() -> None:
    """List, fill and clean the store of images and derived results."""


@cache.command("ls")
@click.argument("ignored", nargs=-1, expose_value=False, metavar="")
@global_options
def list_images(*, settings: Settings) -> None:
    """List the images in the store: name, digest of the root manifest, and where each came from."""
    from compos.image.names import origin_of

    store = Access(settings.images).store
    entries = [
        (visible(name), entry) for entry in store.entries() if (name := entry.annotations.get(NAME))
    ]
    width = max([80, *(len(name) for name, _ in entries)])
    click.echo(f"{'image name':<{width}} {'root manifest hash':<71} origin")
    for name, entry in entries:
        click.echo(f"{name:<{width}} {entry.digest} {visible(origin_of(entry))}")


@cache.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_image)
@click.option(
    "--published-only", is_flag=True, help="Keep images that their registry does not have."
)
@global_options
def remove(names: tuple[str, ...], *, settings: Settings, published_only: bool) -> None:
    """Remove images by name, with the names of their architectures. Blobs that other images use
    are kept."""
    from compos.image import removal
    from compos.image.architectures import names_with_architectures

    access = Access(settings.images)
    store = access.store
    found = [_stored_name(store, name) for name in names]
    if published_only:
        found = _published(access, found)
    _say_freed(removal.remove(store, *names_with_architectures(store, found)))


@cache.command("clean")
@click.argument("ignored", nargs=-1, expose_value=False, metavar="")
@click.option(
    "--published-only", is_flag=True, help="Remove only images that their registry also has."
)
@click.option(
    "--older",
    metavar="AGE",
    help="Keep images; remove everything else that has not been used for 30m, 12h, 7d, 2w.",
)
@click.option(
    "--keep",
    metavar="SIZE",
    help="Keep images, and the most recently used rest up to 500M, 20G.",
)
@global_options
def clean(*, settings: Settings, published_only: bool, older: str | None, keep: str | None) -> None:
    """Remove everything: images, derived results, Debian packages.

    With --older or --keep, images are kept, and derived results are removed by when they were last
    used; --keep 0 removes all of them. Builds limit derived results automatically: to
    COMPOS_CACHE_LIMIT (20G, none), or to 10 GiB or a tenth of the disk, whichever is less.
    """
    from compos.image import removal

    try:
        age = None if older is None else removal.parse_age(older)
        size = None if keep is None else removal.parse_size(keep)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if published_only and (age, size) != (None, None):
        raise click.UsageError(
            "--published-only cannot be combined with --older and --keep, which keep images"
        )
    access = Access(settings.images)
    store = access.store
    if published_only:
        from compos.image.architectures import names_with_architectures

        names = [name for entry in store.entries() if (name := entry.annotations.get(NAME))]
        parts = {part for name in names for part in names_with_architectures(store, [name])[1:]}
        found = _published(access, [name for name in names if name not in parts])
        _say_freed(removal.remove(store, *names_with_architectures(store, found)))
    elif (age, size) == (None, None):
        removal.clean(store)
    else:
        freed = 0 if age is None else removal.clean_older(store, age)
        _say_freed(freed + (0 if size is None else removal.clean_to(store, size)))


@cache.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_image)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Only these platforms; repeatable [all].",
)
@click.option(
    "--allow-brick-names",
    is_flag=True,
    help="Accept images with the names of our bricks from a registry.",
)
@debian_options
@global_options
def pull(
    names: tuple[str, ...],
    *,
    settings: Settings,
    debian: DebianMirrors,
    platforms: tuple[str, ...],
    allow_brick_names: bool,
) -> None:
    """Fetch images for all their platforms, even if the store has them. Bricks are built, as in a
    build.

    As in LinuxKit's cache, NAME-ARCH then stands for the manifest of each architecture."""
    from compos.image.architectures import name_architectures
    from compos.image.platform import Platform
    from compos.image.source import Images

    access = Access(debian.over(settings))
    if allow_brick_names:
        source = Images(
            access.store, pull=True, registry=access.registry, reserved=True, trust=access.trust
        )
    else:
        source = access.images(pull=True)
    chosen = [*map(Platform.parse, platforms)] or None
    for name in names:
        layout = source.layout(_tagged(name), chosen, Platform.host())
        name_architectures(access.store, layout.name)
        click.echo(f"{layout.name} {layout.root.digest}")


@cache.command("export")
@click.argument("name", metavar="NAME", shell_complete=complete_image)
@click.argument("ignored", nargs=-1, expose_value=False, metavar="")
@click.option("--outfile", required=True, metavar="FILE|-", help="File for the tar.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("oci", "docker", "filesystem")),
    default="oci",
    show_default=True,
    help="Format of the tar.",
)
@click.option("--platform", metavar="OS/ARCH", help="Platform to export [this machine's].")
@click.option(
    "--name", "other_name", metavar="NAME", help="Name of the image in the tar [its own]."
)
@click.option(
    "--signatures",
    is_flag=True,
    help="Also write its signatures, of the store or else its registry: oci only.",
)
@global_options
def export(
    name: str,
    *,
    settings: Settings,
    outfile: str,
    form: str,
    platform: str | None,
    other_name: str | None,
    signatures: bool,
) -> None:
    """Write an image from the store to a tar: an OCI layout, an archive for docker load, or its
    root file system."""
    if signatures and form != "oci":
        raise click.UsageError("--signatures needs --format oci")
    from compos.image.door import stored_image
    from compos.image.platform import Platform
    from compos.image.source import canonical_name
    from compos.output.export import export_pieces
    from compos.output.write import Output, write_outputs, write_stream

    access = Access(settings.images)
    store = access.store
    stored = _stored_name(store, name)
    root = store.named(stored)
    chosen = Platform.parse(platform) if platform else Platform.host()
    image = stored_image(store, stored, root, chosen)
    shown = canonical_name(other_name) if other_name else stored
    found = _travelling(access, stored, image, chosen) if signatures else None
    pieces = export_pieces(store, image, chosen, form, shown, found)
    if outfile == "-":
        sys.stdout.flush()
        write_stream(store.root, sys.stdout.fileno(), pieces)
    else:
        write_outputs(store.root, Path(outfile), [Output("", pieces)])


def _travelling(access: Access, name: str, image: Image, platform: Platform) -> Travelling:
    from compos.image.digest import Digest
    from compos.image.model import Descriptor, parse_document
    from compos.image.reference import Reference
    from compos.trust.travelling import travelling_signatures

    data = access.store.read(image.digest)
    media_type, _ = parse_document(data)
    manifest = Descriptor(media_type, Digest(image.digest), len(data), {}, platform)
    reference = Reference.parse(name)
    return travelling_signatures(
        access.store, lambda: access.registry_for(reference), name, manifest
    )


@cache.command("import")
@click.argument("file", metavar="FILE|-")
@click.argument("ignored", nargs=-1, expose_value=False, metavar="")
@click.option(
    "--allow-brick-names",
    is_flag=True,
    help="Also import images with the names of our bricks.",
)
@global_options
def import_(file: str, *, settings: Settings, allow_brick_names: bool) -> None:
    """Import images from a tar: an OCI layout (as exported by compos, skopeo or buildx) or a tar
    written by docker save. Signatures in a layout are kept with its images.
    """
    import shutil

    from compos.image.archives.archive import opened
    from compos.image.archives.import_archive import import_archive
    from compos.image.names import Origin
    from compos.progress import notice
    from compos.trust.travelling import import_signatures

    store = Access(settings.images).store
    with ExitStack() as stack:
        path = Path(file)
        origin = Origin("archive", path.name if file != "-" else "standard input")
        if file == "-":
            path = stack.enter_context(store.scratch()) / "archive.tar"
            with store.writing(), path.open("wb") as spool:
                shutil.copyfileobj(sys.stdin.buffer, spool, 1 << 20)
        archive = stack.enter_context(opened(path))
        names = import_archive(store, archive, origin, reserved=allow_brick_names)
        signatures = import_signatures(store, archive, names)
    if not names:
        from compos.errors import ImageError

        raise ImageError(
            "archive-image",
            "no image in the archive has a full name",
            place=file,
            hint="Save the image with a name, or use it in YAML as `oci-archive:FILE`.",
        )
    for name in names:
        click.echo(name)
    if signatures:
        notice(f"signatures: {signatures}")


@cache.command("push")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_image)
@click.option("--remote-name", metavar="NAME", help="Push under this name [its own].")
@click.option("--with-arch-tags", is_flag=True, help="Also push NAME-ARCH for each platform.")
@click.option(
    "--override", is_flag=True, help="Replace the image in the registry; other platforms are kept."
)
@click.option("--signatures", is_flag=True, help="Also push the signatures that the store keeps.")
@global_options
def push(
    names: tuple[str, ...],
    *,
    settings: Settings,
    remote_name: str | None,
    with_arch_tags: bool,
    override: bool,
    signatures: bool,
) -> None:
    """Push images from the store. A name that exists in the registry is left as it is, except with
    --override."""
    if remote_name and len(names) > 1:
        raise click.UsageError("--remote-name can be used with only one NAME")
    from compos.image.registries.publish import publish

    access = Access(settings.images)
    store, registry = access.store, access.registry
    for name in names:
        stored = _stored_name(store, name)
        target = remote_name or stored
        publish(
            store,
            stored,
            registry,
            target=target,
            override=override,
            arch_tags=with_arch_tags,
        )
        if signatures:
            from compos.image.reference import Reference
            from compos.progress import notice
            from compos.trust.travelling import push_signatures

            count = push_signatures(store, registry, stored, Reference.parse(target))
            notice(f"signatures: {count}")


@cache.command("key")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@global_options
def key(file: Path, *, settings: Settings) -> None:
    """Make a key pair for a remote cache: the private key in FILE, the public one in FILE.pub.

    Whoever has the private key decides what builds take from the cache; the public key is enough to
    use it.
    """
    from compos.remote.key import make_key_pair

    del settings
    click.echo(make_key_pair(file))


def _tagged(name: str) -> str:
    """The name with the tag `latest`, if it has none; a colon anywhere counts as one, as in
    LinuxKit."""
    return name if ":" in name else f"{name}:latest"


def _stored_name(store: Store, name: str) -> str:
    """How the store calls the image that the user means: the name itself, its full form, or with
    the tag `latest`."""
    from compos.image.source import canonical_name

    candidates = (name, canonical_name(name), canonical_name(_tagged(name)))
    return next((one for one in candidates if store.resolve(one) is not None), candidates[1])


def _published(access: Access, names: list[str]) -> list[str]:
    """Those of `names` that their registries have with the same digest; the others are told."""
    from compos.errors import ComposError
    from compos.image.reference import Reference
    from compos.progress import notice

    store, registry = access.store, access.registry
    published = []
    for name in names:
        root = store.resolve(name)
        try:
            there = registry.digest(Reference.parse(name))
        except ComposError as error:
            notice(f"{name} is kept: {error.message}")
            continue
        if root is not None and there == root.digest:
            published.append(name)
        else:
            notice(f"{name} is kept: its registry does not have it")
    return published


def _say_freed(size: int) -> None:
    from compos.progress import notice

    notice(f"{size / 1e6:.1f} MB freed")
