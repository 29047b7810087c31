"""The table of `update`: what a system is called by those that bring it its next version; and what
it stands for in a system that takes updates: a service that installs them, and RAUC's
configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from compos.config import model
from compos.config.check import Complaint, absolute_path, duration
from compos.config.kinds import Flag, ListOf, Number, Text, Words, key, table
from compos.config.model import (
    Config,
    File,
    ImageEntry,
    Kernel,
    Settings,
    Update,
    UpdateData,
    UpdateHawkbit,
)
from compos.config.quantities import milliseconds

__all__ = ["UPDATE", "common_terms", "with_updates"]

IMAGE = "compos/update:v1"
NAME = "update"
FOLDER = "etc/update"
LEAST_PERIOD = 60_000
"""Milliseconds."""

SLOTS = ("boot", "system")
"""Classes of slots; the first one is what firmware starts (docs/update.md)."""

STICK = "stick"
"""The source that is whatever somebody puts in."""
STICK_MODULES = ("vfat", "nls_cp437", "nls_ascii", "exfat", "isofs")

DAY = 86_400
"""Seconds."""
MAX_NAME = 64
MAX_SOURCES = 8
MAX_READS = 16
MAX_DATA = 9999
"""These three are also those of bricks/update/src/terms.h, where hawkBit is one more source."""
# What stands in the key file of a bundle as it is, and in a file's name.
_COMPATIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
# semver.org, version 2.0.0, items 2, 9 and 10; RAUC takes fewer numbers than three as well.
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_WORDS = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
_SOURCE = re.compile(
    r"(https?://|/)[!-~]+|oci(\+http)?://[A-Za-z0-9.:\[\]-]+(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?"
)
_TIME = "([01][0-9]|2[0-3]):([0-5][0-9])"
_WINDOW = re.compile(f"{_TIME}-{_TIME}(?:([+-]){_TIME})?")
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


def _sources(texts: Sequence[str]) -> Iterator[Complaint]:
    if not texts or len(texts) > MAX_SOURCES:
        yield Complaint(
            "config-update",
            f"there cannot be {len(texts)} sources of updates",
            f"Name from 1 to {MAX_SOURCES}.",
        )
    for text in texts:
        # It becomes a line of a file.
        if text != STICK and not _SOURCE.fullmatch(text):
            yield Complaint(
                "config-update",
                f"{text[:100]!r} is not where an update can be",
                "Write the URL of a bundle (https://updates.example/os.raucb), its name at a "
                f"registry (oci://registry.example/os:stable), a path, or {STICK}.",
            )


def _window(text: str) -> Iterator[Complaint]:
    if _seconds(text) is None:
        yield Complaint(
            "config-update",
            f"{text[:100]!r} is not a part of the day",
            "Write it in UTC, or with what a clock is ahead of that: 02:00-05:00, "
            "02:00-05:00+01:00.",
        )


def _seconds(text: str) -> tuple[int, int] | None:
    """A part of the day: its first second in UTC, and how many; None if it is none."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    first, last, ahead = (_of_day(found, number) for number in (1, 3, 6))
    if found[5] == "-":
        ahead = -ahead
    length = (last - first) % DAY
    return ((first - ahead) % DAY, length) if length else None


def _of_day(found: re.Match[str], number: int) -> int:
    return int(found[number] or 0) * 3600 + int(found[number + 1] or 0) * 60


def _folder(text: str) -> Iterator[Complaint]:
    yield from absolute_path(text)
    if ":" in text or text.strip("/") == "":
        yield Complaint(
            "config-update",
            f"{text[:100]!r} cannot have the data",
            "Write the folder where the data partition is mounted: /var/lib/data.",
        )


def _token(text: str) -> Iterator[Complaint]:
    yield from absolute_path(text)
    folder, _, name = text.rpartition("/")
    if not _TOKEN.fullmatch(name) or ":" in folder or not folder.strip("/"):
        yield Complaint(
            "config-update",
            f"{text[:100]!r} cannot be the file with the token",
            "Write its path in the running machine, in a folder: /var/lib/data/hawkbit-token.",
        )


def _matching(pattern: str, what: str, hint: str) -> Callable[[str], Iterator[Complaint]]:
    """A check that a text is what a pattern says."""

    def check(text: str) -> Iterator[Complaint]:
        if not re.fullmatch(pattern, text):
            yield Complaint("config-update", f"{text[:100]!r} is not {what}", hint)

    return check


def _one_token(given: UpdateHawkbit) -> Iterator[Complaint]:
    if bool(given.target_token) is bool(given.gateway_token):
        yield Complaint(
            "config-update",
            "a machine proves itself to hawkBit by one of two tokens",
            "Name the file of one: `target_token`, or `gateway_token`.",
        )


