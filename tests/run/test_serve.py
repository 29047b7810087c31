"""A folder over HTTP against a raw socket: what may be asked for, what is answered, and what a bad
client can hold."""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run import serve, served
from compos.run.serve import listen, parse_address

CONTENT = b"0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pub"
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(CONTENT)
    (folder / "none").write_bytes(b"")
    (folder / "sub/index.html").write_text("index")
    (folder / ".hidden").write_text("hidden")
    (folder / "a b%20ü").write_text("odd")
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    (folder / "back\\slash").write_text("back")
    (folder / "C:").write_text("drive")
    (tmp_path / "pub-secret").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    for name, target in (("out", "../secret"), ("beside", "../pub-secret"), ("up", ".."), ("in", "file"), ("round", "round"),
                         ("absolute", str(tmp_path / "secret")), ("deep", "sub/../../secret"), ("dangling", "x")):  # fmt: skip
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket"))
    (folder / "dev").symlink_to("/dev/zero")
    return folder


Ask = Callable[..., bytes]


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    with listen("127.0.0.1", 0, str(folder)) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(port: int) -> Ask:
    """Send bytes, return all that comes until the server closes the connection, or nothing has come
    for a while."""

    def send(data: bytes, wait: float = 2) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(wait)
            connection.sendall(data)
            found = b""
            try:
                while piece := connection.recv(1 << 16):
                    found += piece
            except TimeoutError:
                found += b"<open>"
            return found

    return send


def get(path: bytes | str, *headers: str, method: str = "GET") -> bytes:
    path = path.encode() if isinstance(path, str) else path
    lines = b"".join(
        header.encode() + b"\r\n" for header in ("Host: x", "Connection: close", *headers)
    )
    return method.encode() + b" " + path + b" HTTP/1.1\r\n" + lines + b"\r\n"


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:40]
    return int(answer[9:12])


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/file", CONTENT),
        ("/file?x=/../y", CONTENT),
        ("//file", CONTENT),
        ("/./sub/../file", CONTENT),
        ("/../../file", CONTENT),
        ("/%66ile", CONTENT),
        ("/sub%2f..%2ffile", CONTENT),
        ("http://anything:80/file", CONTENT),
        ("/in", CONTENT),
        ("/none", b""),
        ("/sub/", b"index"),
        ("/.hidden", b"hidden"),
        ("/a%20b%2520%c3%bc", b"odd"),
        ("/%ff", b""),
        ("/back%5cslash", b"back"),
        ("/back\\slash", b"back"),
        ("/C:", b"drive"),
    ],
)
def test_files(ask: Ask, path: str, content: bytes) -> None:
    answer = ask(get(path))
    assert (status(answer), body(answer)) == (200, content)


