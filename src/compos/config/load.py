"""From files, standard input and URLs to one checked configuration: included files, variables,
parts for one architecture.

May touch: the files named and included, standard input, the network for http(s) sources.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from compos.config.check import included
from compos.config.decode import Decoder
from compos.config.disk_keys import with_data_partition
from compos.config.fields import SETTINGS
from compos.config.images import renamed_images
from compos.config.merge import merge
from compos.config.model import Config, Mark, Settings
from compos.config.nodes import List, Map, Node, Scalar, read_nodes
from compos.config.problems import Problems
from compos.config.references import check_names, check_references
from compos.config.slot_keys import with_slots
from compos.config.sources import Take, joined, read_now, read_source
from compos.config.variables import Variable, Variables, substitute
from compos.errors import CombinedError, ComposError, ConfigError

__all__ = ["SETTINGS_LABEL", "Rename", "decode_document", "decode_label", "load"]

SETTINGS_LABEL = "org.mobyproject.config"
"""The image label whose value is the YAML of a container's settings."""

MAX_INCLUDE_DEPTH = 20
"""Files that include each other in a row."""

MAX_INCLUDED = 1000
"""Files that are included in all: a server could make up new ones without end."""


Rename = Callable[[str, str], str]
"""From an image's name and the source that says it to the name that is meant. Raises
`ComposError`."""


def load(
    sources: Sequence[str],
    *,
    architecture: str = "",
    variables: Variables | None = None,
    rename: Rename | None = None,
    allow_local_files: bool = False,
    certificates: tuple[str, ...] = (),
    stdin: Callable[[], bytes] = lambda: sys.stdin.buffer.read(),
    take: Take = read_now,
) -> Config:
    """Read, check and merge `sources` from left to right: paths, `-`, http(s) URLs.

    `architecture` (Go's name) chooses parts of `arch:`; `variables` are those given beside the
    files; `rename` resolves names such as `@pkg:FOLDER`. What was fetched may name files of this
    machine only with `allow_local_files`; servers are trusted by `certificates` (PEM files), too.
    `take` has the contents of each source, in the order in which they are read.
    Raises `ConfigError`, or `CombinedError` for several mistakes, in the order of the sources.
    """
    problems = Problems()
    reading = _Reading(
        problems,
        architecture,
        variables or {},
        lambda source: read_source(source, stdin, certificates, take),
    )
    merged = Config()
    for source in sources:
        merged = merge(merged, reading.source(source, {}, ()))
    merged = with_slots(with_data_partition(merged))
    check_names(merged, problems)
    # What a part with a mistake would have declared is unknown: complaints about its absence would
    # mislead.
    if not problems:
        check_references(merged, problems, allow_local_files=allow_local_files)
    if rename is not None and not problems:
        merged = _renamed(merged, rename, problems)
    problems.raise_if_any()
    return merged


def decode_label(text: str, image: str) -> Settings:
    """The settings in the image label org.mobyproject.config (docs/linuxkit.md#1.6); blank text
    says nothing.

    Raises `ConfigError` or `CombinedError`, with `image` in the place.
    """
    if not text.strip():
        return Settings()
    name = f"label {SETTINGS_LABEL} of {image}"
    problems = Problems()
    problems.source(name, text)
    node = read_nodes(text, name, problems)
    if node is None:
        return Settings()
    decoder = Decoder(name, problems)
    if isinstance(node, Map):
        for key in ("name", "image"):
            if key in node.entries:
                entry = node.entries.pop(key)
                hint = "Write it in the entry of the YAML instead."
                decoder.fail(
                    "config-unknown-key",
                    f"a label cannot have the key {key!r}",
                    entry.key.span,
                    key,
                    hint,
                )
    settings = decoder.decode(node, SETTINGS)
    problems.raise_if_any()
    return settings if isinstance(settings, Settings) else Settings()


def decode_document(text: str, name: str) -> Config:
    """One whole file, without what it includes; `name` stands in places. Raises `ConfigError` or
    `CombinedError`."""
    problems = Problems()
    problems.source(name, text)
    node = read_nodes(text, name, problems)
    config = Decoder(name, problems).config(node) if node else None
    problems.raise_if_any()
    return config or Config()


class _Included(NamedTuple):
    """A source that another one includes, and where it says so."""

    source: str
    mark: Mark
    width: int


