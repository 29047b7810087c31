"""The settings file: what the variables of the environment have been set to for all builds of a
user or a machine (docs/settings.md).

Reads the files, and sets variables of this process that are not set yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from compos.config.check import Complaint
    from compos.config.kinds import Record

__all__ = ["ROWS", "VARIABLE", "Row", "apply_settings"]

VARIABLE = "COMPOS_SETTINGS"

NAME = "compos/settings.yml"


class Cache(NamedTuple):
    """The store, and the remote caches."""

    folder: str | None = None
    limit: str | None = None
    sources: tuple[str, ...] | None = None
    target: str | None = None
    key: str | None = None


class Bricks(NamedTuple):
    """The registry of bricks."""

    registry: str | None = None
    key: str | None = None


class Debian(NamedTuple):
    """Debian's mirrors."""

    mirror: str | None = None
    security_mirror: str | None = None
    snapshot: str | None = None


class Defaults(NamedTuple):
    """A whole file; None is what it does not say."""

    cache: Cache = Cache()
    builder: str | None = None
    builders: Mapping[str, str] | None = None
    packages: tuple[str, ...] | None = None
    mirrors: tuple[str, ...] | None = None
    insecure_registries: tuple[str, ...] | None = None
    bricks: Bricks = Bricks()
    policy: str | None = None
    debian: Debian = Debian()


class Row(NamedTuple):
    """A key of the file, the variables that it stands for (the first is set, unless one of them
    is), and from the file's folder and the value to the variable's."""

    key: str
    variables: tuple[str, ...]
    found: Callable[[Defaults], Any]
    text: Callable[[str, Any], str]


def _plain(_: str, found: str) -> str:
    return found


def _path(folder: str, found: str) -> str:
    """A path is relative to the file's folder, or begins with `~/`."""
    return os.path.join(folder, os.path.expanduser(found))  # noqa: PTH111, PTH118  cheap


def _key(folder: str, found: str) -> str:
    return found if found.lstrip().startswith("-----BEGIN ") else _path(folder, found)


def _words(_: str, found: tuple[str, ...]) -> str:
    return " ".join(found)


def _paths(folder: str, found: tuple[str, ...]) -> str:
    return os.pathsep.join(_path(folder, one) for one in found)


def _pairs(_: str, found: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in found.items())


ROWS = (
    Row("cache.folder", ("COMPOS_CACHE", "LINUXKIT_CACHE"), lambda one: one.cache.folder, _path),
    Row("cache.limit", ("COMPOS_CACHE_LIMIT",), lambda one: one.cache.limit, _plain),
    Row("cache.from", ("COMPOS_CACHE_FROM",), lambda one: one.cache.sources, _words),
    Row("cache.to", ("COMPOS_CACHE_TO",), lambda one: one.cache.target, _plain),
    Row("cache.key", ("COMPOS_CACHE_KEY",), lambda one: one.cache.key, _key),
    Row("builder", ("COMPOS_BUILDER",), lambda one: one.builder, _plain),
    Row("builders", ("LINUXKIT_BUILDERS",), lambda one: one.builders, _pairs),
    Row("packages", ("COMPOS_PACKAGES",), lambda one: one.packages, _paths),
    Row("mirrors", ("LINUXKIT_MIRROR",), lambda one: one.mirrors, _words),
    Row(
        "insecure-registries",
        ("COMPOS_INSECURE_REGISTRIES",),
        lambda one: one.insecure_registries,
        _words,
    ),
    Row("bricks.registry", ("COMPOS_BRICKS",), lambda one: one.bricks.registry, _plain),
    Row("bricks.key", ("COMPOS_BRICKS_KEY",), lambda one: one.bricks.key, _path),
    Row("policy", ("COMPOS_POLICY",), lambda one: one.policy, _path),
    Row("debian.mirror", ("COMPOS_DEBIAN_MIRROR",), lambda one: one.debian.mirror, _plain),
    Row(
        "debian.security-mirror",
        ("COMPOS_DEBIAN_SECURITY_MIRROR",),
        lambda one: one.debian.security_mirror,
        _plain,
    ),
    Row("debian.snapshot", ("COMPOS_DEBIAN_SNAPSHOT",), lambda one: one.debian.snapshot, _plain),
)


