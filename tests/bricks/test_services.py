"""PID 1's reader of services and its logging process, compiled with sanitizers: plans, damaged
plans, rotation, syslog."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.compose.plan import HEADER
from compos.compose.plan_lines import plan_line
from compos.compose.supervision import supervision_lines
from compos.config.model import Healthcheck, Logging, Settings
from compos.config.quantities import MAX_COUNT, MAX_MILLISECONDS, milliseconds
from tests.bricks.compiler import SOURCES, compile_driver
from tests.bricks.drivers import BUNDLE
from tests.machine import unshared

SERVICE = ("services/service", *BUNDLE)
LOG = (*SERVICE, "log/logger", "log/syslog")

PLAN = """compos-plan\t1
stage\tservices
container\tweb\t/w\tns
after\tdb\thealthy\t
health\t2000\t30000\t3\t0\t5000
test\t/bin/sh
test\t-c
test\ttrue
restart\ton-failure\t4
stop\t2\t1500
log\tsyslog\t65536\t2\tudp://10.0.0.1:514\tfront
rootpath\t1\t8
container\tdb\t/d\tns
container\tbad\t/b\tns
restart\tsometimes\t0
container\tworse\t/b\tns
stop\t99\t0
"""


@pytest.fixture(scope="module")
def reader() -> Path:
    return compile_driver("service", parts=SERVICE)


@pytest.fixture(scope="module")
def logger() -> Path:
    return compile_driver("log", parts=LOG)


def test_what_a_plan_says_of_services(reader: Path, tmp_path: Path) -> None:
    (tmp_path / "plan").write_text(PLAN)
    lines = subprocess.run(
        [reader, tmp_path / "plan"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines == [
        "100 200 400 800 1600 3200 6400 12800 25600 51200 60000 60000 60000 ",
        (
            "web restart 2/4 stop 2/1500 log 3/65536/2 <udp://10.0.0.1:514> <front> "
            "health 3 </bin/sh> <-c> <true> 2000/30000/3/0/5000"
        ),
        "db restart 0/0 stop 15/10000 log 0/1048576/3 <> <> health 0 0/0/0/0/0",
        "bad: plan line 15: invalid argument",
        "worse: plan line 17: invalid argument",
    ]


def test_both_sides_have_the_same_limits() -> None:
    text = (SOURCES / "services/service.c").read_text()
    assert "MAX_TIME = 1LL << 40, MAX_COUNT = 1000000000;" in text
    assert (MAX_MILLISECONDS, MAX_COUNT) == (1 << 40, 1_000_000_000)


TIMES = st.one_of(st.integers(1, MAX_MILLISECONDS), st.sampled_from([1, MAX_MILLISECONDS])).map(
    lambda n: f"{n}ms"
)
SIZES = st.sampled_from(["1", "64k", str(2**63 - 1)])
SETTINGS = st.builds(
    lambda times, retries, restart, signal, grace, size, files: Settings(
        healthcheck=Healthcheck(
            ("CMD", *("x",) * 200), times[0], times[1], retries, times[2], times[3]
        ),
        restart=restart,
        stop_signal=signal,
        stop_grace_period=grace,
        logging=Logging("file", {"max-size": size, "max-file": files}),
    ),
    st.tuples(TIMES, TIMES, TIMES, TIMES),
    st.integers(1, 1000),
    st.sampled_from(
        ["no", "always", "unless-stopped", "on-failure", "on-failure:1", f"on-failure:{MAX_COUNT}"]
    ),
    st.sampled_from(["1", "64", "SIGTERM", "RTMIN", "RTMAX"]),
    TIMES,
    SIZES,
    st.sampled_from(["1", "100"]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(given=SETTINGS)
def test_what_the_build_lets_through_init_takes(
    reader: Path, tmp_path_factory: pytest.TempPathFactory, given: Settings
) -> None:
    lines = supervision_lines(given)
    path = tmp_path_factory.mktemp("plan") / "plan"
    head = (("stage", "services"), ("container", "web", "/w", "ns"))
    path.write_bytes(HEADER + b"".join(map(plan_line, (*head, *lines))))
    shown = subprocess.run(
        [reader, path], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1]
    health = next(line for line in lines if line[0] == "health")
    assert shown.endswith(f"health 200{' <x>' * 200} {'/'.join(health[1:])}"), (
        "each number as it was written"
    )
    assert f"/{milliseconds(given.stop_grace_period or '')} log" in shown


def test_damaged_plans(reader: Path, tmp_path: Path) -> None:
    """The sanitizers end the program at the first wrong access."""
    chance = random.Random(5)
    paths = []
    for number in range(600):
        damaged = bytearray(PLAN.encode())
        for _ in range(chance.randrange(1, 10)):
            place = chance.randrange(len(b"compos-plan\t1\n"), len(damaged))
            damaged[place : place + chance.randrange(4)] = chance.choice(
                (b"", b"\t", b"\n", b"99999999999999999999", b"-1", b"\\", b"\0", b"\xff")
            )
        path = tmp_path / str(number)
        path.write_bytes(damaged)
        paths.append(path)
    subprocess.run([reader, *paths], capture_output=True, check=True)


class Logger:
    """The logging process with a /var/log of its own, a folder that the test sees."""

    def __init__(self, program: Path, folder: Path, *settings: str) -> None:
        self.folder = folder / "log"
        self.folder.mkdir(exist_ok=True)
        os.mkfifo(folder / "fifo")
        script = 'mount --bind "$1" /var/log && shift && exec "$@"'
        command = [
            *unshared("-m"),
            "sh",
            "-c",
            script,
            "-",
            str(self.folder),
            str(program),
            str(folder / "fifo"),
            *settings,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pipe = os.open(folder / "fifo", os.O_RDWR)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.pipe, data[:65536]) :]

    def end(self) -> str:
        """Ask it to end, when it has read everything, and say what it printed."""
        deadline = time.monotonic() + 20
        while select.select([self.pipe], [], [], 0)[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        os.close(self.pipe)
        assert self.process.returncode == 0, out
        return out.decode()

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.mark.root
def test_files_are_rotated_and_nothing_between_is_lost(logger: Path, tmp_path: Path) -> None:
    running = Logger(logger, tmp_path, "file", "4096", "3", "")
    lines = [b"%06d\n" % number for number in range(1500)]
    running.write(b"".join(lines))
    running.end()
    files = running.files()
    assert set(files) == {"web.log", "web.log.1", "web.log.2"}
    assert all(len(data) <= 4096 for data in files.values())
    assert b"".join(lines).endswith(files["web.log.2"] + files["web.log.1"] + files["web.log"])


@pytest.mark.root
def test_one_file(logger: Path, tmp_path: Path) -> None:
    running = Logger(logger, tmp_path, "file", "100", "1", "")
    running.write(b"x" * 250)
    running.end()
    assert running.files() == {"web.log": b"x" * 50}


@pytest.mark.root
@pytest.mark.parametrize("files", ["2", "3"])
def test_what_cannot_be_moved_is_emptied(logger: Path, tmp_path: Path, files: str) -> None:
    """A folder in the way of the rotation: no line more than the bound, and the newest are
    there."""
    running = Logger(logger, tmp_path, "file", "100", files, "")
    (running.folder / "web.log.1" / "x").mkdir(parents=True)
    running.write(b"x" * 230 + b"y" * 20)
    assert "lines are lost" not in running.end()
    assert (running.folder / "web.log").read_bytes() == b"x" * 30 + b"y" * 20


@pytest.mark.root
def test_a_file_that_is_too_large_already(logger: Path, tmp_path: Path) -> None:
    """Left by an earlier boot with other settings."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "web.log").write_bytes(b"o" * 1000)
    (tmp_path / "log" / "web.log.1").mkdir()
    running = Logger(logger, tmp_path, "file", "100", "2", "")
    running.write(b"new\n")
    running.end()
    assert (running.folder / "web.log").read_bytes() == b"new\n"