@pytest.mark.parametrize(
    "path",
    [
        "/absent", "/file/", "/file/x", "/out", "/beside", "/up", "/up/", "/up/secret", "/up/pub-secret", "/absolute", "/deep",
        "/round", "/dangling", "/fifo", "/socket", "/dev", "/../secret", "/../pub-secret", "/%2e%2e/secret", "/%2e%2e%2fsecret",
        "/..%2f..%2f..%2fetc/passwd", "/..%5c..%5csecret", "/..\\secret", "/%00", "/file%00.html", "/%00/../secret",
        "/" + "x" * 5000, "/" + "x/" * 5000, "file:///etc/passwd", "//etc/passwd", "/%", "/%zz", "/sub/%2e%2e/%2e%2e/secret",
        "/c:/secret", "/CON", "/file::$DATA", "/file.", "*", "/\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_not_there(ask: Ask, path: str) -> None:
    answer = ask(get(path.encode("latin-1")))
    assert status(answer) == 404
    assert b"secret" not in body(answer)


def test_a_folder_without_a_slash_leads_to_itself_only(ask: Ask) -> None:
    for path, target in (
        ("/sub?x=1", "/sub/?x=1"),
        ("//sub", "/sub/"),
        ("//h.example/../sub", "/sub/"),
        ("/sub/..", "/"),
    ):
        answer = ask(get(path))
        assert status(answer) in (301, 200)
        if status(answer) == 301:
            assert f"Location: {target}\r\n".encode() in answer


def test_listings(ask: Ask, folder: Path) -> None:
    (folder / "empty/<script>&\"'").write_text("")
    (folder / "empty/javascript:x").write_text("")
    page = body(ask(get("/")))
    for name in (
        b">file<",
        b">sub/<",
        b">in<",
        b'href="%FF"',
        b'href="C%3A"',
        b'href="a%20b%2520%C3%BC"',
    ):
        assert name in page
    for name in (b"out", b"secret", b"up", b"fifo", b"socket", b"dangling", b"round", b"dev"):
        assert b">" + name not in page
    page = body(ask(get("/empty/")))
    assert b"<script>" not in page
    assert b'"javascript:' not in page


RANGES = [
    ("bytes=0-", 206, CONTENT), ("bytes=2-4", 206, b"234"), ("bytes=9-", 206, b"9"), ("bytes=9-9", 206, b"9"),
    ("bytes=-3", 206, b"789"), ("bytes=-100", 200, CONTENT), ("bytes=5-100", 206, b"56789"), ("Bytes=0-0", 206, b"0"),
    ("bytes=0000000000000000000000000000005-6", 206, b"56"), ("bytes=1-" + "9" * 4400, 206, b"123456789"),
    ("bytes=-" + "9" * 4400, 200, CONTENT),
    ("bytes=10-", 416, b""), ("bytes=" + "1" * 4400 + "-", 416, b""), ("bytes=-0", 416, b""), ("bytes=10-20", 416, b""),
    ("bytes=5-2", 200, CONTENT), ("bytes=", 200, CONTENT), ("bytes=-", 200, CONTENT), ("bytes=0-1,3-4", 200, CONTENT),
    ("lines=1-2", 200, CONTENT), ("bytes=a-b", 200, CONTENT), ("bytes=1", 200, CONTENT), ("bytes=--1", 200, CONTENT),
    ("bytes=\xb2-", 200, CONTENT), ("bytes=+1-2", 200, CONTENT), ("bytes=0x1-2", 200, CONTENT),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "code", "content"), RANGES)
def test_ranges(ask: Ask, asked: str, code: int, content: bytes) -> None:
    answer = ask(get("/file").replace(b"Host: x", b"Range: " + asked.encode("latin-1")))
    # All of it may be said either way; http.server's own answer to no range is the plain one.
    assert (status(answer) if content != CONTENT or asked != "bytes=0-" else 206, body(answer)) == (
        code,
        content,
    )
    assert f"Content-Length: {len(content)}\r\n".encode() in answer
    if code == 416:
        assert b"Content-Range: bytes */10\r\n" in answer
    if code == 206 and len(content) < len(CONTENT):
        start = CONTENT.index(content)
        assert f"Content-Range: bytes {start}-{start + len(content) - 1}/10\r\n".encode() in answer


def test_ranges_as_curl_asks_for_them(port: int, folder: Path, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_000_000)
    (folder / "big").write_bytes(data)
    url = f"http://127.0.0.1:{port}/big"

    def curl(*flags: str) -> bytes:
        return subprocess.run(["curl", "-sSf", *flags, url], check=True, capture_output=True).stdout

    assert curl() == data
    assert curl("--range", "5-2000000") == data[5:2_000_001]
    assert curl("--range", "-7") == data[-7:]
    part = tmp_path / "part"
    part.write_bytes(data[:1_234_567])
    curl("-C", "-", "-o", str(part))
    assert part.read_bytes() == data


def test_conditions(ask: Ask) -> None:
    head = ask(get("/file", method="HEAD"))
    assert (status(head), body(head)) == (200, b"")
    assert b"Content-Length: 10\r\n" in head
    modified = next(
        line[15:] for line in head.decode().splitlines() if line.startswith("Last-Modified: ")
    )
    assert status(ask(get("/file", f"If-Modified-Since: {modified}"))) == 304
    assert status(ask(get("/file", f"If-Modified-Since: {modified}", "If-None-Match: x"))) == 200
    for date in (
        "x",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Thu, 01 Jan 99999999999999 00:00:00 GMT",
        "9" * 5000,
    ):
        assert status(ask(get("/file", f"If-Modified-Since: {date}"))) == 200
    assert status(ask(get("/file", "Range: bytes=1-2", f"If-Range: {modified}"))) == 206
    assert (
        status(ask(get("/file", "Range: bytes=1-2", "If-Range: Thu, 01 Jan 1970 00:00:00 GMT")))
        == 200
    )
    assert status(ask(get("/none", "Range: bytes=0-"))) == 416


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "GET", "HEAD"])
def test_a_body_is_not_the_next_request(ask: Ask, method: str) -> None:
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    request = f"{method} /file HTTP/1.1\r\nHost: x\r\n".encode()
    kept = ask(request + b"Content-Length: %d\r\n\r\n" % len(inner) + inner + get("/none"))
    assert kept.count(b"HTTP/1.1 ") == 2
    assert b"404" not in kept
    for header in (
        b"Transfer-Encoding: chunked",
        b"Content-Length: 9999999999",
        b"Content-Length: " + b"9" * 5000,
    ):
        assert ask(request + header + b"\r\n\r\n" + inner, 0.5).count(b"HTTP/1.1 ") == 1
    for header in (
        b"Content-Length: x",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nContent-Length: 35",
        b"Content-Length: +5",
    ):
        answer = ask(request + header + b"\r\n\r\n" + inner)
        assert (status(answer), answer.count(b"HTTP/1.1 ")) == (400, 1)


