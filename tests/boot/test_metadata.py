"""The metadata brick in a guest: a CD of `compos metadata create`, a cloud's service over the
network, Azure's with its CD, a FAT disk that says everything that options allow, and one that means harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import Guest, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SERVICE = Path(__file__).resolve().parent / "programs" / "imds.py"

HEAD = """
kernel: {image: compos/kernel:v1, cmdline: "console=ttyS0 panic=-1", modules: auto}
init: [compos/init:v1, compos/crun:v1]
"""
TAIL = """
services:
  - {name: getty, image: compos/getty:v1, env: [INSECURE=true]}
"""

KEEP = """
  - name: keep-{0}
    image: compos/busybox:v1
    binds: [/run:/run]
    command: [/bin/sh, -c, "mv /run/config /run/config-{0}; hostname > /run/hostname-{0}"]
"""

BOTH = f"""{HEAD}
onboot:
  - name: metadata-cd
    image: compos/metadata:v1
    command: [/usr/bin/metadata, cdrom]
  {KEEP.format("cd")}
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]
  - name: metadata
    image: compos/metadata:v1
  {KEEP.format("cloud")}
  - name: metadata-azure
    image: compos/metadata:v1
    command: [/usr/bin/metadata, azure]
  {KEEP.format("azure")}
{TAIL}
"""

USERS = """binds.add:
      - /run/config/users/passwd:/etc/passwd
      - /run/config/users/group:/etc/group
      - /run/config/users/shadow:/etc/shadow
      - /run/config/users/home:/home"""

DISK = f"""{HEAD.replace("auto", "[auto, bonding, 8021q]")}
onboot:
  - name: metadata
    image: compos/metadata:v1
    command: [/usr/bin/metadata, -v, --users, --commands, --network, cdrom]
    capabilities.add: [CAP_NET_ADMIN, CAP_CHOWN]
  - name: runcmd
    image: compos/busybox:v1
    binds: ["/run/config:/run/config"]
    command: [/bin/sh, /run/config/runcmd]
  - name: dhcpcd
    image: compos/dhcpcd:v1
    binds.add: [/run/config/dhcpcd.conf:/dhcpcd.conf]
    command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
    {USERS}
  - name: sshd
    image: compos/sshd:v1
    {USERS}
"""

USER_DATA = """#cloud-config
users:
- name: me
  groups: [builders]
  sudo: ALL=(ALL) ALL
  ssh_authorized_keys: [KEY]
