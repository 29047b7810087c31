"""The examples in which machines talk to each other: an edge gateway with its client, and a trunk
of two cables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.ethernet import Peer
from tests.boot.host_servers import PAGE, web_server
from tests.boot.runtimes import until
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]


def test_an_edge_gateway_and_its_client(built: Callable[[str], Path], tmp_path: Path) -> None:
    """Two guests at one cable: through the tunnel there is a way out, beside it there is none."""
    cable = ("--mem", "512", "--link", str(tmp_path / "cable"))
    outside = ("--device", "i6300esb", "--state", str(tmp_path / "gateway"))
    alone = ("--networking", "none", "--state", str(tmp_path / "client"))
    with (
        web_server() as port,
        Guest(built("edge-gateway"), *cable, *outside, log=tmp_path / "gateway.log") as gateway,
        Guest(built("edge-client"), *cable, *alone, log=tmp_path / "client.log") as client,
    ):
        client.prompt()
        gateway.prompt()
        assert "compos: watchdog: fed, 30 s" in gateway.text()
        url = f"http://10.0.2.2:{port}/"
        assert PAGE in client.run(f"wget -qO- -T 20 {url}")
        for address in ("10.0.2.2", "192.168.77.1"):
            assert "0% packet loss" in client.run(f"ping -c 1 -W 10 {address}"), address
        refused = client.run("wget -T 20 -O- http://10.0.2.2:25/ 2>&1")
        assert "No route to host" in refused or "Host is unreachable" in refused, refused
        # Past the tunnel: the gateway would know the way, and drops it.
        client.run("ip route add 10.0.2.3/32 via 192.168.77.1")
        assert "100% packet loss" in client.run("ping -c 2 -W 2 10.0.2.3")
        assert "timed out" in client.run("wget -T 3 -O- http://192.168.77.1:22/ 2>&1")
        until(client, r"chrony: .*Selected source 192\.168\.77\.1")
        for guest in (client, gateway):
            assert guest.power_off() == 0


def monitor(guest: Guest, command: str) -> None:
    """Give a command to QEMU's monitor, and go back to the console."""
    guest.type(f"\x01c{command}\n")
    guest.expect(r"\(qemu\) ", 20)
    guest.type("\x01c")


@pytest.mark.wide
def test_a_vlan_on_a_bond_of_two_cables(built: Callable[[str], Path], tmp_path: Path) -> None:
    """The peer is not Linux: it reads and writes the tags itself."""
    cables = [tmp_path / name for name in ("left", "right")]
    options = [word for cable in cables for word in ("--link", str(cable))]
    options += ["--networking", "none", "--state", str(tmp_path / "state")]
    with (
        Peer(cables, "192.168.10.1", 10) as peer,
        Guest(built("vlan-bond"), *options, log=tmp_path / "console.log") as guest,
    ):
        used = peer.ping("192.168.10.2", seconds=120)
        assert used is not None, guest.text()[-3000:]
        assert peer.ping("192.168.10.2", vlan=0, seconds=2) is None, "without a tag"
        assert peer.ping("192.168.10.2", vlan=11, seconds=2) is None, "in another VLAN"
        guest.prompt()
        assert "bond1" not in guest.run("ls /proc/net/bonding")
        assert f"Currently Active Slave: eth{used}" in guest.run("cat /proc/net/bonding/bond0")
        # The cable is cut: the kernel goes over to the other one.
        monitor(guest, f"set_link t{used + 1} off")
        until(guest, rf"eth{used}.*[Ll]ink.*down|making interface eth{1 - used}")
        assert peer.ping("192.168.10.2", seconds=30) == 1 - used
        assert guest.power_off() == 0
