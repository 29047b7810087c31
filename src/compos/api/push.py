"""`compos push`: a system, or what was built of one, into a cloud.

May touch: the store, the network, outputs if the system is built first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from compos.api.access import Access
from compos.api.build import BuildOptions, build, push_target_of
from compos.api.options import ImageOptions, LoadOptions
from compos.cloud.check import checked_image, find_file
from compos.cloud.model import Image, Provider
from compos.cloud.needs import NEEDS
from compos.cloud.push import Outcome, push_image
from compos.errors import CloudUnfit
from compos.progress import notice

__all__ = ["PushOptions", "RegistryPush", "image_to_push", "push", "push_to_registry"]

_YAML = (".yml", ".yaml")
UPDATE = ".raucb"


class PushOptions(NamedTuple):
    """What to push, of the sources: YAML files, which are built first, or one file or prefix of
    files that were built before. `name` is the image's name without its digest; with `uefi`, it
    has to be started by UEFI. Without `check`, nobody looks whether the disk would run."""

    build: BuildOptions = BuildOptions()
    name: str = ""
    uefi: bool = False
    check: bool = True


def push(
    provider_name: str,
    sources: Sequence[str],
    options: PushOptions,
    connect: Callable[[Path], Provider],
) -> tuple[Image, Outcome]:
    """Build, check and push; `connect` makes the provider, given a folder for its notes.

    The disk is checked before anybody is asked for credentials. Raises `ComposError`.
    """
    image = image_to_push(provider_name, sources, options)
    folder = Access(options.build.images).root
    provider = connect(folder / "clouds")
    return image, push_image(provider, provider_name, image, folder)


def image_to_push(provider: str, sources: Sequence[str], options: PushOptions) -> Image:
    """The checked image of `sources`; YAML is built in the format that `provider` takes."""
    if _is_system(sources):
        path = _built(provider, sources, options)
    elif len(sources) > 1:
        raise _one_at_a_time(sources)
    else:
        path = find_file(provider, sources[0])
    return checked_image(provider, path, name=options.name, uefi=options.uefi, check=options.check)


def _one_at_a_time(sources: Sequence[str]) -> CloudUnfit:
    return CloudUnfit(
        "cloud-file",
        "one file is pushed at a time",
        place=" ".join(sources),
        hint="Name one file, or only YAML files, which are merged.",
    )


def _is_system(sources: Sequence[str]) -> bool:
    """Whether `sources` are YAML, which is built first."""
    return all(source.endswith(_YAML) or source == "-" for source in sources)


def _built(provider: str, sources: Sequence[str], options: PushOptions) -> Path:
    from compos.api.load import load

    need = NEEDS[provider]
    architecture = load(sources, options.build.load).platform.architecture
    formats = need.uefi if options.uefi else need.formats
    if architecture not in formats:
        raise CloudUnfit(
            "cloud-unfit",
            f"{provider} has no machines for {architecture}",
            place=sources[-1],
            hint=f"Build for {' or '.join(formats)} with --arch.",
        )
    build_options = options.build._replace(formats=(formats[architecture],))
    (path,) = build(sources, build_options)
    notice(f"built {path} as {formats[architecture]}")
    return path


class RegistryPush(NamedTuple):
    """A push of a system as an OCI artifact called `name`, or, if it is `bootable`, as a container
    image with a kernel; what is built is put into `folder`. An update (`.raucb`) is for `rollout`
    per cent of the machines, or for all."""

    images: ImageOptions
    load: LoadOptions
    name: str
    folder: Path
    dry_run: bool = False
    bootable: bool = False
    rollout: str | None = None


def push_to_registry(sources: Sequence[str], request: RegistryPush) -> None:
    """Build YAML and push it, or push the archive that was built before. Raises `ComposError`."""
    target = push_target_of(request.name)
    if request.rollout is not None:
        _check_rollout(sources, request.rollout)
    if _is_system(sources):
        form = "bootc" if request.bootable else "oci"
        options = BuildOptions(
            request.load,
            request.images,
            (form,),
            request.folder,
            push=None if request.dry_run or request.bootable else request.name,
            architectures=() if request.bootable else _several(request.load.architecture),
        )
        made = build(sources, options)
        if request.bootable and not request.dry_run:
            _push_archive(Access(request.images), made[0], target)
    elif len(sources) > 1:
        raise _one_at_a_time(sources)
    elif not request.dry_run and sources[0].endswith(UPDATE):
        from compos.api.push_update import push_bundle

        push_bundle(Access(request.images), Path(sources[0]), target, request.rollout)
    elif not request.dry_run:
        suffix = ".bootc.tar" if request.bootable else ".oci.tar"
        _push_archive(Access(request.images), _archive(sources[0], suffix), target)
    if request.dry_run:
        notice(f"would be pushed as {target}")


def _check_rollout(sources: Sequence[str], rollout: str) -> None:
    from compos.api.push_update import require_percentage

    require_percentage(rollout)
    if not sources[0].endswith(UPDATE):
        raise CloudUnfit(
            "rollout",
            "only updates are rolled out",
            place=sources[0],
            hint="Push a bundle, NAME.raucb, or leave --rollout out.",
        )


def _push_archive(access: Access, archive: Path, target: str) -> None:
    """The archive's only image goes through the store, which knows what the registry has."""
    from compos.image.archives.archive import opened
    from compos.image.archives.import_archive import import_archive
    from compos.image.names import Origin
    from compos.image.registries.push import push as push_image_to

    with opened(archive) as stream:
        origin = Origin("archive", archive.name)
        names = import_archive(access.store, stream, origin, reserved=True, nameless=target)
    if len(names) != 1:
        raise CloudUnfit(
            "cloud-file",
            f"{archive.name} has {len(names)} images, not one",
            place=str(archive),
            hint="Push the YAML: compos push registry FILE.yml.",
        )
    pushed = push_image_to(access.store, names[0], registry=access.registry, target=target)
    notice(f"pushed {target} {pushed.digest}")


def _archive(text: str, suffix: str) -> Path:
    """An archive of OCI, or the prefix of one. Raises `CloudUnfit` (`cloud-file`)."""
    path = Path(text)
    beside = path.with_name(f"{path.name}{suffix}")
    for one in (path, beside):
        if one.is_file():
            return one
    raise CloudUnfit(
        "cloud-file",
        f"there is nothing to push: neither {path.name} nor {beside.name}",
        place=text,
        hint=f"Build it: compos push registry {path.name}.yml",
    )


def _several(architecture: str | None) -> tuple[str, ...]:
    names = [one.strip() for one in (architecture or "").split(",") if one.strip()]
    return tuple(names) if len(names) > 1 else ()
