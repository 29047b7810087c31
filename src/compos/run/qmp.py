"""QEMU's monitor: one JSON document a line, a request and its answer, with events between them.

May touch: the monitor's socket. Source: QEMU's qmp-spec and qemu-qmp-ref. The library qemu.qmp was
considered: it is asynchronous and takes 50 ms to import, for five commands.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from compos.errors import RunError
from compos.image.json_document import parse_json

__all__ = ["Monitor", "listening_process"]

MAX_LINE = 1 << 20
"""Bytes of an answer."""


class Monitor:
    """A connection to the monitor at `path`, which serves one client at a time.

    Raises `RunError` (`monitor-failed`) when QEMU does not answer within `timeout` seconds, or with
    something else than its protocol; `monitor-refused` when it refuses a command.
    """

    def __init__(self, path: Path, *, timeout: float = 10.0) -> None:
        self._path = path
        self._timeout = timeout
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._deadline = time.monotonic() + timeout
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
            if "QMP" not in self._line():
                raise self._failed("it is not QEMU's monitor")
            self.execute("qmp_capabilities")
        except OSError as error:
            self.close()
            raise self._failed(error.strerror or "it does not answer") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the monitor."""
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """QEMU's answer to `command`."""
        self._deadline = time.monotonic() + self._timeout
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                answer = self._line()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise self._refused(command, answer["error"])
        except OSError as error:
            raise self._failed(error.strerror or "it does not answer") from error

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise self._failed("it does not answer")
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
            if not data:
                raise self._failed("it has ended")
            self._rest += data
            if len(self._rest) > MAX_LINE:
                raise self._failed("its answer is too long")
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            value = parse_json(line, limit=MAX_LINE)
        except ValueError as error:
            raise self._failed(f"its answer is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise self._failed("its answer is not an object")
        return value

    def _failed(self, reason: str) -> RunError:
        return RunError("monitor-failed", f"QEMU's monitor: {reason}", place=str(self._path))

    def _refused(self, command: str, error: object) -> RunError:
        text = error.get("desc") if isinstance(error, dict) else error
        return RunError("monitor-refused", f"QEMU refuses {command}: {text}", place=str(self._path))


def listening_process(path: Path) -> int | None:
    """The process that listens at `path`, whether it answers or not, as the kernel knows it
    (SO_PEERCRED, unix(7)); None if there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except OSError:
            return None
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        process: int = struct.unpack("3i", credentials)[0]
        return process
