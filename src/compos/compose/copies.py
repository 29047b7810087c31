"""Which sections a build takes from an earlier one (`--input-tar`): those that are the same and
whose image is nowhere else.

May touch: the store (reading).

As in LinuxKit (docs/linuxkit.md#4.2), but never wrong: a section is copied only when its whole
entry is the same, ids and shared roots included, and when nothing that the earlier build laid over
it is missing now (docs/linuxkit.md#N10 to #N12). What the store has is built from the store, which
is as fast and needs no comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compos.compose.component import Component
from compos.compose.confinement import is_confined
from compos.compose.container import WORDS, Bundle, bundle_id, json_document
from compos.compose.input_tar import InputTar, canonical_config
from compos.compose.plan_lines import plan_fields, plan_line
from compos.compose.profiles import PROFILES, Profile, profile_path
from compos.compose.root import with_ancestors
from compos.compose.runtime import own_root, root_mounts, runtime_document
from compos.compose.supervision import Lines
from compos.config.ids import id_map
from compos.config.images import SECTIONS
from compos.config.load import decode_label
from compos.config.model import Config, File, ImageEntry, Kernel, Runtime, Volume
from compos.errors import ComposError
from compos.progress import notice
from compos.tree.gate import normal
from compos.tree.node import EPOCH, ancestors, directory, file

__all__ = ["Copies", "choose_copies"]

ELF = b"\x7fELF"
UNKNOWN = ""
"""Where the files of an image lie that this build unpacks anew: its containers decide that."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The sections that a build takes from an earlier one, by location (`init[0]`); `key` names the
    tar's bytes."""

    earlier: InputTar
    key: str
    planned: bool
    components: Mapping[str, Component]
    bundles: Mapping[str, Bundle]
    roots: Mapping[str, str]
    """Where each copied container's files lie."""
    shares_profiles: bool
    """Whether the earlier plan has seccomp profiles: init puts them where they belong."""


def choose_copies(
    earlier: InputTar,
    config: Config,
    written: Iterable[str],
    at_hand: Callable[[str], bool],
    *,
    kernel: bool,
) -> Copies:
    """What of `config` is taken from `earlier`: sections whose images are not `at_hand` and that
    are the same.

    `written` are paths that this build writes besides sections and files (its SBOM); `kernel` says
    that the kernel may be copied. Tells the user each section that is copied.
    """
    return _Choice(earlier, config, written, at_hand, kernel=kernel).copies()


@dataclass(frozen=True, slots=True)
class _Layer:
    """A kernel or init image: whether it is the same as in the earlier build."""

    location: str
    image: str
    same: bool


