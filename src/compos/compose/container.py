"""A container of the system: its bundle under `/containers`, laid out as LinuxKit's runtime expects
it (docs/linuxkit.md#3.5)."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from compos.compose.component import Component
from compos.compose.drivers import LABEL as MODULES_LABEL
from compos.compose.profiles import Profile
from compos.compose.root import has_place, laid_out, placed, with_ancestors
from compos.compose.runtime import own_root, places, root_mounts, runtime_document
from compos.compose.supervision import WORDS as SUPERVISION
from compos.compose.supervision import Lines, supervision_lines
from compos.config.model import ImageEntry, Runtime, Settings
from compos.image.model import Image
from compos.tree.node import EPOCH, Node, directory, file

__all__ = [
    "Bundle",
    "Container",
    "bundle_id",
    "container_component",
    "json_document",
    "linux_offset",
    "root_path",
    "with_profile_inside",
]

WORDS = SUPERVISION | {"modules"}
"""The plan's words of what a container's image and settings say."""


class Container(NamedTuple):
    """One entry of `onboot`, `onshutdown` or `services`, with everything that decides what it
    becomes.

    `section` and `number` are its place in the YAML; `settings` are merged; `uid` and so on are
    resolved in `spec`. `follows` is the service without whose process it cannot be: it shares that
    one's PID namespace.
    """

    section: str
    number: int
    entry: ImageEntry
    image: Image
    settings: Settings
    follows: str = ""

    @property
    def id(self) -> str:
        """Name of the bundle's directory, and the container's id at run time."""
        return bundle_id(self.section, self.number, self.entry.name)

    @property
    def path(self) -> str:
        """The bundle's directory, relative to the root."""
        return f"containers/{self.section}/{self.id}"


class Bundle(NamedTuple):
    """A laid-out container: what the boot plan needs to know of it; `id` and `path` are those of
    `Container`.

    `root_path` is where in `config.json` the JSON string `"rootfs"` stands (offset and length in
    bytes), `linux` where the members of `linux` begin: init puts the `profile` there, if there is
    one; `no_new_privileges` is what its processes are, also those that init puts into it;
    `supervision` are the plan's lines about its order, health, restarts, end and logs; `binds` what
    of the system is bound into it; `disks` says whether it may see the machine's disks.
    """

    section: str
    id: str
    path: str
    runtime: dict[str, Any]
    root_path: tuple[int, int]
    linux: int
    profile: Profile | None
    no_new_privileges: bool
    supervision: Lines
    binds: tuple[str, ...]
    disks: bool

    @classmethod
    def of(
        cls,
        where: tuple[str, str, str],
        config: bytes,
        spec: dict[str, Any],
        runtime: dict[str, Any],
        supervision: Lines,
        profile: Profile | None,
    ) -> Bundle:
        """The bundle at `where` (section, id, path); `config` is `spec` as it is written.

        Raises `ValueError`, `KeyError` or `TypeError` for documents that are not ours.
        """
        return cls(
            *where,
            runtime,
            root_path(config),
            linux_offset(config),
            profile,
            bool(spec["process"].get("noNewPrivileges")),
            supervision,
            tuple(mount["source"] for mount in spec["mounts"] if mount.get("type") == "bind"),
            _may_see_disks(spec, runtime),
        )


def container_component(
    container: Container,
    spec: dict[str, Any],
    files: Callable[[], MutableMapping[str, Node]],
    shared_root: str | None,
    profile: Profile | None,
) -> tuple[Component, Bundle, str]:
    """The component of `container`, its bundle, and where its image is unpacked; `profile` is none
    of `spec` yet.

    `files` gives those of the image, the caller's own. `shared_root` is where an earlier container
    has unpacked the same image, if one has.
    """
    base, settings = container.path, container.settings
    own_runtime = settings.runtime or Runtime()
    needed = places(spec["mounts"], own_runtime) if settings.readonly else []
    tree = files() if shared_root is None or needed else {}
    overlaid = not settings.readonly or not all(has_place(path, tree) for path in needed)
    root = shared_root or own_root(base, overlaid=overlaid)
    nodes = with_ancestors(f"{base}/x")
    subtree = None
    if shared_root is None:
        own, subtree = placed(root, laid_out(tree, resolv_conf_link=False))
        nodes.update(own)
    if overlaid:
        nodes[f"{base}/tmp"] = directory(0o755, EPOCH)
    nodes.setdefault(f"{base}/rootfs", directory(0o755, EPOCH))
    runtime = runtime_document(own_runtime, root_mounts(base, root, overlaid=overlaid))
    config = json_document(spec)
    nodes[f"{base}/config.json"] = file(config, 0o644, EPOCH)
    nodes[f"{base}/runtime.json"] = file(json_document(runtime), 0o644, EPOCH)
    component = Component(
        f"{container.section}[{container.number}]", container.image.name, nodes, subtree=subtree
    )
    lines = (
        *((("after", container.follows, "running", "restart"),) if container.follows else ()),
        *supervision_lines(settings, container.image.config.stop_signal),
        *module_lines(container.image, overlaid=overlaid),
    )
    where = (container.section, container.id, base)
    return component, Bundle.of(where, config, spec, runtime, lines, profile), root


