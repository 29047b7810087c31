"""`make updates`: one machine that is updated by HTTP, from a registry and from a stick, that refuses
what it must not install, goes back, and starts without help each time; a sealed one whose data
opens by itself through three updates and a way back; and one that a hawkBit server gives orders.

What runs afterwards, and what is told, is written into docs/update-bundles.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from compos.cli.main import main
from tests.boot.conftest import ROOT
from tests.boot.updating import Updating, Workshop, serving
from tests.hawkbit import FakeHawkbit, Feedback

pytestmark = pytest.mark.xdist_group("boot-disks")

PAGE = ROOT / "docs" / "update-bundles.md"
START = "| what is tried | what the machine says | version that runs then |\n|---|---|---|\n"

YAML = """
kernel:
  image: compos/kernel:v1
  cmdline: console=ttyS0 quiet cryptomgr.notests=1 compos.exec
  modules: [auto]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: shell
    image: compos/busybox:v1
    command: [/bin/sleep, "1000000"]
    pid: host
    capabilities: [all]
    binds: [/var/lib/data:/var/lib/data]{services}
slots: {{boot: 48m, system: 160m}}
disk: {{mountpoint: /var/lib/data{disk}}}
{more}
update:
  compatible: gateway
  version: {version}
  keyring: {keys}/update.crt
  {source}
  restart: true
  data: {{folder: /var/lib/data, reads: {reads}, writes: {writes}}}
"""


PLAIN = {"disk": "", "more": "", "services": ""}


def named(registry: str) -> str:
    """The sources of a machine: a registry on loopback, and sticks."""
    return f"source: [oci+http://10.0.2.2:{registry.rpartition(':')[2]}/acme/gateway:stable, stick]"


_SAYS = re.compile(r"(?:# )?(?:update: refused: |update: |LastError: )(.*)")
"""What the service says, by itself or through RAUC, and RAUC's own last word."""


class Row(NamedTuple):
    """A line of the table."""

    tried: str
    said: str
    runs: str


class Story:
    """What is done to one machine, line by line."""

    def __init__(self, guest: Updating) -> None:
        self.guest = guest
        self.rows: list[Row] = []

    def version(self) -> str:
        """The one that runs."""
        return self.status()[0].removeprefix("version ")

    def status(self) -> list[str]:
        """What `update status` says, by lines."""
        status, said = self.guest.update("status")
        assert status == 0, said
        return said.splitlines()

    def refused(self, tried: str, reason: str, *words: str) -> None:
        """A command that must fail, for that reason, and change nothing."""
        before = self.status()
        status, said = self.guest.update(*words)
        assert status == 1, said
        found = (_SAYS.match(one) for one in said.splitlines())
        line = next(one[1] for one in found if one and reason in one[1])
        after = self.status()
        assert [one.split()[3:] for one in after[2:]] == [one.split()[3:] for one in before[2:]]
        said = re.sub(r"http://10.0.2.2:[0-9]+/", "…/", line)
        self.rows.append(Row(tried, said, self.version()))

    def installed(self, tried: str, version: str, *words: str) -> None:
        """A command after which the other slot is tried, and kept."""
        status, said = self.guest.update(*words)
        assert status == 0, said
        self.guest.shell("kill -TERM 1")
        # RAUC's service may still say that it ends.
        own = [one for one in said.splitlines() if one.startswith("update: ")]
        self.started(tried, version, own[-1].removeprefix("update: "))

    def started(self, tried: str, version: str, said: str) -> None:
        self.guest.expect("is on trial", 1200)
        self.guest.expect(r"slot [AB] is good", 1200)
        assert self.version() == version
        self.rows.append(Row(tried, said, version))


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    """What the page will say: of tests that were left out, what it has said."""
    found: list[Row] = []
    yield found
    text = PAGE.read_text()
    before, _, behind = text.partition(START)
    table, _, rest = behind.partition("\n\n")
    lines = {line.split(" | ")[0]: line for line in table.splitlines()}
    for row in found:
        lines[f"| {row.tried}"] = f"| {row.tried} | {row.said} | {row.runs} |"
    PAGE.write_text(before + START + "\n".join(lines.values()) + "\n\n" + rest)


