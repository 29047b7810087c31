"""How two systems differ: files, packages, sizes, settings, powers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compos.report.facts import CMDLINE, SBOMS, Facts, FileFact, Package, Powers, part_of
from compos.tree.node import DIRECTORY

__all__ = ["Change", "Difference", "FileChange", "compare"]


class Change(NamedTuple):
    """A value under its name; None where there is none."""

    name: str
    before: str | None
    after: str | None


class FileChange(NamedTuple):
    """A path that is not in both, or not the same: `what` names the attributes that differ, with
    their values; sizes are in bytes."""

    path: str
    before: int | None
    after: int | None
    what: tuple[str, ...]


class SizeChange(NamedTuple):
    """Bytes of a part of the system; None where there is no such part."""

    part: str
    before: int | None
    after: int | None


class Difference(NamedTuple):
    """Everything that two systems do not share; empty if they are the same. `notes` says what could
    not be compared."""

    files: tuple[FileChange, ...] = ()
    packages: tuple[Change, ...] = ()
    sizes: tuple[SizeChange, ...] = ()
    settings: tuple[Change, ...] = ()
    powers: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self[:5])


def compare(before: Facts, after: Facts) -> Difference:
    """How `after` differs from `before`. What one of the two kinds of outputs does not hold, such
    as the kernel beside an initrd, is not compared."""
    unlisted = _only_yaml_lists(before, after) or _only_yaml_lists(after, before)
    lacks = tuple(sorted({*before.lacks, *after.lacks, *(SBOMS if unlisted else ())}))
    apart = {path for path in {*before.files} ^ {*after.files} if lacks and path.startswith(lacks)}
    old, new = (
        {path: fact for path, fact in one.files.items() if path not in apart}
        for one in (before, after)
    )
    notes = []
    settings: list[Change] = []
    if apart:
        notes.append(f"not compared: what only one side has below {', '.join(lacks)}")
    if before.settings is not None and after.settings is not None:
        settings += _changes(before.settings, after.settings)
    elif CMDLINE not in apart:
        lines = ({"kernel.cmdline": one.cmdline} if one.cmdline else {} for one in (before, after))
        settings += _changes(*lines)
    by_path = before.settings is None or after.settings is None
    return Difference(
        tuple(_files(old, new)),
        () if unlisted else tuple(_changes(_versions(before.packages), _versions(after.packages))),
        tuple(_sizes(_measured(old, by_path=by_path), _measured(new, by_path=by_path))),
        tuple(settings),
        tuple(_changes(_rights(before.powers), _rights(after.powers))),
        tuple(notes),
    )


def _only_yaml_lists(one: Facts, other: Facts) -> bool:
    """Whether `other` was built without an SBOM, which YAML always gets to be looked at."""
    return (
        one.settings is not None
        and other.settings is None
        and any(path in one.files for path in SBOMS)
        and not any(path in other.files for path in SBOMS)
    )


def _files(old: Mapping[str, FileFact], new: Mapping[str, FileFact]) -> Iterator[FileChange]:
    for path in sorted({*old, *new}):
        one, two = old.get(path), new.get(path)
        if one is None or two is None:
            yield FileChange(path, one and one.size, two and two.size, ())
        elif what := tuple(_attributes(one, two)):
            yield FileChange(path, one.size, two.size, what)


def _attributes(old: FileFact, new: FileFact) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"kind {old.kind} → {new.kind}"
        return
    if (old.size, old.digest) != (new.size, new.digest):
        yield "contents"
    if old.mode != new.mode:
        yield f"mode {old.mode:04o} → {new.mode:04o}"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield f"owner {old.uid}:{old.gid} → {new.uid}:{new.gid}"
    if old.link != new.link:
        yield f"target {old.link} → {new.link}"
    if old.device != new.device:
        yield f"device {old.device[0]}:{old.device[1]} → {new.device[0]}:{new.device[1]}"
    if old.xattrs is not None and new.xattrs is not None:
        one, two = dict(old.xattrs), dict(new.xattrs)
        names = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
        if names:
            yield f"attributes {', '.join(names)}"


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield Change(name, old.get(name), new.get(name))


def _versions(packages: tuple[Package, ...]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for one in packages:
        found.setdefault(f"{one.name} ({one.kind})" if one.kind else one.name, []).append(
            one.version
        )
    return {name: ", ".join(sorted(set(versions))) for name, versions in sorted(found.items())}


def _measured(files: Mapping[str, FileFact], *, by_path: bool) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, fact in files.items():
        if fact.kind != DIRECTORY:
            part = part_of(path) if by_path else fact.part
            sizes[part] = sizes.get(part, 0) + fact.size
    return sizes


def _sizes(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[SizeChange]:
    for part in dict.fromkeys((*old, *new)):
        if old.get(part) != new.get(part):
            yield SizeChange(part, old.get(part), new.get(part))


def _rights(powers: tuple[Powers, ...]) -> dict[str, str]:
    found = {}
    for one in powers:
        values = {
            "user": one.user,
            "capabilities": "all" if one.has_all_capabilities else ", ".join(one.capabilities),
            "ambient": ", ".join(one.ambient),
            "shares the machine's": ", ".join(one.shares),
            "seccomp": one.seccomp or "none",
            "no new privileges": "yes" if one.no_new_privileges else "no",
            "read-only root": "yes" if one.readonly else "no",
            "masked paths": str(one.masked),
            "devices": ", ".join(one.devices),
            "binds": ", ".join(one.binds),
        }
        found.update({f"{one.location}: {key}": text for key, text in values.items() if text})
    return found
