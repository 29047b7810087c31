"""A disk for QEMU on a Unix socket, which records what it is asked for and fails where told to.

The protocol is NBD's fixed newstyle, as its specification (doc/proto.md) has it: one export for
each server, options NBD_OPT_GO, NBD_OPT_INFO and NBD_OPT_ABORT, simple replies.
"""

from __future__ import annotations

import ctypes
import os
import queue
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.boot.power.recording import Recording, Request

__all__ = ["Fault", "Server", "clear"]

FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_ABORT, OPT_INFO, OPT_GO = 2, 6, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, (1 << 31) + 1
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6
HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES = 1, 4, 8, 32, 64
FORCED = 1
EIO = 5

KINDS = {READ: "read", WRITE: "write", FLUSH: "flush", TRIM: "trim", WRITE_ZEROES: "write"}

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


def clear(descriptor: int, offset: int, length: int) -> None:
    """Make `length` bytes of a file zeros that take no room."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    if libc.fallocate(descriptor, flags, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


@dataclass(frozen=True, slots=True)
class Fault:
    """The disk answers EIO to the requests of `kind` from `number` (1 is the first) on, as many as
    `times`."""

    kind: str
    number: int
    times: int = 1


@dataclass(slots=True)
class _Task:
    kind: int
    handle: bytes
    offset: int
    length: int
    data: bytes | None
    request: Request | None


class Server:
    """Serves the file `image` until left. One client at a time, one request after the other;
    requests are recorded as they come, even while another one is worked on.

    Of several disks in one `recording`, this one's bytes are those from `base` on. What is `kept`
    at once, as flash memory does, needs no flush."""

    def __init__(
        self,
        image: Path,
        path: Path,
        *,
        fault: Fault | None = None,
        recording: Recording | None = None,
        base: int = 0,
        kept: bool = False,
    ) -> None:
        self.recording = Recording() if recording is None else recording
        self._base, self._kept = base, kept
        self.fault = fault
        self.counts: Counter[str] = Counter()
        """Requests by kind, those that failed among them."""
        self.path = path
        self._descriptor = os.open(image, os.O_RDWR)
        self._size = image.stat().st_size
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._client is not None:
            self._client.close()
        self._thread.join(30)
        self._listener.close()
        os.close(self._descriptor)
        self.path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._client = client
            try:
                with client, client.makefile("rb") as stream:
                    if self._negotiate(client, stream.read):
                        self._transmit(client, stream.read)
            except (OSError, ValueError, struct.error):
                continue

    def _negotiate(self, client: socket.socket, read: Callable[[int], bytes]) -> bool:
        """Whether the client wants the export."""
        client.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES))
        read(4)
        while True:
            _, option, length = struct.unpack(">8sII", read(16))
            read(length)

            def reply(kind: int, data: bytes = b"", option: int = option) -> None:
                magic = 0x3E889045565A9
                client.sendall(struct.pack(">QIII", magic, option, kind, len(data)) + data)

            if option in (OPT_INFO, OPT_GO):
                flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES
                reply(REP_INFO, struct.pack(">HQH", 0, self._size, flags))
                reply(REP_ACK)
                if option == OPT_GO:
                    return True
            elif option == OPT_ABORT:
                reply(REP_ACK)
                return False
            else:
                reply(REP_ERR_UNSUP)

    def _transmit(self, client: socket.socket, read: Callable[[int], bytes]) -> None:
        tasks: queue.Queue[_Task | None] = queue.Queue()
        worker = threading.Thread(target=self._work, args=(client, tasks), daemon=True)
        worker.start()
        try:
            while header := read(28):
                _, flags, kind, handle, offset, length = struct.unpack(">IHH8sQI", header)
                if kind == DISCONNECT:
                    break
                data = read(length) if kind == WRITE else None
                request = None
                if kind != READ:
                    forced = self._kept or bool(flags & FORCED)
                    request = self.recording.begin(
                        KINDS[kind], self._base + offset, length, data, forced=forced
                    )
                tasks.put(_Task(kind, handle, offset, length, data, request))
        finally:
            tasks.put(None)
            worker.join(30)

    def _work(self, client: socket.socket, tasks: queue.Queue[_Task | None]) -> None:
        while task := tasks.get():
            self.counts[KINDS[task.kind]] += 1
            error, answer = EIO, b""
            if not self._fails(KINDS[task.kind]):
                error, answer = 0, self._perform(task)
                if task.request:
                    self.recording.end(task.request)
            try:
                client.sendall(struct.pack(">II8s", 0x67446698, error, task.handle) + answer)
            except OSError:
                return

    def _fails(self, kind: str) -> bool:
        fault = self.fault
        if fault is None or fault.kind != kind:
            return False
        return fault.number <= self.counts[kind] < fault.number + fault.times

    def _perform(self, task: _Task) -> bytes:
        if task.kind == READ:
            return os.pread(self._descriptor, task.length, task.offset)
        if task.kind in (TRIM, WRITE_ZEROES):
            clear(self._descriptor, task.offset, task.length)
        elif task.data is not None:
            os.pwrite(self._descriptor, task.data, task.offset)
        return b""
