"""The examples that show one thing each: several of them merged into one guest."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from compos.cli.main import main
from tests.boot.conftest import ROOT
from tests.boot.host_servers import Collector
from tests.boot.runtimes import until
from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

TOGETHER = ("dm-crypt-loop", "volumes", "writable-overlay", "logging-collector", "minimal")


def test_examples_that_share_a_guest(built: Callable[[str], Path], tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as stream:
        stream.truncate(256 << 20)
    collector = Collector()
    sources = [str(ROOT / "examples" / f"{name}.yml") for name in TOGETHER]
    target = ["--dir", str(tmp_path), "--name", "all"]
    setting = ["--set", f"COLLECTOR=tcp://10.0.2.2:{collector.port}"]
    assert main(["build", *target, *setting, *sources]) == 0
    options = ("--disk", f"file={disk},format=raw", "--state", f"{tmp_path}/state")
    with collector.listener, Guest(tmp_path / "all", *options, log=tmp_path / "all.log") as guest:
        guest.prompt()
        until(guest, r"tools is read-only everywhere")
        text = guest.text()
        assert re.search(r"reader: it is \w{3} \w{3} ", text)
        assert "shared is read-only here" in text
        assert "changes: changed" in text, "in the container"
        assert "changes: hosts" in text, "with the rest of the system's /etc"
        assert "as it was built" in guest.run("cat /hostroot/etc/motd"), "in the system"
        assert "changed" in guest.run("cat /proc/1/root/run/changes/upper/motd")
        assert "1 secrets" in text
        assert re.search(r"/dev/mapper/vault /var/vault ext4", guest.run("cat /proc/1/mounts"))
        collector.wait_for("ticker", 3)
        assert guest.power_off() == 0
    ticks = collector.from_program("ticker")
    assert ticks[:3] == ["tick 1", "tick 2", "tick 3"], collector.received[:5]
    assert any("Linux version" in line for line in collector.from_program("kmsg"))
    assert b"secret" not in disk.read_bytes()
    with Guest(built("dm-crypt-loop"), *options, log=tmp_path / "again.log") as guest:
        until(guest, "2 secrets")
        guest.type("\x01csystem_powerdown\n")
        assert guest.process.wait(60) == 0


def test_a_login_with_a_password(built: Callable[[str], Path], tmp_path: Path) -> None:
    options = ("--state", f"{tmp_path}/state", "--networking", "none")
    with Guest(built("getty"), *options, log=tmp_path / "console.log") as guest:
        for password, answer in (("hgfedcba", "Login incorrect"), ("abcdefgh", r"~# ")):
            guest.expect("login: ")
            guest.type("root\n")
            guest.expect("Password: ")
            guest.type(f"{password}\n")
            guest.expect(answer)
        guest.prompt()
        assert "kept" in guest.run("echo kept > /var/tmp/file; cat /proc/1/root/var/tmp/file")
        assert "root:$6$" in guest.run("cat /hostroot/etc/getty.shadow"), "the label's binds stay"
        assert guest.power_off() == 0


NETWORKED = ("sshd", "node_exporter", "metadata", "logging", "swap")

NOBODYS_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOj9AFrne4zzbGBB9flrOUzy/bTQO5+qfcBG9TD9Amgg"


def without_repetitions(names: tuple[str, ...], folder: Path, key: str) -> list[str]:
    """Copies of examples in which an entry that several have, such as a getty, stands once, and
    `key` in the place of nobody's."""
    seen: list[object] = []
    paths = []
    for name in names:
        document = yaml.safe_load(
            (ROOT / "examples" / f"{name}.yml").read_text().replace(NOBODYS_KEY, key)
        )
        for section in ("init", "onboot", "services"):
            document[section] = [one for one in document[section] if one not in seen]
            seen += document[section]
        path = folder / f"{name}.yml"
        path.write_text(yaml.safe_dump(document))
        paths.append(str(path))
    return paths


def test_networked_examples_that_share_a_guest(tmp_path: Path) -> None:
    """An ssh client, Prometheus's side, and what a CD, the logs and the kernel say."""
    disk, key = tmp_path / "disk.img", tmp_path / "key"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk, "256M"], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text().split()[1]
    sources = without_repetitions(NETWORKED, tmp_path, public)
    assert main(["build", "--dir", str(tmp_path), "--name", "all", *sources]) == 0
    ssh, metrics = free_port(), free_port()
    options = ["--publish", f"{ssh}:22", "--publish", f"{metrics}:9100"]
    options += ["--disk", f"file={disk},format=raw", "--state", f"{tmp_path}/state"]
    options += ["--data", '{"motd": {"content": "hello"}}']
    client = ["ssh", "-F", "none", "-i", str(key), "-p", str(ssh), "-o", "BatchMode=yes"]
    for option in (
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
    ):
        client += ["-o", option]
    with Guest(tmp_path / "all", *options, log=tmp_path / "all.log") as guest:
        page = fetch(metrics, 240, "/metrics")
        assert 'node_uname_info{domainname="(none)",machine="x86_64"' in page
        swap = re.search(r"^node_memory_SwapTotal_bytes (\S+)$", page, re.MULTILINE)
        assert swap
        assert float(swap[1]) == (64 << 20) - 4096
        guest.prompt()
        # With memlogd, what a service says comes to its log, not to the console.
        listens = "until grep -q 'Server listening on 0.0.0.0' /var/log/sshd*.log; do sleep 1; done"
        guest.run(listens, 120)
        done = subprocess.run(
            [*client, "root@127.0.0.1", "cat /run/config/motd /proc/swaps"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("hello")
        assert "/mapper/swapfile " in done.stdout, "encrypted"
        assert "Linux version" in guest.run("head -n 5 /var/log/kmsg.log*")
        assert "hello" in guest.run("grep hello /var/log/onboot.*motd.out.log")
        assert guest.power_off() == 0


@pytest.mark.wide
def test_an_encrypted_disk(built: Callable[[str], Path], tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as stream:
        stream.truncate(256 << 20)
    options = ("--disk", f"file={disk},format=raw", "--state", f"{tmp_path}/state")
    with Guest(built("dm-crypt"), *options, log=tmp_path / "console.log") as guest:
        until(guest, "boots: 1 /data/boots")
        guest.prompt()
        assert "/dev/mapper/data /var/lib/data ext4" in guest.run("cat /proc/1/mounts")
        assert guest.power_off() == 0
    kind = subprocess.run(["blkid", "-p", "-o", "export", disk], capture_output=True, text=True)
    assert "TYPE=crypto_LUKS" in kind.stdout