def apply_settings(environment: MutableMapping[str, str]) -> None:
    """Set the variables that the files say and `environment` does not have, the user's file before
    the machine's. One that is set but empty stays so.

    Raises `ConfigError` (`settings-missing`, `settings-unsafe`, and as for the YAML of systems) or
    `CombinedError`.
    """
    for path in _files(environment):
        defaults = _read(path)
        folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120  cheap
        for row in ROWS:
            found = row.found(defaults)
            if found is not None and not any(name in environment for name in row.variables):
                environment[row.variables[0]] = row.text(folder, found)


def _files(environment: Mapping[str, str]) -> list[str]:
    """The file that the variable names, which may be empty (or /dev/null) for none, else the user's
    and the machine's, as far as they exist."""
    named = environment.get(VARIABLE)
    if named and named != os.devnull:
        if not os.path.exists(named):  # noqa: PTH110  cheap
            from compos.errors import ConfigError

            raise ConfigError(
                "settings-missing",
                "there is no such settings file",
                place=named,
                hint=f"Correct {VARIABLE}, or remove it.",
            )
        return [named]
    if named is not None:
        return []
    # The XDG Base Directory specification has relative paths ignored.
    own = environment.get("XDG_CONFIG_HOME", "")
    own = own if own.startswith("/") else os.path.expanduser("~/.config")  # noqa: PTH111  cheap
    return [path for path in (f"{own}/{NAME}", f"/etc/{NAME}") if os.path.lexists(path)]


def _read(path: str) -> Defaults:
    from pathlib import Path

    from compos.config.decode import Decoder
    from compos.config.nodes import Scalar, read_nodes
    from compos.config.problems import Problems
    from compos.config.sources import read_source
    from compos.errors import ConfigError
    from compos.image.ownership import exposed

    if found := exposed(Path(path)):
        raise ConfigError(
            "settings-unsafe",
            f"the settings file cannot be believed: {found.reason}",
            place=path if found.path == path else f"{path}: {found.path}",
            hint="Make it writable only for you (chown, chmod go-w): whoever can write to it "
            f"decides what is in your systems. {VARIABLE} can name another file, or none.",
        )
    # A path with a slash is no standard input and no URL.
    name, text = read_source(os.path.abspath(path), lambda: b"")  # noqa: PTH100  cheap
    problems = Problems()
    problems.source(name, text)
    node = read_nodes(text, name, problems)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return Defaults()
    decoded = Decoder(name, problems).decode(node, _table())
    problems.raise_if_any()
    return decoded if isinstance(decoded, Defaults) else Defaults()


def _table() -> Record:
    from compos.config.kinds import ListOf, Text, TextMap, Words, key, table

    text, word = Text(_given), Text(_word)
    return table(
        Defaults,
        "The settings file.",
        key(
            "cache",
            table(
                Cache,
                "The store and remote caches.",
                key("folder", text, "--cache"),
                key("limit", word, "what derived results may take"),
                key("from", Words(check=_each_word), "--cache-from", name="sources"),
                key("to", word, "--cache-to", name="target"),
                key("key", text, "--cache-key"),
            ),
            "The store and remote caches.",
        ),
        key("builder", text, "--builder"),
        key("builders", TextMap(), "--builders"),
        key("packages", ListOf(text), "--packages"),
        key("mirrors", ListOf(word), "--mirror"),
        key("insecure-registries", ListOf(word), "--insecure-registry", name="insecure_registries"),
        key(
            "bricks",
            table(
                Bricks,
                "The registry of bricks.",
                key("registry", word, "--bricks"),
                key("key", text, "--bricks-key"),
            ),
            "The registry of bricks.",
        ),
        key("policy", text, "--policy"),
        key(
            "debian",
            table(
                Debian,
                "Debian's mirrors.",
                key("mirror", word, "--debian-mirror"),
                key("security-mirror", word, "--debian-security-mirror", name="security_mirror"),
                key("snapshot", word, "--debian-snapshot"),
            ),
            "Debian's mirrors.",
        ),
    )


def _given(text: str) -> Iterator[Complaint]:
    from compos.config.check import Complaint

    if not text.strip():
        yield Complaint("config-value", "the value is empty", "Remove the key.")


def _word(text: str) -> Iterator[Complaint]:
    """A value that stands among others in a variable, or that has no blanks in any case."""
    from compos.config.check import Complaint

    if not text or any(one.isspace() or one == "," for one in text):
        yield Complaint(
            "config-value",
            f"{text[:100]!r} is empty, or has a blank or a comma in it",
            "Write each value as an item of a list of its own.",
        )


def _each_word(texts: tuple[str, ...]) -> Iterator[Complaint]:
    for text in texts:
        yield from _word(text)
