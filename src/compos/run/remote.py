"""Commands that are run in a guest, by the channels of init's that `compos.exec` opens.

May touch: the sockets of the guest's channels. Protocol: bricks/init/src/remote/channel.h. What
comes from the guest is checked as a stranger's.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError
from compos.run.guests import Guest

__all__ = ["PATIENCE", "Completed", "Request", "execute", "read_file", "run"]

HEAD = struct.Struct(">cI")
TERMINAL, READ = 1, 2
MAX_FRAME = 1 << 16
"""Bytes of a frame's payload, either way."""
MAX_OUTPUT = 64 << 20
"""Bytes of a command's output that are kept."""
ANSWER = 3.0
"""Seconds in which init greets back; it may have to notice first that the last client has gone."""


PATIENCE = 60.0
"""Seconds in which a guest that boots comes to open its channels."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command with its arguments: in the container of `service`, or in the system's own root;
    with `terminal`, its size in rows and columns. `read`: the only argument is a file, whose
    contents are the output."""

    arguments: tuple[str, ...]
    service: str = ""
    folder: str = ""
    terminal: tuple[int, int] | None = None
    read: bool = False

    def encode(self) -> bytes:
        """The payload of the frame. Raises `RunError` (`exec-arguments`)."""
        flags = (TERMINAL if self.terminal else 0) | (READ if self.read else 0)
        head = struct.pack(">BHHH", flags, *(self.terminal or (0, 0)), len(self.arguments))
        strings = [os.fsencode(text) for text in (self.service, self.folder, *self.arguments)]
        data = head + b"".join(string + b"\0" for string in strings)
        if not self.arguments or len(data) > MAX_FRAME or any(b"\0" in one for one in strings):
            raise RunError(
                "exec-arguments",
                f"a command has at least one word and at most {MAX_FRAME} bytes, none of them zero",
            )
        return data


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command has ended: its exit status, 128 and the number of the signal that ended it."""

    status: int
    output: bytes
    error: bytes


class Channel:
    """A connection to one of a guest's channels, greeted and ready for a request."""

    def __init__(self, connection: socket.socket, place: str) -> None:
        self._connection = connection
        self._place = place
        self._rest = b""

    def greet(self, timeout: float) -> bool:
        """Whether init answers. What it still had to say to the last client is dropped."""
        hello = HEAD.pack(b"H", 16) + os.urandom(16)
        deadline = time.monotonic() + timeout
        self._connection.sendall(hello)
        seen = b""
        while hello not in seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                return False
            data = self._connection.recv(1 << 16)
            if not data:
                return False
            seen = (seen + data)[-(1 << 20) :]
        self._rest = seen.partition(hello)[2]
        return True

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """One frame."""
        try:
            self._connection.sendall(HEAD.pack(kind, len(payload)) + payload)
        except OSError as error:
            raise self.failed(error.strerror or "the guest has gone") from error

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """The frames that have arrived by now. Raises `RunError` (`exec-failed`)."""
        try:
            data = self._connection.recv(1 << 16)
        except OSError as error:
            raise self.failed(error.strerror or "the guest has gone") from error
        if not data:
            raise self.failed("the guest has ended")
        self._rest += data
        while len(self._rest) >= HEAD.size:
            kind, size = HEAD.unpack_from(self._rest)
            if size > MAX_FRAME:
                raise self.failed("the guest does not keep to the protocol")
            if len(self._rest) < HEAD.size + size:
                return
            payload = self._rest[HEAD.size : HEAD.size + size]
            self._rest = self._rest[HEAD.size + size :]
            yield kind, payload

    def fileno(self) -> int:
        """The descriptor, for select(2)."""
        return self._connection.fileno()

    def failed(self, reason: str) -> RunError:
        """The error with its place."""
        return RunError("exec-failed", f"commands cannot be run: {reason}", place=self._place)


@contextmanager
def channel(guest: Guest, *, timeout: float) -> Iterator[Channel]:
    """One of the guest's channels, as soon as one is free. Raises `RunError` (`exec-missing`,
    `exec-failed`)."""
    name = guest.record.name
    if not guest.record.exec:
        raise RunError(
            "exec-missing",
            f"the guest {name} was started without channels for commands",
            hint="Start it with compos run qemu --exec.",
        )
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        while (found := _free(guest, stack)) is None:
            if not guest.is_running():
                raise RunError("guest-ended", f"the guest {name} has ended")
            if time.monotonic() > deadline:
                raise RunError(
                    "exec-failed",
                    f"the guest {name} does not answer on its channels for commands",
                    place=str(guest.folder),
                    hint="It may still be booting, or all channels are busy. A system that does "
                    "not boot from kernel and initrd needs compos.exec on its kernel.cmdline.",
                )
            time.sleep(0.2)
        yield found


