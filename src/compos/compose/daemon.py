"""What the boot plan says of containerd, from the file in which LinuxKit's users say it:
runtime-config.toml.

Source: docs/linuxkit.md#run-10. May touch: the store, reading that file's
contents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compos.errors import ConfigError
from compos.tree.contents import Contents
from compos.tree.node import FILE, Node

__all__ = ["CONTAINERD", "RUNTIME_CONFIG", "daemon_lines", "runtime_config"]

CONTAINERD = "usr/bin/containerd"
SOCKET = "/run/containerd/containerd.sock"

RUNTIME_CONFIG = "etc/containerd/runtime-config.toml"
KEYS = ("cliopts", "stdout", "stderr")
CONSOLE = ("stdout", "stderr")
"""Destinations that are words, and mean the console."""

MAX_SIZE = 64 << 10
MAX_OPTIONS = 4095
"""What init takes."""


def runtime_config(root: Mapping[str, Node], store: Path) -> bytes:
    """The contents of runtime-config.toml in `root`; nothing without it. `store` is the store's
    root."""
    node = root.get(RUNTIME_CONFIG)
    if node is None or node.kind != FILE:
        return b""
    if node.size > MAX_SIZE:
        raise _problem(f"the file has {node.size} bytes", f"Keep the file below {MAX_SIZE} bytes.")
    with Contents(store) as contents:
        return b"".join(contents.chunks(node.content))


def daemon_lines(text: bytes) -> tuple[tuple[str, ...], ...]:
    """The plan's lines that start containerd; `text` is runtime-config.toml's."""
    start = ("containerd", f"/{CONTAINERD}", SOCKET)
    options, out, err = _settings(text) if text else ("", "", "")
    return (("containerd-options", options, out, err), start) if options or out or err else (start,)


def _settings(text: bytes) -> tuple[str, ...]:
    import tomllib

    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:
        raise _problem(
            f"invalid TOML: {error}", "Correct the file; strings need quotes."
        ) from error
    values = tuple(table.get(key, "") for key in KEYS)
    for key, value in zip(KEYS, values, strict=True):
        if not isinstance(value, str):
            raise _problem(f"`{key}` is not a string", f'Write {key} = "...".')
        if key != "cliopts" and value and value not in CONSOLE and not value.startswith("/"):
            raise _problem(f"`{key}` is {value!r}", "Write stdout, stderr or an absolute path.")
    options = " ".join(values[0].split())
    if len(options.encode()) > MAX_OPTIONS:
        raise _problem(
            "`cliopts` is too long", f"Keep it below {MAX_OPTIONS} bytes, or use config.toml."
        )
    return (options, *values[1:])


def _problem(what: str, hint: str) -> ConfigError:
    return ConfigError(
        "config-containerd",
        f"containerd's settings cannot be used: {what}",
        place=RUNTIME_CONFIG,
        hint=hint,
    )
