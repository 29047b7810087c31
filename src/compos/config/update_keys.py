"""The table of `update`: what a system is called by those that bring it its next version; and what
it stands for in a system that takes updates: a service that installs them, and RAUC's
configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compos.config import model
from compos.config.check import Complaint, duration
from compos.config.kinds import Flag, Text, key, table
from compos.config.model import Config, File, ImageEntry, Settings, Update
from compos.config.quantities import milliseconds

__all__ = ["UPDATE", "with_updates"]

IMAGE = "compos/update:v1"
NAME = "update"
FOLDER = "etc/update"
LEAST_PERIOD = 60_000
"""Milliseconds."""

SLOTS = ("boot", "system")
"""Classes of slots; the first one is what firmware starts (docs/update.md)."""

MAX_NAME = 64
# What stands in the key file of a bundle as it is, and in a file's name.
_COMPATIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# semver.org, version 2.0.0, items 2, 9 and 10; RAUC takes fewer numbers than three as well.
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_WORDS = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"{_NUMBER}(\.{_NUMBER}){{0,2}}(-{_WORDS})?(\+{_WORDS})?")


def _compatible(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_NAME or not _COMPATIBLE.fullmatch(text):
        yield Complaint(
            "config-update",
            f"{text[:100]!r} cannot name a kind of machine",
            f"Use up to {MAX_NAME} letters, digits and `.`, `_`, `+`, `-`: acme-gateway.",
        )


def _version(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_NAME or not _VERSION.fullmatch(text):
        yield Complaint(
            "config-update",
            f"{text[:100]!r} is not a version",
            "Write it as semver.org describes it: 1.4.0, 2.0.0-rc.1; or as a date: 2026.11.29.",
        )


def _source(text: str) -> Iterator[Complaint]:
    # It becomes a line of a file.
    if not re.fullmatch(r"(https?://|/)[!-~]+", text):
        yield Complaint(
            "config-update",
            f"{text[:100]!r} is not where an update can be",
            "Write the URL of a bundle, or the path of one: https://updates.example/os.raucb.",
        )


def _period(text: str) -> Iterator[Complaint]:
    yield from duration(text)
    if (milliseconds(text) or LEAST_PERIOD) < LEAST_PERIOD:
        yield Complaint(
            "config-update", f"{text!r} is too often for updates", "Write a minute or more: 24h."
        )


def _together(given: Update) -> Iterator[Complaint]:
    """Keys that need another one."""
    for name, needed in (("source", "keyring"), ("every", "source"), ("restart", "every")):
        if getattr(given, name) and not getattr(given, needed):
            yield Complaint(
                "config-update",
                f"{name} has no effect without {needed}",
                f"Add `{needed}`, or remove `{name}`.",
                name,
            )


UPDATE = table(
    model.Update,
    "What updates of the system are called (docs/update-bundles.md).",
    key(
        "compatible",
        Text(_compatible),
        "The kind of machine: others refuse the update.",
        required=True,
    ),
    key("version", Text(_version), "This version: machines refuse older ones.", required=True),
    key("downgrade", Flag(), "Machines with a newer version take this one, too [false]."),
    key(
        "keyring",
        Text(),
        "File with the certificates of those who may sign updates of this machine, in PEM; without "
        "one it takes none.",
    ),
    key("source", Text(_source), "URL or path of the bundle that has the next version."),
    key("every", Text(_period), "How often to look there [only when somebody asks]."),
    key("restart", Flag(), "Start what was installed at once [false: at the next start]."),
    complaints=_together,
)


def with_updates(config: Config) -> Config:
    """`config` with the service that installs updates, if it takes any, and what that reads."""
    update = config.update
    if update is None or not update.keyring:
        return config
    settings = Settings(restart="always", pid="host" if update.restart else None)
    files = (
        File(f"{FOLDER}/keyring.pem", source=update.keyring, mode="0644", mark=update.mark),
        _file("system.conf", _system(update), update),
        _file("terms", _terms(update), update),
    )
    return config._replace(
        # What is printed of it can be read again.
        update=update._replace(keyring=None, source=None, every=None, restart=None),
        services=(*config.services, ImageEntry(NAME, IMAGE, settings, update.mark)),
        files=(*config.files, *files),
    )


def _file(name: str, lines: Sequence[str], update: Update) -> File:
    text = "".join(f"{line}\n" for line in lines)
    return File(f"{FOLDER}/{name}", contents=text, mode="0644", mark=update.mark)


def _terms(update: Update) -> list[str]:
    """What `update` reads (bricks/update/src/main.c)."""
    seconds = (milliseconds(update.every) or 0) // 1000 if update.every else 0
    return [
        f"version\t{update.version}",
        *([f"source\t{update.source}"] if update.source else []),
        *([f"every\t{seconds}"] if seconds else []),
        *(["restart\tyes"] if update.restart else []),
    ]


def _system(update: Update) -> list[str]:
    """RAUC's system.conf: its reference manual, "System Configuration File"."""
    lines = [
        "[system]",
        f"compatible={update.compatible}",
        "bootloader=custom",
        "bundle-formats=verity",
        "data-directory=/run/update/data",
        "mountprefix=/run/update/mnt",
        "[keyring]",
        "path=keyring.pem",
        "[handlers]",
        "bootloader-custom-backend=/usr/bin/slot",
        "pre-install=/usr/bin/update-check",
    ]
    for number, slot in enumerate("ab"):
        for kind in SLOTS:
            lines += [
                f"[slot.{kind}.{number}]",
                f"device=/dev/disk/by-partlabel/{kind}-{slot}",
                "type=raw",
                f"bootname={slot.upper()}" if kind == SLOTS[0] else f"parent={SLOTS[0]}.{number}",
            ]
    return lines
