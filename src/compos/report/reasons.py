"""Why something is in a system: which entry of the YAML brought a file, a kernel module or a
package, and by which way.

May touch: the store (reading).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from compos.compose.depmod import SUFFIXES, module_name
from compos.compose.kernel_modules import PLACES
from compos.config.images import image_locations, location_marks
from compos.config.model import Config, Mark
from compos.image.model import Image
from compos.image.store import Store
from compos.output.job import Job
from compos.report.facts import Package, part_of
from compos.report.sizes import entry_names
from compos.tree.contents import Contents
from compos.tree.layer import read_layer
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Node

__all__ = ["Reason", "Reasons", "Step"]

MAX_FOUND = 20
"""Files of one name that are explained."""

_ROOTS = ("rootfs/", "lower/")
_NEEDED = "needed by "
_KINDS = {DIRECTORY: "a folder", SYMLINK: "a symbolic link", FILE: "a file"}


class Step(NamedTuple):
    """One step of a reason, and its place in the YAML, if it has one."""

    what: str
    place: str = ""


class Reason(NamedTuple):
    """Why `name` is in the system: from the thing itself to the YAML."""

    kind: str
    name: str
    steps: tuple[Step, ...]


class Debs:
    """What is known of an image's Debian packages. The default knows nothing."""

    def owner(self, image: Image, path: str) -> str:
        """The package that a path of the image comes from, with its version; empty if unknown."""
        return ""

    def chain(self, reference: str, package: str) -> Sequence[Step]:
        """How the recipe of the image comes to the package."""
        return ()