@pytest.mark.root
@pytest.mark.parametrize("kind", ["link", "device", "fifo"])
def test_a_log_is_a_file_and_nothing_else(logger: Path, tmp_path: Path, kind: str) -> None:
    """Whoever has /var/log may put there what it likes: a link is not followed, a FIFO not waited
    for."""
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / "log").mkdir()
    log = tmp_path / "log/web.log"
    if kind == "fifo":
        os.mkfifo(log)
    else:
        log.symlink_to(victim if kind == "link" else "/dev/null")
    running = Logger(logger, tmp_path, "file", "100", "2", "")
    running.write(b"lost\n")
    assert "web.log" in running.end()
    assert victim.read_text() == "as it was"


@pytest.mark.root
def test_of_two_status_files_none_is_emptied(tmp_path: Path) -> None:
    program = compile_driver("status", parts=(*SERVICE, "services/status"))
    folder = tmp_path / "compos"
    folder.mkdir()

    def write(name: str) -> dict[str, str]:
        script = 'mount --bind "$1" /run && exec "$2" "$3"'
        command = [*unshared("-m"), "sh", "-c", script, "-", str(tmp_path), str(program), name]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}

    first = write("web")
    assert set(first) == {"status", "status.json"}
    assert "web" in first["status"]
    for name in ("status.json.new", "status.new"):
        (folder / name).mkdir()
        assert write("other") == first
        (folder / name).rmdir()
    assert "other" in write("other")["status"]


