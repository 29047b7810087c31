"""The least that makes a running system what its new version is: nothing, new files, services that
are replaced, started or stopped, or a boot. Pure, but for what `same` reads.

Whatever is not known to be less is a boot: the result is always what a boot of the new version
would give, but for what services and volumes in memory have written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compos.compose.component import Component
from compos.compose.kernel_modules import FIRMWARE, PLACES
from compos.compose.plan import PATH as PLAN
from compos.compose.profiles import PROFILES
from compos.compose.system import BOOT, System
from compos.develop.picture import Contained, Picture, Same, merged
from compos.tree.node import DIRECTORY, Node

__all__ = ["Decision", "below", "decide"]

SERVICES = "containers/services/"
HIDDEN = ("dev/", "proc/", "run/", "sys/", "tmp/", "var/")
"""What is mounted over when the system runs."""

SHOWN = 3
"""Paths that a reason names."""


class Decision(NamedTuple):
    """What is to be done, and why.

    If there are reasons to `boot`, that is all. `services` are replaced, each with its reasons;
    those `added` are new, those `removed` are gone. `files` are paths of the system's root, which
    are put in place; `restarts` are the services that see them.
    """

    boot: tuple[str, ...] = ()
    services: Mapping[str, tuple[str, ...]] = {}
    files: tuple[str, ...] = ()
    restarts: Mapping[str, tuple[str, ...]] = {}
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.boot or self.services or self.files or self.added or self.removed)


def decide(old: Picture, new: Picture, same: Same) -> Decision:
    """What makes a machine that runs `old` one that runs `new`."""
    reasons = [*_of_plans(old, new)]
    files: dict[str, tuple[Node | None, Node | None]] = {}
    for path, one, two, owner in _changed(old.system, new.system, same):
        if path == PLAN or path.startswith((f"{PLAN.rpartition('/')[0]}/", PROFILES, SERVICES)):
            continue
        if reason := _boots(path, one, two, owner):
            reasons.append(reason)
        else:
            files[path] = (one, two)
    restarts: dict[str, tuple[str, ...]] = {}
    for path in files:
        if _is_metadata(path, (old, new)):
            continue
        seen = _seen(path, (old, new))
        if not seen:
            reasons.append(f"no service sees /{path}, so whatever reads it does at boot")
        for container in seen:
            if container.stage == "onboot":
                reasons.append(f"onboot {container.id} sees /{path}")
            elif container.stage == "services":
                restarts[container.id] = (*restarts.get(container.id, ()), f"/{path}")
    if not old.planned or not new.planned:
        reasons = ["the system's init has no plan"] if reasons or files else []
    if reasons:
        return Decision(boot=tuple(dict.fromkeys(reasons)))
    services = dict(_replaced(old, new, same))
    added = tuple(name for name in new.services if name not in old.services)
    removed = tuple(name for name in old.services if name not in new.services)
    others = {*services, *added, *removed}
    return Decision(
        (),
        services,
        tuple(files),
        {name: _short(paths) for name, paths in restarts.items() if name not in others},
        added,
        removed,
    )


def _of_plans(old: Picture, new: Picture) -> Iterator[str]:
    """What of the plans cannot be changed while the system runs."""
    for stage in dict.fromkeys((*old.around, *new.around)):
        if old.around.get(stage, ()) != new.around.get(stage, ()):
            yield f"the plan of the stage {stage}" if stage != "boot" else "what init does at boot"
    for key in dict.fromkeys((*old.containers, *new.containers)):
        one, two = old.containers.get(key), new.containers.get(key)
        what = f"{'service' if key[0] == 'services' else key[0]} {key[1]}"
        if one is None or two is None:
            yield from _of_one(old, what, key, two)
        elif key[0] != "services":
            if one._replace(root="") != two._replace(root=""):
                yield f"{what}: settings"
        else:
            if _lines(one, "log") != _lines(two, "log"):
                yield f"{what}: where its log goes"
            if more := _modules(two) - _modules(one):
                yield f"{what}: kernel modules {' '.join(sorted(more))}"
    both = set(old.containers) & set(new.containers)
    if [one for one in old.containers if one in both] != [
        one for one in new.containers if one in both
    ]:
        yield "the order of containers"


def _of_one(old: Picture, what: str, key: tuple[str, str], new: Contained | None) -> Iterator[str]:
    """Why a container that is `new`, or gone, takes a boot: all but services do."""
    if key[0] != "services":
        yield f"{what} is {'new' if new else 'gone'}"
    elif new and not old.services:
        # Without any service init does not listen.
        yield f"{what} is the first"
    elif new:
        loaded = {name for one in old.services.values() for name in _modules(one)}
        if more := _modules(new) - loaded:
            yield f"{what}: kernel modules {' '.join(sorted(more))}"


def _lines(container: Contained, word: str) -> list[tuple[str, ...]]:
    return [line for line in container.lines if line[0] == word]


def _modules(container: Contained) -> set[str]:
    """What init is to load for it when the system boots; the agent brings overlayfs."""
    return {name for line in _lines(container, "modules") for name in line[1].split()} - {"overlay"}


def _changed(
    old: System, new: System, same: Same
) -> Iterator[tuple[str, Node | None, Node | None, str]]:
    """Paths that differ, their nodes, and where in the YAML the last one comes from."""
    for path, one, two in merged(old.with_boot(), new.with_boot()):
        if one is None or two is None or not same(one[1], two[1]):
            last = two or one
            yield path, one and one[1], two and two[1], last[2].location if last else ""


def _boots(path: str, one: Node | None, two: Node | None, owner: str) -> str:
    """Why a boot is due to this path; empty if it may not be."""
    if path.startswith(BOOT):
        return {"boot/cmdline": "the kernel's command line"}.get(path, "the kernel")
    if path.startswith(PLACES):
        return "kernel modules"
    if path.startswith(FIRMWARE):
        return "firmware"
    if path.startswith("containers/"):
        _, section, *names = path.split("/")
        return f"{section} {names[0]}" if names else section
    if not owner.startswith("files["):
        return f"{owner.partition('[')[0]}: /{path}"
    if path.startswith(HIDDEN):
        return f"/{path} is hidden while the system runs"
    folders = [node.kind == DIRECTORY for node in (one, two) if node]
    if any(folders) and not all(folders):
        return f"/{path} is a folder in one version only"
    return ""


def _seen(path: str, pictures: tuple[Picture, ...]) -> list[Contained]:
    """Containers of either version into which /`path` is bound, or a part of it."""
    name = f"/{path}"

    def sees(source: str) -> bool:
        return f"{name}/".startswith(f"{source}/") or source.startswith(f"{name}/")

    found: dict[tuple[str, str], Contained] = {}
    for one in pictures:
        found.update(
            (key, container)
            for key, container in one.containers.items()
            if any(map(sees, container.sees))
        )
    return [*found.values()]


def _is_metadata(path: str, pictures: tuple[Picture, ...]) -> bool:
    """Whether the file describes the system's YAML, and changes with everything."""
    return all(
        owner.location in one.metadata for one in pictures for owner in _owners(one.system, path)
    )


