"""Folders shared by virtiofs: the daemon found, started, and ended; what goes wrong is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.daemons import stop_daemons
from compos.run.shares import find_virtiofsd, start_shares

LISTENS = """#!/usr/bin/env python3
import socket, sys, time
path = sys.argv[1].removeprefix("--socket-path=")
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
print(sys.argv[2:], flush=True)
time.sleep(60)
"""


def program(folder: Path, script: str) -> str:
    path = folder / "virtiofsd"
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


def test_found_in_path_or_beside_qemu() -> None:
    for given, programs, found in (
        (
            "",
            {
                "virtiofsd": "/usr/bin/virtiofsd",
                "/usr/lib/qemu/virtiofsd": "/usr/lib/qemu/virtiofsd",
            },
            "/usr/bin/virtiofsd",
        ),
        ("", {"/usr/lib/qemu/virtiofsd": "/usr/lib/qemu/virtiofsd"}, "/usr/lib/qemu/virtiofsd"),
        ("", {"/usr/libexec/virtiofsd": "/usr/libexec/virtiofsd"}, "/usr/libexec/virtiofsd"),
        ("/opt/own", {"/opt/own": "/opt/own", "virtiofsd": "/usr/bin/virtiofsd"}, "/opt/own"),
    ):
        which: Callable[[str], str | None] = programs.get
        assert find_virtiofsd("/usr/bin/qemu-system-x86_64", given, which) == found
    with pytest.raises(RunError, match="none is not installed"):
        find_virtiofsd("/usr/bin/qemu-system-x86_64", "none", lambda _: None)


def test_each_folder_has_a_daemon_that_listens(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    daemons = start_shares(program(tmp_path, LISTENS), folders, tmp_path)
    try:
        assert [daemon.poll() for daemon in daemons] == [None, None]
        assert (tmp_path / "virtiofs0").is_socket()
        assert (tmp_path / "virtiofs1").is_socket()
    finally:
        stop_daemons(daemons)
    assert all(daemon.poll() is not None for daemon in daemons)


def test_a_daemon_that_fails_says_why_and_none_stays(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    failing = program(tmp_path, "#!/bin/sh\necho no capability for that >&2; exit 1\n")
    with pytest.raises(RunError, match="no capability for that"):
        start_shares(failing, [tmp_path / "shared"], tmp_path)


@pytest.mark.parametrize(("name", "told"), [("missing", "share-missing"), ("a,b", "share-name")])
def test_folders_that_cannot_be_shared(tmp_path: Path, name: str, told: str) -> None:
    if name == "a,b":
        (tmp_path / name).mkdir()
    with pytest.raises(RunError) as caught:
        start_shares(program(tmp_path, LISTENS), [tmp_path / name], tmp_path)
    assert caught.value.id == told
