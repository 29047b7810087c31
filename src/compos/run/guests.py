"""The guests that run on this machine: a folder for each, with its record, its sockets and a lock.

May touch: the runtime folder (`COMPOS_RUNTIME`, else compos in XDG_RUNTIME_DIR, else one in /run or
the folder of temporary files that only this user can enter).

The lock tells whether a guest runs: QEMU inherits it and never gives it back, so neither a crash of
ours nor one of QEMU's leaves a guest that seems to run. What a record says is checked as if a
stranger had written it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from compos.errors import RunError
from compos.image.json_document import parse_json
from compos.output.place import put_file

__all__ = ["Guest", "Record", "Slot", "find_guest", "guests", "runtime_folder", "take_slot"]

VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
"""Short, because the path of a socket has 107 bytes at most (unix(7))."""
MAX_SOCKET_PATH = 107
MAX_RECORD = 1 << 16
KEPT = 24 * 3600.0
"""Seconds for which what is known of an ended guest is kept."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a guest. `started` is in seconds since the epoch. `console` is the file that
    its console is written to, empty while that is a terminal. `publish` are its published ports, as
    they were given. `exec` says whether commands can be run in it, `secure_boot` whether its
    firmware starts what is signed alone, `tpm` whether it has a TPM."""

    name: str
    system: str
    state: str
    arch: str
    memory: int
    cpus: int
    started: float
    console: str = ""
    publish: tuple[str, ...] = ()
    exec: bool = False
    secure_boot: bool = False
    tpm: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A guest's folder."""

    folder: Path

    @property
    def monitor(self) -> Path:
        """QEMU's monitor (QMP) listens here."""
        return self.folder / "qmp.sock"

    @property
    def console(self) -> Path:
        """The guest's console listens here."""
        return self.folder / "console.sock"


@dataclass(frozen=True, slots=True)
class Guest(_Place):
    """A guest's folder and record; it `runs` or has ended."""

    record: Record
    runs: bool

    def is_running(self) -> bool:
        """Whether it still runs now."""
        return _is_locked(self.folder)

    def remove(self) -> None:
        """Remove the folder of a guest that has ended."""
        _remove(self.folder)


