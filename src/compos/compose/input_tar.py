"""An earlier build's tar as a source of sections: what has not changed since and whose image is nowhere else (`--input-tar`).

May touch: the tar (reading), the store, which keeps a copy of it.

As LinuxKit has it (reference yaml-and-build.md 4.2), but never wrong: a section is copied only when its whole entry is the
same, ids and shared roots included, and when nothing that the earlier build laid over it is missing now (defects N10 to
N12). What the store has is built from the store, which is as fast and needs no comparison.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compos.compose.component import Component
from compos.compose.container import WORDS, Bundle, bundle_id
from compos.compose.plan import PATH as PLAN_PATH
from compos.compose.plan import plan_fields
from compos.compose.root import with_ancestors
from compos.compose.supervision import Lines
from compos.config.ids import id_map
from compos.config.images import SECTIONS, renamed_images
from compos.config.load import decode_document
from compos.config.model import Config, File, ImageEntry, Volume
from compos.errors import ComposError, ConfigError
from compos.image.source import canonical_name
from compos.image.store import Store
from compos.progress import notice
from compos.tree.layer import clean
from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Node, Slice, Tree, ancestors

__all__ = ["Copies", "InputTar", "choose_copies", "read_input_tar"]

LOCATION, SOURCE = "LINUXKIT.location", "LINUXKIT.source"
PLAN = "compos.plan"
MADE_ANEW = ("linuxkit.files", "linuxkit.volumes", PLAN)
"""Sources of what every build makes itself."""

ELF = b"\x7fELF"

LARGEST_DOCUMENT = 16 << 20
_KINDS = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.LNKTYPE: FILE,
    tarfile.DIRTYPE: DIRECTORY,
    tarfile.SYMTYPE: SYMLINK,
    tarfile.CHRTYPE: CHARACTER,
    tarfile.BLKTYPE: BLOCK,
    tarfile.FIFOTYPE: FIFO,
}


@dataclass(frozen=True, slots=True)
class InputTar:
    """An earlier build: what its YAML was (canonical image names), and its members by the sections that they came from."""

    config: Config
    sections: Mapping[str, Tree]
    sources: Mapping[str, str]
    others: frozenset[str]
    """Paths that came from no section: an SBOM, a Dockerfile."""
    read: Callable[[Node], bytes]
    key: str
    """Names the tar's bytes."""
    plan: str | None
    """What its init carries out, if that has a boot plan."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The sections that a build takes from an earlier one, by location (`init[0]`); `key` names the tar's bytes."""

    key: str
    planned: bool
    components: Mapping[str, Component]
    bundles: Mapping[str, Bundle]
    roots: Mapping[str, str]
    """Where each copied container's files lie."""


def read_input_tar(store: Store, path: Path, config: Config) -> InputTar | None:
    """The earlier build in `path`, if it says what it was built from where `config` says so, too (`files: metadata`).

    Raises `ConfigError` (`input-tar`) when it cannot be read.
    """
    where = [clean(entry.path or "") for entry in config.files if entry.metadata]
    try:
        key = _imported(store, path)
        with tarfile.open(store.root / key, errorlevel=2) as archive:
            members = {clean(member.name): member for member in archive}
            found = members.get(where[-1]) if where else None
            if found is None or not found.isreg() or found.size > LARGEST_DOCUMENT:
                notice(
                    f"{path} does not say what it was built from: give the YAML a `files` entry with `metadata: yaml`"
                )
                return None
            stream = archive.extractfile(found)
            text = (stream.read() if stream else b"").decode("utf-8", "replace")
            nodes = _nodes(members, key)
    except (OSError, tarfile.TarError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            "input-tar",
            f"the input tar cannot be read: {reason}",
            place=str(path),
            hint="Name a tar of an earlier build.",
        ) from error
    earlier = _earlier(text, f"{path}: {where[-1]}")
    if earlier is None:
        return None
    sections: dict[str, Tree] = {}
    sources: dict[str, str] = {}
    others = set()
    plan: Node | None = None
    for name, member in members.items():
        location, source = member.pax_headers.get(LOCATION), member.pax_headers.get(SOURCE, "")
        if location is None:
            others.add(name)
        else:
            if (source, name) == (PLAN, PLAN_PATH):
                plan = nodes[name]
            if source not in MADE_ANEW:
                sections.setdefault(location, {})[name] = nodes[name]
            if source != PLAN:
                sources.setdefault(location, source)

    def read(node: Node) -> bytes:
        data = b""
        for piece in node.content:
            if isinstance(piece, Slice):
                with (store.root / piece.source).open("rb") as file:
                    file.seek(piece.offset)
                    data += file.read(piece.size)
        return data

    lines = read(plan).decode("utf-8", "surrogateescape") if plan else None
    return InputTar(earlier, sections, sources, frozenset(others), read, key, lines)


