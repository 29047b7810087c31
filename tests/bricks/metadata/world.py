"""Runs a program in a world of its own, where it may believe that it is a cloud's: namespaces for
mounts, network and host name, an empty /run and /etc, link-local addresses on loopback, and a
server there.

Started with `unshare -m -n -u`; reads a JSON document from standard input and writes one: see
`tests/bricks/metadata_runs.py`. A script of the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ADDRESSES = ("169.254.169.254", "169.254.42.42", "168.63.129.16")


def prepare() -> None:
    """The namespaces' inside: nothing of it reaches the machine."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for folder in ("/run", "/etc"):
        subprocess.run(["mount", "-n", "-t", "tmpfs", "none", folder], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    subprocess.run(["hostname", "unchanged"], check=True)


class Server:
    """Answers each request with the raw bytes that the table has for `ADDRESS METHOD PATH`, `METHOD
    PATH` or `*`, repeated for ever if they are a list, one in a second if they are a mapping's
    value; an empty string is never answered."""

    def __init__(self, replies: dict[str, Any]) -> None:
        self.replies = replies
        self.requests: list[str] = []

    def listen(self) -> None:
        for address in ADDRESSES:
            listener = socket.create_server((address, 80))
            threading.Thread(target=self._accept, args=(listener, address), daemon=True).start()

    def _accept(self, listener: socket.socket, address: str) -> None:
        while True:
            connection, peer = listener.accept()
            arguments = (connection, address, peer[1])
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, connection: socket.socket, address: str, port: int) -> None:
        with connection, contextlib.suppress(OSError):
            request = self._receive(connection)
            head = request.partition("\r\n")[0].removesuffix(" HTTP/1.1")
            self.requests.append(f"{address} {'low' if port < 1024 else 'high'} {request}")
            missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nnothing"
            missing = self.replies.get("*", missing)
            reply = self.replies.get(f"{address} {head}", self.replies.get(head, missing))
            if reply == "":
                time.sleep(60)
            while isinstance(reply, list):
                connection.sendall("".join(reply).encode("latin-1"))
            if isinstance(reply, dict):
                for byte in reply["slowly"]:
                    connection.sendall(byte.encode("latin-1"))
                    time.sleep(1)
                return
            connection.sendall(reply.encode("latin-1"))

    @staticmethod
    def _receive(connection: socket.socket) -> str:
        """A head, and as much of a body as it says."""
        data = ""
        while "\r\n\r\n" not in data:
            data += connection.recv(65536).decode("latin-1")
        head, _, body = data.partition("\r\n\r\n")
        length = 0
        for line in head.splitlines():
            if line.lower().startswith("content-length:"):
                length = int(line.partition(":")[2])
        while len(body) < length:
            body += connection.recv(65536).decode("latin-1")
        return f"{head}\r\n\r\n{body}"


def files(folder: Path) -> dict[str, tuple[str, str]]:
    """Mode in octal and contents, by path; a directory's contents are `None`'s word."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = f"{path.lstat().st_mode & 0o7777:o}"
        text = "directory" if path.is_dir() else path.read_bytes().decode("latin-1")
        found[str(path.relative_to(folder))] = (mode, text)
    return found


def main() -> None:
    """One program, started once."""
    task = json.load(sys.stdin)
    prepare()
    server = Server(task["replies"])
    if task["replies"]:
        server.listen()
    subprocess.run(["/bin/sh", "-ec", task["before"]], check=True)
    for path, text in task["files"].items():
        Path(path).write_bytes(text.encode("latin-1"))
    begin = time.monotonic()
    done = subprocess.run(task["command"], capture_output=True, check=False, timeout=100)
    after = subprocess.run(["/bin/sh", "-ec", task["after"]], stdout=subprocess.PIPE, check=True)
    json.dump(
        {
            "seconds": time.monotonic() - begin,
            "status": done.returncode,
            "said": done.stderr.decode("latin-1"),
            "hostname": socket.gethostname(),
            "files": files(Path("/run")),
            "requests": server.requests,
            "shown": after.stdout.decode(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