@dataclass(frozen=True, slots=True)
class Slot(_Place):
    """A name and its folder, taken for a guest that is to be started; `lock` is a descriptor that
    QEMU is to inherit."""

    name: str
    lock: int

    def exec_socket(self, number: int) -> Path:
        """Where the guest's channel for commands is to listen."""
        return self.folder / f"exec{number}.sock"

    def write(self, record: Record) -> None:
        """Say what runs here."""
        document = {"version": VERSION, **asdict(record)}
        put_file(self.folder / "guest.json", json.dumps(document).encode(), secret=True)

    def release(self) -> None:
        """Close this process's lock."""
        with suppress(OSError):
            os.close(self.lock)

    def give_up(self) -> None:
        """Remove the folder: nothing runs here."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def runtime_folder() -> Path:
    """The folder of all guests, made if need be. Raises `RunError` (`runtime-foreign`,
    `runtime-failed`)."""
    folder = _runtime_path()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise RunError(
            "runtime-failed",
            f"the folder of running guests cannot be used: {error.strerror}",
            place=str(folder),
            hint="Name another folder with COMPOS_RUNTIME.",
        ) from error
    if folder.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise RunError(
            "runtime-foreign",
            "other users can write to the folder of running guests",
            place=str(folder),
            hint="Name a folder of your own with COMPOS_RUNTIME.",
        )
    return folder


def _runtime_path() -> Path:
    if given := os.environ.get("COMPOS_RUNTIME"):
        return Path(given).absolute()
    user = os.environ.get("XDG_RUNTIME_DIR", "")
    if user.startswith("/") and Path(user).is_dir() and Path(user).stat().st_uid == os.geteuid():
        return Path(user, "compos")
    if os.geteuid() == 0 and Path("/run").is_dir():
        return Path("/run/compos")
    return Path(tempfile.gettempdir(), f"compos-{os.geteuid()}")


def take_slot(name: str, default: str) -> Slot:
    """The folder of a new guest called `name`, or something like `default`. What ended guests have
    left longer than `KEPT` ago is removed. Raises `RunError` (`guest-name`, `guest-running`)."""
    folder = runtime_folder()
    for guest in guests(folder):
        if not guest.runs and time.time() - guest.record.started > KEPT:
            guest.remove()
    if name:
        if not NAME.fullmatch(name):
            raise RunError(
                "guest-name",
                f"{name!r} cannot be the name of a guest",
                hint="Use up to 40 letters, digits and any of - . _",
            )
        slot = _take(folder / name)
        if slot is None:
            raise RunError(
                "guest-running",
                f"a guest called {name} is running",
                place=str(folder / name),
                hint=f"End it with compos stop {name}, or choose another name.",
            )
        return slot
    base = re.sub(r"[^A-Za-z0-9_.-]", "-", default)[:32].lstrip("_.-") or "guest"
    number = 1
    while (slot := _take(folder / (base if number == 1 else f"{base}-{number}"))) is None:
        number += 1
    return slot


def _take(folder: Path) -> Slot | None:
    """The folder, emptied, with its lock; None while a guest has it."""
    if len(os.fsencode(folder / "console.sock")) > MAX_SOCKET_PATH:
        raise RunError(
            "guest-name",
            f"the path of a guest's sockets must not exceed {MAX_SOCKET_PATH} bytes",
            place=str(folder),
            hint="Choose a shorter name, or a shorter folder with COMPOS_RUNTIME.",
        )
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = _lock(folder)
        if lock is None:
            return None
        if not _is_same(lock, folder):  # removed meanwhile, together with the folder
            os.close(lock)
            continue
        for entry in folder.iterdir():
            if entry.name != "lock":
                entry.unlink()
        return Slot(folder, folder.name, lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that has the lock, or None while another process has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        lock = os.open(folder / "lock", flags, 0o600)
    except OSError as error:
        raise RunError(
            "runtime-failed",
            f"the guest's folder cannot be used: {error.strerror}",
            place=str(folder),
            hint="Remove the folder if nothing of it is needed.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _is_same(lock: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), (folder / "lock").lstat())
    except FileNotFoundError:
        return False


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _remove(folder: Path) -> None:
    lock = _lock(folder) if folder.is_dir() else None
    if lock is None:
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def guests(folder: Path | None = None) -> Iterator[Guest]:
    """Every guest, by name: those that run, and what is left of those that have ended. What is no
    guest's folder is skipped; one that is damaged is removed unless a guest runs in it."""
    for path in sorted((folder or runtime_folder()).iterdir()):
        if path.is_symlink() or not path.is_dir() or not NAME.fullmatch(path.name):
            continue
        runs = _is_locked(path)
        record = _read(path)
        if record is not None:
            yield Guest(path, record, runs)
        elif not runs:
            _remove(path)


def find_guest(name: str, *, running: bool = True) -> Guest:
    """The guest called `name`; empty means the only one that runs. Raises `RunError`
    (`guest-unknown`, `guest-ended`)."""
    known = list(guests())
    if not name:
        alive = [guest for guest in known if guest.runs]
        if len(alive) == 1:
            return alive[0]
        raise RunError(
            "guest-unknown",
            "no guest is running"
            if not alive
            else f"{len(alive)} guests are running: "
            + ", ".join(guest.record.name for guest in alive),
            hint="Start one with compos run --detach." if not alive else "Name one of them.",
        )
    for guest in known:
        if guest.record.name == name:
            if running and not guest.runs:
                raise RunError(
                    "guest-ended",
                    f"the guest {name} has ended",
                    hint=f"See what it said with compos logs {name}.",
                )
            return guest
    names = ", ".join(guest.record.name for guest in known)
    raise RunError(
        "guest-unknown",
        f"there is no guest called {name}",
        hint=f"There are: {names}." if names else "See compos ps.",
    )


def _read(folder: Path) -> Record | None:
    """The record, if it is one."""
    try:
        descriptor = os.open(folder / "guest.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            value = parse_json(file.read(MAX_RECORD + 1), limit=MAX_RECORD)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.pop("version", None) != VERSION:
        return None
    publish = value.get("publish")
    if not isinstance(publish, list) or not all(isinstance(one, str) for one in publish):
        return None
    value["publish"] = tuple(publish)
    kinds: dict[str, type | tuple[type, ...]] = {
        "str": str,
        "int": int,
        "float": (int, float),
        "bool": bool,
        "tuple[str, ...]": tuple,
    }
    known = {field.name: kinds[str(field.type)] for field in fields(Record)}
    if set(value) != set(known) or value["name"] != folder.name:
        return None
    if not all(isinstance(value[name], known[name]) for name in known):
        return None
    return Record(**value)
