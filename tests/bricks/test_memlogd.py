"""The programs of memlogd's brick (memlogd, logread, logwrite), and the brick logwrite that keeps
what memlogd has in files: what comes in goes out, and nobody who is slow, silent or endless stops
the others."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
DUMP, FOLLOW, BOTH = b"\0", b"\1", b"\2"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs, with the links that give them their names."""
    folder = tmp_path_factory.mktemp("memlogd")
    program = compile_brick("memlogd")
    for name in ("memlogd", "logread", "logwrite"):
        (folder / name).symlink_to(program)
    return folder


class Memlogd:
    """A memlogd with sockets in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, *options: str) -> None:
        self.programs = programs
        self.log = str(folder / "log.sock")
        self.query = str(folder / "query.sock")
        command = [
            str(programs / "memlogd"),
            "-socket-log",
            self.log,
            f"--socket-query={self.query}",
        ]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        until(lambda: Path(self.query).exists())

    def add(self, name: str, *, extra: int = 0) -> int:
        """A pipe to write lines of a source to; `extra` further copies of its other end are sent
        in the same message."""
        reader, writer = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self.log)
            socket.send_fds(sender, [name.encode()], [reader] * (1 + extra))
        os.close(reader)
        return writer

    def say(self, name: str, data: bytes) -> None:
        """A source that says this, and ends."""
        writer = self.add(name)
        os.write(writer, data)
        os.close(writer)

    def ask(self, query: bytes) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.query)
        client.settimeout(20)
        client.sendall(query)
        return client

    def dump(self) -> list[tuple[str, str]]:
        """Source and message of each line."""
        with self.ask(DUMP) as client, client.makefile("rb") as lines:
            entries = [json.loads(line) for line in lines]
        assert all(set(entry) == {"time", "source", "msg"} for entry in entries)
        assert all(re.fullmatch(TIME, entry["time"]) for entry in entries)
        return [(entry["source"], entry["msg"]) for entry in entries]

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs / program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def end(self) -> None:
        assert self.process.poll() is None, self.process.communicate()[1]
        self.process.terminate()
        self.process.communicate(timeout=20)


def until(met: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def start(programs: Path, tmp_path: Path) -> Iterator[Callable[..., Memlogd]]:
    started = []

    def start(*options: str) -> Memlogd:
        started.append(Memlogd(programs, tmp_path, *options))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_lines_come_out_as_they_came_in(start: Callable[..., Memlogd]) -> None:
    memlogd = start()
    assert memlogd.dump() == []
    memlogd.say("web.out", b'one\n\ttwo "\\" \xc3\xa9 \xff\x00\x1b[0m\n\nwithout an end')
    until(lambda: len(memlogd.dump()) == 4)
    assert memlogd.dump() == [
        ("web.out", "one"),
        ("web.out", '\ttwo "\\" \u00e9 \ufffd\0\x1b[0m'),
        ("web.out", ""),
        ("web.out", "without an end"),
    ]


def test_a_line_that_is_too_long_is_cut(start: Callable[..., Memlogd]) -> None:
    memlogd = start("-max-line-len", "10")
    memlogd.say("a", b"x" * 60000 + b"\nnext\n")
    until(lambda: len(memlogd.dump()) == 2)
    assert memlogd.dump() == [("a", "x" * 10), ("a", "next")]


def test_the_oldest_lines_make_room(start: Callable[..., Memlogd]) -> None:
    memlogd = start("-max-lines", "3")
    memlogd.say("a", b"".join(b"%d\n" % i for i in range(1000)))
    until(lambda: memlogd.dump()[-1:] == [("a", "999")])
    assert memlogd.dump() == [("a", "997"), ("a", "998"), ("a", "999")]


def test_following(start: Callable[..., Memlogd]) -> None:
    memlogd = start()
    memlogd.say("a", b"before\n")
    until(lambda: len(memlogd.dump()) == 1)
    with memlogd.ask(FOLLOW) as new, memlogd.ask(BOTH) as all_of_it:
        time.sleep(0.3)
        memlogd.say("b", b"after\n")
        with new.makefile("rb") as lines:
            assert json.loads(lines.readline())["msg"] == "after"
        with all_of_it.makefile("rb") as lines:
            assert [json.loads(lines.readline())["msg"] for _ in range(2)] == ["before", "after"]


def test_who_reads_slowly_loses_lines_and_stops_nobody(start: Callable[..., Memlogd]) -> None:
    memlogd = start("-max-lines", "100")
    with memlogd.ask(BOTH) as slow:
        # More than a socket holds.
        writer = memlogd.add("a")
        for i in range(200):
            os.write(writer, b"".join(b"%d %s\n" % (i * 50 + j, b"x" * 900) for j in range(50)))
        os.close(writer)
        until(lambda: memlogd.dump()[-1][1].startswith("9999 "))
        got: list[int] = []
        with slow.makefile("rb") as lines:
            while not got or got[-1] != 9999:
                got.append(int(json.loads(lines.readline())["msg"].split()[0]))
    assert got == sorted(set(got))
    assert len(got) < 10000


def test_clients_that_mean_harm(start: Callable[..., Memlogd]) -> None:
    memlogd = start()
    memlogd.say("a", b"line\n")
    silent = [memlogd.ask(b"") for _ in range(200)]
    with memlogd.ask(b"\x07") as wrong:
        assert wrong.recv(10) == b"", "there is no such query"
    with memlogd.ask(BOTH + b"more" * 10000) as long:
        assert long.recv(1) == b"{"
    gone = memlogd.ask(BOTH)
    gone.close()
    assert memlogd.dump() == [("a", "line")]
    for client in silent:
        client.close()


def test_sources_that_mean_harm(start: Callable[..., Memlogd]) -> None:
    memlogd = start("-max-lines", "10")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(memlogd.log)
        sender.send(b"no descriptor")
        socket.send_fds(sender, [b""], [sender.fileno()])
        socket.send_fds(sender, [b"x" * 5000], [sender.fileno()])
        with Path("/dev/zero").open("rb") as endless, Path("/dev/null").open("rb") as empty:
            socket.send_fds(sender, [b"endless"], [endless.fileno()])
            socket.send_fds(sender, [b"empty"], [empty.fileno()])
        folder = os.open("/", os.O_RDONLY)
        socket.send_fds(sender, [b"folder"], [folder])
        os.close(folder)
    many = memlogd.add("many", extra=30)
    silent = [memlogd.add(f"s{i}") for i in range(100)]
    memlogd.say("good\n", b"line\n")
    until(lambda: ("good\n", "line") in memlogd.dump())
    for writer in (many, *silent):
        os.close(writer)


def test_more_sources_than_there_is_room(start: Callable[..., Memlogd]) -> None:
    memlogd = start()
    message = "memlogd: many: no room for another source\n"
    writers = [memlogd.add("many", extra=6) for _ in range(160)]
    assert memlogd.process.stderr is not None
    assert memlogd.process.stderr.readline() == message
    for writer in writers:
        os.close(writer)
    memlogd.say("then", b"line\n")
    until(lambda: ("then", "line") in memlogd.dump())


def test_logread(start: Callable[..., Memlogd]) -> None:
    memlogd = start()
    memlogd.say("a;b", b"one;two\n")
    until(lambda: len(memlogd.dump()) == 1)
    done = memlogd.run("logread", "-socket", memlogd.query)
    assert re.fullmatch(rf"{TIME};a\\;b;one;two\n", done.stdout)
    assert done.returncode == 0
    command = [str(memlogd.programs / "logread"), "-F", "-socket", memlogd.query]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline().endswith(";one;two\n")
        memlogd.say("c", b"three\n")
        assert following.stdout.readline().endswith(";c;three\n")
        following.terminate()
    done = memlogd.run("logread", "-socket", "/nowhere")
    assert (done.returncode, done.stderr) == (1, "logread: /nowhere: No such file or directory\n")


@pytest.mark.parametrize(
    "response", [b"no JSON\n", b"{}\n", b"x" * (1 << 20)], ids=["text", "no line", "endless"]
)
def test_logread_of_what_is_no_memlogd(programs: Path, tmp_path: Path, response: bytes) -> None:
    path = str(tmp_path / "query.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(response)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        command = [str(programs / "logread"), "-socket", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(r"logread: .+\n", done.stderr)


def test_a_command_whose_output_is_logged(start: Callable[..., Memlogd]) -> None:
    memlogd = start()
    script = "echo out; echo error >&2; exit 7"
    done = memlogd.run("logwrite", "-n", "job", "-socket", memlogd.log, "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "error\n")
    until(lambda: len(memlogd.dump()) == 2)
    assert sorted(memlogd.dump()) == [("job.stderr", "error"), ("job.stdout", "out")]
    # Without memlogd it runs all the same.
    done = memlogd.run("logwrite", "-socket", "/nowhere", "/bin/sh", "-c", "echo out; kill -9 $$")
    assert (done.returncode, done.stdout) == (137, "out\n")
    assert done.stderr == "logwrite: /nowhere: No such file or directory\n"
    assert memlogd.run("logwrite", "-n", "job").returncode == 2
    missing = memlogd.run("logwrite", "-socket", memlogd.log, "/nowhere")
    assert (missing.returncode, missing.stderr) == (
        127,
        "logwrite: /nowhere: No such file or directory\n",
    )


@pytest.mark.slow
def test_a_memlogd_that_hangs_does_not_stop_a_command(programs: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "log.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
        silent.bind(path)
        script = "head -c 1000000 /dev/zero; echo done"
        command = [str(programs / "logwrite"), "-socket", path, "/bin/sh", "-c", script]
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert done.stdout.endswith(b"done\n")
    assert len(done.stdout) == 1000005


def test_mistakes_in_the_command_line(programs: Path) -> None:
    for arguments, said in {
        ("-max-lines", "0"): "max-lines: not a number that is allowed",
        ("-max-lines", "x"): "max-lines: not a number that is allowed",
        ("-max-lines",): "-max-lines: a value is missing",
        ("-colour",): "-colour: unknown option",
        ("-socket-log", "x" * 200): "x" * 200 + ": the path is too long",
    }.items():
        command = [str(programs / "memlogd"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode in (1, 2)
        assert done.stderr.removeprefix(f"{programs}/") == f"memlogd: {said}\n"


def test_it_goes_into_the_background(programs: Path, tmp_path: Path) -> None:
    """As the interpreter of a script of `etc/init.d`: a path follows the options."""
    log, query = tmp_path / "l", tmp_path / "q"
    options = ["-socket-log", str(log), "-socket-query", str(query), "-daemonize", "/etc/init.d/x"]
    # One of an earlier run is in the way.
    query.touch()
    done = subprocess.run(
        [programs / "memlogd", *options], stdout=subprocess.PIPE, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert log.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(query))
        client.sendall(DUMP)
        assert client.recv(1) == b""
    ended = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(log).encode() in entry.read_bytes():
                os.kill(int(entry.parent.name), signal.SIGTERM)
                ended += 1
    assert ended == 1