def _versions(numbers: Sequence[int]) -> Iterator[Complaint]:
    if not 0 < len(numbers) <= MAX_READS:
        yield Complaint(
            "config-update",
            f"a system cannot read {len(numbers)} versions of its data",
            f"Name from 1 to {MAX_READS}.",
        )


def _own_data(given: UpdateData) -> Iterator[Complaint]:
    if given.writes not in (given.reads or ()):
        yield Complaint(
            "config-update",
            f"the system would write data of version {given.writes}, which it cannot read",
            f"Add {given.writes} to `reads`.",
            "writes",
        )


def _period(text: str) -> Iterator[Complaint]:
    yield from duration(text)
    if (milliseconds(text) or LEAST_PERIOD) < LEAST_PERIOD:
        yield Complaint(
            "config-update", f"{text!r} is too often for updates", "Write a minute or more: 24h."
        )


def _together(given: Update) -> Iterator[Complaint]:
    """Keys that need another one."""
    needs = [("source", ("keyring",)), ("hawkbit", ("keyring",)), ("every", ("source", "hawkbit"))]
    needs.append(("window", ("every", "hawkbit")))
    # What is on a stick is seen when somebody puts it in.
    stick = STICK in (given.source or ())
    needs.append(("restart", ("source" if stick else "every", "hawkbit")))
    for name, needed in needs:
        if getattr(given, name) and not any(getattr(given, one) for one in needed):
            yield Complaint(
                "config-update",
                f"{name} has no effect without {needed[0]}",
                f"Add `{needed[0]}`, or remove `{name}`.",
                name,
            )


DATA = table(
    UpdateData,
    "Which versions of the machine's data this version of the system knows "
    "(docs/update-bundles.md).",
    key("folder", Text(_folder), "Where the data partition is mounted.", required=True),
    key(
        "reads",
        ListOf(Number(1, MAX_DATA), _versions),
        "Versions of the data that it can read.",
        required=True,
    ),
    key("writes", Number(1, MAX_DATA), "The version that it writes.", required=True),
    key(
        "one_way",
        Flag(),
        "It may replace versions that could not read what it writes [false].",
    ),
    complaints=_own_data,
)

HAWKBIT = table(
    UpdateHawkbit,
    "A hawkBit server that orders updates of this machine (docs/update-bundles.md).",
    key(
        "server",
        Text(
            _matching(
                r"https?://[A-Za-z0-9.:\[\]-]{1,255}",
                "the address of a server",
                "Write it without a path: https://hawkbit.example.",
            )
        ),
        "Its address: https://hawkbit.example.",
        required=True,
    ),
    key(
        "tenant",
        Text(
            _matching(r"[A-Za-z0-9._-]{1,64}", "a tenant", "Use letters, digits, `.`, `_` and `-`.")
        ),
        "The tenant [DEFAULT].",
    ),
    key(
        "controller",
        Text(
            _matching(
                r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,199}",
                "the name of a machine",
                "Use up to 200 letters, digits, `.`, `_`, `~`, `:` and `-`.",
            )
        ),
        "What the machine is called there, as its controllerId [the UUID that its firmware has].",
    ),
    key(
        "target_token",
        Text(_token),
        "File in the running machine with the token of this machine alone.",
    ),
    key(
        "gateway_token",
        Text(_token),
        "File in the running machine with the token that all machines of the tenant share.",
    ),
    key(
        "folder",
        Text(_folder),
        "Folder on the data partition, where the order that is being followed is kept.",
        required=True,
    ),
    complaints=_one_token,
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
    key("data", DATA, "Which versions of the machine's data it knows."),
    key(
        "source",
        Words((), _sources),
        "Where the bundle of the next version is: its URL, its name at a registry, its path, or "
        "`stick`; or several of them, in the order in which they are asked.",
    ),
    key("hawkbit", HAWKBIT, "A hawkBit server that orders updates of this machine."),
    key("every", Text(_period), "How often to look there [only when somebody asks]."),
    key("window", Text(_window), "The part of the day in which to do that, in UTC [always]."),
    key("restart", Flag(), "Start what was installed at once [false: at the next start]."),
    complaints=_together,
)


