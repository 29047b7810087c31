"""A whole system: every section of the YAML as components, laid over each other in LinuxKit's
order.

May touch: the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from compos import progress
from compos.compose.apk import DATABASE as APK_DATABASE
from compos.compose.apk import merged_database
from compos.compose.component import Component, Root, union
from compos.compose.container import Bundle, Container, container_component, with_profile_inside
from compos.compose.daemon import runtime_config
from compos.compose.depmod import SUFFIXES
from compos.compose.drivers import ANY, BASE, CHECKSUMS, MACHINES
from compos.compose.drivers import LABEL as MODULES_LABEL
from compos.compose.files import files_components
from compos.compose.host_files import HostFile
from compos.compose.inputs import Inputs
from compos.compose.kernel import kernel_component
from compos.compose.kernel_modules import FIRMWARE, PLACES, kept_firmware, kept_modules
from compos.compose.plan import LABEL as PLAN_LABEL
from compos.compose.plan import PATH as PLAN_PATH
from compos.compose.plan import SECCOMP_LABEL, boot_plan, require_startable
from compos.compose.profiles import Profile, chosen_profile, profile_nodes
from compos.compose.root import MOUNT_POINTS, apart, laid_out
from compos.compose.sbom import SbomOptions, require_free, sbom_component
from compos.compose.settings import merge_settings
from compos.compose.spec import runtime_spec
from compos.compose.supervision import namespace_path, require_health
from compos.compose.volumes import volume_component
from compos.config.ids import id_map
from compos.config.images import SECTIONS
from compos.config.model import BindNs, Config, ImageEntry, Kernel, Runtime, Settings, Volume
from compos.config.order import SHAREABLE, shared_service
from compos.errors import ConfigError
from compos.image.model import Image
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree, unpack
from compos.tree.gate import shown
from compos.tree.node import DIRECTORY, EPOCH, FILE, SYMLINK, Node, Tree, directory, file

__all__ = ["Kept", "System", "compose_system"]


class Kept(NamedTuple):
    """A kernel module or firmware file that was chosen: its path, size in bytes, and why."""

    path: str
    size: int
    why: str


BOOT = "boot/"
"""What the paths below the kernel's folder begin with."""


class System(NamedTuple):
    """What output formats are made of: the root filesystem, with `boot/` apart.

    `boot` holds everything below `boot/` (kernel, command line, microcode, device trees); `root`
    the rest. `kept` tells which kernel modules and firmware files were chosen, where the YAML has
    `kernel.modules` or `kernel.firmware`; `all_modules` has those that it was chosen from: the
    small initrd needs others. `unseals`: a container runs before the initrd is left.
    """

    root: Root
    boot: tuple[tuple[str, Node, Component], ...]
    kept: tuple[Kept, ...]
    all_modules: Tree
    unseals: bool = False

    def _boot_file(self, path: str) -> Node | None:
        return next((node for name, node, _ in self.boot if name == path), None)

    @property
    def kernel(self) -> Node | None:
        """The kernel's file, if the YAML has a kernel."""
        return self._boot_file("boot/kernel")

    @property
    def ucode(self) -> Node | None:
        """Early microcode: a cpio archive that goes in front of the initrd."""
        return self._boot_file("boot/ucode.cpio")

    @property
    def cmdline(self) -> str:
        """The kernel's command line."""
        node = self._boot_file("boot/cmdline")
        return (
            b"".join(piece for piece in node.content if isinstance(piece, bytes)).decode()
            if node
            else ""
        )

    def with_boot(self) -> Iterator[tuple[str, Node, Component]]:
        """All nodes, `boot/` included, sorted by path."""
        nodes = self.root.nodes
        # What is below `boot/` lies together, wherever it is.
        yield from islice(nodes, self.root.entries.bisect(BOOT))
        yield from self.boot
        yield from nodes


def compose_system(
    store: Store,
    config: Config,
    inputs: Inputs,
    metadata: Callable[[str], bytes],
    *,
    sources: Mapping[str, HostFile | None],
    decompress_kernel: bool = False,
    sbom: SbomOptions | None = None,
    machines: Iterable[str] = (),
) -> System:
    """Compose `config` of `inputs` and of `sources`, the host files that it names (`read_sources`).

    `metadata` renders the document for `files: metadata`, `sbom` asks for an SBOM.

    `machines` are kinds of machines that it is for (`drivers.MACHINES`; none: all):
    `kernel.modules: auto` keeps their drivers.

    Raises `ConfigError` and `ImageError`.
    """
    with progress.task("compose"):
        return _Composition(
            store, config, inputs, machines, decompress_kernel=decompress_kernel
        ).system(metadata, sources, sbom)