@pytest.mark.root
def test_the_console_as_well(logger: Path, tmp_path: Path) -> None:
    running = Logger(logger, tmp_path, "console", "4096", "2", "")
    running.write(b"first\nsecond\nunfinished")
    assert running.end() == "web: first\nweb: second\nweb: unfinished\n"
    assert running.files() == {"web.log": b"first\nsecond\nunfinished"}


MESSAGE = re.compile(rb"<27>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ web - - - (.*)", re.DOTALL)
"""RFC 5424: facility daemon, severity error, version 1; what a container writes to its standard
error."""


@pytest.mark.root
def test_syslog_over_udp(logger: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        running = Logger(
            logger, tmp_path, "syslog", "4096", "2", f"udp://127.0.0.1:{server.getsockname()[1]}"
        )
        running.write(b"one\ntwo\n")
        received = [server.recv(4096) for _ in range(2)]
        running.end()
    texts = [found[1] for message in received if (found := MESSAGE.fullmatch(message))]
    assert texts == [b"one", b"two"]


@pytest.fixture
def stream_server() -> Iterator[tuple[int, bytearray]]:
    """A TCP server that comes late: what is said before it listens is not lost."""
    received = bytearray()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    def serve() -> None:
        time.sleep(1)
        listener.listen()
        listener.settimeout(20)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            while data := connection.recv(4096):
                received.extend(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], received
    thread.join(30)
    listener.close()


@pytest.mark.root
def test_syslog_over_tcp(
    logger: Path, tmp_path: Path, stream_server: tuple[int, bytearray]
) -> None:
    port, received = stream_server
    running = Logger(logger, tmp_path, "syslog", "4096", "2", f"tcp://127.0.0.1:{port}")
    running.write(b"early\n")
    time.sleep(3)
    running.write(b"late\n")
    running.end()
    texts = []
    rest = bytes(received)
    while rest:
        size, _, rest = rest.partition(b" ")
        message, rest = rest[: int(size)], rest[int(size) :]
        found = MESSAGE.fullmatch(message)
        assert found, message
        texts.append(found[1])
    assert texts == [b"early", b"late"]


class Memlogd:
    """LinuxKit's protocol (docs/linuxkit.md#run-12.2): a datagram with a source's name and a
    descriptor, read line by line to its end."""

    def __init__(self, folder: Path) -> None:
        self.lines: dict[str, list[str]] = {}
        self.ended: set[str] = set()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._server.bind(str(folder / "linuxkit-external-logging.sock"))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            name, descriptors, _, _ = socket.recv_fds(self._server, 256, 1)
            threading.Thread(
                target=self._read, args=(name.decode(), descriptors[0]), daemon=True
            ).start()

    def _read(self, name: str, descriptor: int) -> None:
        # At once: there may be no writer yet.
        with open(descriptor, "rb") as stream:
            for line in stream:
                self.lines.setdefault(name, []).append(line.decode().rstrip("\n"))
        self.ended.add(name)


@pytest.mark.root
def test_nobody_waits_for_a_memlogd_that_hangs(tmp_path: Path) -> None:
    program = compile_driver("memlogd", parts=(*LOG, "log/log", "base/process", "base/sealed"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
        silent.bind(str(tmp_path / "linuxkit-external-logging.sock"))
        script = 'mount --bind "$1" /run && exec "$2" hung'
        command = [*unshared("-m"), "sh", "-c", script, "-", str(tmp_path), str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "compos: log onboot.000-a: memlogd: Resource temporarily unavailable\n"


@pytest.mark.root
def test_memlogd_gets_the_output_where_it_listens(tmp_path: Path) -> None:
    program = compile_driver("memlogd", parts=(*LOG, "log/log", "base/process", "base/sealed"))
    run = tmp_path / "run"
    run.mkdir()
    memlogd = Memlogd(run)
    script = 'mount --bind "$1" /run && exec "$2"'
    command = [*unshared("-m"), "sh", "-c", script, "-", str(run), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/var/run/web.out.log\n" * 2 + "/dev/null\n"
    wanted = {"onboot.000-a.out", "web.out"}
    deadline = time.monotonic() + 10
    while memlogd.ended != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    assert memlogd.lines == {
        "onboot.000-a.out": ["from onboot"],
        "web.out": ["from a service", "started again"],
    }
    assert memlogd.ended == wanted, "who reads is told of the end"