class _Choice:
    def __init__(
        self,
        earlier: InputTar,
        config: Config,
        written: Iterable[str],
        at_hand: Callable[[str], bool],
        *,
        kernel: bool,
    ) -> None:
        self._earlier = earlier
        self._old = earlier.config
        self._new = canonical_config(config)
        self._config = config
        self._at_hand = at_hand
        self._kernel = kernel
        # What the earlier build laid over its sections and this one does not: what lay below is in
        # no tar.
        self._uncovered = (_file_paths(self._old.files) | earlier.others) - (
            _file_paths(entry for entry in self._new.files if not entry.optional) | set(written)
        )
        self._same_ids = id_map(self._old) == id_map(self._new)
        self._components: dict[str, Component] = {}
        self._bundles: dict[str, Bundle] = {}
        self._own_roots: dict[str, str] = {}

    def copies(self) -> Copies:
        self._base()
        for number, volume in enumerate(self._new.volumes):
            self._volume(number, volume)
        roots: dict[str, str] = {}
        for section in SECTIONS:
            for number, entry in enumerate(getattr(self._new, section)):
                self._container(section, number, entry, roots)
        return Copies(
            self._earlier,
            self._earlier.key,
            self._earlier.plan is not None,
            self._components,
            self._bundles,
            self._own_roots,
            bool(self._earlier.profiles),
        )

    def _base(self) -> None:
        """Kernel and init images lie over each other in this order; what one covers of those below
        is in no tar.

        So the upper ones are copied as far down as nothing has changed, beginning with the lowest
        that is not at hand.
        """
        if (
            any(not path.startswith("containers/") for path in self._uncovered)
            or self._trims_firmware()
        ):
            return
        layers = self._layers()
        unchanged = len(layers)
        while unchanged > 0 and layers[unchanged - 1].same:
            unchanged -= 1
        missing = [
            number
            for number in range(unchanged, len(layers))
            if not self._at_hand(layers[number].image)
        ]
        if not missing:
            return
        copied = [layer.location for layer in layers[missing[0] :]]
        merged = "init" in self._earlier.sections
        if merged and not all(
            layer.location in copied for layer in layers if layer.location != "kernel"
        ):
            # One package database was made of those of all init images: there is no way back.
            return
        for location in copied:
            if location in self._earlier.sections:
                self._copy(location, location)
        if merged:
            self._copy("init", "")
        self._new_command_line()

    def _layers(self) -> list[_Layer]:
        """The kernel and the init images, the lowest first."""
        old, new = self._old, self._new
        layers = []
        if new.kernel and new.kernel.image:
            layers.append(
                _Layer("kernel", new.kernel.image, self._same_kernel(old.kernel, new.kernel))
            )
        for number, image in enumerate(new.init):
            # An image that is gone from above may have covered what is below it now.
            same = len(old.init) == len(new.init) and old.init[number] == image
            layers.append(_Layer(f"init[{number}]", image, same))
        return layers

    def _same_kernel(self, old: Kernel | None, new: Kernel) -> bool:
        """Whether the earlier kernel is the one that is wanted: as its image has it, with all of
        its modules."""
        if (
            not self._kernel
            or old is None
            or old._replace(cmdline=new.cmdline) != new
            or new.modules is not None
        ):
            return False
        node = self._earlier.sections.get("kernel", {}).get("boot/kernel")
        # One that was decompressed cannot be packed again.
        return node is None or not self._earlier.begins_with(node, ELF)

    def _trims_firmware(self) -> bool:
        """Whether either build leaves firmware out of its kernel and init images."""
        kernels = (self._old.kernel, self._new.kernel)
        return any(kernel is not None and kernel.firmware is not None for kernel in kernels)

    def _new_command_line(self) -> None:
        kernel = self._components.get("kernel")
        if kernel and self._new.kernel:
            kernel.tree["boot/cmdline"] = file(
                (self._new.kernel.cmdline or "").encode(), 0o644, EPOCH
            )

    def _volume(self, number: int, volume: Volume) -> None:
        location, prefix = f"volume[{number}]", f"containers/volumes/{volume.name}"
        if (
            volume.image
            and not self._at_hand(volume.image)
            and self._same("volumes", number, volume, prefix)
        ):
            self._copy(location, f"volumes[{number}]")

    def _container(
        self, section: str, number: int, entry: ImageEntry, roots: dict[str, str]
    ) -> None:
        location = f"{section}[{number}]"
        folder = bundle_id(section, number, entry.name)
        prefix = f"containers/{section}/{folder}"
        own, shared = UNKNOWN, roots.get(entry.image)
        if (
            shared != UNKNOWN
            and not self._at_hand(entry.image)
            and self._same_ids
            and self._same(section, number, entry, prefix)
        ):
            found = self._bundle(section, folder, prefix, location, shared)
            if found is not None:
                self._copy(location, location)
                self._bundles[location], own = found
                self._own_roots[location] = own
        roots.setdefault(entry.image, own)

    def _same(self, section: str, number: int, entry: ImageEntry | Volume, prefix: str) -> bool:
        old: tuple[ImageEntry | Volume, ...] = getattr(self._old, section)
        return (
            number < len(old)
            and old[number] == entry
            and not any(path == prefix or path.startswith(f"{prefix}/") for path in self._uncovered)
        )

    def _bundle(
        self, section: str, folder: str, prefix: str, location: str, shared: str | None
    ) -> tuple[Bundle, str] | None:
        """The container as the boot plan needs it, and where its files lie; None when its documents
        are not as ours.

        `shared` is where an earlier container has unpacked the same image, if one has.
        """
        tree = self._earlier.sections.get(location, {})
        try:
            config, runtime = (
                self._earlier.document(tree[f"{prefix}/{name}.json"])
                for name in ("config", "runtime")
            )
            spec = json.loads(config)
            overlaid = f"{prefix}/tmp" in tree
            root = shared or own_root(prefix, overlaid=overlaid)
            document = _runtime(runtime, root_mounts(prefix, root, overlaid=overlaid))
            profile = self._profile(folder)
            if (
                document is None
                or json_document(spec) != config
                or not self._confined(spec, profile)
            ):
                return None
            where = (section, folder, prefix)
            return Bundle.of(
                where, config, spec, document, self._supervision(folder), profile
            ), root
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, RecursionError):
            return None

    def _supervision(self, name: str) -> Lines:
        """What the earlier plan says of a container: labels have gone into it that are not at hand
        now."""
        return tuple(fields for fields in self._lines(name) if fields[0] in WORDS)

    def _confined(self, spec: dict[str, Any], profile: Profile | None) -> bool:
        """Whether a container is confined as this build confines them, as far as can be seen
        without its image."""
        known = profile is None or profile.made or self._old.init == self._new.init
        return known and is_confined(spec, self._new.confinement or "")

    def _profile(self, name: str) -> Profile | None:
        """The seccomp profile that the earlier plan names for a container. Raises `ValueError` for
        one that is not there."""
        for fields in self._lines(name):
            if fields[0] == "seccomp":
                node = self._earlier.profiles.get(fields[2])
                text = self._earlier.document(node) if node else b""
                made = fields[2].startswith(f"/{PROFILES}/")
                if made and profile_path(text) != fields[2]:
                    raise ValueError("a profile under the name of another, or none")
                return Profile(fields[2], text, made)
        return None

    def _lines(self, name: str) -> Iterator[tuple[str, ...]]:
        """The earlier plan's lines of a container."""
        inside = False
        for line in (self._earlier.plan or "").split("\n"):
            fields = plan_fields(line)
            if fields[0] == "container":
                inside = fields[1] == name
            elif inside and line:
                # One that this build could not write itself is none of ours.
                plan_line(fields)
                yield fields

    def _copy(self, location: str, shown: str) -> None:
        source = self._earlier.sources[location]
        tree = dict(self._earlier.sections[location])
        # Each container and volume has the folders above its own; what an image's files need is
        # there or made.
        for path in self._earlier.sections[location]:
            if path.startswith("containers/"):
                for parent, made in with_ancestors(path).items():
                    tree.setdefault(parent, made)
        self._components[location] = Component(location, source, tree, directory(0o755, EPOCH))
        if shown:
            notice(f"Copy {shown} files from input tar: {source}")


def _runtime(text: bytes, mounts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A `runtime.json` as we write it, with these first mounts, which make the container's root;
    None for another one."""
    document = json.loads(text)
    said = {**document, "mounts": document["mounts"][len(mounts) :]}
    try:
        settings = decode_label(json.dumps({"runtime": said}), "the input tar")
    except ComposError:
        return None
    made = runtime_document(settings.runtime or Runtime(), mounts)
    return made if made == document else None


def _file_paths(entries: Iterable[File]) -> set[str]:
    paths: set[str] = set()
    for entry in entries:
        path = normal(entry.path or "")
        paths.update((path, *ancestors(path)))
    return paths