class _Composition:
    def __init__(
        self,
        store: Store,
        config: Config,
        inputs: Inputs,
        machines: Iterable[str],
        *,
        decompress_kernel: bool,
    ) -> None:
        self.store = store
        self.config = config
        self.inputs = inputs
        self.machines = tuple(machines) or ANY
        self.decompress_kernel = decompress_kernel
        self.kept: list[Kept] = []
        self.all_modules: Tree = {}
        self.ids = id_map(config)
        self.roots: dict[str, str] = {}
        """Where the files of an image are laid out already, by its canonical reference."""
        self.services = {entry.name: entry for entry in config.services}
        self.shared = {
            kind: {shared_service(getattr(entry.settings, kind)) for entry in config.services}
            for kind in (*SHAREABLE, "pid")
        }
        """Names of services whose namespaces others share, by kind."""
        self.namespaces: dict[str, str] = {}
        """Paths of namespaces that services share, with their kinds."""
        self.base: Mapping[str, Node] = {}
        """Files of the root that init images and `files` bring."""
        self.images: list[tuple[Image, str]] = []
        """The images that were laid out, each with the folder of its files."""

    def system(
        self,
        metadata: Callable[[str], bytes],
        sources: Mapping[str, HostFile | None],
        sbom: SbomOptions | None,
    ) -> System:
        config = self.config
        components: list[Component] = []
        unpack(self.store, self.inputs.images.values())
        if config.kernel and config.kernel.image:
            components.append(
                self._copied("kernel") or self._kernel(config.kernel, config.kernel.image)
            )
        init = self._inits()
        components += init
        if config.kernel and config.kernel.firmware is not None:
            self._keep_firmware(components, config.kernel.firmware)
        for number, volume in enumerate(config.volumes):
            components.append(self._copied(f"volume[{number}]") or self._volume(number, volume))
        files = files_components(config.files, sources, self.ids, metadata)
        self.base = {
            path: node for component in (*init, *files) for path, node in component.tree.items()
        }
        bundles = {section: self._section(section, components) for section in SECTIONS}
        unseals = self._unseals(bundles["onboot"])
        if self._planned():
            components.append(self._plan(bundles))
        components += files
        if sbom is not None:
            made = sbom_component(self.store, self.images, sbom)
            require_free(made, components)
            components.append(made)
        _require_boot(components)
        return System(*_split(union(components)), tuple(self.kept), self.all_modules, unseals)

    def _image(self, reference: str, folder: str) -> Image:
        """An image whose files go into `folder` (empty: the root)."""
        image = self.inputs.images[reference]
        self.images.append((image, folder))
        return image

    def _copied(self, location: str) -> Component | None:
        return self.inputs.copies.components.get(location) if self.inputs.copies else None

    def _kernel(self, kernel: Kernel, reference: str) -> Component:
        image = self._image(reference, "")
        component = kernel_component(self.store, kernel, image, decompress=self.decompress_kernel)
        if kernel.modules is None:
            return component
        self.all_modules = {
            path: node for path, node in component.tree.items() if path.startswith(PLACES)
        }
        with Contents(self.store.root) as contents:
            tree, kept = kept_modules(contents, component.tree, kernel.modules, self._automatic())
        self.kept += _told(tree, kept)
        return component._replace(tree=tree)

    def _automatic(self) -> dict[str, str]:
        """The modules that nobody has to name, with the reason of each."""
        wanted = dict.fromkeys((*BASE, *CHECKSUMS), "used by init")
        for image in self.inputs.images.values():
            for name in image.config.labels.get(MODULES_LABEL, "").split():
                wanted.setdefault(name, f"declared by {image.name}")
        for section in SECTIONS:
            for entry in _entries(self.config, section):
                for name in _types(self._merged(entry)):
                    wanted.setdefault(name, f"{section}: {entry.name}")
        for machine in self.machines:
            for name in MACHINES[machine]:
                wanted.setdefault(name, f"machines: {machine}")
        return wanted

    def _keep_firmware(self, components: list[Component], patterns: Sequence[str]) -> None:
        """Drop what `patterns` do not keep from the components."""
        nodes = {path: node for component in components for path, node in component.tree.items()}
        modules = {
            path: node
            for path, node in nodes.items()
            if path.endswith(SUFFIXES) and node.kind == FILE
        }
        with Contents(self.store.root) as contents:
            kept = kept_firmware(contents, nodes, modules, patterns)
        for number, component in enumerate(components):
            tree = {
                path: node
                for path, node in component.tree.items()
                if path in kept or node.kind == DIRECTORY or not path.startswith(FIRMWARE)
            }
            components[number] = component._replace(tree=tree)
        self.kept += [Kept(path, nodes[path].size, why) for path, why in sorted(kept.items())]

    def _inits(self) -> list[Component]:
        components: list[Component] = []
        folders: set[str] = set()
        databases = []
        for number, reference in enumerate(self.config.init):
            location = f"init[{number}]"
            component = self._copied(location)
            if component is None:
                image = self._image(reference, "")
                tree = image_tree(self.store, image)
                databases += [
                    node
                    for path, node in tree.items()
                    if path == APK_DATABASE and node.kind == FILE
                ]
                laid = laid_out(tree, resolv_conf_link=True, present=folders)
                component = Component(location, image.name, apart(location, laid))
            components.append(component)
            folders.update(path for path in MOUNT_POINTS if path in component.tree)
        if merged := self._copied("init") or merged_database(self.store, databases):
            components.append(merged)
        return components

    def _volume(self, number: int, volume: Volume) -> Component:
        layout = self.inputs.layouts.get(volume.name)
        folder = f"containers/volumes/{volume.name}/lower"
        content = layout or (self._image(volume.image, folder) if volume.image else None)
        return volume_component(self.store, number, volume, content)

    def _planned(self) -> bool:
        """Whether an init image carries out a boot plan."""
        if self._copied("init[0]") and self.inputs.copies:
            return self.inputs.copies.planned
        return self._init_says(PLAN_LABEL)

    def _init_says(self, label: str) -> bool:
        images = [
            self.inputs.images[name] for name in self.config.init if name in self.inputs.images
        ]
        return any(label in image.config.labels for image in images)

    def _unseals(self, bundles: Sequence[Bundle]) -> bool:
        """Whether a container unseals, which only an init that carries out a plan can grant."""
        if not any(("unseal",) in bundle.supervision for bundle in bundles):
            return False
        if not self._planned():
            raise ConfigError(
                "unseal-init",
                "the system's init does not know when to leave the initrd",
                hint="Put compos/init:v1 into `init`, or remove `unseal` and `disk`.",
            )
        return True

    def _shares_profiles(self) -> bool:
        """Whether init puts seccomp profiles into the specifications."""
        if self._copied("init[0]") and self.inputs.copies:
            return self.inputs.copies.shares_profiles
        return self._planned() and self._init_says(SECCOMP_LABEL)

    def _profile(
        self, container: Container, spec: dict[str, Any], default: bytes | None
    ) -> Profile | None:
        """The profile that init is to put into `spec`; where it does not, it stands there."""
        place = str(container.entry.mark.at("seccomp"))
        profile = chosen_profile(
            container.settings.seccomp or "", default, self.base, self.store.root, place
        )
        if profile is None or self._shares_profiles():
            return profile
        spec["linux"] = {"seccomp": json.loads(profile.text), **spec["linux"]}
        return None

    def _section(self, section: str, components: list[Component]) -> list[Bundle]:
        bundles = []
        for index, entry in enumerate(_entries(self.config, section)):
            component, bundle = self._container(section, index, entry)
            components.append(component)
            if self._planned():
                size = component.tree[f"{bundle.path}/config.json"].size
                require_startable(bundle, size, self.base, str(entry.mark))
            bundles.append(
                bundle if self._shares_profiles() else bundle._replace(no_new_privileges=False)
            )
        return bundles

    def _container(self, section: str, index: int, entry: ImageEntry) -> tuple[Component, Bundle]:
        location = f"{section}[{index}]"
        if (copied := self._copied(location)) and self.inputs.copies:
            self.roots.setdefault(copied.source, self.inputs.copies.roots[location])
            bundle = self.inputs.copies.bundles[location]
            if self._shares_profiles():
                return copied, bundle
            with Contents(self.store.root) as contents:
                config = b"".join(
                    contents.chunks(copied.tree[f"{bundle.path}/config.json"].content)
                )
            return with_profile_inside(copied, bundle, config)
        image = self.inputs.images[entry.image]
        settings, from_label = merge_settings(entry.settings, image)
        settings = self._shared(section, entry, settings)
        follows = (
            shared_service(entry.settings.pid) or "" if settings.pid not in ("host", "root") else ""
        )
        container = Container(section, index, entry, image, settings, follows)
        volumes = {volume.name: volume for volume in self.config.volumes}
        spec, default = runtime_spec(
            container, self.ids, volumes, from_label, self.config.confinement or ""
        )
        profile = self._profile(container, spec, default)
        shared = self.roots.get(image.name)
        files = partial(image_tree, self.store, image)
        component, bundle, root = container_component(container, spec, files, shared, profile)
        if shared is None:
            self.roots[image.name] = root
            self.images.append((image, root))
        return component, bundle

    def _shared(self, section: str, entry: ImageEntry, settings: Settings) -> Settings:
        """`settings` with paths for the namespaces that services share by name; those are
        remembered for the plan."""
        if section != "services":
            return settings
        joined: dict[str, Any] = {}
        for kind in SHAREABLE:
            value = getattr(settings, kind)
            name = shared_service(value) or entry.name
            if name == entry.name and name not in self.shared[kind]:
                continue
            owner = self.services.get(name, entry)
            own = value if owner is entry else getattr(self._merged(owner), kind)
            if own in ("new", "none"):
                own = namespace_path(name, kind)
                self.namespaces[own] = kind
            joined[kind] = own or "host"
        return self._shared_processes(entry, settings)._replace(**joined)

    def _shared_processes(self, entry: ImageEntry, settings: Settings) -> Settings:
        """`settings` for a PID namespace that services share: it is the owner's process that has
        it, and gives it a name."""
        name = shared_service(settings.pid) or entry.name
        owner = self.services.get(name, entry)
        own = settings if owner is entry else self._merged(owner)
        if own.pid not in (None, "", "new"):
            return settings._replace(pid=own.pid)
        runtime = own.runtime or Runtime()
        bound = runtime.bind_ns or BindNs()
        path = bound.pid or namespace_path(name, "pid")
        if owner is not entry:
            return settings._replace(pid=path)
        if name in self.shared["pid"]:
            return settings._replace(runtime=runtime._replace(bind_ns=bound._replace(pid=path)))
        return settings

    def _merged(self, entry: ImageEntry) -> Settings:
        image = self.inputs.images.get(entry.image)
        if image is None:
            return entry.settings
        return merge_settings(entry.settings, image)[0]

    def _plan(self, bundles: Mapping[str, list[Bundle]]) -> Component:
        places = {entry.name: str(entry.mark.at("depends_on")) for entry in self.config.services}
        require_health({bundle.id: bundle.supervision for bundle in bundles["services"]}, places)
        daemon = runtime_config(self.base, self.store.root)
        plan = boot_plan(bundles, self.config.volumes, self.base, self.namespaces, daemon)
        # Not `etc`: init's own has its mode.
        tree = {
            PLAN_PATH.rpartition("/")[0]: directory(0o755, EPOCH),
            PLAN_PATH: file(plan, 0o644, EPOCH),
        }
        tree.update(
            profile_nodes(bundle.profile for section in SECTIONS for bundle in bundles[section])
        )
        return Component("init", "compos.plan", tree)


