"""`build.yml`'s tables: each key with its type, what it means, and what is refused at once
(docs/bricks.md). Pure.

They are read by the decoder of the system's YAML (`config.decode`), with three kinds more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from compos.config import check
from compos.config.check import Check, Complaint, RecordCheck
from compos.config.decode import BAD, Decoder
from compos.config.fields import FILE as SYSTEM_FILE
from compos.config.fields import SETTINGS, TEXT, TEXTS
from compos.config.kinds import Field, Flag, ListOf, Number, Record, Text, TextMap, key
from compos.config.load import SETTINGS_LABEL
from compos.config.model import File
from compos.config.nodes import List, Map, Node, Scalar

__all__ = [
    "MADE_OF",
    "RECIPE",
    "Concatenation",
    "Debian",
    "Document",
    "Kernel",
    "RecipeDecoder",
]

MADE_OF = ("debian", "files", "concatenate", "links", "kernel")
"""Keys that say what is in an image; without any of them, a Dockerfile does."""

MAX_PATH = 4095
"""Bytes of a path, without the NUL behind it (linux/limits.h: PATH_MAX)."""

MAX_NAME = 255
"""Bytes of a name in a path (linux/limits.h: NAME_MAX)."""

MAX_WILDCARDS = 6
"""Wildcards of a pattern: the time for matching grows with their number as exponent."""

WITHOUT_COMPANIONS = ("unstable", "sid", "experimental", "rc-buggy")
"""Suites that have neither `-security` nor `-updates`: what is fixed goes there at once."""

_PACKAGE = "[a-z0-9][a-z0-9+.-]+"
_SUITE = "[a-z0-9][a-z0-9.+-]*"
_COMPONENT = "[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*"
_SWITCHES = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}
"""YAML 1.1's other words for true and false, which LinuxKit takes here."""


class Concatenation(NamedTuple):
    """A file made of others: `sources` are globs in the packages' files, joined in order of their
    names."""

    path: str
    sources: tuple[str, ...]


class Debian(NamedTuple):
    """The `debian` section. `packages` are names, or mappings from architecture to name."""

    packages: tuple[str | Mapping[str, str], ...]
    suite: str = "trixie"
    updates: bool = True
    components: tuple[str, ...] = ("main",)
    without: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    move: Mapping[str, str] = {}

    def names(self, architecture: str) -> tuple[str, ...]:
        """Package names for an architecture; a mapping that lacks it gives none."""
        names = (
            item if isinstance(item, str) else item.get(architecture) for item in self.packages
        )
        return tuple(name for name in names if name)

    @property
    def suites(self) -> tuple[str, ...]:
        """The suite and those with its updates, as apt is set up to read them: `trixie` is
        `trixie`, `trixie-updates` and `trixie-security`. The newest version of all of them is
        taken."""
        # A suite such as trixie-backports is one of those itself.
        if not self.updates or self.suite in WITHOUT_COMPANIONS or "-" in self.suite:
            return (self.suite,)
        return (self.suite, f"{self.suite}-updates", f"{self.suite}-security")


class Kernel(NamedTuple):
    """The `kernel` section: files of the package's folder that make the kernel image, besides
    Debian's packages."""

    packages: tuple[str, ...] = ()
    binary: str | None = None
    config: str | None = None
    modules: str | None = None
    extra_modules: tuple[str, ...] = ()

    @property
    def sources(self) -> list[str]:
        """The files, and the folder with a slash behind its name."""
        single = [name for name in (self.binary, self.config) if name is not None]
        folders = [] if self.modules is None else [f"{self.modules.rstrip('/')}/"]
        return [*self.packages, *single, *self.extra_modules, *folders]


class Document(NamedTuple):
    """A whole `build.yml` as it is written; what means nothing here is checked and left out."""

    image: str
    org: str | None = None
    tag: str | None = None
    arches: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    labels: Mapping[str, str] = {}
    config: Mapping[str, Any] | None = None
    debian: Debian | None = None
    files: tuple[File, ...] | None = None
    concatenate: tuple[Concatenation, ...] | None = None
    links: Mapping[str, tuple[str, ...]] | None = None
    kernel: Kernel | None = None
    dockerfile: str | None = None
    extra_sources: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    depends: Mapping[str, Any] | None = None
    network: bool = False
    disable_cache: bool = False
    gitrepo: str | None = None


# Plain classes and patterns as text: named tuples and compiling cost a build, which imports this,
# half a millisecond each.


class MapTo:
    """A mapping from strings that `check` has no complaint about to `item` (a kind)."""

    def __init__(self, item: Any, check: Check) -> None:
        self.item = item
        self.check = check


