"""The provenance of what was built from a YAML: the YAML with what it includes, the files of this
machine that it names, and the images that the store, or a lock, has for it.

May touch: the YAML and the files that it names, the lock, and the store (reading).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compos.api.access import Access
from compos.api.load import Description, load
from compos.api.options import ImageOptions, LoadOptions
from compos.config.images import image_references, layout_volumes, registry_of_bricks
from compos.config.slot_keys import encrypts_roots
from compos.config.sources import Take, is_url, read_now
from compos.image.platform import Platform
from compos.output.formats import choose, tools
from compos.trust.provenance import LOCAL_BUILDER, Material, provenance

if TYPE_CHECKING:
    from compos.api.locked import LockedInputs

__all__ = ["ProvenanceOptions", "system_provenance"]


class ProvenanceOptions(NamedTuple):
    """How the outputs were built, and where from.

    `formats` and `root` are those of the build, whose outputs are made with images, too. `lock` is
    the path of the lock, if the build had one. `builder` is the URI of who built.
    """

    load: LoadOptions = LoadOptions()
    images: ImageOptions = ImageOptions()
    formats: tuple[str, ...] = ()
    root: str = "auto"
    lock: Path | None = None
    builder: str = LOCAL_BUILDER


def system_provenance(
    sources: Sequence[str], options: ProvenanceOptions = ProvenanceOptions()
) -> Mapping[str, Any]:
    """The predicate of SLSA provenance for the system that `sources` describe, with what a build
    takes now. Raises `ComposError` as `compos.build` does."""
    locked = _locked(options)
    yaml = _Yaml(sources, locked.take if locked else read_now)
    description = load(sources, options.load, take=yaml.take)
    config = description.config
    access = Access(options.images, bricks=registry_of_bricks(config), trust=config.trust)
    materials = [*yaml.materials]
    materials += _files(access, description)
    materials += _images(access, description, options, locked)
    if options.lock:
        materials.append(Material(options.lock.name, _sha256(options.lock.read_bytes())))
    return provenance(
        [yaml.uri(name) for name in sources],
        description.platform.architecture,
        options.load.variables,
        dict.fromkeys(materials),
        builder=options.builder,
    )


def _locked(options: ProvenanceOptions) -> LockedInputs | None:
    if options.lock is None:
        return None
    # Not at the top: most builds have no lock.
    from compos.api.locked import LockedInputs

    return LockedInputs(options.lock, options.images)


class _Yaml:
    """The YAML that is read, as materials. Paths are relative to the folder of the first file, so
    that they are the same on each machine."""

    def __init__(self, sources: Sequence[str], take: Take) -> None:
        self._given = {name for name in sources if not is_url(name)}
        first = next((name for name in sources if name in self._given and name != "-"), "")
        self._folder = os.path.dirname(first) or "."  # noqa: PTH120  relative, as os.path.relpath
        self._take = take
        self.materials: list[Material] = []

    def take(self, source: str, name: str, read: Callable[[], bytes]) -> bytes:
        """As `config.sources.Take`."""
        data = self._take(source, name, read)
        # `name` has no secrets.
        uri = name if is_url(source) else self.uri(source)
        self.materials.append(Material(uri, _sha256(data)))
        return data

    def uri(self, source: str) -> str:
        """What a source is called."""
        if is_url(source):
            from compos.http.address import without_secrets

            return without_secrets(source)
        if source in self._given:
            return Path(source).name
        return os.path.relpath(source, self._folder)


def _files(access: Access, description: Description) -> Iterator[Material]:
    """The files of this machine that the YAML copies, by the paths that it says."""
    # Not at the top: composition is not needed for anything else here.
    from compos.compose.host_files import read_sources

    for name, file in read_sources(access.store, description.config.files).items():
        if file is not None:
            yield Material(name, file.digest)


def _images(
    access: Access,
    description: Description,
    options: ProvenanceOptions,
    locked: LockedInputs | None,
) -> Iterator[Material]:
    config, platform, packages = description
    if locked:
        source = access.images(packages=packages, pins=locked.pins(access, packages))
    else:
        source = access.images_of(description)
    formats = choose(options.formats, to_file=False)
    names = (
        *image_references(config),
        *tools(formats, options.root, encrypted=encrypts_roots(config.slots)),
    )
    found = source.images([(name, platform) for name in dict.fromkeys(names)])
    for image in found.values():
        yield Material(f"oci:{image.name}", image.digest.removeprefix("sha256:"))
    for volume, name in layout_volumes(config):
        platforms = tuple(map(Platform.parse, volume.platforms or ()))
        layout = source.layout(name, platforms or None, platform)
        yield Material(f"oci:{volume.image}", layout.root.digest.removeprefix("sha256:"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
