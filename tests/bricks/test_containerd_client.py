"""init's containerd client under sanitizers: Debian's containerd is the real peer, a socket of ours the hostile one."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_driver

PARTS = ("containerd", "grpc", "hpack", "protobuf")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver("containerd", parts=PARTS, folder=tmp_path_factory.mktemp("driver"))


def call(driver: Path, *arguments: object) -> str:
    done = subprocess.run([driver, *map(str, arguments)], capture_output=True, text=True, timeout=90, check=False)
    assert done.stderr == "", "the sanitizers have nothing to say"
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "text"),
    [  # RFC 7541, C.4 and C.6
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95ba97d7f", "custom-key"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("", ""),
        ("ffffffff", "malformed"),
        ("f1e3c2e5f23a6ba0ab90f400", "malformed"),
    ],
)
def test_huffman_code(driver: Path, code: str, text: str) -> None:
    assert call(driver, "huffman", code) == text


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Path]:
    """A containerd of the test's own; gives its socket."""
    address = tmp_path / "containerd.sock"
    (tmp_path / "config.toml").write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{address}"\n'
    )
    with (tmp_path / "containerd.log").open("wb") as log:
        process = subprocess.Popen(["containerd", "--config", tmp_path / "config.toml"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not address.exists():
            assert time.monotonic() < deadline, (tmp_path / "containerd.log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def bundle(tmp_path: Path, script: str, padding: int = 0) -> Path:
    """A container's specification; `padding` makes it longer than HTTP/2's first window."""
    root = tmp_path / "rootfs/bin"
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root)
    spec = {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/busybox", "sh", "-c", script], "cwd": "/"},
        "root": {"path": str(tmp_path / "rootfs")},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "annotations": {"padding": "x" * padding},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "resources": {}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(spec))
    return path


def test_a_container_from_birth_to_removal(driver: Path, containerd: Path, tmp_path: Path) -> None:
    spec = bundle(tmp_path, "echo out; echo err >&2; exec sleep 300", padding=200_000)
    out, err = tmp_path / "one.out.log", tmp_path / "one.log"
    out.touch()
    err.touch()
    assert call(driver, containerd, "test", "create", "one", spec) == "ok 0"
    assert call(driver, containerd, "test", "create", "one", spec) == 'error: container "one": already exists'
    assert call(driver, containerd, "test", "task", "one", out, err).startswith("ok ")
    assert call(driver, containerd, "test", "start", "one").startswith("ok ")
    deadline = time.monotonic() + 20
    while (out.read_text(), err.read_text()) != ("out\n", "err\n"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    listing = ["ctr", "-a", str(containerd), "-n", "test", "task", "ls"]
    assert "RUNNING" in subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    assert "not found" in call(driver, containerd, "test", "start", "other")
    assert call(driver, containerd, "test", "remove-all") == "ok 0"
    assert "one" not in subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    assert call(driver, containerd, "elsewhere", "remove-all") == "ok 0"


def test_nobody_listens(driver: Path, tmp_path: Path) -> None:
    assert "error:" in call(driver, tmp_path / "none.sock", "test", "remove-all")


def frame(kind: int, flags: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + body


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


SETTINGS = frame(4, 0, 0, b"")
OK = frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"\0\0\0\0\0") + frame(1, 5, 1, literal(b"grpc-status", b"0"))
REFUSED = frame(1, 5, 1, literal(b"grpc-status", b"5") + literal(b"grpc-message", b"no such%20thing%0A"))

ANSWERS: dict[str, tuple[bytes, str]] = {
    "a good answer": (SETTINGS + OK, "ok 0"),
    "with unknown frames and padding": (
        SETTINGS
        + frame(0x77, 0xFF, 0, b"?")
        + frame(6, 0, 0, b"12345678")
        + frame(1, 4, 1, b"\x20\x88")
        + frame(0, 8, 1, b"\x03\0\0\0\0\0pad")
        + frame(1, 0, 1, literal(b"grpc-status", b"0")[:5])
        + frame(9, 4, 1, literal(b"grpc-status", b"0")[5:]),
        "ok 0",
    ),
    "the server's words": (SETTINGS + REFUSED, "error: no such thing"),
    "silence": (b"", "error:"),
    "an oversized frame": (SETTINGS + frame(0, 0, 1, b"", length=1 << 23), "error:"),
    "a frame cut short": (SETTINGS + frame(0, 0, 1, b"abc", length=100), "error:"),
    "padding longer than the frame": (SETTINGS + frame(0, 8, 1, b"\xff\0"), "error:"),
    "malformed headers": (SETTINGS + frame(1, 5, 1, b"\x00\xff\xff\xff\xff\xff\xff"), "error:"),
    "a header string beyond the block": (SETTINGS + frame(1, 5, 1, b"\x00\x7f\x80\x01abc"), "error:"),
    "no status": (SETTINGS + frame(1, 5, 1, b"\x88"), "error:"),
    "a bad message length": (
        SETTINGS + frame(0, 0, 1, b"\0\0\0\1\0") + frame(1, 5, 1, literal(b"grpc-status", b"0")),
        "error:",
    ),
    "going away": (SETTINGS + frame(7, 0, 0, b"\0" * 8), "error:"),
    "reset": (SETTINGS + frame(3, 0, 1, b"\0\0\0\1"), "error:"),
    "not HTTP/2 at all": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "error:"),
}


def serve_once(path: Path, answer: bytes) -> threading.Thread:
    """Answers one connection with fixed bytes and closes it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            connection.settimeout(10)
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            try:
                while connection.recv(1 << 16):
                    pass
            except OSError:
                pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_server_may_say(driver: Path, tmp_path: Path, answer: str) -> None:
    data, expected = ANSWERS[answer]
    thread = serve_once(tmp_path / "s", data)
    assert call(driver, tmp_path / "s", "test", "start", "one").startswith(expected)
    thread.join()


def test_mutated_answers_never_break_it(driver: Path, tmp_path: Path, mutate: Callable[[bytes, int], bytes]) -> None:
    for number in range(60):
        path = tmp_path / str(number)
        thread = serve_once(path, mutate(SETTINGS + OK + REFUSED, number))
        assert call(driver, path, "test", "start", "one").startswith(("ok", "error:"))
        thread.join()


@pytest.fixture
def mutate() -> Callable[[bytes, int], bytes]:
    import random

    def change(data: bytes, seed: int) -> bytes:
        source = random.Random(seed)
        changed = bytearray(data)
        for _ in range(source.randint(1, 4)):
            changed[source.randrange(len(changed))] = source.randrange(256)
        return bytes(changed[: source.randint(1, len(changed))])

    return change