chpasswd: {expire: false, users: [{name: me, password: HASH}]}
runcmd:
- [sh, -c, 'echo "$1" > /run/config/ran', sh, it's me]
"""

NETWORK = """version: 2
ethernets:
  left:
    match: {name: eth0}
    set-name: uplink
  right:
    match: {macaddress: "52:54:00:00:00:02"}
bonds:
  bond0:
    interfaces: [left, right]
    parameters: {mode: 802.3ad, mii-monitor-interval: 100, lacp-rate: fast,
                 transmit-hash-policy: layer3+4}
    dhcp4: true
    mtu: 1400
vlans:
  guests: {id: 7, link: bond0, addresses: [10.7.0.1/24]}
"""


def shown(guest: Guest, command: str) -> str:
    """What a command prints, without the echo of what was typed, which the terminal wraps."""
    text = guest.run(f"echo out''put of; {command}").replace("\r", "")
    return text.split("output of\n", 1)[1].strip()


def link_local_qemu(folder: Path, cd: Path) -> Path:
    """QEMU with another CD, and a user network in which the link-local address answers, and no
    other."""
    script = folder / "qemu"
    network = (
        "net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,dhcpstart=169.254.0.15,restrict=on,"
        f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {SERVICE}"
    )
    script.write_text(
        "#!/bin/bash\n"
        f'exec qemu-system-x86_64 "${{@/#user,id=t0/user,id=t0,{network.replace("/", chr(92) + "/")}}}"'
        f" -drive file={cd},media=cdrom,format=raw\n"
    )
    script.chmod(0o755)
    return script


OVF = """<?xml version="1.0" encoding="utf-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1"
    xmlns:wa="http://schemas.microsoft.com/windowsazure">
 <wa:ProvisioningSection><wa:Version>1.0</wa:Version>
  <LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure">
   <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>
   <HostName>by-azure</HostName><UserName>me</UserName>
   <CustomData>eyJmcm9tIjogeyJjb250ZW50IjogIkF6dXJlIn19</CustomData>
   <SSH><PublicKeys><PublicKey><Fingerprint>0</Fingerprint><Path>/x</Path>
    <Value>ssh-rsa A azure</Value></PublicKey></PublicKeys></SSH>
  </LinuxProvisioningConfigurationSet>
 </wa:ProvisioningSection>
</Environment>
"""


def azure_cd(folder: Path) -> Path:
    """UDF, without the ISO 9660 that genisoimage writes beside it: what says where UDF is moves to
    its place."""
    content, image = folder / "azure", folder / "azure.iso"
    content.mkdir()
    (content / "ovf-env.xml").write_text(OVF)
    command = ["genisoimage", "-quiet", "-udf", "-o", str(image), str(content)]
    subprocess.run(command, check=True, capture_output=True)
    with image.open("r+b") as file:
        data = file.read()
        first = data.index(b"\0BEA01", 32768)
        file.seek(32768)
        file.write(data[first : first + 3 * 2048].ljust(first + 3 * 2048 - 32768, b"\0"))
    return image


def test_a_cd_and_a_cloud(built: Callable[[str], Path], tmp_path: Path) -> None:
    data = {
        "ssh": {"entries": {"authorized_keys": {"perm": "0600", "content": "ssh-rsa CD"}}},
        "motd": {"content": "from the CD"},
    }
    options = ["--state", f"{tmp_path}/state", "--data", json.dumps(data)]
    options += ["--qemu", str(link_local_qemu(tmp_path, azure_cd(tmp_path)))]
    with Guest(built(BOTH), *options, log=tmp_path / "console.log") as guest:
        guest.expect("compos: services started", 300)
        guest.prompt()
        assert re.fullmatch(r"CDROM /dev/sr\d", shown(guest, "cat /run/config-cd/provider; echo"))
        assert shown(guest, "cat /run/config-cd/motd; echo") == "from the CD"
        assert shown(guest, "cat /run/config-cd/ssh/authorized_keys; echo") == "ssh-rsa CD"
        assert shown(guest, "stat -c %a /run/config-cd/ssh/authorized_keys") == "600"
        assert shown(guest, "cat /run/config-cloud/provider; echo") == "AWS"
        assert shown(guest, "cat /run/config-cloud/instance_id; echo") == "i-guest"
        assert shown(guest, "cat /run/config-cloud/ssh/authorized_keys") == "ssh-ed25519 AAAA guest"
        assert shown(guest, "cat /run/config-cloud/from; echo") == "the cloud"
        assert shown(guest, "hostname; cat /run/hostname-cloud") == "by-azure\nip-10-0-0-1"
        assert shown(guest, "cat /run/hostname-cd") != "ip-10-0-0-1"
        assert shown(guest, "cat /run/config-azure/instance_id; echo") == "v-guest"
        assert shown(guest, "cat /run/config-azure/from; echo") == "Azure"
        assert shown(guest, "cat /run/config-azure/ssh/authorized_keys") == "ssh-rsa A azure"
        log = guest.text()
        assert "metadata: Azure: there are custom data and user data; custom data is used" in log
        assert "metadata: Azure: reporting that the machine is ready: 168.63.129.16: " in log
        assert guest.power_off() == 0


def ssh(key: Path, port: int, command: str) -> str:
    """What Debian's client prints, with one key and no configuration."""
    options = ["-F", "none", "-i", str(key), "-p", str(port), "-o", "BatchMode=yes"]
    options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    line = ["ssh", *options, "-o", "ConnectTimeout=60", "me@127.0.0.1", command]
    return subprocess.run(line, check=True, capture_output=True, text=True, timeout=120).stdout


def two_cables(folder: Path, port: int) -> Path:
    """QEMU with a second card, in a user network of its own, by which `port` comes to the guest's 22:
    whichever of the two the bond uses, because there is no switch that speaks LACP."""
    script = folder / "qemu"
    card = "virtio-net-pci,speed=1000,duplex=full"
    script.write_text(
        f'#!/bin/bash\nset -- "${{@/#virtio-net-pci/{card}}}"\nexec qemu-system-x86_64 "$@"'
        f" -netdev user,id=right,hostfwd=tcp:127.0.0.1:{port}-:22"
        f" -device {card},netdev=right,mac=52:54:00:00:00:02\n"
    )
    script.chmod(0o755)
    return script


def test_disks(built: Callable[[str], Path], tmp_path: Path) -> None:
    """One has the right label, and a file system that is nonsense; which one the kernel finds first
    varies. The other decides about users, commands and the network."""
    broken, disk, key = tmp_path / "broken.img", tmp_path / "disk.img", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    password = subprocess.run(
        ["openssl", "passwd", "-6", "secret"], check=True, capture_output=True, text=True
    ).stdout.strip()
    data = USER_DATA.replace("KEY", public).replace("HASH", password)
    (tmp_path / "user-data").write_text(data)
    (tmp_path / "meta-data").write_text("local-hostname: by-disk\ninstance-id: fat\n")
    (tmp_path / "network-config").write_text(NETWORK)
    for image in (broken, disk):
        with image.open("wb") as file:
            file.truncate(8 << 20)
        command = ["mkfs.fat", "-n", "CIDATA", str(image)]
        subprocess.run(command, check=True, capture_output=True)
    names = [tmp_path / name for name in ("user-data", "meta-data", "network-config")]
    subprocess.run(["mcopy", "-i", disk, *names, "::"], check=True)
    with broken.open("r+b") as file:
        file.seek(11)
        file.write(b"\xff" * 25)
    port, other = free_port(), free_port()
    options = ["--state", f"{tmp_path}/state", "--disk", str(broken), "--disk", str(disk)]
    options += ["--publish", f"{port}:22", "--qemu", str(two_cables(tmp_path, other))]
    with Guest(built(DISK), *options, log=tmp_path / "console.log") as guest:
        guest.expect("compos: services started", 300)
        guest.prompt()
        assert re.fullmatch(r"CDROM /dev/\w+", shown(guest, "cat /run/config/provider; echo"))
        assert shown(guest, "cat /run/config/instance_id; echo") == "fat"
        assert shown(guest, "hostname; cat /run/config/ran") == "by-disk\nit's me"
        assert shown(guest, "grep ^nameserver /etc/resolv.conf") == "nameserver 10.0.2.3"
        bond = shown(guest, "cat /proc/net/bonding/bond0; cat /proc/net/vlan/guests")
        assert "Bonding Mode: IEEE 802.3ad Dynamic link aggregation" in bond
        assert "Transmit Hash Policy: layer3+4 (1)" in bond
        assert "MII Polling Interval (ms): 100" in bond
        assert "LACP rate: fast" in bond
        assert bond.count("MII Status: up") == 3
        assert re.findall(r"Slave Interface: (\w+)", bond) == ["uplink", "eth1"]
        assert re.search(r"guests  VID: 7\s", bond)
        address = shown(guest, "ip address show bond0; ip address show guests; ip route")
        assert "mtu 1400" in address
        assert "inet 10.0.2.15/24 brd 10.0.2.255" in address
        assert "inet 10.7.0.1/24" in address
        assert re.search("default via 10.0.2.2 dev bond0", address)
        guest.type("login me\n")
        guest.expect("Password: ")
        guest.type("secret\n")
        guest.expect(r"\$ ")
        guest.type("id -un; exit\n")
        guest.expect(r"exit\r?\nme\r?\n")
        guest.prompt()
        probe = "id -un; id -Gn; pwd; touch a && stat -c %U a; cat /etc/shadow || echo closed"
        assert shown(guest, "cat /run/config/users/sudoers").endswith("me ALL=(ALL) ALL")
        active = re.search(r"Active Aggregator Info:\s+Aggregator ID: (\d+)", bond)
        slaves = re.findall(r"(?s)Slave Interface: (\w+).*?Aggregator ID: (\d+)", bond)
        assert active
        port = port if dict(slaves)["uplink"] == active[1] else other
        assert ssh(key, port, probe) == "me\nme builders\n/home/me\nme\nclosed\n"
        assert guest.power_off() == 0
