"""The named output formats: which there are, what each writes, and which may stand together.

Each format is a short recipe over a composed system; the table is the only place that knows them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from compos.errors import OutputError

if TYPE_CHECKING:
    from compos.compose.system import System
    from compos.filesystem.compress import Compression
    from compos.image.store import Store
    from compos.output.write import Output

__all__ = ["FORMATS", "Format", "choose", "make"]


@dataclass(frozen=True, slots=True)
class Format:
    """One output format; `recipe` is `module:function` in this package, imported when it is needed.

    A streamable format stands alone and can go to a single file or standard output.
    """

    name: str
    recipe: str
    streamable: bool = False

    def make(self, store: Store, system: System, compression: Compression) -> list[Output]:
        """The format's outputs, described but not yet written."""
        module, _, function = self.recipe.partition(":")
        recipe: Recipe = getattr(import_module(f"compos.output.{module}"), function)
        return recipe(store, system, compression)


Recipe: TypeAlias = "Callable[[Store, System, Compression], list[Output]]"


FORMATS = {
    format.name: format
    for format in (
        Format("kernel+initrd", "kernel_initrd:files"),
        Format("tar", "tar:root", streamable=True),
        Format("tar-kernel-initrd", "kernel_initrd:archive"),
    )
}


def choose(names: Sequence[str], *, to_file: bool) -> list[Format]:
    """The formats meant by `names` (each may be a comma list); none means the default.

    `to_file` says that one file or standard output was asked for. Raises `OutputError` on names that do not exist or do
    not go together.
    """
    wanted = list(dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip()))
    if not wanted:
        wanted = ["tar"] if to_file else ["kernel+initrd"]
    for name in wanted:
        if name not in FORMATS:
            raise _unknown(name)
    chosen = [FORMATS[name] for name in wanted]
    streamable = [format.name for format in chosen if format.streamable]
    if streamable and len(chosen) > 1:
        raise OutputError(
            "format-alone",
            f"the format {streamable[0]} must be the only one",
            hint=f"Run the build once for {streamable[0]} and once for the others.",
        )
    if to_file and not chosen[0].streamable:
        raise OutputError(
            "format-not-streamable",
            f"the format {chosen[0].name} writes several files and cannot go to --o",
            hint="Use --dir and --name instead of --o.",
        )
    return chosen


def make(store: Store, system: System, formats: Sequence[Format], compression: Compression) -> list[Output]:
    """All outputs of `formats`, described but not yet written."""
    return [output for format in formats for output in format.make(store, system, compression)]


def _unknown(name: str) -> OutputError:
    import difflib

    near = difflib.get_close_matches(name, FORMATS, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Formats are: {', '.join(sorted(FORMATS))}."
    return OutputError("format-unknown", f"there is no output format {name!r}", hint=hint)
