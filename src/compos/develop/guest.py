"""The guest that follows the YAML: started, ended, and given what is new while it runs.

May touch: QEMU, the guest's channels and its console's log, the state directory.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compos.develop.delta import Archive
from compos.errors import ComposError, RunError
from compos.image.json_document import parse_json
from compos.run.control import stop
from compos.run.disks import Disk
from compos.run.guests import Guest, find_guest
from compos.run.machine import Machine, launch
from compos.run.prepare import RunRequest, prepare
from compos.run.remote import PATIENCE, read_file, run
from compos.tree.contents import Contents

__all__ = ["HALTED", "STARTED", "DevGuest", "ServiceState"]

PROGRAM = "/usr/lib/compos/dev"
PLACES = "/run/compos/dev"
STATUS = "/run/compos/status.json"
FLUSH = 20.0
"""Seconds in which a guest that has disks is to power off by itself."""
START = 60.0
"""Seconds in which a service that is replaced comes up again."""
POLL = 0.02
LOOK = 1.0
MAX_SERVICES = 1000
MAX_TEXT = 4096
LOG_LINES = "500"
HALTED = re.compile(r"^compos: halt at |Kernel panic - not syncing|reboot: System halted")
"""What the console shows last of a guest that does nothing more, though it runs."""
STARTED = re.compile(r"compos: services started \((\d+) of (\d+)\) at ([\d.]+) s")


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What init says of a service; `since` is in seconds since the guest's kernel started."""

    name: str
    state: str
    health: str
    pid: int
    restarts: int
    exit: int | None
    since: float

    @classmethod
    def of(cls, value: Any) -> ServiceState:
        """From the guest's own document. Raises `ValueError`, `KeyError`, `TypeError`."""
        return cls(
            str(value["name"])[:MAX_TEXT],
            str(value["state"])[:MAX_TEXT],
            str(value["health"] or "-")[:MAX_TEXT],
            int(value["pid"]),
            int(value["restarts"]),
            None if value["exit"] is None else int(value["exit"]),
            float(value["since"]),
        )