class _Reading:
    """Reads sources with what they include; each included file counts once, however many include
    it."""

    def __init__(
        self,
        problems: Problems,
        architecture: str,
        given: Variables,
        read: Callable[[str], tuple[str, str]],
    ) -> None:
        self._problems = problems
        self._architecture = architecture
        self._given = given
        self._read = read
        self._included: set[str] = set()

    def source(self, source: str, outer: Variables, within: tuple[str, ...]) -> Config:
        """One source over what it includes, as far as it can be read. `outer` are variables that
        including files declare, `within` their names."""
        name = source
        try:
            name, text = self._read(source)
            self._problems.source(name, text)
            node = read_nodes(text, name, self._problems)
            if node is None:
                raise ConfigError(
                    "yaml-empty",
                    "the file contains no YAML",
                    place=name,
                    hint="Write at least `kernel:` and `init:`.",
                )
        except ComposError as error:
            self._problems.stop(error, name)
            return Config()
        declared = {**_declared(node, name), **outer}
        if "${" in text:
            variables = {**declared, **self._given}
            strict = bool(variables) or (isinstance(node, Map) and "variables" in node.entries)
            node = substitute(node, variables, name, self._problems, strict=strict)
        config = Config()
        for one in self._includes(node, source, name):
            config = merge(config, self._include(one, declared, (*within, source)))
        own = Decoder(name, self._problems).config(node) or Config()
        config = merge(config, own)
        overlay = (own.overlays or {}).get(self._architecture)
        return merge(config, overlay) if overlay else config

    def _include(self, one: _Included, declared: Variables, within: tuple[str, ...]) -> Config:
        if one.source in within or len(within) > MAX_INCLUDE_DEPTH:
            what = (
                "includes itself"
                if one.source in within
                else f"is included more than {MAX_INCLUDE_DEPTH} files deep"
            )
            chain = " includes ".join(
                (*within[within.index(one.source) if one.source in within else -2 :], one.source)
            )
            self._problems.add(
                "config-include",
                f"{one.source} {what}: {chain}",
                one.mark,
                hint="Remove the include.",
                width=one.width,
            )
            return Config()
        if one.source in self._included:
            return Config()
        if len(self._included) >= MAX_INCLUDED:
            message = f"the files include more than {MAX_INCLUDED} others"
            self._problems.add(
                "config-include", message, one.mark, hint="Remove some includes.", width=one.width
            )
            return Config()
        self._included.add(one.source)
        return self.source(one.source, declared, within)

    def _includes(self, node: Node, source: str, name: str) -> list[_Included]:
        """What the file includes; other mistakes of the list are found when it is decoded."""
        entry = node.entries.get("include") if isinstance(node, Map) else None
        found = []
        for number, item in enumerate(
            entry.value.items if entry and isinstance(entry.value, List) else ()
        ):
            if (
                not isinstance(item, Scalar)
                or not isinstance(item.value, str)
                or list(included(item.value))
            ):
                continue
            mark = Mark(name, item.span.line, item.span.column, f"include[{number}]")
            try:
                found.append(_Included(joined(source, item.value), mark, item.span.width))
            except ConfigError as error:
                self._problems.add(
                    error.id, error.message, mark, hint=error.hint, width=item.span.width
                )
        return found


def _declared(node: Node, name: str) -> dict[str, Variable]:
    """The file's own `variables:`; what is wrong with them is found when they are decoded."""
    entry = node.entries.get("variables") if isinstance(node, Map) else None
    pairs = entry.value.entries.items() if entry and isinstance(entry.value, Map) else ()
    return {
        key: Variable(value.value, f"{name}:{value.span.line}")
        for key, (_, value) in pairs
        if isinstance(value, Scalar) and isinstance(value.value, str)
    }


def _renamed(config: Config, rename: Rename, problems: Problems) -> Config:
    """`config` with the names that `rename` makes of its images'."""
    known: dict[tuple[str, str], str] = {}

    def name_of(text: str, mark: Mark) -> str:
        key = (text, mark.file)
        if key not in known:
            try:
                known[key] = rename(text, mark.file)
            except ComposError as error:
                for one in error.errors if isinstance(error, CombinedError) else (error,):
                    # The mistake is in another file, whose place goes into the sentence.
                    message = f"{one.message} ({one.place})" if one.place else str(one.message)
                    problems.add(one.id, message, mark, hint=one.hint, width=len(text))
                known[key] = text
        return known[key]

    return renamed_images(config, name_of)