def _owners(system: System, path: str) -> Iterator[Component]:
    entries = system.root.entries
    at = entries.bisect(path)
    if at < len(entries) and entries.path(at) == path:
        yield system.root.owners[at]


def _replaced(old: Picture, new: Picture, same: Same) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Services that are not what they were, with what is different."""
    services = new.services
    for name, one in old.services.items():
        two = services.get(name)
        if two is None:
            continue
        paths = [*_root_changes(old, one, new, two, same)]
        reasons = [_files(paths)] if paths else []
        if one.config != two.config or one.writable != two.writable:
            reasons.append("settings")
        elif one.lines != two.lines or one.namespace != two.namespace:
            words = {line[0] for line in {*one.lines} ^ {*two.lines}} - {"rootpath"}
            reasons.append(", ".join(sorted(words)) or "order")
        if reasons:
            yield name, tuple(reasons)


def _root_changes(
    old: Picture, one: Contained, new: Picture, two: Contained, same: Same
) -> Iterator[str]:
    for path, before, after in merged(below(old, one.root), below(new, two.root)):
        if before is None or after is None or not same(before[1], after[1]):
            yield f"/{path}"


def below(picture: Picture, folder: str) -> Iterator[tuple[str, Node]]:
    """What is below `folder`, with paths relative to it."""
    cut = len(folder) + 1
    for path, node, _ in picture.system.root.below(f"{folder}/"):
        yield path[cut:], node


def _files(paths: list[str]) -> str:
    return f"{len(paths)} files, such as {paths[0]}" if len(paths) > SHOWN else ", ".join(paths)


def _short(paths: tuple[str, ...]) -> tuple[str, ...]:
    return (_files([*paths]),)