def _imported(store: Store, path: Path) -> str:
    """A copy of the tar in the store, by its digest; gives its path below the store's root."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if store.derived("input", digest) is None:
            stream.seek(0)
            with store.derive("input", digest) as copy, copy.open("wb") as out:
                import shutil

                shutil.copyfileobj(stream, out, 1 << 20)
    return f"derived/input/{digest}"


def _earlier(text: str, place: str) -> Config | None:
    # LinuxKit writes empty sections as null, in JSON, which it refuses to read itself.
    with suppress(ValueError):
        document = json.loads(text)
        if isinstance(document, dict):
            text = json.dumps({key: value for key, value in document.items() if value is not None})
    try:
        return _canonical(decode_document(text, place))
    except ComposError as error:
        notice(f"{place} cannot be used: {error.message}")
        return None


def _canonical(config: Config) -> Config:
    return renamed_images(config, lambda name, _: canonical_name(name))


def _nodes(members: Mapping[str, tarfile.TarInfo], source: str) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    targets = {clean(member.linkname) for member in members.values() if member.islnk()}
    for path, member in members.items():
        origin = member
        while origin.islnk():
            origin = members[clean(origin.linkname)]
            if origin is member:
                raise tarfile.ReadError(f"{path!r} is a hard link to itself")
        if member.type not in _KINDS or origin.issparse():
            raise tarfile.ReadError(f"{path!r} is of a kind that no build writes")
        inode = clean(origin.name) if member.islnk() or path in targets else ""
        nodes[path] = Node(
            _KINDS[origin.type],
            origin.mode & 0o7777,
            origin.uid,
            origin.gid,
            _nanoseconds(origin),
            origin.size if origin.isreg() else 0,
            (Slice(source, origin.offset_data, origin.size),) if origin.isreg() and origin.size else (),
            origin.linkname if origin.issym() else "",
            (origin.devmajor, origin.devminor) if origin.ischr() or origin.isblk() else (0, 0),
            tuple(sorted(_xattrs(origin))),
            f"input:{inode}" if inode else "",
        )
    return nodes


def _nanoseconds(member: tarfile.TarInfo) -> int:
    whole, _, fraction = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    sign = -1 if whole.startswith("-") else 1
    return int(whole) * 10**9 + sign * int((fraction[:9] or "0").ljust(9, "0"))


def _xattrs(member: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    for key, value in member.pax_headers.items():
        if key.startswith("SCHILY.xattr."):
            yield key.removeprefix("SCHILY.xattr."), value.encode("utf-8", "surrogateescape")


def choose_copies(
    earlier: InputTar, config: Config, written: Iterable[str], at_hand: Callable[[str], bool], *, kernel: bool
) -> Copies:
    """What of `config` is taken from `earlier`: sections whose images are not `at_hand` and that are the same.

    `written` are paths that this build writes besides sections and files (its SBOM); `kernel` says that the kernel may be
    copied. Tells the user each section that is copied.
    """
    return _Choice(earlier, config, written, at_hand, kernel=kernel).copies()


class _Choice:
    def __init__(
        self, earlier: InputTar, config: Config, written: Iterable[str], at_hand: Callable[[str], bool], *, kernel: bool
    ) -> None:
        self._earlier = earlier
        self._old = earlier.config
        self._new = _canonical(config)
        self._config = config
        self._at_hand = at_hand
        self._kernel = kernel
        # What the earlier build laid over its sections and this one does not: what lay below is in no tar.
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
            self._earlier.key, self._earlier.plan is not None, self._components, self._bundles, self._own_roots
        )

    def _base(self) -> None:
        """Kernel and init images lie over each other: all of them are copied, or none."""
        old, new = self._old, self._new
        names = [*([new.kernel.image] if new.kernel and new.kernel.image else []), *new.init]
        same = (old.kernel == new.kernel or not (new.kernel and new.kernel.image)) and old.init == new.init
        if not names or not same or not self._kernel or all(map(self._at_hand, names)):
            return
        if any(not path.startswith("containers/") for path in self._uncovered) or not self._plain_kernel():
            return
        locations = [
            *(["kernel"] if new.kernel and new.kernel.image else []),
            *(f"init[{n}]" for n in range(len(new.init))),
        ]
        for location in (*locations, "init"):
            if location in self._earlier.sections:
                self._copy(location, location)

    def _plain_kernel(self) -> bool:
        """Whether the earlier kernel is as its image has it: one that was decompressed cannot be packed again."""
        node = self._earlier.sections.get("kernel", {}).get("boot/kernel")
        return node is None or self._earlier.read(node)[:4] != ELF

    def _volume(self, number: int, volume: Volume) -> None:
        location, prefix = f"volume[{number}]", f"containers/volumes/{volume.name}"
        if volume.image and not self._at_hand(volume.image) and self._same("volumes", number, volume, prefix):
            self._copy(location, f"volumes[{number}]")

    def _container(self, section: str, number: int, entry: ImageEntry, roots: dict[str, str]) -> None:
        location = f"{section}[{number}]"
        folder = bundle_id(section, number, entry.name)
        prefix = f"containers/{section}/{folder}"
        own = f"{prefix}/{'rootfs' if entry.settings.readonly else 'lower'}"
        expected = roots.get(entry.image)
        if not self._at_hand(entry.image) and self._same_ids and self._same(section, number, entry, prefix):
            bundle, root = self._bundle(section, folder, prefix, location)
            if (
                bundle is not None
                and root == (expected or root)
                and (expected is None) == root.startswith(f"{prefix}/")
            ):
                self._copy(location, location)
                self._bundles[location] = bundle
                self._own_roots[location] = own = root
        roots.setdefault(entry.image, own)

    def _same(self, section: str, number: int, entry: ImageEntry | Volume, prefix: str) -> bool:
        old: tuple[ImageEntry | Volume, ...] = getattr(self._old, section)
        return (
            number < len(old)
            and old[number] == entry
            and not any(path == prefix or path.startswith(f"{prefix}/") for path in self._uncovered)
        )

    def _bundle(self, section: str, folder: str, prefix: str, location: str) -> tuple[Bundle | None, str]:
        """The container as the boot plan needs it, and where its files lie; no bundle when its documents are not as ours."""
        tree = self._earlier.sections.get(location, {})
        try:
            documents = [self._earlier.read(tree[f"{prefix}/{name}.json"]) for name in ("config", "runtime")]
            runtime: dict[str, Any] = json.loads(documents[1])
            root = _root_of(runtime)
            spec = json.loads(documents[0])
            return Bundle.of((section, folder, prefix), documents[0], spec, runtime, self._supervision(folder)), root
        except (KeyError, ValueError, TypeError, IndexError):
            return None, ""

    def _supervision(self, name: str) -> Lines:
        """What the earlier plan says of a container: labels have gone into it that are not at hand now."""
        lines: list[tuple[str, ...]] = []
        inside = False
        for line in (self._earlier.plan or "").split("\n"):
            fields = plan_fields(line)
            if fields[0] == "container":
                inside = fields[1] == name
            elif inside and fields[0] in WORDS:
                lines.append(fields)
        return tuple(lines)

    def _copy(self, location: str, shown: str) -> None:
        tree: Tree = {}
        for path, node in self._earlier.sections[location].items():
            for parent, made in with_ancestors(path).items():
                tree.setdefault(parent, made)
            tree[path] = node
        source = self._earlier.sources[location]
        self._components[location] = Component(location, source, tree)
        if location != "init":
            notice(f"Copy {shown} files from input tar: {source}")


def _root_of(runtime: Mapping[str, Any]) -> str:
    """Where the files of a container lie, from the first mounts of its `runtime.json` (reference 3.5)."""
    for mount in runtime["mounts"]:
        for option in mount.get("options") or ():
            if option.startswith("lowerdir=/"):
                return str(option.removeprefix("lowerdir=/"))
    first = runtime["mounts"][0]
    return str(first["source"]).removeprefix("/")


def _file_paths(entries: Iterable[File]) -> set[str]:
    paths: set[str] = set()
    for entry in entries:
        path = clean(entry.path or "")
        paths.update((path, *ancestors(path)))
    return paths
