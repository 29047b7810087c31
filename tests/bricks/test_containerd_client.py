"""init's containerd client under sanitizers: Debian's containerd is the real peer, a socket of ours
the hostile one."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compos.compose.plan import CONTAINERD_ID, MAX_CONTAINERD_ID, MAX_SPECIFICATION
from tests.bricks.compiler import compile_driver
from tests.machine import require_cgroups

PARTS = (
    "containerd/containerd",
    "containerd/grpc",
    "containerd/hpack",
    "containerd/protobuf",
    "containerd/wire",
    "base/failure",
)

FRENCH = 'task "web": fichier introuvable – voilà'
FRENCH_CODE = "48d1d54fe7c163fe6e292989398b6286a9361edee38e82a9fffdbfffcdffff814ee7351fffc7fffdaf"
PRINTABLE = "".join(map(chr, range(32, 127)))
PRINTABLE_CODE = (
    "53f8fe7febff2afc7fafebfbf9ff7f4b2ec002265a6dc75e7ee7dfffc83feffcffd4376f5fc187163c997367d1a756bd"
    "9b776fe1c797e73fdffdffff0ffe7ff917ffd1c6490b2cd39ba75a29a8f5f6b109b7bf8f3ebdfffeff9ffefff7"
)
STATUS_CODE = "9acac8b21234da8f"
"""What the Python package hpack makes of these and of `grpc-status`."""


@pytest.fixture(scope="module")
def driver() -> Path:
    return compile_driver("containerd", parts=PARTS)


def call(driver: Path, *arguments: object) -> str:
    done = subprocess.run(
        [driver, *map(str, arguments)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stderr == "", "the sanitizers have nothing to say"
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("code", "text"),
    [  # RFC 7541, C.4 and C.6
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95ba97d7f", "custom-key"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        (PRINTABLE_CODE, PRINTABLE),
        (FRENCH_CODE, FRENCH),
        ("", ""),
        ("ffffffff", "malformed"),  # the end of string symbol
        ("f1e3c2e5f23a6ba0ab90f400", "malformed"),  # padding of zeros
        ("f1e3c2e5f23a6ba0ab90f4ffff", "malformed"),  # padding of more than seven bits
        ("ffc7", "malformed"),  # NUL: 1111111111000, then padding
    ],
)
def test_huffman_code(driver: Path, code: str, text: str) -> None:
    assert call(driver, "huffman", code) == text


def accepts(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


@pytest.fixture
def containerd(driver: Path, tmp_path: Path) -> Iterator[Path]:
    """A containerd of the test's own; gives its socket. Its containers, in the namespace `test`,
    end with it."""
    address = tmp_path / "containerd.sock"
    (tmp_path / "config.toml").write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{address}"\n'
    )
    with (tmp_path / "containerd.log").open("wb") as log:
        process = subprocess.Popen(
            ["containerd", "--config", tmp_path / "config.toml"], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while not accepts(address):
            assert time.monotonic() < deadline, (tmp_path / "containerd.log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        subprocess.run(
            [driver, address, "test", "remove-all"], capture_output=True, timeout=90, check=False
        )
        process.terminate()
        process.wait(30)


def control(address: Path, *arguments: str) -> str:
    """What containerd's own client says."""
    command = ["ctr", "-a", str(address), "-n", "test", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def bundle(tmp_path: Path, script: str, padding: int = 0) -> Path:
    """A container's specification; `padding` makes it longer than HTTP/2's first window."""
    root = tmp_path / "rootfs/bin"
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root)
    spec = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/busybox", "sh", "-c", script],
            "cwd": "/",
        },
        "root": {"path": str(tmp_path / "rootfs")},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "annotations": {"padding": "x" * padding},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "resources": {}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(spec))
    return path