class Switch:
    """true or false, also in YAML 1.1's words."""


class PackageName:
    """A package's name, or a mapping from architecture to one."""


class Plain:
    """What `record` accepts, left as plain values."""

    def __init__(self, record: Record) -> None:
        self.record = record


class RecipeDecoder(Decoder):
    """Decodes one `build.yml`; mistakes go to its problems."""

    def decode(self, node: Node, kind: Any, path: str = "") -> Any:
        """The value of `node` as `kind`, or `BAD`."""
        if isinstance(kind, MapTo):
            return self._map_to(node, kind, path)
        if isinstance(kind, Plain):
            decoded = super().decode(node, kind.record, path)
            return BAD if decoded is BAD else _plain(node)
        if isinstance(kind, PackageName):
            return super().decode(node, _BY_ARCHITECTURE if isinstance(node, Map) else _NAME, path)
        if isinstance(kind, Switch):
            if isinstance(node, Scalar) and node.is_plain and node.text.lower() in _SWITCHES:
                return _SWITCHES[node.text.lower()]
            return super().decode(node, Flag(), path)
        return super().decode(node, kind, path)

    def _map_to(self, node: Node, kind: MapTo, path: str) -> object:
        if not isinstance(node, Map):
            return self._unexpected(node, "a mapping", path)
        found = {}
        for name, (key_node, value) in node.entries.items():
            here = f"{path}.{name}"
            if not isinstance(key_node.value, str):
                self._unexpected(
                    key_node, "a string as the key", here, f"Put it in quotes: '{key_node.text}'."
                )
                continue
            accepted = self._accept(kind.check(name), key_node.span, here)
            decoded = self.decode(value, kind.item, here)
            if accepted and decoded is not BAD:
                found[name] = decoded
        return found


def _plain(node: Node) -> Any:
    if isinstance(node, Map):
        return {name: _plain(value) for name, (_, value) in node.entries.items()}
    if isinstance(node, List):
        return [_plain(item) for item in node.items]
    return node.value


def _matching(pattern: str, what: str, example: str) -> Check:
    def complaints(text: str) -> Iterator[Complaint]:
        if not re.fullmatch(pattern, text):
            yield Complaint(
                "recipe-name",
                f"{text[:100]!r} is not valid as {what}",
                f"Write a name such as {example}.",
            )

    return complaints


def inside(text: str) -> Iterator[Complaint]:
    """A path in the image, which neither is nor leaves its root."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts:
        yield Complaint("recipe-path", "the path is empty", "Write a path below /.")
    elif ".." in parts:
        yield Complaint(
            "recipe-path", f"{text[:100]!r} leaves the root", "Write the path without `..`."
        )
    elif "\0" in text:
        yield Complaint(
            "recipe-path", f"{text[:100]!r} contains a NUL, which is not allowed in a path"
        )
    elif complaint := _too_long(text):
        yield complaint


def _too_long(path: str) -> Complaint | None:
    encoded = path.encode("utf-8", "replace")
    if len(encoded) <= MAX_PATH and max(map(len, encoded.split(b"/"))) <= MAX_NAME:
        return None
    hint = f"Use at most {MAX_PATH} bytes for the path and {MAX_NAME} for each name in it."
    return Complaint("recipe-path", f"the path {path[:50]!r}… is too long", hint)


def beside(text: str) -> Iterator[Complaint]:
    """A path on this machine, in the package's folder."""
    if not text or text.startswith("/") or ".." in text.split("/") or "\0" in text:
        yield Complaint(
            "recipe-source",
            f"{text[:100]!r} is not in the package's folder",
            "Use a file in the folder, relative to it and without `..`.",
        )
    elif complaint := _too_long(text):
        yield complaint


def _glob(text: str) -> Iterator[Complaint]:
    yield from inside(text)
    if len(re.findall(r"\*\*?", text)) > MAX_WILDCARDS:
        yield Complaint(
            "recipe-path",
            f"the pattern has more than {MAX_WILDCARDS} wildcards",
            "Use fewer wildcards.",
        )


def _variable(text: str) -> Iterator[Complaint]:
    if not text.partition("=")[0] or "=" not in text or "\0" in text:
        yield Complaint("recipe-variable", f"{text[:100]!r} is not NAME=VALUE", "Write PATH=/bin.")


def _extra_source(text: str) -> Iterator[Complaint]:
    source, _, destination = text.partition(":")
    if not source or not destination or ":" in destination or "\0" in text:
        yield Complaint(
            "package-extra-source",
            f"{text[:100]!r} is not SOURCE:DESTINATION",
            "Write ../common:/common.",
        )


