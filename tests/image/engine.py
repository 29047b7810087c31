"""A Docker engine of the test's own, on a unix socket."""

from __future__ import annotations

import json
import socketserver
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from compos.image.digest import digest_of
from compos.image.store import Store
from tests.images import Member, make_image

__all__ = ["Engine", "archive"]


class Engine:
    """Answers like Docker: `images` are archives of `docker save` by name."""

    def __init__(self, folder: Path) -> None:
        self.images: dict[str, bytes] = {}
        self.architecture = "amd64"
        self.status = 200
        self.asked: list[str] = []
        self.path = str(folder / "docker.sock")
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append(self.path)
                _, _, quoted, what = self.path.split("/")
                name = unquote(quoted)
                data = engine.images.get(name)
                status = 404 if data is None else engine.status
                body = data or b""
                if what == "json":
                    body = json.dumps(
                        {"Id": digest_of(body), "Architecture": engine.architecture, "Os": "linux"}
                    ).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

            def address_string(self) -> str:
                return "unix"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server: Any = Server(self.path, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def archive(folder: Path, text: str) -> bytes:
    store = Store(folder / f"made-{text}")
    make_image(store, "engine.example/app:1", [[Member("from", content=text)]], {"Cmd": ["/x"]})
    path = folder / f"{text}.tar"
    command = [
        "skopeo",
        "copy",
        f"oci:{store.root}:engine.example/app:1",
        f"docker-archive:{path}:app:1",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return path.read_bytes()
