"""The bricks logwrite and kmsg: lines become files of a bounded size, whatever a source is called;
the kernel's records become lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick


@pytest.fixture(scope="module")
def logwrite() -> Path:
    return compile_brick("logwrite")


@pytest.fixture(scope="module")
def kmsg() -> Path:
    return compile_brick("kmsg")


def written(
    program: Path, folder: Path, lines: list[tuple[str, str]], *options: str
) -> dict[str, str]:
    """The files that logwrite makes of what a memlogd sends, and says, as `stderr`."""
    path = str(folder / "query.sock")
    Path(path).unlink(missing_ok=True)
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    text = "".join(
        json.dumps({"time": "2026-11-28T15:00:00.123456789Z", "source": source, "msg": message})
        + "\n"
        for source, message in lines
    )
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        queries = []

        def serve() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                queries.append(client.recv(10))
                client.sendall(text.encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        command = [str(program), "-socket", path, "-log-dir", str(logs), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        thread.join(20)
    assert queries == [b"\2"], "what there is, and what comes"
    assert done.returncode == 1
    found = {file.name: file.read_text() for file in logs.iterdir() if file.is_file()}
    return {**found, "stderr": done.stderr}


ENDED = "logwrite: memlogd has ended\n"
AT = "2026-11-28T15:00:00Z"


def test_a_file_for_each_source(logwrite: Path, tmp_path: Path) -> None:
    lines = [
        ("web.out", "one"),
        ("web", 'two "\0" \u00e9'),
        ("logwrite.out", "no"),
        ("web.out", ""),
    ]
    assert written(logwrite, tmp_path, lines) == {
        "web.out.log": f"{AT} web.out one\n{AT} web.out \n",
        "web.log": f'{AT} web two "\0" \u00e9\n',
        "stderr": ENDED,
    }
    # It goes on where it was.
    assert written(logwrite, tmp_path, [("web", "three")])["web.log"].endswith("web three\n")


def test_rotation(logwrite: Path, tmp_path: Path) -> None:
    lines = [("a", f"{i:03} {'x' * 70}") for i in range(30)]
    options = ["-max-log-size", "250", "-max-log-files", "3"]
    files = written(logwrite, tmp_path, lines, *options)
    assert set(files) == {"a.log", "a.log.0", "a.log.1", "stderr"}
    kept = re.findall(r" a (\d+) ", files["a.log.1"] + files["a.log.0"] + files["a.log"])
    assert [int(one) for one in kept] == list(range(30 - len(kept), 30)), "the newest, in order"
    assert all(250 <= len(files[name]) < 350 for name in ("a.log.0", "a.log.1"))
    options = ["-max-log-size", "250", "-max-log-files", "1"]
    assert set(written(logwrite, tmp_path, [("b", line) for _, line in lines], *options)) == {
        *("a.log", "a.log.0", "a.log.1", "b.log", "stderr")
    }


def test_names_that_mean_harm(logwrite: Path, tmp_path: Path) -> None:
    names = ["../../x", "/etc/passwd", "..", ".hidden", "a\nb", "", "\0", "x" * 300]
    files = written(logwrite, tmp_path, [(name, "line") for name in names])
    assert sorted(set(files) - {"stderr"}) == sorted(
        ["_._.._x.log", "_etc_passwd.log", "_..log", "_hidden.log", "a_b.log", "unnamed.log"]
    )
    assert "the name is too long\n" in files["stderr"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "query.sock"]


def test_what_is_in_the_place_of_a_file(logwrite: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "link.log").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(logs / "fifo.log")
    (logs / "folder.log").mkdir()
    lines = [("link", "line"), ("fifo", "line"), ("folder", "line"), ("good", "line")]
    files = written(logwrite, tmp_path, lines)
    assert files["good.log"] == f"{AT} good line\n"
    assert files["stderr"].startswith("logwrite: link.log: Too many levels of symbolic links\n")
    assert files["stderr"].count("\n") == 2, "one complaint in ten seconds, and the end"
    assert not (tmp_path / "elsewhere").exists()


def test_more_sources_than_open_files(logwrite: Path, tmp_path: Path) -> None:
    lines = [(f"s{i % 150}", f"line {i}") for i in range(450)]
    files = written(logwrite, tmp_path, lines)
    assert len(files) == 151
    assert files["s7.log"] == "".join(f"{AT} s7 line {i}\n" for i in (7, 157, 307))


def test_without_memlogd(logwrite: Path, tmp_path: Path) -> None:
    for options in (["-socket", "/nowhere"], ["-log-dir", "/nowhere"]):
        done = subprocess.run(
            [logwrite, "-log-dir", tmp_path, *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        said = "logwrite: /nowhere: No such file or directory\n"
        assert (done.returncode, done.stderr) == (1, said)


def test_kernel_records(kmsg: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "kmsg"
    os.mkfifo(fifo)
    with subprocess.Popen([kmsg, fifo], stderr=subprocess.PIPE, text=True) as process:
        records = [
            b"6,0,0,-;Linux version 6.12\n",
            b"30,4711,1500000,-,caller=T1;scsi host0: x;y\n SUBSYSTEM=scsi\n DEVICE=+scsi:host0\n",
            b"no record at all\n",
            b"6,x,y;neither\n",
            b"6,18446744073709551615,99999999999,c;\n",
            b"6,1,1,-;" + b"x" * 9000 + b"\n",
        ]
        with fifo.open("wb", buffering=0) as writer:
            for record in records:
                writer.write(record)
                time.sleep(0.1)
        _, said = process.communicate(timeout=20)
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \+0000 UTC"
    wanted = [
        rf"\(0\) - {when}: Linux version 6\.12",
        rf"\(4711\) - {when}: scsi host0: x;y",
        "no record at all",
        "6,x,y;neither",
        rf"\(18446744073709551615\) - {when}: ",
        rf"\(1\) - {when}: x{{9000}}",
        "kmsg: .*/kmsg: No data available",
    ]
    lines = said.splitlines()
    assert len(lines) == len(wanted)
    for line, pattern in zip(lines, wanted, strict=True):
        assert re.fullmatch(pattern, line)
    moments = [line.split(" - ")[1].partition(":")[0] for line in lines[:2]]
    assert len(set(moments)) == 1, "half a second apart, on one day and in one hour"
