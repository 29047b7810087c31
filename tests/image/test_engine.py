"""`--docker`: a Docker engine (of the test's own, on a unix socket) is asked first, and passed over
when it cannot help."""

from __future__ import annotations

import json
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from compos.cli.main import main
from compos.image.digest import digest_of
from compos.image.store import Store
from tests.conformance.lab import read_tree
from tests.images import ARM64, Member, make_image
from tests.registry import FakeRegistry


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


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    one = Engine(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{one.path}")
    yield one
    one.server.shutdown()
    one.server.server_close()


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


def build(folder: Path, name: str, *flags: str) -> str:
    (folder / "os.yml").write_text(f"init: ['{name}']")
    out = folder / "out.tar"
    assert (
        main(
            [
                "build",
                "--cache",
                str(folder / "store"),
                "--arch",
                "amd64",
                "--o",
                str(out),
                *flags,
                str(folder / "os.yml"),
            ]
        )
        == 0
    )
    tree = read_tree(out)
    assert tree["from"].origin == (name, "init[0]")
    return tree["from"].text


def test_the_engine_wins_over_the_registry(engine: Engine, tmp_path: Path) -> None:
    published = Store(tmp_path / "published")
    make_image(published, "x.example/app:1", [[Member("from", content="registry")]])
    with FakeRegistry() as registry:
        name = registry.load(published, "x.example/app:1", "app", "1")
        engine.images[name] = archive(tmp_path, "engine")
        assert build(tmp_path, name) == "registry"
        assert build(tmp_path, name, "--docker") == "engine"
        assert engine.asked == [
            f"/images/{name.replace(':', '%3A').replace('/', '%2F')}/{what}"
            for what in ("json", "get")
        ]
        # An image of the same id is not exported again; another one is.
        assert build(tmp_path, name, "--docker") == "engine"
        assert [path.rpartition("/")[2] for path in engine.asked] == ["json", "get", "json"]
        engine.images[name] = archive(tmp_path, "newer")
        assert build(tmp_path, name, "--docker") == "newer"
        asked = len(engine.asked)
        assert build(tmp_path, name, "--docker", "--pull") == "registry"
        assert len(engine.asked) == asked


@pytest.mark.parametrize(
    "trouble", ["none", "another machine's", "an error", "nonsense", "no engine", "a TCP host"]
)
def test_the_engine_is_passed_over(
    engine: Engine, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = Store(tmp_path / "published")
    make_image(published, "x.example/app:1", [[Member("from", content="registry")]])
    with FakeRegistry() as registry:
        name = registry.load(published, "x.example/app:1", "app", "1")
        if trouble != "none":
            engine.images[name] = (
                b"nonsense" if trouble == "nonsense" else archive(tmp_path, "engine")
            )
        if trouble == "another machine's":
            engine.architecture = ARM64.architecture
        if trouble == "an error":
            engine.status = 500
        if trouble == "no engine":
            monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        if trouble == "a TCP host":
            monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
        assert build(tmp_path, name, "--docker") == "registry"


@pytest.mark.parametrize("where", ["the engine", "the store", "the store, without an engine"])
def test_nothing_is_copied_from_an_earlier_build_that_is_at_hand(
    engine: Engine, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "x.example/app:1"
    if where == "the engine":
        engine.images[name] = archive(tmp_path, "engine")
    else:
        make_image(
            Store(tmp_path / "store"), name, [[Member("from", content="store")]], {"Cmd": ["/x"]}
        )
    if "without" in where:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    (tmp_path / "os.yml").write_text(
        f"init: ['{name}']\nfiles: [{{path: etc/os.yml, metadata: yaml}}]\n"
    )
    base = [
        "build",
        "--cache",
        str(tmp_path / "store"),
        "--arch",
        "amd64",
        "--docker",
        str(tmp_path / "os.yml"),
    ]
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    assert main([*base, "--o", str(first)]) == 0
    assert main([*base, "--o", str(second), "--input-tar", str(first)]) == 0
    assert second.read_bytes() == first.read_bytes()
    if where == "the engine":
        assert [path.rpartition("/")[2] for path in engine.asked] == ["json", "get", "json"], (
            "asked once a build"
        )
