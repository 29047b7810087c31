"""A booted system, and what can be asked of it.

May touch: builds the system, starts QEMU, asks the guest by its published ports and its channels
for commands.
"""

from __future__ import annotations

import json
import shlex
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from compos.api.access import Access
from compos.api.options import ImageOptions, LoadOptions
from compos.errors import RunError
from compos.run.control import screenshot, stop
from compos.run.guests import Guest, find_guest
from compos.run.qmp import Monitor
from compos.run.remote import read_file, run
from compos.run.snapshots import load_snapshot, save_snapshot
from compos.testing.console import Console, Mark
from compos.testing.metrics import Metrics, measure

__all__ = ["Answer", "Booted", "Command", "Machine", "Service", "Snapshot", "boot", "free_port"]

TIMEOUT = 120.0
"""Seconds; an emulated guest on a busy machine takes one or two minutes to boot."""
POLL = 0.2
MAX_BODY = 16 << 20

NOT_STARTED = ("waiting", "starting", "backing-off")
"""States of services (docs/services.md) that are yet to start, or to start again."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the system is booted on; empty means: what `compos run qemu` would take. `memory` is in
    MiB, `options` are further fields of `compos.run.prepare.RunRequest`. With `snapshots` states of
    it can be kept; what it writes to its disks is gone with it then."""

    architecture: str = ""
    accelerator: str = ""
    memory: int = 1024
    cpus: int = 1
    state: Path | None = None
    name: str = ""
    snapshots: bool = False
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Command:
    """A command that has ended: its exit status, or 128 and a signal's number."""

    status: int
    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of a guest's, which `Booted.restore` puts it back into. `console` is how far its
    console was."""

    tag: str
    console: Mark


class Service:
    """A service of a booted system."""

    def __init__(self, booted: Booted, name: str) -> None:
        self._booted = booted
        self.name = name

    @property
    def state(self) -> dict[str, Any]:
        """What `svc ps --json` says of it. Raises `AssertionError` if there is no such service."""
        services = self._booted.services()
        if self.name not in services:
            raise AssertionError(
                f"there is no service {self.name}; there are: {', '.join(services) or 'none'}"
            )
        return services[self.name]

    def running(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait until it runs; returns its state. Raises `AssertionError`."""
        return self._until("running", lambda state: bool(state["state"] == "running"), timeout)

    def healthy(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait until its health check succeeds; returns its state. Raises `AssertionError`."""
        return self._until("healthy", lambda state: bool(state["health"] == "healthy"), timeout)

    def exited(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait until it has ended with success; returns its state. Raises `AssertionError`."""
        return self._until(
            "exited", lambda state: state["state"] == "exited" and state["exit"] == 0, timeout
        )

    def log(self) -> str:
        """What it has said."""
        return self._booted.exec(["svc", "logs", self.name]).output

    def _until(
        self, what: str, holds: Callable[[dict[str, Any]], bool], timeout: float
    ) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            state = self.state
            if not holds(state):
                raise AssertionError(f"the service {self.name} is not {what}: {state}")
            return state

        return self._booted.eventually(look, timeout)


class Booted:
    """A running guest. Its methods wait for what they ask for, and raise `AssertionError` where it
    does not come."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.console = Console(Path(guest.record.console), guest.is_running, guest.console)
        self._ports: dict[int, int] = {}
        self._started: set[str] = set()
        """Services that have been seen running; how they are later, the answer says."""
        self._snapshots = 0

    @property
    def name(self) -> str:
        """What `compos ps` calls it."""
        return self.guest.record.name

    def eventually(self, look: Callable[[], Result], timeout: float = TIMEOUT) -> Result:
        """What `look` returns as soon as it raises neither `AssertionError`, `RunError` nor
        `OSError`. After `timeout` seconds, or when the guest has ended, its last reason is raised,
        as `AssertionError`."""
        deadline = time.monotonic() + timeout
        while True:
            runs = self.guest.is_running()
            try:
                return look()
            except (AssertionError, RunError, OSError) as error:
                reason = str(error)
            if not runs:
                raise AssertionError(f"the guest has ended: {reason}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {reason}")
            time.sleep(POLL)

    def port(self, guest: int) -> int:
        """The port of this machine, on 127.0.0.1, behind which the guest's TCP port is."""
        if guest not in self._ports:
            port = free_port()
            with Monitor(self.guest.monitor) as monitor:
                told = monitor.execute(
                    "human-monitor-command",
                    **{"command-line": f"hostfwd_add t0 tcp:127.0.0.1:{port}-:{guest}"},
                )
            if told:
                raise RunError("port-failed", f"the port {guest} cannot be published: {told}")
            self._ports[guest] = port
        return self._ports[guest]

    def http(
        self,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """The answer of the guest's port, as soon as there is one, whatever its status."""
        return self.eventually(
            lambda: self.request(port, path, method=method, headers=headers, body=body), timeout
        )

    def request(
        self,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """As `http`, but asked once. Raises `OSError` too."""
        from http.client import HTTPConnection, HTTPException

        connection = HTTPConnection("127.0.0.1", self.port(port), timeout=10)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read(MAX_BODY))
        except HTTPException as error:
            raise AssertionError(f"port {port}: {error!r}") from error
        finally:
            connection.close()

    def exec(
        self, command: str | Sequence[str], *, service: str = "", timeout: float = TIMEOUT
    ) -> Command:
        """Run a command in the system's root, or in the container of `service` as soon as that
        runs; text is split as a shell does, but no shell runs it. Raises `RunError`,
        `AssertionError`."""
        self._await_service(service)
        words = shlex.split(command) if isinstance(command, str) else command
        done = run(self.guest, words, service=service, timeout=timeout)
        return Command(
            done.status, done.output.decode(errors="replace"), done.error.decode(errors="replace")
        )

    def file(self, path: str, *, service: str = "") -> bytes:
        """The contents of a file, in the system's root or as `service` sees it, as soon as that
        runs. Raises `RunError`, `AssertionError`."""
        self._await_service(service)
        return read_file(self.guest, path, service=service)

    def _await_service(self, name: str) -> None:
        if name and name not in self._started:
            self.service(name).running()
            self._started.add(name)

    def services(self) -> dict[str, dict[str, Any]]:
        """What `svc ps --json` says, by name: state, health, pid, restarts, exit, since."""
        found = json.loads(read_file(self.guest, "/run/compos/status.json"))
        return {one["name"]: one for one in found}

    def service(self, name: str) -> Service:
        """A service."""
        return Service(self, name)

    def started(self, timeout: float = TIMEOUT) -> dict[str, dict[str, Any]]:
        """Wait until every service has been started, of which some may have ended or failed;
        returns their states. Raises `AssertionError`."""

        def look() -> dict[str, dict[str, Any]]:
            services = self.services()
            late = [name for name, one in services.items() if not _has_started(one)]
            if late or not services:
                raise AssertionError(f"not started: {', '.join(late) or 'no service'}")
            return services

        return self.eventually(look, timeout)

    def metrics(self) -> Metrics:
        """What the system and its services use now. Raises `RunError`."""
        return measure(self.services(), lambda path: read_file(self.guest, path))

    def snapshot(self) -> Snapshot:
        """Keep the guest's state: memory, devices, disks. Raises `RunError`
        (`snapshot-missing`, `snapshot-refused`)."""
        self._snapshots += 1
        tag = f"state{self._snapshots}"
        return Snapshot(tag, self.console.mark(save_snapshot(self.guest, tag)))

    def restore(self, snapshot: Snapshot) -> None:
        """Put the guest back into a state that was kept. Its clock is that of the snapshot, and its
        console has shown what it had shown then. Raises as `snapshot`."""
        self.console.restore(snapshot.console, load_snapshot(self.guest, snapshot.tag))
        self._started.clear()

    def screenshot(self, path: Path) -> None:
        """Write what the screen shows, as PNG."""
        screenshot(self.guest, path)

    def power_off(self, timeout: float = TIMEOUT) -> bool:
        """Press the power button; whether the guest has powered off by itself."""
        self.console.close()
        return stop(self.guest, timeout=timeout)

    def evidence(self) -> dict[str, str]:
        """What helps with a failure: the console's end, the services, the logs of those that do not
        run."""
        found = {"console": "\n".join(self.console.text.splitlines()[-100:])}
        with suppress(RunError, AssertionError, OSError, ValueError):
            if self.guest.is_running():
                found["services"] = self.exec(["svc", "ps"], timeout=10).output
                for name, state in self.services().items():
                    if state["state"] != "running" or state["restarts"]:
                        found[f"log of {name}"] = self.service(name).log()[-4000:]
        return found


def _has_started(state: Mapping[str, Any]) -> bool:
    """One that runs has its process only a moment later."""
    return state["state"] not in NOT_STARTED and (state["state"] != "running" or state["pid"] > 0)


@contextmanager
def boot(
    system: str | Path,
    machine: Machine = Machine(),
    *,
    images: ImageOptions = ImageOptions(),
    load: LoadOptions = LoadOptions(),
    keep: Callable[[], bool] = lambda: False,
) -> Iterator[Booted]:
    """Boot `system`: YAML, which is built, or what `compos run qemu` boots. It is ended at the end,
    unless `keep` says that it should go on. Raises `ComposError`."""
    from compos.run.machine import launch
    from compos.run.prepare import RunRequest, prepare

    access = Access(images)
    path = Path(system)
    given = dict(machine.options or {})
    with tempfile.TemporaryDirectory(prefix="compos-test-", ignore_cleanup_errors=True) as scratch:
        state = machine.state or Path(scratch)
        if path.suffix in (".yml", ".yaml") and path.is_file():
            from compos.api.run import build_to_run
            from compos.run.data_disk import with_data_disk

            built = build_to_run(
                path,
                state,
                architecture=machine.architecture or None,
                images=images,
                load=load,
            )
            path = built.prefix
            given["disks"] = with_data_disk(built.config, given.get("disks", ()), state)
        request = RunRequest(
            path,
            lambda: access.store,
            arch=machine.architecture,
            accel=machine.accelerator,
            mem=machine.memory,
            cpus=machine.cpus,
            state=state,
            name=machine.name,
            detached=True,
            tied=True,
            exec=True,
            snapshots=machine.snapshots,
            **given,
        )
        options = prepare(request)
        running = launch(options)
        try:
            booted = Booted(find_guest(options.slot.name if options.slot else ""))
            try:
                yield booted
            finally:
                booted.console.close()
                if keep():
                    running.leave()
                else:
                    stop(booted.guest, timeout=0)
        finally:
            running.stop()


def free_port() -> int:
    """A port on loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