def with_updates(config: Config) -> Config:
    """`config` with the service that installs updates, if it takes any, and what that reads."""
    update = config.update
    if update is None or not update.keyring:
        return config
    kept = (f"{update.data.folder}:/srv",) if update.data else None
    binds = (*(kept or ()), *(_hawkbit_binds(update.hawkbit) if update.hawkbit else ()))
    slots = config.slots is not None
    settings = Settings(
        restart="always",
        pid="host" if update.restart else None,
        binds_add=binds or None,
        # The kernel takes the next version from it, without a slot.
        capabilities_add=None if slots else ("CAP_SYS_BOOT",),
    )
    onboot = config.onboot
    if kept:
        check = Settings(command=("/usr/bin/update", "data"), binds_add=kept, on_failure="halt")
        onboot = (*onboot, ImageEntry(f"{NAME}-data", IMAGE, check, update.mark))
    files = (
        File(f"{FOLDER}/keyring.pem", source=update.keyring, mode="0644", mark=update.mark),
        _file("system.conf", _system(update, slots=slots), update),
        _file("terms", _terms(update, slots=slots), update),
    )
    return config._replace(
        # What is printed of it can be read again.
        kernel=_with_modules(config.kernel, update),
        update=update._replace(
            keyring=None, source=None, hawkbit=None, every=None, window=None, restart=None
        ),
        onboot=onboot,
        services=(*config.services, ImageEntry(NAME, IMAGE, settings, update.mark)),
        files=(*config.files, *files),
    )


def _with_modules(kernel: Kernel | None, update: Update) -> Kernel | None:
    """`kernel` with what reads sticks, if there are modules at all."""
    if kernel is None or kernel.modules is None or STICK not in (update.source or ()):
        return kernel
    missing = (name for name in STICK_MODULES if name not in (kernel.modules or ()))
    return kernel._replace(modules=(*kernel.modules, *missing))


def _file(name: str, lines: Sequence[str], update: Update) -> File:
    text = "".join(f"{line}\n" for line in lines)
    return File(f"{FOLDER}/{name}", contents=text, mode="0644", mark=update.mark)


def _terms(update: Update, *, slots: bool) -> list[str]:
    """What `update` reads (bricks/update/src/terms.c)."""
    seconds = (milliseconds(update.every) or 0) // 1000 if update.every else 0
    start, length = _seconds(update.window or "") or (0, 0)
    return [
        *common_terms(update),
        f"compatible\t{update.compatible}",
        *(_hawkbit_terms(update.hawkbit) if update.hawkbit else ()),
        *(f"source\t{source}" for source in update.source or ()),
        *([f"every\t{seconds}"] if seconds else []),
        *([f"window\t{start} {length}"] if length else []),
        *(["restart\tyes"] if update.restart else []),
        *([] if slots else ["kexec\tyes"]),
    ]


def _hawkbit_binds(hawkbit: UpdateHawkbit) -> Iterator[str]:
    """Where bricks/update/src/hawkbit.c looks."""
    token = hawkbit.target_token or hawkbit.gateway_token or ""
    yield f"{hawkbit.folder}:/var/lib/hawkbit"
    yield f"{token.rpartition('/')[0]}:/etc/hawkbit:ro"


def _hawkbit_terms(hawkbit: UpdateHawkbit) -> Iterator[str]:
    token = hawkbit.target_token or hawkbit.gateway_token or ""
    yield "source\thawkbit"
    yield f"hawkbit\t{hawkbit.server}/{hawkbit.tenant or 'DEFAULT'}"
    if hawkbit.controller:
        yield f"hawkbit-controller\t{hawkbit.controller}"
    yield f"hawkbit-scheme\t{'Target' if hawkbit.target_token else 'Gateway'}Token"
    yield f"hawkbit-token\t{token.rpartition('/')[2]}"


def common_terms(update: Update) -> list[str]:
    """What stands in a machine's terms and in those of its updates."""
    lines = [f"version\t{update.version}"]
    if data := update.data:
        lines.append(f"reads\t{' '.join(map(str, data.reads or ()))}")
        lines.append(f"writes\t{data.writes}")
    return lines


def _system(update: Update, *, slots: bool) -> list[str]:
    """RAUC's system.conf: its reference manual, "System Configuration File"."""
    backend = "/usr/bin/slot" if slots else "/usr/bin/update-kexec"
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
        f"bootloader-custom-backend={backend}",
        "pre-install=/usr/bin/update-check",
    ]
    for name, letter, kind, device in _slots() if slots else _memory():
        lines += [f"[slot.{kind}.{name}]", f"device={device}", "type=raw"]
        lines.append(f"bootname={letter}" if kind == SLOTS[0] else f"parent={SLOTS[0]}.{name}")
    return lines


def _slots() -> Iterator[tuple[int, str, str, str]]:
    """Number, letter, class and device of each partition of a slot."""
    for number, slot in enumerate("ab"):
        for kind in SLOTS:
            yield number, slot.upper(), kind, f"/dev/disk/by-partlabel/{kind}-{slot}"


def _memory() -> Iterator[tuple[int, str, str, str]]:
    """Likewise, of a system without slots (bricks/update/src/memory.c): what runs has no device."""
    yield 0, "A", SLOTS[0], "/run/update/current"
    yield 1, "B", SLOTS[0], "/run/update/next"