class DevGuest:
    """A guest that is started with `request`, whose `path` each start replaces."""

    def __init__(self, request: RunRequest, store: Path) -> None:
        self._request = request
        self._store = store
        self._machine: Machine | None = None
        self._guest: Guest | None = None
        self._disks: tuple[Disk, ...] = ()
        self._numbers: dict[str, int] = {}
        """Which place each service has that has been replaced."""
        self._count = 0
        self._pids: dict[str, int] = {}
        """The services' processes when they were last asked for."""

    @property
    def guest(self) -> Guest:
        """The guest. Raises `RunError` if none has been started."""
        if self._guest is None:
            raise RunError("guest-ended", "the guest does not run")
        return self._guest

    @property
    def runs(self) -> bool:
        """Whether it runs now."""
        return self._guest is not None and self._guest.is_running()

    def boot(self, path: Path, disks: tuple[Disk, ...]) -> None:
        """Start it from power-on with what is at `path`, and with `disks`, which are kept. Raises
        `RunError`."""
        self.end()
        console = (self._request.state or path) / "console.log"
        console.unlink(missing_ok=True)
        options = prepare(replace(self._request, path=path, disks=disks))
        self._disks = disks
        self._machine = launch(options)
        self._guest = find_guest(options.slot.name if options.slot else "")
        self._numbers.clear()
        self._pids = {}

    def has_rebooted(self) -> None:
        """It has started anew by itself: what was replaced is gone with its memory."""
        self._numbers.clear()
        self._pids = {}

    def end(self) -> None:
        """End it: by its power button where it has disks to flush, else at once."""
        if self._guest is not None:
            stop(self._guest, timeout=FLUSH if self._disks else 0)
            self._guest = None
        if self._machine is not None:
            self._machine.stop()
            self._machine = None

    def console(self, start: int = 0) -> bytes:
        """What its console has shown behind the first `start` bytes."""
        if self._guest is None:
            return b""
        with suppress(OSError), Path(self._guest.record.console).open("rb") as file:
            file.seek(start)
            return file.read(1 << 20)
        return b""

    def services(self, patience: float = PATIENCE) -> list[ServiceState]:
        """Its services, as init sees them, which has `patience` seconds to answer. Raises
        `RunError`, also for an answer that is none."""
        text = read_file(self.guest, STATUS, patience=patience)
        try:
            found = [ServiceState.of(one) for one in parse_json(text)[:MAX_SERVICES]]
        except (ValueError, KeyError, TypeError, ComposError) as error:
            raise RunError(
                "exec-failed", "the guest does not say how its services are", place=STATUS
            ) from error
        self._pids = {one.name: one.pid for one in found}
        return found

    def log(self, service: str) -> str:
        """The end of what a service has said. Raises `RunError`."""
        return self._run(["/sbin/svc", "logs", "-n", LOG_LINES, service])

    def restart(self, service: str) -> None:
        """Restart a service. Raises `RunError`."""
        self._run(["/sbin/svc", "restart", service])

    @property
    def next_place(self) -> str:
        """Where the next version of a service is to be unpacked."""
        return f"{PLACES}/{self._count + 1}"

    def replace(self, service: str, archive: Archive, lower: str, *, new: bool = False) -> None:
        """Replace a service by the contents of `archive`, which is made for `next_place`, or start
        a `new` one; what was there for the one before is removed. Raises `RunError`."""
        place = self.next_place
        self._count += 1
        seen, pids = self._shown(), self._pids
        self._send(["add" if new else "replace", service, place, lower], archive)
        before = self._numbers.get(service)
        self._numbers[service] = self._count
        self._await(service, seen, pids)
        if before is not None:
            self._run([PROGRAM, "remove", f"{PLACES}/{before}"])

    def drop(self, service: str) -> None:
        """Stop a service that the system has no more. Raises `RunError`."""
        self._run([PROGRAM, "drop", service])
        deadline = time.monotonic() + START
        while any(one.name == service for one in self.services()):
            if time.monotonic() > deadline:
                raise RunError(
                    "dev-guest", f"the service {service} does not end", place=self.guest.record.name
                )
            time.sleep(POLL)
        if (before := self._numbers.pop(service, None)) is not None:
            self._run([PROGRAM, "remove", f"{PLACES}/{before}"])

    def put(self, archive: Archive, services: list[str]) -> None:
        """Put files into its root, and restart `services`. Raises `RunError`."""
        seen, pids = self._shown(), self._pids
        self._send(["files", *services], archive)
        for service in services:
            self._await(service, seen, pids)

    def _shown(self) -> int:
        """How many bytes the console has shown."""
        return Path(self.guest.record.console).stat().st_size

    def _await(self, service: str, seen: int, pids: dict[str, int]) -> None:
        """Wait until a service has started again, or has ended: the console says so, and init where
        the console is another one."""
        began = re.compile(rf"compos: service {re.escape(service)} started".encode())
        deadline = time.monotonic() + START
        look = time.monotonic() + LOOK
        while self.runs and time.monotonic() < deadline:
            if began.search(self.console(seen)):
                return
            if time.monotonic() > look:
                look = time.monotonic() + LOOK
                state = next((one for one in self.services() if one.name == service), None)
                if state is None or state.state in ("exited", "failed", "stopped"):
                    return
                if state.state == "running" and state.pid != pids.get(service):
                    return
            time.sleep(POLL)

    def _send(self, words: list[str], archive: Archive) -> None:
        descriptor = os.memfd_create("compos-dev")
        try:
            with Contents(self._store) as contents:
                contents.copy(archive.pieces, descriptor)
            os.lseek(descriptor, 0, os.SEEK_SET)
            self._run([PROGRAM, *words], source=descriptor)
        finally:
            os.close(descriptor)

    def _run(self, words: list[str], *, source: int | None = None) -> str:
        """What a command of the guest's says. Raises `RunError` (`dev-guest`) if it fails."""
        done = run(self.guest, words, source=source, timeout=START)
        if done.status:
            raise RunError(
                "dev-guest",
                done.error.decode(errors="replace").strip() or f"{words[0]} has failed",
                place=f"{self.guest.record.name}: {words[0]}",
            )
        return done.output.decode(errors="replace")
