"""Locks, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compos.image.locks import exclusive, lock_file, lock_records, sweep_locks
from compos.image.staging import staging, sweep
from compos.image.users import Users

NONE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF)


@pytest.fixture(params=NONE, ids=errno.errorcode.get)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(fcntl, "lockf", fail)


def test_a_lock_is_had_by_one(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as first, (tmp_path / "x").open("w") as second:
        assert lock_file(first.fileno(), fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            lock_file(second.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_other_errors_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(OSError, match="Input/output"):
        lock_file(0, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="Input/output"):
        lock_records(0)


def test_without_locks_work_goes_on_and_nothing_of_others_is_removed(
    tmp_path: Path, no_locks: None
) -> None:
    with staging(tmp_path / "staging") as stage:
        (stage / "x").write_bytes(b"x")
        sweep(tmp_path / "staging")
        assert (stage / "x").read_bytes() == b"x"
    assert list((tmp_path / "staging").iterdir()) == []
    (tmp_path / ".use").touch()
    with Users(tmp_path / ".use").alone(wait=True) as alone:
        assert not alone


def test_one_at_a_time_holds_a_lock_by_name(tmp_path: Path) -> None:
    inside, most, path = 0, 0, tmp_path / "lock"

    def work(_: int) -> None:
        nonlocal inside, most
        for _ in range(20):
            with exclusive(path, lambda: time.sleep(0.0001)):
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == 1
    assert not path.exists()


def test_who_waits_for_a_lock_can_give_up(tmp_path: Path) -> None:
    def give_up() -> None:
        raise InterruptedError

    path = tmp_path / "lock"
    with exclusive(path, give_up):
        with pytest.raises(InterruptedError), exclusive(path, give_up):
            pass
        sweep_locks(tmp_path)
        assert path.exists()
    with exclusive(path, give_up):
        pass


def test_what_a_killed_process_had_locked_is_free_and_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import os, sys, signal; from pathlib import Path; from compos.image.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1]), lambda: None): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.exists()
    sweep_locks(tmp_path)
    assert not path.exists()


def test_a_link_in_a_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), exclusive(tmp_path / "lock", lambda: None):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_whose_file_was_removed_meanwhile_is_not_the_next_ones_to_remove(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with exclusive(path, lambda: None):
        path.unlink()
        with exclusive(path, lambda: None):
            inode = path.stat().st_ino
            sweep_locks(tmp_path)
            assert path.stat().st_ino == inode
    assert not path.exists()