def _not_empty(items: Sequence[object]) -> Iterator[Complaint]:
    if not items:
        yield Complaint("config-missing", "the list is empty", "Add at least one.")


def _file(given: File) -> Iterator[Complaint]:
    found = list(check.file(given))
    yield from found
    if not found:
        yield from (one._replace(key="path") for one in inside(given.path or ""))
    if given.source is not None:
        yield from (one._replace(key="source") for one in beside(given.source))
    if given.symlink and (
        "\0" in given.symlink or len(given.symlink.encode("utf-8", "replace")) > MAX_PATH
    ):
        hint = f"Use at most {MAX_PATH} bytes, without NUL."
        yield Complaint(
            "recipe-path", "the target of the symbolic link is not valid", hint, "symlink"
        )


def _kernel(given: Kernel) -> Iterator[Complaint]:
    for name in ("config", "modules"):
        if getattr(given, name) is not None and given.binary is None:
            yield Complaint(
                "recipe-kernel",
                f"{name} belongs to a kernel of the folder, but there is no binary",
                "Add binary, the path of the kernel, or remove this key.",
                name,
            )


def _images(given: Mapping[str, Any]) -> Iterator[Complaint]:
    for one, other in (("list", "from-file"), ("target", "target-dir")):
        if one in given and other in given:
            yield Complaint(
                "recipe-depends",
                f"{other} cannot be combined with {one}",
                "Remove one of them.",
                other,
            )


def _with_digest(text: str) -> Iterator[Complaint]:
    """An image that a Dockerfile gets as a file: always the same one."""
    if not re.fullmatch("[^@]+@sha256:[0-9a-f]{64}", text):
        yield Complaint(
            "recipe-depends", f"{text[:100]!r} has no digest", "Write NAME@sha256:DIGEST."
        )


def _document(given: Document) -> Iterator[Complaint]:
    if given.config is not None and SETTINGS_LABEL in given.labels:
        hint = "Remove one of them."
        yield Complaint(
            "recipe-label",
            f"the label {SETTINGS_LABEL} cannot be combined with config",
            hint,
            "labels",
        )
    made_of = [name for name in MADE_OF if getattr(given, name) is not None]
    # They would be passed over in silence: nothing is run while such a package is built.
    for name, field in (
        ("dockerfile", "dockerfile"),
        ("buildArgs", "build_args"),
        ("depends", "depends"),
    ):
        if made_of and getattr(given, field):
            hint = f"Remove {name}, or the other keys."
            yield Complaint(
                "recipe-dockerfile", f"{name} cannot be combined with {made_of[0]}", hint, name
            )


def _table(
    name: str, model: type, doc: str, *fields: Field, complaints: RecordCheck | None = None
) -> Record:
    return Record(name, model, doc, {field.key: field for field in fields}, complaints)