def test_an_answer_arrives_though_the_body_is_long(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/file", body=bytes(5 << 20))
    assert connection.getresponse().read() == CONTENT
    connection.close()


@pytest.mark.parametrize(
    "data",
    [b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
     b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"GET / HTTP/1.1\r\na: " + b"x" * 70_000 + b"\r\n\r\n",
     b"GET / HTTP/9.9\r\n\r\n", b"NONE /file HTTP/1.1\r\n\r\n", b"GET /file HTTP/1.1 x\r\n\r\n"],
    ids=range(9),
)  # fmt: skip
def test_requests_that_are_none(ask: Ask, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert CONTENT not in ask(data, 0.5)
    assert status(ask(get("/file"))) == 200
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_shrinks_ends_the_connection(port: int, folder: Path) -> None:
    """A client must not take the next answer for the rest of the file."""
    big = folder / "big"
    big.write_bytes(bytes(50 << 20))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100)
        os.truncate(big, 0)
        connection.settimeout(10)
        received = 0
        while piece := connection.recv(1 << 20):
            received += len(piece)
    assert received < 50 << 20


@pytest.mark.slow
def test_slow_clients_are_let_go(ask: Ask, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they say nothing, or a byte now and then, or take nothing."""
    monkeypatch.setattr(serve, "REQUEST_SECONDS", 0.5)
    assert ask(b"", 5) == b""
    assert ask(b"GET /file HTT", 5) == b""
    assert ask(b"POST /file HTTP/1.1\r\nContent-Length: 10\r\n\r\n123", 5) == b""
    with (  # noqa: PT012  until it is closed
        socket.create_connection(("127.0.0.1", port)) as connection,
        pytest.raises(OSError, match=r"."),
    ):
        for _ in range(50):
            connection.sendall(b"G")
            time.sleep(0.1)


@pytest.mark.slow
def test_clients_that_take_little_are_let_go(
    port: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(serve, "MIN_RATE", 64 << 20)
    (folder / "big").write_bytes(bytes(64 << 20))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10)
        connection.sendall(get("/big"))
        received, begin = 0, time.monotonic()
        # A tenth of what is asked of it, at the most.
        while piece := connection.recv(64 << 10):
            received += len(piece)
            time.sleep(max(0, begin + received / (6 << 20) - time.monotonic()))
    assert received < 64 << 20


def test_a_head_is_bounded_as_a_whole(ask: Ask) -> None:
    """Each of its lines may be long, but not all of them."""
    field = b"a: " + b"x" * 60_000 + b"\r\n"
    answer = ask(b"GET /file HTTP/1.1\r\n" + field * 3, 5)
    assert status(answer) == 431
    assert ask(b"GET /file HTTP/1.1\r\n" + field + b"Connection: close\r\n\r\n").endswith(CONTENT)
    assert status(ask(get("/file"))) == 200


def test_connections_are_bounded(port: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 3)
    with listen("127.0.0.1", 0, str(folder)) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()
        held = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(3)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", server.server_port)) as one:
            assert one.recv(100).startswith(b"HTTP/1.1 503")
        for connection in held:
            connection.close()
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", server.server_port)) as one:
            one.sendall(get("/file"))
            assert one.recv(100).startswith(b"HTTP/1.1 200")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", [b"/\x1b[31m", b"/%1b%0a", b"/" + b"x" * 60_000])
def test_the_log_is_one_plain_line(
    ask: Ask, path: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(get(path))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert len(lines[0]) <= 600


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (":8080", ("", 8080)),
        ("80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "x", ":", ":x", ":65536", ":-1", ":" + "9" * 5000, ":\u0661", "1:2:x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(RunError) as caught:
        parse_address(text)
    assert caught.value.id == "serve-address"


@pytest.mark.parametrize(
    ("host", "folder_name"),
    [("\x00", "."), ("a..b", "."), ("x" * 300, "."), ("127.0.0.1", "\x00"), ("", "none")],
)
def test_what_cannot_be_served(host: str, folder_name: str) -> None:
    with pytest.raises(RunError):
        listen(host, 0, folder_name)


@pytest.mark.parametrize("path", ["out", "in", "up/secret", "absolute", "sub/none/x"])
def test_no_link_is_followed_that_was_put_in_the_way(folder: Path, path: str) -> None:
    """What was found without links has one when it is opened."""
    assert served._opened(folder, folder / path) is None
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        served._open_below(folder, folder / path)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT)


def test_a_file_is_found_without_proc(folder: Path) -> None:
    descriptor = served._open_below(folder, folder / "sub/index.html")
    assert os.read(descriptor, 9) == b"index"
    os.close(descriptor)