def with_profile_inside(
    component: Component, bundle: Bundle, config: bytes
) -> tuple[Component, Bundle]:
    """A finished container for an init that does not put profiles where they belong; `config` is
    its `config.json`."""
    if bundle.profile is None:
        return component, bundle
    spec = json.loads(config)
    spec["linux"] = {"seccomp": json.loads(bundle.profile.text), **spec["linux"]}
    config = json_document(spec)
    component = component._replace(
        tree={**component.tree, f"{bundle.path}/config.json": file(config, 0o644, EPOCH)}
    )
    return component, bundle._replace(
        root_path=root_path(config), linux=linux_offset(config), profile=None
    )


def module_lines(image: Image, *, overlaid: bool) -> Lines:
    """The kernel modules that a container asks for: those that its image declares, and what an
    overlaid root is made of."""
    names = [
        *image.config.labels.get(MODULES_LABEL, "").split(),
        *(("overlay",) if overlaid else ()),
    ]
    return (("modules", " ".join(names)),) if names else ()


def _may_see_disks(spec: dict[str, Any], runtime: dict[str, Any]) -> bool:
    """Whether a container has a way to the machine's disks: devices, or what of the system has them
    below it."""
    sources = [mount.get("source", "") for mount in (*spec["mounts"], *runtime["mounts"])]
    linux = spec["linux"]
    return (
        any(
            source == "/" or source.startswith(("/dev/", "/sys")) or source == "/dev"
            for source in sources
        )
        or any(device["type"] == "b" for device in linux.get("devices") or ())
        or any(
            rule.get("allow") and rule.get("type") in ("a", "b", "", None)
            for rule in (linux.get("resources") or {}).get("devices") or ()
        )
    )


def bundle_id(section: str, index: int, name: str) -> str:
    """Name of a container's directory below its section's."""
    return name if section == "services" else f"{index:03d}-{name}"


def root_path(config: bytes) -> tuple[int, int]:
    """Where the value of `root.path` stands in a `config.json`: keys come in a fixed order, so its
    line cannot be mistaken.

    Raises `ValueError` for a document of another layout.
    """
    line = b'\n    "root": {\n        "path": '
    start = config.index(line) + len(line)
    return start, len(b'"rootfs"')


def linux_offset(config: bytes) -> int:
    """Where the first member of `linux` stands in a `config.json`; likewise. Raises
    `ValueError`."""
    line = b'\n    "linux": {'
    return config.index(line) + len(line)


def json_document(value: dict[str, Any]) -> bytes:
    """JSON as LinuxKit writes it: four blanks, no final newline, `<`, `>`, `&` and line separators
    escaped."""
    text = _indented(value, "\n")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "surrogateescape")


def _indented(value: object, line: str) -> str:
    """`json.dumps(value, indent=4, ensure_ascii=False)` for keys that are texts; `line` is a line
    break with the indentation of what stands around `value`. json itself takes three times as long:
    its C encoder does not indent before Python 3.14."""
    if isinstance(value, str):
        return encode_basestring(value)
    inner = f"{line}    "
    if isinstance(value, dict) and value:
        members = [
            f"{encode_basestring(key)}: {_indented(item, inner)}" for key, item in value.items()
        ]
        return f"{{{inner}{f',{inner}'.join(members)}{line}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{inner}{f',{inner}'.join([_indented(item, inner) for item in value])}{line}]"
    return json.dumps(value)
