"""The loop of `compos dev`: files change, the system is composed again, and the guest gets what is
new by the least that does.

One thread acts, on what others put into its queue: the watcher that files have changed, the user
what was asked for. It tells the listener what happens, as events. May touch: what `develop.system`
and `develop.guest` touch.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from compos.api.composed import Composed, InspectOptions
from compos.develop.decision import Decision, decide
from compos.develop.delta import files_archive, service_archive
from compos.develop.guest import HALTED, STARTED, DevGuest, ServiceState
from compos.develop.picture import Picture, Same, same_nodes
from compos.develop.system import Source
from compos.develop.watch import Watched, Watcher
from compos.errors import ComposError, RunError
from compos.run.data_disk import with_data_disk
from compos.run.prepare import RunRequest
from compos.run.qemu import guest_arch
from compos.run.virtual_machine import ARCHITECTURES
from compos.tree.contents import Contents

__all__ = [
    "Booted",
    "Booting",
    "Changed",
    "ConsoleLines",
    "Decided",
    "Ended",
    "Event",
    "Failed",
    "FilesPut",
    "Rebooted",
    "Removed",
    "Replaced",
    "Services",
    "Session",
    "Silent",
    "Unchanged",
]

LOOK = 0.1
"""Seconds between looks at the console."""
ASK = 1.0
"""Seconds between questions to init."""
PATIENCE = 300.0
"""Seconds in which a guest that boots comes to start its services."""
SILENT = 8.0
"""Seconds without a word on the console after which init is asked whether services have started."""
ANSWER = 3.0
"""Seconds that it has to answer then."""
MAX_LINE = 4096
MIB = 1 << 20
SHARE = 4
"""A new root may take a quarter of the guest's memory; what is larger is booted."""


class Changed(NamedTuple):
    """Files have changed."""

    paths: tuple[str, ...]


class Failed(NamedTuple):
    """Something did not work; the guest goes on as it was."""

    error: ComposError


class Unchanged(NamedTuple):
    """The guest is as the YAML says; composing took `seconds`."""

    seconds: float


class Decided(NamedTuple):
    """What is going to be done, and why; composing took `seconds`."""

    decision: Decision
    seconds: float


class FilesPut(NamedTuple):
    """Files are in place, `seconds` after the change was seen."""

    paths: tuple[str, ...]
    restarted: tuple[str, ...]
    seconds: float


class Replaced(NamedTuple):
    """A service runs as its new version, of which `size` bytes were sent, `seconds` after the
    change was seen."""

    service: str
    size: int
    seconds: float


class Removed(NamedTuple):
    """A service that the YAML has no more has ended, `seconds` after the change was seen."""

    service: str
    seconds: float


class Booting(NamedTuple):
    """A guest starts; `sizes` are its files' bytes by their names."""

    sizes: dict[str, int]


class Booted(NamedTuple):
    """The services of a guest have started, `kernel` seconds after its kernel has, `seconds` after
    the change was seen."""

    kernel: float
    seconds: float


class Silent(NamedTuple):
    """The services of a guest have started, but it shows nothing on the serial port, which Linux
    calls `console`."""

    console: str


class ConsoleLines(NamedTuple):
    """What the console shows, line by line, as the guest has sent it."""

    lines: tuple[str, ...]


class Services(NamedTuple):
    """How the services are."""

    states: tuple[ServiceState, ...]


class Ended(NamedTuple):
    """The guest has ended by itself, or does nothing more."""


class Rebooted(NamedTuple):
    """The guest has booted anew by itself, as what it was booted with at first."""


Event: TypeAlias = (
    Changed
    | Failed
    | Unchanged
    | Decided
    | FilesPut
    | Replaced
    | Removed
    | Booting
    | Booted
    | Silent
    | ConsoleLines
    | Services
    | Ended
    | Rebooted
)


@dataclass(slots=True)
class _Follower:
    """Where the guest's console has been read to."""

    place: int = 0
    rest: bytes = b""
    booting: float = 0.0
    """When the change was seen that is being booted; 0: the services have started."""
    asked: float = 0.0
    heard: float = field(default_factory=time.monotonic)
    """When the console has last shown something."""
    states: tuple[ServiceState, ...] = ()
    alive: bool = True
    """It runs, and has not halted."""