_NAME = Text(_matching(_PACKAGE, "a Debian package", "nginx"))
_NAMES = ListOf(_NAME)
_GLOBS = ListOf(Text(_glob))
_PATH = Text(inside)
_BY_ARCHITECTURE = _table(
    "PackageByArchitecture",
    dict,
    "The name of the package for each architecture; architectures that are left out have none.",
    *(key(name, _NAME, f"The package for {name}.") for name in check.ARCHITECTURES),
)
_DEBIAN = _table(
    "Debian",
    Debian,
    "What to take from Debian.",
    key("suite", Text(_matching(_SUITE, "a suite", "trixie")), "Suite [trixie]."),
    key("updates", Flag(), "Whether to use the suite's -security and -updates as well [true]."),
    key(
        "components",
        ListOf(Text(_matching(_COMPONENT, "a component", "main")), _not_empty),
        "Components; non-free-firmware contains firmware for devices [main].",
    ),
    key(
        "packages",
        ListOf(PackageName(), _not_empty),
        "Packages, each a name or a mapping from architecture to name; dependencies are included.",
        required=True,
    ),
    key(
        "without",
        _NAMES,
        "Packages to remove from the dependencies, with packages that only they need.",
    ),
    key(
        "keep",
        _GLOBS,
        "Patterns of the files to keep, in merged-/usr spelling [all except documentation and the "
        "like].",
    ),
    key("drop", _GLOBS, "Patterns of files to remove again."),
    key("move", MapTo(_PATH, inside), "New paths of files or folders, by their old ones."),
)
_OWNER = Number(0, 2**32 - 2)
_FILE = _table(
    "File",
    File,
    "A file, folder or symbolic link, added over the packages.",
    *(SYSTEM_FILE.fields[name] for name in ("path", "directory", "symlink", "contents")),
    key("source", TEXT, "File in the package's folder to copy; ${arch} is the architecture."),
    SYSTEM_FILE.fields["mode"],
    key("uid", _OWNER, "Owner [0]."),
    key("gid", _OWNER, "Group [0]."),
    complaints=_file,
)
_CONCATENATION = _table(
    "Concatenation",
    Concatenation,
    "A file joined from others.",
    key("path", _PATH, "Path of the file.", required=True),
    key(
        "sources",
        ListOf(Text(_glob), _not_empty),
        "Patterns of the packages' files to join.",
        required=True,
    ),
)
_INSIDE_TEXT = Text(beside)
_KERNEL = _table(
    "Kernel",
    Kernel,
    "What a kernel image is made of; {} takes it all from Debian's packages.",
    key(
        "packages",
        ListOf(_INSIDE_TEXT),
        "Package files in the package's folder: .deb, .rpm, .apk, .pkg.tar.zst.",
    ),
    key("binary", _INSIDE_TEXT, "Kernel in the package's folder: bzImage, Image, Image.gz, …"),
    key("modules", _INSIDE_TEXT, "Folder with lib/modules/VERSION of this kernel [no modules]."),
    key("config", _INSIDE_TEXT, "This kernel's configuration, to be checked."),
    key(
        "extra-modules",
        ListOf(_INSIDE_TEXT),
        "Modules that were built for this kernel, to be added.",
        name="extra_modules",
    ),
    complaints=_kernel,
)
_DEPENDS = _table(
    "Depends",
    dict,
    "LinuxKit's: images that a Dockerfile needs as files.",
    key(
        "docker-images",
        _table(
            "DockerImages",
            dict,
            "Images and their destinations.",
            key("list", ListOf(Text(_with_digest)), "Images, each with its digest.", name="list"),
            key("from-file", _INSIDE_TEXT, "File that lists them.", name="from-file"),
            key("target", _INSIDE_TEXT, "One tar for all.", name="target"),
            key("target-dir", _INSIDE_TEXT, "Folder for one tar per image.", name="target-dir"),
            complaints=_images,
        ),
        "Images and their destinations.",
        name="docker-images",
    ),
)
RECIPE = _table(
    "Recipe",
    Document,
    "A package.",
    key("image", TEXT, "Name of the image, without organisation.", required=True),
    key("org", TEXT, "Organisation, or registry and path [linuxkit]."),
    key("tag", TEXT, "Tag; {{.Hash}} is the hash of the package's folder [{{.Hash}}]."),
    key("arches", ListOf(Text(choices=check.ARCHITECTURES)), "Architectures [amd64, arm64, "
                                                             "riscv64]."),
    key("debian", _DEBIAN, "What to take from Debian."),
    key("files", ListOf(_FILE), "Files of its own."),
    key("concatenate", ListOf(_CONCATENATION), "Files joined from the packages' files."),
    key("links", MapTo(ListOf(_PATH), inside), "Symbolic links, by the program they point to."),
    key("kernel", _KERNEL, "Makes a kernel image from the packages' kernel, or from files."),
    key("entrypoint", TEXTS, "The image's entrypoint."),
    key("cmd", TEXTS, "The image's command."),
    key("env", ListOf(Text(_variable)), "The image's environment, NAME=VALUE."),
    key("workdir", TEXT, "The image's working folder."),
    key("labels", TextMap(), "The image's labels; values in quotes."),
    key("config", Plain(SETTINGS), "The label org.mobyproject.config: settings of a container."),
    key("dockerfile", Text(beside), "Dockerfile, for packages built from one [Dockerfile]."),
    key("extra-sources", ListOf(Text(_extra_source)),
        "Folders, SOURCE:DESTINATION, that are included in the hash.",
        name="extra_sources"),
    key("buildArgs", ListOf(Text(_variable)), "Arguments for a Dockerfile, "
                                              "NAME=VALUE.", name="build_args"),
    key("depends", _DEPENDS, "Images that a Dockerfile needs as files."),
    key("gitrepo", TEXT, "Where a Dockerfile's sources are, for its label and argument."),
    key("network", Switch(), "Whether a Dockerfile's steps have network access [false]."),
    key("disable-cache", Switch(), "Whether a Dockerfile's steps are always run again [false].",
        name="disable_cache"),
    complaints=_document,
)  # fmt: skip