def _entries(config: Config, section: str) -> tuple[ImageEntry, ...]:
    entries: tuple[ImageEntry, ...] = getattr(config, section)
    return entries


def _told(tree: Tree, kept: Mapping[str, str]) -> Iterator[Kept]:
    """The modules `kept` (paths below their folder) with their sizes."""
    for path, node in tree.items():
        for place in PLACES:
            below = path.removeprefix(place).partition("/")[2]
            if path.startswith(place) and below in kept:
                yield Kept(path, node.size, kept[below])


def _types(settings: Settings) -> Iterator[str]:
    """Kinds of file systems that a container mounts, and of interfaces that it gets: modules have
    their names."""
    runtime = settings.runtime or Runtime()
    for mount in (*(settings.mounts or ()), *(runtime.mounts or ())):
        if mount.type:
            yield mount.type
    for interface in runtime.interfaces or ():
        yield interface.add or ("veth" if interface.peer else "")


def _require_boot(components: Sequence[Component]) -> None:
    """Raise `ConfigError` for a link in the place of the folder that the kernel is found in."""
    for component in components:
        node = component.tree.get("boot")
        if node is not None and node.kind == SYMLINK and components[0].location == "kernel":
            raise ConfigError(
                "root-conflict",
                f"'boot' is the kernel's folder, but a link to {shown(node.link)} in {component}",
                place=component.location,
                hint="Use an image in which `boot` is a folder or does not exist.",
            )


def _split(root: Root) -> tuple[Root, tuple[tuple[str, Node, Component], ...]]:
    """Take everything below `boot/` out of the root; the empty directory stays, as in LinuxKit."""
    return root.outside(BOOT), tuple(root.below(BOOT))
