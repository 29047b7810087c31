"""What one part of a system says about another: names that stand twice, volumes and containers that
are named. Pure.

Looked at after merging, so that every file may refer to every other (docs/linuxkit.md#N6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compos.config.check import is_template, mount_type, repeated_rlimits
from compos.config.ids import id_map
from compos.config.model import Config, File, Id, ImageEntry, Mark, Volume
from compos.config.order import check_order
from compos.config.problems import Problems
from compos.config.sources import is_url
from compos.config.trust_keys import trust_files
from compos.image.reference import LOCAL_IMAGES
from compos.progress import notice
from compos.suggestion import did_you_mean

__all__ = ["check_names", "check_references"]


def check_names(config: Config, problems: Problems) -> None:
    """Services and volumes have names of their own (docs/linuxkit.md#2.2; volumes over all files,
    docs/linuxkit.md#N6)."""
    _unique("service", config.services, problems)
    _unique("volume", config.volumes, problems)


def check_references(
    config: Config, problems: Problems, *, allow_local_files: bool = False
) -> None:
    """Volumes in `binds` and `mounts`, containers in ids; files of this machine that YAML from the
    network names.

    Whoever wrote that YAML chose the services that would get them, too. `allow_local_files` lets
    it.
    """
    volumes = {volume.name: volume for volume in config.volumes}
    ids = id_map(config)
    for entry in (*config.onboot, *config.onshutdown, *config.services):
        for key, value in _ids(entry):
            _known_id(value, ids, entry.mark.at(key), problems)
        _volumes(entry, volumes, problems)
        for number, name in repeated_rlimits(entry.settings.rlimits or ()):
            notice(f"{entry.mark.at(f'rlimits[{number}]')}: the limit {name} is repeated")
    check_order(config, problems)
    for file in config.files:
        for key, value in _ids(file):
            _known_id(value, ids, file.mark.at(key), problems)
    if not allow_local_files:
        _local_files(config, problems)


def _local_files(config: Config, problems: Problems) -> None:
    hint = "Save the YAML to a file and review it, or use --allow-local-files."
    for file in config.files:
        if is_url(file.mark.file) and file.source:
            message = "YAML from the network may not read files of this machine"
            problems.add("config-local-file", message, file.mark.at("source"), hint=hint)
    trust = config.trust
    if trust is not None and is_url(trust.mark.file) and trust_files(trust):
        message = "YAML from the network may not name keys in files of this machine"
        problems.add("config-local-file", message, trust.mark, hint=hint)
    for name, mark in _images(config):
        if is_url(mark.file) and (is_template(name) or name.startswith(LOCAL_IMAGES)):
            message = "YAML from the network may not refer to this machine"
            problems.add("config-template", message, mark, hint=hint)


def _unique(what: str, entries: Iterable[ImageEntry | Volume], problems: Problems) -> None:
    first: dict[str, Mark] = {}
    for entry in entries:
        mark = entry.mark.at("name")
        if entry.name in first:
            there = first[entry.name]
            hint = f"The first one is at {there.file}:{there.line}; rename one of them."
            problems.add(
                "config-duplicate-name",
                f"there are two {what}s named {entry.name!r}",
                mark,
                hint=hint,
            )
        first.setdefault(entry.name, mark)


def _ids(given: ImageEntry | File) -> Iterator[tuple[str, Id | None]]:
    if isinstance(given, File):
        yield from (("uid", given.uid), ("gid", given.gid))
        return
    settings = given.settings
    yield from (("uid", settings.uid), ("gid", settings.gid))
    for number, gid in enumerate(settings.additional_gids or ()):
        yield f"additionalGids[{number}]", gid


def _known_id(value: Id | None, ids: Mapping[str, int], mark: Mark, problems: Problems) -> None:
    if not isinstance(value, str) or value in ("", "root") or value in ids:
        return
    if value.isdecimal():
        hint = "Write the number without quotes."
    else:
        hint = did_you_mean(
            value,
            ids,
            "Write a number, root, or the name of an onboot, onshutdown or services entry.",
        )
    problems.add("config-id", f"{value!r} is not the name of a container", mark, hint=hint)


def _volumes(entry: ImageEntry, volumes: Mapping[str, Volume], problems: Problems) -> None:
    """Sources that do not begin with / are volumes; a read-only one is bound with exactly `ro`
    (docs/linuxkit.md#1.9)."""
    for key, binds in (("binds", entry.settings.binds), ("binds.add", entry.settings.binds_add)):
        for number, text in enumerate(binds or ()):
            source, destination, *options = text.split(":")
            mark = entry.mark.at(f"{key}[{number}]")
            if source.startswith("/") or not _known_volume(source, volumes, mark, problems):
                continue
            if volumes[source].readonly and options != ["ro"]:
                hint = f"Write {source}:{destination}:ro."
                problems.add(
                    "config-volume", f"the volume {source!r} is read-only", mark, hint=hint
                )
    for number, mount in enumerate(entry.settings.mounts or ()):
        source = mount.source or ""
        mark = entry.mark.at(f"mounts[{number}]")
        if (
            mount_type(mount) != "bind"
            or source.startswith("/")
            or not _known_volume(source, volumes, mark, problems)
        ):
            continue
        flags = [option for option in mount.options or () if option in ("ro", "rw")]
        if volumes[source].readonly and flags[:1] != ["ro"]:
            problems.add(
                "config-volume",
                f"the volume {source!r} is read-only",
                mark,
                hint="Add `ro` to its options.",
            )


def _known_volume(name: str, volumes: Mapping[str, Volume], mark: Mark, problems: Problems) -> bool:
    if name in volumes:
        return True
    if not name:
        problems.add(
            "config-volume",
            "the bind mount has no source",
            mark,
            hint="Add `source: PATH`, or a volume.",
        )
        return False
    hint = did_you_mean(name, volumes, "Begin a path with /, or declare the volume in `volumes`.")
    problems.add("config-volume", f"there is no volume named {name!r}", mark, hint=hint)
    return False


def _images(config: Config) -> Iterator[tuple[str, Mark]]:
    if config.kernel and config.kernel.image:
        yield config.kernel.image, config.kernel.mark.at("image")
    yield from zip(config.init, config.init_marks, strict=True)
    for entry in (*config.onboot, *config.onshutdown, *config.services):
        yield entry.image, entry.mark.at("image")
    for volume in config.volumes:
        yield volume.image or "", volume.mark.at("image")