@pytest.mark.root
def test_a_container_from_birth_to_removal(driver: Path, containerd: Path, tmp_path: Path) -> None:
    require_cgroups()
    spec = bundle(tmp_path, "echo out; echo err >&2; exec sleep 300", padding=200_000)
    out, err = tmp_path / "one.out.log", tmp_path / "one.log"
    out.touch()
    err.touch()
    assert call(driver, containerd, "test", "create", "one", spec) == "ok 0"
    assert (
        call(driver, containerd, "test", "create", "one", spec)
        == 'error: container "one": already exists'
    )
    info = json.loads(control(containerd, "containers", "info", "one"))
    assert info["Spec"] == json.loads(spec.read_text())
    assert info["Runtime"]["Name"] == "io.containerd.runc.v2"
    created = call(driver, containerd, "test", "task", "one", out, err)
    assert re.fullmatch(r"ok [1-9]\d*", created)
    assert call(driver, containerd, "test", "start", "one") == created, "the same process"
    until(lambda: (out.read_text(), err.read_text()) == ("out\n", "err\n"))
    assert "RUNNING" in control(containerd, "task", "ls")
    assert "not found" in call(driver, containerd, "test", "start", "other")
    assert call(driver, containerd, "test", "kill", "one") == "ok 0"
    until(lambda: "STOPPED" in control(containerd, "task", "ls"))
    assert "not found" in call(driver, containerd, "test", "kill", "other")
    assert call(driver, containerd, "test", "remove-all") == "ok 0"
    assert "one" not in control(containerd, "task", "ls") + control(containerd, "containers", "ls")
    assert call(driver, containerd, "elsewhere", "remove-all") == "ok 0"


@pytest.mark.root
def test_the_longest_specification_is_a_request(
    driver: Path, containerd: Path, tmp_path: Path
) -> None:
    """With the longest names around it; what init reads for longer ones, the build refuses."""
    short = len(bundle(tmp_path, "true").read_bytes())
    spec = bundle(tmp_path, "true", padding=MAX_SPECIFICATION - short)
    assert spec.stat().st_size == MAX_SPECIFICATION
    assert call(driver, containerd, "test", "create", "a" * 76, spec) == "ok 0"
    info = json.loads(control(containerd, "containers", "info", "a" * 76))
    assert info["Spec"] == json.loads(spec.read_text())
    spec.write_bytes(spec.read_bytes().ljust(MAX_SPECIFICATION + 4096))
    problem = "error: the container's configuration is longer than a request can be"
    assert call(driver, containerd, "test", "create", "b", spec) == problem


@pytest.mark.root
def test_containerd_takes_the_names_that_the_build_lets_through(
    driver: Path, containerd: Path, tmp_path: Path
) -> None:
    spec = bundle(tmp_path, "true")
    for name in (
        "web",
        "a-b_c.d",
        "a" * 76,
        "a" * 77,
        "a--b",
        "end-",
        "-a",
        ".a",
        "a+b",
        "a b",
        "ä",
        "0",
    ):
        taken = call(driver, containerd, "test", "create", name, spec) == "ok 0"
        assert taken == bool(CONTAINERD_ID.fullmatch(name) and len(name) <= MAX_CONTAINERD_ID), name


@pytest.mark.root
def test_removing_what_still_runs(driver: Path, containerd: Path, tmp_path: Path) -> None:
    """A killed task needs a moment to die, above all one of many processes; no name may stay
    taken."""
    require_cgroups()
    spec = bundle(
        tmp_path, "i=0; while [ $i -lt 50 ]; do sleep 300 & i=$((i+1)); done; echo up; wait"
    )
    out = tmp_path / "log"
    for _ in range(4):
        out.write_text("")
        for name in ("running", "created"):
            assert call(driver, containerd, "test", "create", name, spec) == "ok 0"
            assert call(driver, containerd, "test", "task", name, out, out).startswith("ok ")
        assert call(driver, containerd, "test", "start", "running").startswith("ok ")
        until(lambda: "up" in out.read_text())
        assert call(driver, containerd, "test", "remove-all") == "ok 0"
        assert (
            control(containerd, "task", "ls", "-q") + control(containerd, "containers", "ls", "-q")
            == ""
        )