class Reasons:
    """Answers about one composed system. `images` has those of `config`, `packages` what its SBOM
    lists."""

    def __init__(
        self,
        job: Job,
        config: Config,
        images: Mapping[str, Image],
        packages: Iterable[Package],
        debs: Debs,
    ) -> None:
        self._job, self._config, self._images = job, config, images
        self._packages = tuple(packages)
        self._debs = debs
        self._marks = location_marks(config)
        self._names = entry_names(config)
        self._references = dict(image_locations(config))

    def of(self, name: str) -> tuple[Reason, ...]:
        """Why what is called `name` is there: a path with a slash, else a module or a package, or a
        file of that name. Empty if nothing is called so."""
        if "/" in name.strip("/") or name.startswith("/"):
            return tuple(self._paths(name))
        found = (*self._modules(name), *self._packaged(name))
        return found or tuple(self._paths(f"*/{name}"))

    def known(self) -> Iterator[str]:
        """Names that it could have been asked for."""
        yield from (package.name for package in self._packages)
        yield from (module_name(path) for path, _, _ in self._files() if _is_module(path))
        yield from (f"/{path}" for path, _, _ in self._files())

    def _files(self) -> Iterator[tuple[str, Node, str]]:
        for path, node, component in self._job.system.with_boot():
            yield path, node, component.location

    def _paths(self, wanted: str) -> Iterator[Reason]:
        """Files at the path in the system, else at the path in a container; `*/` is any folder."""
        anywhere = wanted.startswith("*/")
        tail = wanted.removeprefix("*").strip("/")
        if not anywhere:
            exact = [(path, node, at) for path, node, at in self._files() if path == tail]
            if exact:
                yield self._path(*exact[0])
                return
        found = 0
        for path, node, location in self._files():
            inside = _inside(path)
            if inside == tail or (anywhere and path.endswith(f"/{tail}")):
                yield self._path(path, node, location)
                found += 1
                if found == MAX_FOUND:
                    return

    def _path(self, path: str, node: Node, location: str) -> Reason:
        what = _KINDS.get(node.kind, "a device")
        size = f" of {node.size:,} bytes" if node.kind == FILE else ""
        target = f" to {node.link}" if node.kind == SYMLINK else ""
        steps = [Step(f"{what}{size}{target}")]
        reference = self._references.get(location)
        image = self._images.get(reference) if reference else None
        inside = _inside(path) or path
        if _is_module(path):
            chain = [*self._module_steps(module_name(path))]
            steps += chain
        if image and location == "kernel":
            steps.append(Step(f"in the image {image.name} ({image.digest[:19]})"))
        elif image and reference:
            steps += self._in_image(image, reference, inside)
        elif location.startswith("files["):
            steps.append(Step("made by an entry of files"))
        elif location == "sbom":
            steps.append(Step("the SBOM, which every build includes (--no-sbom: not)"))
        else:
            steps.append(Step("made by the build"))
        steps += self._entry(location)
        return Reason("path", f"/{path}", tuple(steps))

    def _in_image(self, image: Image, reference: str, path: str) -> Iterator[Step]:
        number = _layer_with(self._job.store, image, path)
        if not number:
            yield Step(f"made by the build for the image {image.name}")
            return
        if owner := self._debs.owner(image, path):
            yield Step(f"from the Debian package {owner}")
            yield from self._debs.chain(reference, owner.partition(" ")[0])
        count = len(image.layers)
        yield Step(
            f"in layer {number} of {count} of {image.name} ({image.digest[:19]})"
            if count > 1
            else f"in the image {image.name} ({image.digest[:19]})"
        )

    def _entry(self, location: str) -> Iterator[Step]:
        mark = self._marks.get(location)
        if mark is not None:
            yield Step(f"the YAML's {self._names.get(location, location)}", _place(mark))

    def _modules(self, name: str) -> Iterator[Reason]:
        plain = name.partition(".ko")[0].replace("-", "_")
        for path, node, location in self._files():
            if _is_module(path) and module_name(path) == plain:
                steps = [
                    Step(f"/{path}, {node.size:,} bytes"),
                    *self._module_steps(plain),
                    *self._entry(location),
                ]
                yield Reason("module", plain, tuple(steps))
                return
        if plain in self._built_in():
            steps = [Step("built into the kernel"), *self._entry("kernel")]
            yield Reason("module", plain, tuple(steps))

    def _module_steps(self, name: str) -> Iterator[Step]:
        """The chain of modules that need each other, to the first reason."""
        kernel = self._config.kernel
        if kernel is None or kernel.modules is None:
            yield Step("all of the kernel's modules are included: there is no kernel.modules")
            return
        why = {module_name(one.path): one.why for one in self._job.system.kept}
        seen: set[str] = set()
        while (reason := why.get(name)) and name not in seen:
            seen.add(name)
            yield Step(reason, self._reason_place(reason))
            name = reason.removeprefix(_NEEDED) if reason.startswith(_NEEDED) else ""
        yield Step("chosen by kernel.modules", _place(kernel.mark.at("modules")))

    def _reason_place(self, reason: str) -> str:
        """The place of what a reason names: an entry (`services: web`), an image."""
        section, _, name = reason.partition(": ")
        for location, shown in self._names.items():
            if shown == f"{section}[{name}]" and location in self._marks:
                return _place(self._marks[location])
        image = reason.removeprefix("declared by ")
        for location, reference in self._references.items():
            found = self._images.get(reference)
            if found is not None and found.name == image and location in self._marks:
                return _place(self._marks[location])
        return ""

    def _built_in(self) -> set[str]:
        with Contents(self._job.store.root) as contents:
            for path, node, _ in self._files():
                if path.startswith(PLACES) and path.endswith("/modules.builtin"):
                    text = b"".join(contents.chunks(node.content)).decode("utf-8", "replace")
                    return {module_name(line) for line in text.split()}
        return set()

    def _packaged(self, name: str) -> Iterator[Reason]:
        for package in self._packages:
            if package.name != name:
                continue
            shown = f"{package.name} {package.version}".strip()
            for location, reference in self._references.items():
                image = self._images.get(reference)
                if image is None or not _is_of(image, package):
                    continue
                steps = (
                    Step(f"a package of the image {image.name} ({image.digest[:19]})"),
                    *self._debs.chain(reference, name),
                    *self._entry(location),
                )
                yield Reason("package", shown, steps)


def _is_module(path: str) -> bool:
    return path.startswith(PLACES) and path.endswith(SUFFIXES)


def _inside(path: str) -> str:
    """The path within the container or volume that a path belongs to; empty for others."""
    if not part_of(path).endswith("]"):
        return ""
    inside = path.split("/", 3)[3]
    return next((inside.removeprefix(root) for root in _ROOTS if inside.startswith(root)), "")


def _layer_with(store: Store, image: Image, path: str) -> int:
    """The number of the highest layer that has the path, from 1; 0 if none has."""
    for number, layer in reversed([*enumerate(image.layers, 1)]):
        if any(name == path for name, node in read_layer(store, layer, image.name).entries):
            return number
    return 0


def _is_of(image: Image, package: Package) -> bool:
    """Whether the SBOM says that the package is in the image, which it names without registry."""
    return any(image.name == one or image.name.endswith(f"/{one}") for one in package.images)


def _place(mark: Mark) -> str:
    return str(mark)
