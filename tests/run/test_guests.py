"""Running guests on this machine: names, locks, what crashes leave, and hostile records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import RunError
from compos.run.guests import KEPT, find_guest, guests, runtime_folder, take_slot
from tests.run.records import record


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "g"
    monkeypatch.setenv("COMPOS_RUNTIME", str(path))
    return path


def start(name: str = "web", **fields: object) -> subprocess.Popen[bytes]:
    """A process that has a guest's lock, as QEMU does, and nothing else."""
    slot = take_slot(name, name)
    slot.write(record(slot.name, started=time.time(), **fields))
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[slot.lock]
    )
    slot.release()
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def names(*, runs: bool = True) -> list[str]:
    return [guest.record.name for guest in guests() if guest.runs is runs]


def refused(name: str) -> str:
    with pytest.raises(RunError) as caught:
        find_guest(name)
    return caught.value.id


def test_a_guest_runs_as_long_as_its_process_has_the_lock() -> None:
    process = start()
    assert (names(), names(runs=False)) == (["web"], [])
    assert find_guest("").record.name == "web"
    end(process)
    assert (names(), names(runs=False)) == ([], ["web"])
    assert (refused("web"), refused("")) == ("guest-ended", "guest-unknown")
    assert find_guest("web", running=False).record.name == "web"


def test_we_crash_and_the_guest_goes_on(folder: Path) -> None:
    """The process that started it is killed."""
    code = (
        "import os, subprocess, sys, time\n"
        "from compos.run.guests import take_slot\n"
        "from tests.run.records import record\n"
        "slot = take_slot('web', 'web'); slot.write(record('web', started=time.time()))\n"
        "child = subprocess.Popen(['sleep', '100'], pass_fds=[slot.lock], "
        "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert done.returncode == -9
    assert names() == ["web"]
    with pytest.raises(RunError, match="a guest called web is running"):
        take_slot("web", "web")
    os.kill(int(done.stdout), 9)
    deadline = time.monotonic() + 20
    while names():
        assert time.monotonic() < deadline
    take_slot("web", "web").give_up()
    assert list(folder.iterdir()) == []


def test_a_crash_before_the_record_leaves_nothing(folder: Path) -> None:
    take_slot("web", "web").release()
    assert list(guests()) == []
    assert list(folder.iterdir()) == []


def test_names_follow_each_other() -> None:
    processes = [start(""), start("")]
    slots = [take_slot("", "my system.iso"), take_slot("", "my system.iso"), take_slot("", "....")]
    assert [slot.name for slot in slots] == ["my-system.iso", "my-system.iso-2", "guest-3"]
    for slot in slots:
        slot.give_up()
    for process in processes:
        end(process)


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", ".x", "x" * 41, "a b", "ä", "a\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(RunError) as caught:
        take_slot(name, "x")
    assert caught.value.id == "guest-name"
    assert refused(name) == "guest-unknown"


def test_old_ones_are_removed(folder: Path) -> None:
    for name, age in (("old", KEPT + 60), ("new", 60.0)):
        slot = take_slot(name, name)
        slot.write(record(name, started=time.time() - age))
        slot.release()
    take_slot("other", "other").give_up()
    assert [path.name for path in folder.iterdir()] == ["new"]


HOSTILE = {
    "no JSON": b"{",
    "no object": b"[]",
    "nothing": b"",
    "too long": b" " * (1 << 17),
    "deep": b"[" * 100_000,
    "other version": {"version": 2},
    "other name": {"name": "../../etc"},
    "a number for a path": {"state": 7},
    "a list for a name": {"name": ["web"]},
    "numbers for ports": {"publish": [1]},
    "an object for ports": {"publish": {}},
    "a word for a time": {"started": "now"},
    "one more field": {"more": 1},
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_records(folder: Path, content: bytes | dict[str, object]) -> None:
    slot = take_slot("web", "web")
    if isinstance(content, dict):
        content = json.dumps({"version": 1, **asdict(record("web")), **content}).encode()
    (slot.folder / "guest.json").write_bytes(content)
    slot.release()
    assert list(guests()) == []
    assert list(folder.iterdir()) == []


def test_what_is_no_guest_stays(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    runtime_folder()
    (folder / "link").symlink_to(outside)
    (folder / "file").touch()
    assert list(guests()) == []
    assert sorted(path.name for path in folder.iterdir()) == ["file", "link"]
    assert (outside / "file").exists()


def test_links_in_place_of_a_guests_files(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("stays")
    slot = take_slot("web", "web")
    slot.release()
    (slot.folder / "lock").unlink()
    (slot.folder / "lock").symlink_to(target)
    (slot.folder / "guest.json").symlink_to(target)
    with pytest.raises(RunError) as caught:
        take_slot("web", "web")
    assert caught.value.id == "runtime-failed"
    assert target.read_text() == "stays"


def test_a_folder_that_others_can_write_to(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RunError) as caught:
        runtime_folder()
    assert caught.value.id == "runtime-foreign"
    folder.chmod(0o700)
    folder.rename(folder.with_name("real"))
    folder.symlink_to("real")
    with pytest.raises(RunError) as caught:
        runtime_folder()
    assert caught.value.id == "runtime-foreign"


def test_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPOS_RUNTIME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "compos"
    assert (tmp_path / "compos").stat().st_mode & 0o777 == 0o700


def test_a_path_that_is_too_long_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOS_RUNTIME", str(tmp_path / ("x" * 100)))
    with pytest.raises(RunError, match="107 bytes"):
        take_slot("web", "web")


@pytest.mark.slow
def test_the_shell_completes_the_names_of_those_that_run(folder: Path) -> None:
    processes = [start("web"), start("worker"), start("db")]
    end(processes.pop())
    for line, expected in (
        ("compos stop w", ["plain,web", "plain,worker"]),
        ("compos exec wo", ["plain,worker"]),
        ("compos logs d", []),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "compos"],
            env={
                **os.environ,
                "_COMPOS_COMPLETE": "bash_complete",
                "COMP_WORDS": line,
                "COMP_CWORD": "2",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == expected
    for process in processes:
        end(process)


def test_options_behind_a_guest_are_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "web", "--service", "nginx", "ls"]) == 1
    assert "options stand before the guest's name" in capsys.readouterr().err
