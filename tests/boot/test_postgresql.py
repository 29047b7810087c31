"""The example of a database whose disk outlives the system: two builds, one disk, asked by Debian's
psql."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.conftest import ROOT
from tests.boot.runtimes import until
from tests.guest import Guest, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

EXAMPLE = (ROOT / "examples" / "postgresql.yml").read_text()
UPDATE = f"""{EXAMPLE}
  - path: etc/postgresql/own.conf
    contents: |
      include '/etc/postgresql/postgresql.conf'
      max_connections = 17
    mode: "0644"
""".replace(
    "    image: compos/postgresql:v1\n    binds:\n",
    "    image: compos/postgresql:v1\n"
    "    command: [/usr/bin/serve-postgresql, -c, config_file=/etc/postgresql/own.conf]\n"
    "    binds:\n      - /etc/postgresql/own.conf:/etc/postgresql/own.conf\n",
)
READY = r"compos: service postgresql healthy"


def psql(port: int, *commands: str, password: str = "for-trying-out") -> str:
    """What the server answers, unadorned, or why it refuses."""
    line = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-w", "-q", "-t", "-A"]
    line += [word for command in commands for word in ("-c", command)]
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "30"}
    done = subprocess.run(
        line, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def cut_power(guest: Guest) -> None:
    """QEMU is a child of our child, beside the guard that would end it."""
    pid = guest.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (qemu,) = (one for one in children if "qemu" in Path(f"/proc/{one}/comm").read_text())
    os.kill(int(qemu), signal.SIGKILL)
    guest.process.wait(30)


@pytest.mark.wide
def test_the_data_stay_when_the_system_is_replaced(
    built: Callable[[str], Path], tmp_path: Path
) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as stream:
        stream.truncate(1 << 30)
    port = free_port()
    options = ("--publish", f"{port}:5432", "--disk", f"file={disk},format=raw")
    with Guest(
        built("postgresql"), *options, "--state", f"{tmp_path}/state", log=tmp_path / "first.log"
    ) as guest:
        until(guest, READY, 180)
        assert "password authentication failed" in psql(port, "select 1", password="another")
        rows = "insert into fish select n, 'fish ' || n from generate_series(1, 1000) as n"
        assert psql(port, "create table fish (id int primary key, name text)", rows) == ""
        assert psql(port, "show max_connections", "show data_checksums") == "100\non"
        # What has been committed stays, whatever happens next.
        cut_power(guest)
    with Guest(
        built(UPDATE), *options, "--state", f"{tmp_path}/state", log=tmp_path / "second.log"
    ) as guest:
        until(guest, READY, 180)
        assert psql(port, "show max_connections") == "17", "the updated system's setting"
        assert psql(port, "select count(*), min(name), sum(id) from fish") == "1000|fish 1|500500"
        assert "postgresql: The files belonging to this database" not in guest.text()
        guest.prompt()
        assert guest.power_off() == 0
        assert "database system is shut down" in guest.text(), "in order, not killed"
