"""A proxy on loopback in front of a server: counts what it answers, and which paths were asked
for."""

from __future__ import annotations

import re
import socket
import threading
from types import TracebackType

__all__ = ["CountingProxy"]


class CountingProxy:
    """Passes TCP connections on to `host` (HOST:PORT). `received` counts the bytes of answers,
    `paths` has what was asked for with GET, in order."""

    def __init__(self, host: str) -> None:
        name, _, port = host.partition(":")
        self._server = (name, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.received = 0
        self.paths: list[str] = []
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> CountingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            one.close()

    def forget(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self.received = 0
            self.paths.clear()

    def blobs(self) -> list[str]:
        """The digests of the blobs that were asked for."""
        return [path.rpartition("/")[2] for path in self.paths if "/blobs/sha256:" in path]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._sockets += (client, server)
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, asking: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                with self._lock:
                    if asking:
                        found = re.findall(rb"^GET (/v2/\S+) HTTP", data, re.MULTILINE)
                        self.paths += [path.decode() for path in found]
                    else:
                        self.received += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return
