"""Drivers of one part of init each, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bricks.compiler import compile_driver

__all__ = ["BUNDLE", "PARTS", "Run", "driver"]

Run = Callable[..., str]

BUNDLE = (
    *("containers/bundle", "boot/plan", "base/files", "base/console", "base/failure"),
    *("machine/link", "machine/machine", "machine/mount"),
)
"""What reads a container's bundle."""

PARTS = {
    "plan": ("boot/plan", "base/files"),
    "modules": ("machine/modules", "base/files", "base/console", "base/failure"),
    "options": ("machine/mount", "base/files", "base/console", "base/failure"),
    "files": ("base/files",),
    "loop": ("base/process", "base/console", "base/failure", "base/sealed"),
    "process": ("base/process", "base/console", "base/failure", "base/sealed"),
    "sealed": ("base/sealed",),
    "slots": (
        *("slots/slot", "slots/entries", "slots/record", "slots/order", "slots/block"),
        *("slots/table", "base/variables"),
        *("base/boot_header", "base/cmdline", "base/crc32", "base/files", "base/failure"),
    ),
    "spec": ("containers/spec", *BUNDLE),
}


def driver(name: str) -> Path:
    """The driver `name` as a program."""
    return compile_driver(name, parts=PARTS[name])