def _free(guest: Guest, stack: ExitStack) -> Channel | None:
    """A channel that nobody uses and that init answers on; it is closed with `stack`."""
    for path in sorted(guest.folder.glob("exec*.sock")):
        with ExitStack() as own, suppress(OSError):
            found = own.enter_context(_connected(path))
            if found is not None and found.greet(ANSWER):
                stack.push(own.pop_all())
                return found
    return None


@contextmanager
def _connected(path: Path) -> Iterator[Channel | None]:
    """The channel at `path`; None while another process has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.with_suffix(".lock"), flags, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            yield Channel(connection, str(path))
    finally:
        os.close(lock)


def execute(
    guest: Guest,
    request: Request,
    *,
    output: Callable[[bytes], None],
    error: Callable[[bytes], None],
    source: int | None = None,
    timeout: float | None = None,
    patience: float = PATIENCE,
    resized: Callable[[], tuple[int, int]] | None = None,
) -> int:
    """Run a command in `guest`; returns its exit status, or 128 and a signal's number.

    What it writes goes to `output` and `error`; its standard input is what the descriptor `source`
    has, or nothing. With `resized`, SIGWINCH passes on the terminal's size that it returns. A
    channel is waited for up to `patience` seconds; after `timeout` seconds the command is killed.
    Raises `RunError` (`exec-failed`, `exec-timeout`).
    """
    payload = request.encode()
    with channel(guest, timeout=patience) as found, _resizing(found, resized):
        found.send(b"E", payload)
        if source is None:
            found.send(b"I")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                found.send(b"K", bytes([signal.SIGKILL]))
                raise RunError(
                    "exec-timeout",
                    f"the command has not ended within {timeout:g} s: {request.arguments[0]}",
                )
            waited = [found.fileno(), *([] if source is None else [source])]
            ready, _, _ = select.select(waited, [], [], left)
            if source is not None and source in ready:
                data = os.read(source, 1 << 15)
                found.send(b"I", data)
                source = source if data else None
            if found.fileno() in ready:
                for kind, data in found.frames():
                    status = _take(found, kind, data, output, error)
                    if status is not None:
                        return status


def _take(
    found: Channel,
    kind: bytes,
    data: bytes,
    output: Callable[[bytes], None],
    error: Callable[[bytes], None],
) -> int | None:
    """Pass on a frame; the status, if it is the last one."""
    if kind == b"O":
        output(data)
    elif kind == b"R":
        error(data)
    elif kind == b"X" and len(data) == 2:
        return data[1] + (128 if data[0] else 0)
    elif kind == b"F":
        raise found.failed(data.decode(errors="replace"))
    else:
        raise found.failed("the guest does not keep to the protocol")
    return None


@contextmanager
def _resizing(found: Channel, size: Callable[[], tuple[int, int]] | None) -> Iterator[None]:
    if size is None:
        yield
        return
    before = signal.signal(
        signal.SIGWINCH, lambda number, frame: found.send(b"W", struct.pack(">HH", *size()))
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def run(
    guest: Guest,
    arguments: Sequence[str],
    *,
    service: str = "",
    timeout: float | None = 60.0,
    patience: float = PATIENCE,
    read: bool = False,
    source: int | None = None,
) -> Completed:
    """Run a command to its end, and keep what it writes; it reads what the descriptor `source` has.
    Raises as `execute`; `RunError` (`exec-output`) for more than `MAX_OUTPUT`."""
    output, error = bytearray(), bytearray()

    def keep(into: bytearray) -> Callable[[bytes], None]:
        def add(data: bytes) -> None:
            into.extend(data)
            if len(into) > MAX_OUTPUT:
                raise RunError("exec-output", f"more than {MAX_OUTPUT >> 20} MiB of output")

        return add

    request = Request(tuple(arguments), service, read=read)
    status = execute(
        guest,
        request,
        output=keep(output),
        error=keep(error),
        source=source,
        timeout=timeout,
        patience=patience,
    )
    return Completed(status, bytes(output), bytes(error))


def read_file(guest: Guest, path: str, *, service: str = "", patience: float = PATIENCE) -> bytes:
    """The contents of a file of the guest's, which has `patience` seconds to answer. Raises as
    `run`; `RunError` (`file-unreadable`)."""
    done = run(guest, (path,), service=service, read=True, patience=patience)
    if done.status:
        raise RunError(
            "file-unreadable",
            done.error.decode(errors="replace").strip() or "the file cannot be read",
            place=f"{service or guest.record.name}:{path}",
        )
    return done.output