class Session:
    """A guest that follows the YAML at `path`. `tell` gets the events, from several threads."""

    def __init__(
        self,
        path: Path,
        request: RunRequest,
        options: InspectOptions,
        tell: Callable[[Event], None],
        also: Iterable[Path] = (),
    ) -> None:
        self._tell = tell
        self._request = request
        self._also = Watched(folders=frozenset(one.absolute() for one in also))
        self._source = Source(path, options, self._made_of)
        self._watcher = Watcher(self._changed)
        self._watching = Watched()
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._pending = threading.Event()
        """Files have changed since the last look."""
        self._booted: Picture | None = None
        """What the guest was booted with: the roots of its services lie below all others."""
        self._running: Picture | None = None
        self._architecture = ""
        self._quit = threading.Event()
        self._follow = _Follower(alive=False)
        self._ready = threading.Event()
        """The services of the guest have been started, or it has ended."""
        self._guest_lock = threading.Lock()
        """Held while one guest takes the place of another."""
        self.guest = DevGuest(request, request.store().root)

    def run(self) -> None:
        """Boot, and follow the YAML until `close` is called. Raises `ComposError` if nothing could
        be built or booted at first."""
        follower = threading.Thread(target=self._follow_guest, name="console", daemon=True)
        try:
            self._update(time.monotonic())
            self._watcher.start()
            follower.start()
            while (task := self._tasks.get()) is not None:
                self._carry_out(task)
                # Stores stay open as long as circles refer to them, and the command line lets the
                # collector run rarely.
                gc.collect()
        finally:
            self._quit.set()
            self._watcher.close()
            if follower.ident:
                follower.join()
            self.guest.end()

    def _carry_out(self, task: Callable[[], None]) -> None:
        try:
            task()
        except ComposError as error:
            self._tell(Failed(error))
        except OSError as error:
            # Files come and go while somebody edits.
            reason = (error.strerror or str(error)).lower()
            name = os.fsdecode(error.filename) if error.filename else None
            self._tell(
                Failed(RunError("dev-files", f"a file cannot be read: {reason}", place=name))
            )

    def close(self) -> None:
        """End the guest, and `run`."""
        self._quit.set()
        self._ready.set()
        self._tasks.put(None)

    def rebuild(self) -> None:
        """Build and boot anew, whether anything has changed or not."""
        self._tasks.put(lambda: self._boot_anew(time.monotonic()))

    def restart(self, service: str) -> None:
        """Restart a service."""
        self._tasks.put(lambda: self.guest.restart(service))

    def _changed(self, paths: list[str]) -> None:
        self._tell(Changed(tuple(paths)))
        if not self._pending.is_set():
            self._pending.set()
            seen = time.monotonic()
            self._tasks.put(lambda: self._update(seen))

    def _made_of(self, found: Watched, whole: bool) -> None:
        joined = found.joined(self._also)
        self._watching = joined if whole else self._watching.joined(joined)
        self._watcher.watch(self._watching)

    def _update(self, seen: float) -> None:
        """Bring the guest to what the files say."""
        self._pending.clear()
        started = time.monotonic()
        found, new = self._source.compose()
        seconds = time.monotonic() - started
        old, booted = self._running, self._booted
        if old is None or booted is None or not self._lives():
            self._boot(found, new, seen)
            return
        with Contents(found.job.store.root) as contents:
            same = same_nodes(contents)
            decision = decide(old, new, same)
            if not decision:
                self._tell(Unchanged(seconds))
                return
            self._tell(Decided(decision, seconds))
            if not decision.boot:
                # What boots still takes nothing.
                self._ready.wait(PATIENCE)
            if (
                not decision.boot
                and self._lives()
                and self._apply(decision, booted, new, same, seen)
            ):
                self._running = new
                return
        self._boot(found, new, seen)

    def _lives(self) -> bool:
        return self.guest.runs and self._follow.alive

    def _apply(
        self, decision: Decision, booted: Picture, new: Picture, same: Same, seen: float
    ) -> bool:
        """Change the running guest; whether that has worked. What has not is told, and a boot is
        due."""
        try:
            if decision.files:
                restarts = [name for name in decision.restarts if name not in decision.services]
                self.guest.put(files_archive(new, decision.files), restarts)
                taken = time.monotonic() - seen
                self._tell(FilesPut(decision.files, tuple(restarts), taken))
            # What others may wait for comes first, and goes last.
            for name in (*decision.added, *decision.services):
                place = self.guest.next_place
                archive, lower = service_archive(booted, new, name, place, same)
                if archive.size > self._request.mem * MIB // SHARE:
                    raise RunError(
                        "dev-size",
                        f"what is new of {name} has {archive.size >> 20} MiB, too many for the "
                        "guest's memory while it runs",
                        place=f"service {name}",
                        hint="Give the guest more with --mem.",
                    )
                self.guest.replace(name, archive, lower, new=name in decision.added)
                self._tell(Replaced(name, archive.size, time.monotonic() - seen))
            for name in decision.removed:
                self.guest.drop(name)
                self._tell(Removed(name, time.monotonic() - seen))
        except RunError as error:
            self._tell(Failed(error))
            return False
        return True

    def _follow_reboot(self) -> None:
        self.guest.has_rebooted()
        self._running = self._booted
        self._update(time.monotonic())

    def _boot_anew(self, seen: float) -> None:
        found, new = self._source.compose()
        self._boot(found, new, seen)

    def _boot(self, found: Composed, new: Picture, seen: float) -> None:
        """Write the system, and start a guest with it in the place of the one that runs."""
        state = self._request.state or self._source.path.with_suffix("")
        prefix = self._source.write(found, state)
        sizes = {
            name: prefix.with_name(f"{prefix.name}-{name}").stat().st_size
            for name in ("kernel", "initrd.img")
        }
        self._architecture = found.job.request.architecture
        with self._guest_lock:
            self._tell(Booting(sizes))
            # From here on nothing runs that could be compared with.
            self._running = self._booted = None
            self._ready.clear()
            self.guest.boot(prefix, with_data_disk(found.config, self._request.disks, state))
            self._follow = _Follower(booting=seen)
        self._running = self._booted = new

    def _follow_guest(self) -> None:
        """The thread that reads the console, and asks init how its services are."""
        while not self._quit.wait(LOOK):
            with self._guest_lock:
                follow = self._follow
                runs = self.guest.runs
                self._read_console(follow)
                if not runs:
                    self._mark_ended(follow)
                if not follow.alive:
                    continue
            if self._is_due(follow):
                with suppress(RunError):
                    self._ask(follow)

    def _mark_ended(self, follow: _Follower) -> None:
        if follow.alive:
            follow.alive = False
            self._ready.set()
            self._tell(Ended())

    def _is_due(self, follow: _Follower) -> bool:
        """Whether to ask init: while the guest boots, its console says enough, if there is one."""
        now = time.monotonic()
        if follow.booting:
            return now - max(follow.heard, follow.asked) > SILENT
        return now - follow.asked > ASK

    def _read_console(self, follow: _Follower) -> None:
        data = self.guest.console(follow.place)
        if not data:
            return
        follow.place += len(data)
        follow.heard = time.monotonic()
        *lines, follow.rest = (follow.rest + data).split(b"\n")
        follow.rest = follow.rest[-MAX_LINE:]
        shown = tuple(line[:MAX_LINE].decode(errors="replace").rstrip("\r") for line in lines)
        if shown:
            self._tell(ConsoleLines(shown))
        for line in shown:
            if HALTED.search(line):
                self._mark_ended(follow)
            elif follow.booting and (found := STARTED.search(line)):
                self._tell(Booted(float(found[3]), time.monotonic() - follow.booting))
                follow.booting = 0.0
                follow.alive = True
                self._ready.set()
            elif STARTED.match(line):
                self._tell(Rebooted())
                follow.alive = True
                self._tasks.put(self._follow_reboot)

    def _ask(self, follow: _Follower) -> None:
        if follow.booting:
            self._ask_silent(follow)
            return
        states = tuple(self.guest.services())
        follow.asked = time.monotonic()
        self._tell_services(follow, states)

    def _ask_silent(self, follow: _Follower) -> None:
        """Whether the services of a guest have started whose console has said nothing for a
        while, nor does it while init answers."""
        heard = follow.heard
        try:
            states = tuple(self.guest.services(ANSWER))
        finally:
            follow.asked = time.monotonic()
        if not states or any(one.state in ("waiting", "starting") for one in states):
            return
        with self._guest_lock:
            self._read_console(follow)
            if follow is not self._follow or follow.heard != heard or not follow.booting:
                return
            taken = time.monotonic() - follow.booting
            follow.booting = 0.0
        self._tell(Silent(ARCHITECTURES[guest_arch(self._architecture)].console))
        self._tell(Booted(max(one.since for one in states), taken))
        self._ready.set()
        self._tell_services(follow, states)

    def _tell_services(self, follow: _Follower, states: tuple[ServiceState, ...]) -> None:
        if states != follow.states:
            follow.states = states
            self._tell(Services(states))