@pytest.mark.root
def test_removing_more_than_a_small_answer_holds(
    driver: Path, containerd: Path, tmp_path: Path
) -> None:
    spec = bundle(tmp_path, "true", padding=400_000)
    for number in range(6):
        assert call(driver, containerd, "test", "create", f"large-{number}", spec) == "ok 0"
    assert call(driver, containerd, "test", "remove-all") == "ok 0"
    assert control(containerd, "containers", "ls", "-q") == ""


def test_nobody_listens(driver: Path, tmp_path: Path) -> None:
    assert "error:" in call(driver, tmp_path / "none.sock", "test", "remove-all")


def frame(kind: int, flags: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + body


def text(value: bytes, *, huffman: bool = False) -> bytes:
    """A string literal of RFC 7541, section 5.2."""
    mark = 0x80 if huffman else 0
    if len(value) < 127:
        return bytes([mark | len(value)]) + value
    rest, encoded = len(value) - 127, bytes([mark | 127])
    while rest >= 128:
        encoded += bytes([rest & 127 | 128])
        rest >>= 7
    return encoded + bytes([rest]) + value


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + text(name) + text(value)


def answer(message: bytes, *, stream: int = 1) -> bytes:
    """Headers, data and trailers of a call that went well."""
    data = b"\0" + struct.pack(">I", len(message)) + message
    return frame(1, 4, stream, b"\x88") + frame(0, 0, stream, data) + frame(1, 5, stream, STATUS_0)


def refusal(status: bytes, message: bytes) -> bytes:
    return SETTINGS + frame(
        1, 5, 1, literal(b"grpc-status", status) + literal(b"grpc-message", message)
    )


STATUS_0 = literal(b"grpc-status", b"0")
HUFFMAN = (
    (b"\0" + text(bytes.fromhex(STATUS_CODE), huffman=True) + text(b"2"))  # without indexing
    + (
        b"\x10" + text(b"grpc-message") + text(bytes.fromhex(FRENCH_CODE), huffman=True)
    )  # never to be indexed
)
SETTINGS = frame(4, 0, 0, b"")
OK = answer(b"\x08\x07")
"""StartResponse: pid 7."""
MALFORMED = "error: the server sent a malformed frame"
BAD_HEADERS = "error: the response's headers are malformed"
BAD_ANSWER = "error: the response is malformed"

ANSWERS: dict[str, tuple[bytes, str]] = {
    "a good answer": (SETTINGS + OK, "ok 7"),
    "with unknown frames and padding": (
        SETTINGS
        + frame(0x77, 0xFF, 0, b"?")
        + frame(6, 0, 0, b"12345678")
        + frame(2, 0, 1, b"12345")
        + frame(1, 4, 1, b"\x3f\xe1\x1f\x20\x88")
        + frame(0, 8, 1, b"\x03\0\0\0\0\2\x08\x07pad")
        + frame(1, 0x29, 1, b"\x02prior" + STATUS_0[:5] + b"..")
        + frame(9, 0, 1, b"")
        + frame(9, 4, 1, STATUS_0[5:]),
        "ok 7",
    ),
    "an answer in pieces": (
        SETTINGS
        + frame(1, 4, 1, b"\x88")
        + b"".join(frame(0, 0, 1, bytes([byte])) for byte in b"\0\0\0\0\2\x08\x07")
        + frame(1, 5, 1, STATUS_0),
        "ok 7",
    ),
    "leaving after this call": (
        SETTINGS + frame(7, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0") + OK,
        "ok 7",
    ),
    "the server's words": (refusal(b"5", b"no such%20thing%0A"), "error: no such thing"),
    "words in Huffman's code": (
        SETTINGS + frame(1, 4, 1, b"\x88") + frame(1, 5, 1, HUFFMAN),
        f"error: {FRENCH}",
    ),
    "words that are no code": (refusal(b"2", b"100% of %zz%a"), "error: 100% of %zz%a"),
    "words cut inside a code": (
        refusal(b"2", b"x" * 1021 + b"%a" + b"b" * 9),
        "error: " + "x" * 511,
    ),
    "words for a terminal": (refusal(b"2", b"%1b[2Jgone%00"), "error: ?[2Jgone?"),
    "no words": (refusal(b"14", b""), "error: the server refused the call without a reason"),
    "a status that is no number": (refusal(b"0x0", b""), "error: the server refused"),
    "an empty status": (refusal(b"", b""), "error: the server refused"),
    "silence": (b"", "error: the connection was lost"),
    "an oversized frame": (SETTINGS + frame(0, 0, 1, b"", length=1 << 23), MALFORMED),
    "a frame cut short": (
        SETTINGS + frame(0, 0, 1, b"abc", length=100),
        "error: the connection was lost",
    ),
    "padding longer than the frame": (SETTINGS + frame(0, 8, 1, b"\xff\0"), MALFORMED),
    "padding without its length": (SETTINGS + frame(0, 8, 1, b""), MALFORMED),
    "data on no stream": (SETTINGS + frame(0, 0, 0, b"abc"), MALFORMED),
    "settings of five bytes": (frame(4, 0, 0, b"12345") + OK, MALFORMED),
    "a window beyond 2^31": (frame(4, 0, 0, b"\0\4\xff\xff\xff\xff") + OK, MALFORMED),
    "a window grown beyond 2^31": (SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff") + OK, MALFORMED),
    "a window grown by nothing": (SETTINGS + frame(8, 0, 0, b"\0\0\0\0") + OK, MALFORMED),
    "a short ping": (SETTINGS + frame(6, 0, 0, b"1") + OK, MALFORMED),
    "a push": (SETTINGS + frame(5, 4, 1, b"\0\0\0\2\x88") + OK, MALFORMED),
    "a continuation of nothing": (SETTINGS + frame(9, 4, 1, STATUS_0), MALFORMED),
    "a continuation after the end": (
        SETTINGS + frame(1, 4, 1, b"\x88") + frame(9, 4, 1, b"\x88") + OK,
        MALFORMED,
    ),
    "a continuation of another stream": (
        SETTINGS + frame(1, 0, 1, b"") + frame(9, 4, 3, b"\x88") + OK,
        MALFORMED,
    ),
    "a frame inside a header block": (
        SETTINGS + frame(1, 0, 1, b"") + frame(6, 0, 0, b"12345678") + OK,
        MALFORMED,
    ),
    "headers without end": (
        SETTINGS + frame(1, 0, 1, b"") + frame(9, 0, 1, b"\x88" * 16384) * 5,
        "error: the response's headers are too long",
    ),
    "malformed headers": (SETTINGS + frame(1, 5, 1, b"\x00\xff\xff\xff\xff\xff\xff"), BAD_HEADERS),
    "a header string beyond the block": (
        SETTINGS + frame(1, 5, 1, b"\x00\x7f\x80\x01abc"),
        BAD_HEADERS,
    ),
    "the dynamic table": (SETTINGS + frame(1, 5, 1, b"\xbe"), BAD_HEADERS),
    "a name of the dynamic table": (SETTINGS + frame(1, 5, 1, b"\x7e\x010"), BAD_HEADERS),
    "entry 0": (SETTINGS + frame(1, 5, 1, b"\x80"), BAD_HEADERS),
    "a table size too late": (SETTINGS + frame(1, 5, 1, b"\x88\x20"), BAD_HEADERS),
    "NUL in a name": (SETTINGS + frame(1, 5, 1, literal(b"grpc-status\0", b"0")), BAD_HEADERS),
    "no status": (SETTINGS + frame(1, 5, 1, b"\x88"), "error: the server refused"),
    "a status and no message": (SETTINGS + frame(1, 5, 1, STATUS_0), BAD_ANSWER),
    "a bad message length": (
        SETTINGS + frame(0, 0, 1, b"\0\0\0\1\0") + frame(1, 5, 1, STATUS_0),
        BAD_ANSWER,
    ),
    "a compressed message": (
        SETTINGS + frame(0, 0, 1, b"\1\0\0\0\0") + frame(1, 5, 1, STATUS_0),
        BAD_ANSWER,
    ),
    "no pid": (SETTINGS + answer(b""), BAD_ANSWER),
    "a pid beyond any": (SETTINGS + answer(b"\x08\xff\xff\xff\xff\x0f"), BAD_ANSWER),
    "a message that is none": (SETTINGS + answer(b"\xff\xff\xff"), BAD_ANSWER),
    "a field beyond the message": (SETTINGS + answer(b"\x08\x07\x12\x7f"), BAD_ANSWER),
    "going away": (SETTINGS + frame(7, 0, 0, b"\0" * 8), "error: the server is going away"),
    "reset": (SETTINGS + frame(3, 0, 1, b"\0\0\0\1"), "error: the server aborted the call"),
    "a short reset": (SETTINGS + frame(3, 0, 1, b""), MALFORMED),
    "not HTTP/2 at all": (b"HTTP/1.1 400 Bad Request\r\n\r\n", MALFORMED),
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


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_server_may_say(driver: Path, tmp_path: Path, case: str) -> None:
    data, expected = ANSWERS[case]
    thread = serve_once(tmp_path / "s", data)
    assert call(driver, tmp_path / "s", "test", "start", "one").startswith(expected)
    thread.join()


class Peer:
    """The server's side of one connection, frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames: list[tuple[int, int, int, bytes]] = []

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def next(self) -> tuple[int, int, int, bytes]:
        header = self.read(9)
        kind, flags, stream = struct.unpack(">BBI", header[3:])
        self.frames.append((kind, flags, stream, self.read(int.from_bytes(header[:3], "big"))))
        return self.frames[-1]

    def drain(self) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self.next()


@contextlib.contextmanager
def conversation(path: Path, talk: Callable[[Peer], None]) -> Iterator[Peer]:
    """Holds one conversation in a thread; what goes wrong in it is raised at the end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    peer = Peer(socket.socket())
    troubles: list[Exception] = []

    def run() -> None:
        try:
            with listener, listener.accept()[0] as connection:
                connection.settimeout(20)
                peer.connection = connection
                talk(peer)
        except Exception as trouble:
            troubles.append(trouble)

    thread = threading.Thread(target=run)
    thread.start()
    yield peer
    thread.join()
    assert not troubles


def test_a_long_request_keeps_to_the_windows(driver: Path, tmp_path: Path) -> None:
    """Windows of 1,000 bytes on the stream and 65,535 on the connection, which are opened bit by
    bit."""
    spec = tmp_path / "config.json"
    spec.write_bytes(bytes(range(256)) * 400)
    received = bytearray()

    def talk(peer: Peer) -> None:
        assert peer.read(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        assert peer.next() == (4, 0, 0, b"\0\1\0\0\0\0" + b"\0\2\0\0\0\0"), (
            "no dynamic table, no pushes"
        )
        assert peer.next()[:3] == (1, 4, 1)
        granted = {0: 65_535, 1: 65_535}
        kind, flags, body = 0, 0, b""
        while granted[0] and granted[1]:
            kind, flags, stream, body = peer.next()
            assert (kind, flags, stream) == (0, 0, 1)
            assert len(body) <= 16_384
            received.extend(body)
            granted = {key: value - len(body) for key, value in granted.items()}
        assert granted == {0: 0, 1: 0}, "all that was allowed"
        # A smaller first window makes the stream's negative (RFC 9113, 6.9.2): 1,000 - 65,535 +
        # 65,000 = 465.
        peer.connection.sendall(frame(4, 0, 0, b"\0\4" + struct.pack(">I", 1000)))
        peer.connection.sendall(
            frame(8, 0, 1, struct.pack(">I", 65_000)) + frame(6, 0, 0, b"are you?")
        )
        assert peer.next() == (4, 1, 0, b"")
        assert peer.next() == (6, 1, 0, b"are you?")
        peer.connection.sendall(frame(8, 0, 0, struct.pack(">I", 400)))
        assert len(peer.next()[3]) == 400
        received.extend(peer.frames[-1][3])
        peer.connection.sendall(frame(8, 0, 0, struct.pack(">I", 1 << 20)))
        assert len(peer.next()[3]) == 65
        received.extend(peer.frames[-1][3])
        peer.connection.sendall(frame(8, 0, 1, struct.pack(">I", 1 << 20)))
        while not flags & 1:
            kind, flags, _, body = peer.next()
            assert kind == 0
            assert len(body) <= 16_384
            received.extend(body)
        peer.connection.sendall(answer(b""))
        peer.drain()

    with conversation(tmp_path / "s", talk) as peer:
        assert call(driver, tmp_path / "s", "test", "create", "one", spec) == "ok 0"
    assert received[0] == 0
    assert int.from_bytes(received[1:5], "big") == len(received) - 5
    assert received.endswith(spec.read_bytes())
    assert [entry for entry in peer.frames if entry[0] == 8] == [
        (8, 0, 1, b"\0\0\0\5"),
        (8, 0, 0, b"\0\0\0\5"),
    ], "the answer's bytes are given back to both windows"


def test_an_answer_before_the_end_of_the_request(driver: Path, tmp_path: Path) -> None:
    spec = tmp_path / "config.json"
    spec.write_bytes(b"x" * 100_000)

    def talk(peer: Peer) -> None:
        peer.read(24)
        peer.connection.sendall(refusal(b"8", b"enough"))
        peer.drain()

    with conversation(tmp_path / "s", talk) as peer:
        assert call(driver, tmp_path / "s", "test", "create", "one", spec) == "error: enough"
    assert peer.frames[-1] == (3, 0, 1, b"\0\0\0\x08"), "the rest is cancelled"


def test_a_container_that_will_not_go(driver: Path, tmp_path: Path) -> None:
    """A server that lists the same container for ever, though it says that it deletes it."""
    listed = b"\x0a\x05\x0a\x03one"

    def talk(peer: Peer) -> None:
        peer.read(24)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                kind, flags, stream, _ = peer.next()
                if kind == 0 and flags & 1:
                    peer.connection.sendall(
                        answer(listed if stream % 10 == 1 else b"", stream=stream)
                    )

    with conversation(tmp_path / "s", talk) as peer:
        said = call(driver, tmp_path / "s", "test", "remove-all")
    assert said == "error: the container one cannot be removed"
    assert max(entry[2] for entry in peer.frames) == 11, "list, kill, wait, delete, delete, list"


@pytest.mark.parametrize("drip", [b"", frame(6, 1, 0, b"12345678")])
def test_no_call_outlives_its_time(tmp_path: Path, drip: bytes) -> None:
    """Half a second here, a minute in an image: whether the server is silent, or says nothing that
    helps."""
    program = compile_driver("containerd", parts=PARTS, defines=("-DWIRE_TIMEOUT_MS=500",))

    def talk(peer: Peer) -> None:
        peer.connection.sendall(SETTINGS)
        with contextlib.suppress(ConnectionError):
            while drip:
                peer.connection.sendall(drip)
                time.sleep(0.05)
        peer.drain()

    begin = time.monotonic()
    with conversation(tmp_path / "s", talk):
        said = call(program, tmp_path / "s", "test", "start", "one")
        # Without its limit, `call` would give up after 90 s.
        assert 0.4 < time.monotonic() - begin < 60
    assert said.startswith("error: the server did not answer within")


def mutated(data: bytes, seed: int) -> bytes:
    source = random.Random(seed)
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        changed[source.randrange(len(changed))] = source.randrange(256)
    return bytes(changed[: source.randint(1, len(changed))])


def test_mutated_answers_never_break_it(driver: Path, tmp_path: Path) -> None:
    whole = [data for data, _ in ANSWERS.values() if len(data) < 1000]
    for number in range(100):
        path = tmp_path / str(number)
        thread = serve_once(path, mutated(whole[number % len(whole)] + OK, number))
        assert call(driver, path, "test", "start", "one").startswith(("ok ", "error: "))
        thread.join()