def test_sources(tmp_path: Path, docker_registry: Callable[[], str], rows: list[Row]) -> None:
    registry = docker_registry()
    fields = {"source": named(registry), **PLAIN}
    one = Workshop(tmp_path, YAML, "--size", "1G", reads=[1, 2], writes=1, **fields)
    disk = one.build("1.0.0", "raw-efi,update", reads=[1])
    one.build("1.1.0", "update")
    one.build("1.2.0", "update", writes=2)
    one.build("1.3.0", "update", reads=[2, 3], writes=2)
    one.build("2.0.0", "update", reads=[3], writes=3)
    stranger = one.build("9.0.0", "update", one.stranger())
    name = f"{registry}/acme/gateway:stable"
    assert main(["push", "registry", "--img-name", name, str(tmp_path / "keys/v1.2.0.raucb")]) == 0
    stick = one.stick(*(tmp_path / f"keys/v{v}.raucb" for v in ("1.0.0", "1.3.0")), stranger)
    with (
        serving() as (server, port),
        Updating(disk, tmp_path / "state", log=tmp_path / "console") as guest,
    ):
        for path in (tmp_path / "keys").glob("*.raucb"):
            server.files[f"/{path.name}"] = path.read_bytes()
        server.files["/stranger.raucb"] = stranger.read_bytes()
        url = f"http://10.0.2.2:{port}/"
        story = Story(guest)
        guest.expect("slots: slot A is good", 1200)
        refused, installed = story.refused, story.installed
        refused("a bundle that a stranger has signed", "signature", "now", f"{url}stranger.raucb")
        refused("a URL with nothing behind it", "404", "now", f"{url}nothing.raucb")
        refused(
            "a version that writes data of version 2, which 1.0.0 cannot read",
            "could not read",
            "now",
            f"{url}v1.2.0.raucb",
        )
        refused(
            "a version that reads data of version 3 only",
            "cannot read",
            "now",
            f"{url}v2.0.0.raucb",
        )
        server.cut = server.sent + (1 << 20)
        refused(
            "1.1.0 by HTTP, the server breaks off after a MiB",
            "not installed",
            "now",
            f"{url}v1.1.0.raucb",
        )
        server.cut = None
        installed("1.1.0 by HTTP, again", "1.1.0", "now", f"{url}v1.1.0.raucb")
        refused("an older version", "older", "now", f"{url}v1.0.0.raucb")
        installed("1.2.0 from the registry; it writes data of version 2", "1.2.0", "now")
        installed("`update back` to 1.1.0, which can read it", "1.1.0", "back")
        installed("1.2.0 once more", "1.2.0", "now")
        guest.put_in(stick)
        story.started(
            "a stick with 1.0.0, 1.3.0 and a stranger's 9.0.0 is put in",
            "1.3.0",
            "installs 1.3.0 and restarts",
        )
        guest.shell("sed -i 's/^data .*/data 3/' /var/lib/data/.compos-data-versions")
        refused(
            "`update back` to 1.2.0, after data of version 3 was written", "cannot read", "back"
        )
    rows += story.rows


SEALED = {**PLAIN, "disk": ", encrypt: tpm", "more": "secure: true", "reads": [1], "writes": 1}


def test_a_sealed_machine(
    tmp_path: Path, docker_registry: Callable[[], str], rows: list[Row]
) -> None:
    registry = docker_registry()
    fields = {"source": named(registry), **SEALED}
    one = Workshop(tmp_path, YAML, "--size", "1G", **fields)
    disk = one.build("1.0.0", "raw-efi")
    for number in (1, 2, 3):
        one.build(f"1.{number}.0", "update")
    options = ("--secure-boot", str(one.keys), "--tpm")
    with (
        serving() as (server, port),
        Updating(disk, tmp_path / "state", *options, log=tmp_path / "console") as guest,
    ):
        for path in (tmp_path / "keys").glob("*.raucb"):
            server.files[f"/{path.name}"] = path.read_bytes()
        story = Story(guest)
        guest.expect("slots: slot A is good", 1200)
        guest.shell("echo kept > /var/lib/data/file; sync")
        for number in (1, 2, 3):
            url = f"http://10.0.2.2:{port}/v1.{number}.0.raucb"
            story.installed(f"sealed: 1.{number}.0 by HTTP", f"1.{number}.0", "now", url)
            assert guest.shell("cat /var/lib/data/file") == "kept\n"
        story.installed("sealed: `update back`", "1.2.0", "back")
        assert guest.shell("cat /var/lib/data/file") == "kept\n"
        assert "Recovery key of the data partition: " not in guest.text()
    rows += story.rows


HAWKBIT = """every: 60s
  hawkbit:
    server: http://10.0.2.2:{port}
    controller: gateway-7
    target_token: /var/lib/data/hawkbit-token
    folder: /var/lib/data"""

FAILING = """
  - name: web
    image: compos/busybox:v1
    command: [/bin/false]"""


def ended(server: FakeHawkbit, action: str) -> Feedback:
    """How an action has ended, when the machine has said so."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        for one in server.feedback:
            if (one.action, one.execution) == (action, "closed"):
                return one
        time.sleep(1)
    raise AssertionError(server.feedback)


def test_hawkbit(tmp_path: Path, rows: list[Row]) -> None:
    with FakeHawkbit("TargetToken secret") as server:
        server.sleep = "00:00:30"
        source = HAWKBIT.format(port=server.port)
        fields = {**PLAIN, "source": source, "reads": [1], "writes": 1}
        one = Workshop(tmp_path, YAML, "--size", "1G", **fields)
        disk = one.build("1.0.0", "raw-efi")
        for version, services in (("1.1.0", ""), ("1.2.0", FAILING)):
            path = one.build(version, "update", services=services)
            server.artifacts[path.name] = path.read_bytes()
        with Updating(disk, tmp_path / "state", log=tmp_path / "console") as guest:
            story = Story(guest)
            guest.expect("slots: slot A is good", 1200)
            guest.shell("echo secret > /var/lib/data/hawkbit-token; sync")
            server.deploy("17", "v1.1.0.raucb")
            guest.expect("slot B is on trial", 1200)
            assert not any(one.execution == "closed" for one in server.feedback)
            guest.expect("slot B is good", 1200)
            said = ended(server, "17")
            assert said.finished == "success"
            assert story.version() == "1.1.0"
            rows.append(Row("1.1.0, ordered by hawkBit", f"success: {said.detail}", "1.1.0"))
            server.deploy("18", "v1.2.0.raucb")
            guest.expect("slot A was tried and failed", 1200)
            said = ended(server, "18")
            assert said.finished == "failure"
            assert story.version() == "1.1.0"
            tried = "1.2.0, ordered by hawkBit; one of its services fails"
            rows.append(Row(tried, f"failure: {said.detail}", "1.1.0"))
            assert "secret" not in guest.text()
            logs = guest.shell("cat /proc/1/root/var/log/update*.log")
            assert "TargetToken (hidden)" in logs
            assert "secret" not in logs
            assert server.attributes is not None
            assert server.attributes["version"] == "1.0.0"
