"""A build for several architectures: one system each, outputs that do not overwrite one another,
and one index of the artifacts.

May touch: what `api.build` touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compos.api.build import (
    Buildable,
    BuildOptions,
    base_of,
    build_one,
    described,
    push_archive,
    push_target_of,
    require_buildable,
    require_folder,
    write,
)
from compos.errors import OutputError
from compos.image.store import Store
from compos.output.artifact import is_listed, joined_archive
from compos.output.write import Output
from compos.tree.contents import Contents
from compos.tree.node import Slice

__all__ = ["build_each", "buildable_each"]


def buildable_each(sources: Sequence[str], options: BuildOptions) -> dict[str, Buildable]:
    """What to build, by architecture, in the order of `options.architectures`; the YAML is read for
    each, as it may have sections for one only. Raises as `build` does."""
    found: dict[str, Buildable] = {}
    for name in options.architectures:
        one = options._replace(load=options.load._replace(architecture=name))
        buildable = require_buildable(sources, one)
        found.setdefault(buildable.description.platform.architecture, buildable)
    return found


def build_each(sources: Sequence[str], options: BuildOptions) -> list[Path]:
    """As `compos.build`, for `options.architectures`. All outputs are written, or none; with remote
    caches, all of an architecture."""
    target = push_target_of(options.push)
    if len(options.architectures) > 1:
        _require_separate(sources, options)
    # All that is wrong with the YAML is found before anything is built.
    each = buildable_each(sources, options)
    if len(each) == 1:
        (architecture,) = each
        load = options.load._replace(architecture=architecture)
        return build_one(sources, options._replace(load=load, architectures=()))
    base = base_of(sources, options)
    require_folder(base)
    remote = bool(options.remote.sources or options.remote.target)
    written: list[Path] = []
    outputs: list[Output] = []
    listed: list[Output] = []
    for architecture, buildable in each.items():
        with described(buildable, options, base.name, target, listed=True) as (access, made):
            own = [
                Output(f"-{architecture}{output.suffix}", output.pieces)
                for output in made
                if not is_listed(output)
            ]
            parts = filter(is_listed, made)
            if remote:
                # What a cache lends is there in this block only.
                written += write(access, own, base, options)
                listed += [_kept(access.store, part) for part in parts]
            else:
                outputs += own
                listed += parts
    if listed:
        outputs += joined_archive(access.store, listed, target)
    if outputs:
        written += write(access, outputs, base, options)
    if target:
        push_archive(access, base.with_name(f"{base.name}.oci.tar"), target)
    return written


def _kept(store: Store, output: Output) -> Output:
    """`output` with its bytes in the store."""
    with Contents(store.root) as contents, store.writer() as blob:
        for chunk in contents.chunks(output.pieces):
            blob.write(chunk)
        made = blob.commit("application/octet-stream")
    return Output(output.suffix, (Slice(made.digest.path, 0, made.size),))


def _require_separate(sources: Sequence[str], options: BuildOptions) -> None:
    """Raise `OutputError` (`architectures-one`) for what only one architecture can have."""
    for given, what in (
        (options.output is not None, "one output file"),
        (options.input_tar is not None, "an input tar"),
        ("-" in sources, "YAML from standard input, which cannot be read again"),
    ):
        if given:
            raise OutputError(
                "architectures-one",
                f"a build for several architectures cannot have {what}",
                hint="Run the build once for each architecture.",
            )
