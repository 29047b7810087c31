"""Locks, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from compos.image.locks import lock_file, lock_records
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
