"""Network configuration on a metadata disc, in a network namespace: what iproute2 then shows. Bonds
and VLANs are shown by tests/boot/test_metadata.py, whose kernel has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bricks.compiler import compile_brick
from tests.bricks.metadata_runs import Outcome, run
from tests.bricks.network_documents import MACS, OPENSTACK, VERSION_1, VERSION_2

BRICKS = Path(__file__).resolve().parents[2] / "bricks"
RECIPE = yaml.safe_load((BRICKS / "metadata/build.yml").read_text())

BEFORE = f"""
ip link add one type veth peer name peer1
ip link add two type veth peer name peer2
ip link set one address {MACS[0]}
ip link set two address {MACS[1]}
ip link set peer1 up
ip link set peer2 up
ip link set one up
"""
AFTER = (
    "echo [$(ip -j address),$(ip -j route show table main),$(ip -j -6 route show table main)]"
    "; cat /etc/resolv.conf 2> /dev/null || true"
)


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_brick("metadata", driver="disc")


class Network:
    """What iproute2 shows."""

    def __init__(self, outcome: Outcome) -> None:
        shown, _, self.resolv_conf = outcome.shown.partition("\n")
        links, self.routes, routes6 = json.loads(shown)
        self.routes += routes6
        self.links: dict[str, Any] = {link["ifname"]: link for link in links}
        self.said = [line.removeprefix("metadata: ") for line in outcome.said.splitlines()]

    def addresses(self, name: str) -> list[str]:
        """Without those that the kernel makes itself."""
        return [
            f"{entry['local']}/{entry['prefixlen']}"
            for entry in self.links[name]["addr_info"]
            if entry["scope"] != "link"
        ]

    def route(self, to: str) -> list[str]:
        """Gateway, device and metric of each route to a destination."""
        return [
            " ".join(str(route.get(key, "-")) for key in ("gateway", "dev", "metric"))
            for route in self.routes
            if route["dst"] == to
        ]


def configured(
    program: Path, folder: Path, text: str, *, path: str = "network-config", before: str = BEFORE
) -> tuple[Network, Outcome]:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    (folder / "meta-data").write_text("instance-id: i\n")
    outcome = run(program, "--network", str(folder), before=before, after=AFTER)
    assert outcome.status == 0
    return Network(outcome), outcome


@pytest.mark.root
def test_version_2(program: Path, tmp_path: Path) -> None:
    network, outcome = configured(program, tmp_path, VERSION_2)
    assert network.said == [
        "network: two: not carried out: wakeonlan",
        "network: two: its addresses are left to a DHCP client",
    ]
    assert outcome.config()["network-config"] == VERSION_2.rstrip()
    assert outcome.config()["dhcpcd.conf"] == "allowinterfaces two\n"
    assert network.addresses("lan0") == ["10.1.0.2/24", "2001:db8::2/64"]
    assert network.links["lan0"]["addr_info"][0]["broadcast"] == "10.1.0.255"
    assert (network.links["lan0"]["mtu"], network.links["lan0"]["operstate"]) == (1400, "UP")
    assert network.route("default") == ["10.1.0.1 lan0 -", "192.0.2.1 lan0 9"]
    assert network.route("10.9.0.0/16") == ["10.1.0.254 lan0 50"]
    assert network.route("2001:db8:9::/48") == ["2001:db8::1 lan0 1024"]
    assert network.addresses("br0") == ["10.2.0.1/30"]
    assert network.links["two"]["master"] == "br0"
    assert network.resolv_conf == (
        "nameserver 10.1.0.53\nnameserver 2001:db8::53\nsearch example.org lan\n"
    )


@pytest.mark.root
def test_version_1(program: Path, tmp_path: Path) -> None:
    """The two interfaces exchange their names."""
    network, _ = configured(program, tmp_path, VERSION_1)
    assert network.said[:3] == [
        "network: one: addresses by 'ipv6_slaac' are not supported",
        "network: br0: the option bridge_fd is not supported",
        "network: the type 'infiniband' is not supported",
    ]
    assert network.links["two"]["address"] == MACS[0]
    assert network.links["one"]["address"] == MACS[1]
    assert network.links["two"]["mtu"] == 1300
    assert network.addresses("two") == ["10.1.0.2/24", "2001:db8::2/64"]
    assert network.route("default") == ["10.1.0.1 two -", "2001:db8::1 two 1024"]
    assert network.route("10.9.0.0/16") == ["10.1.0.254 two -"]
    assert network.links["one"]["master"] == "br0"
    assert network.resolv_conf == "nameserver 10.1.0.53\nnameserver 10.1.0.54\nsearch example.org\n"


@pytest.mark.root
def test_openstack(program: Path, tmp_path: Path) -> None:
    text = json.dumps(OPENSTACK)
    network, outcome = configured(
        program, tmp_path, text, path="openstack/latest/network_data.json"
    )
    assert network.said == [
        "network: 'nowhere': a network without a link",
        "network: tap2: its addresses are left to a DHCP client",
    ]
    assert outcome.config()["network_data.json"] == text
    assert network.links["one"]["mtu"] == 1450
    assert network.addresses("one") == ["10.1.0.2/24", "2001:db8::2/64"]
    assert network.route("default") == ["10.1.0.1 one -", "2001:db8::1 one 1024"]
    assert network.resolv_conf == "nameserver 10.1.0.53\nnameserver 10.1.0.54\n"


DHCP = {
    "one interface": ("{one: {dhcp4: true}, two: {}}", "allowinterfaces one\n"),
    "both": ("{one: {dhcp6: true}, two: {dhcp4: true}}", "allowinterfaces one two\n"),
    "none": ("{one: {addresses: [10.1.0.2/24]}}", "denyinterfaces *\n"),
    "one that is not there": ("{three: {dhcp4: true}}", "denyinterfaces *\n"),
}


@pytest.mark.root
@pytest.mark.parametrize("name", DHCP)
def test_who_is_to_ask_by_dhcp(program: Path, tmp_path: Path, name: str) -> None:
    """The settings of the brick dhcpcd, for the interfaces that want addresses."""
    ethernets, expected = DHCP[name]
    (tmp_path / "network-config").write_text(f"version: 2\nethernets: {ethernets}\n")
    (tmp_path / "meta-data").write_text("instance-id: i\n")
    settings = {file["path"]: file["contents"] for file in RECIPE["files"] if "contents" in file}
    given = settings["etc/dhcpcd.conf"]
    assert given == (BRICKS / "dhcpcd/dhcpcd.conf").read_text()
    files = {"/etc/dhcpcd.conf": given}
    outcome = run(program, "--network", str(tmp_path), before=BEFORE, files=files)
    others = [line for line in given.splitlines(True) if "allowinterfaces" not in line]
    assert outcome.config()["dhcpcd.conf"] == "".join(others) + expected
    (tmp_path / "network-config").unlink()
    outcome = run(program, "--network", str(tmp_path), before=BEFORE, files=files)
    assert outcome.config()["dhcpcd.conf"] == given, "no configuration: all that it had"


@pytest.mark.root
def test_it_is_an_option(program: Path, tmp_path: Path) -> None:
    (tmp_path / "network-config").write_text(VERSION_2)
    (tmp_path / "meta-data").write_text("instance-id: i\n")
    outcome = run(program, str(tmp_path), before=BEFORE, after=AFTER)
    network = Network(outcome)
    assert network.said == ["network: not carried out (--network)"]
    assert network.addresses("one") == []
    assert network.links["two"]["operstate"] == "DOWN"


def ethernet(rest: str) -> str:
    return f"version: 2\nethernets:\n  one:\n    addresses: [10.1.0.2/24]\n{rest}"


BAD = {
    "a prefix": ethernet("  two: {addresses: [10.2.0.1/33]}"),
    "an address": ethernet("  two: {addresses: [10.2.0.256/24]}"),
    "a long address": ethernet("  two: {addresses: [" + "1" * 200 + "]}"),
    "a route across families": ethernet("    routes: [{to: '2001:db8::/32', via: 10.1.0.1}]"),
    "a route that is none": ethernet("    routes: [{to: here, via: there}]"),
    "a gateway that is far away": ethernet("    routes: [{to: default, via: 172.16.0.1}]"),
    "a name with a slash": ethernet("  two: {set-name: ../x}"),
    "a long name": ethernet("  two: {set-name: abcdefghijklmnop}"),
    "a MAC address": ethernet("  two: {match: {macaddress: '02:00'}}"),
    "interfaces that are not there": ethernet("  x: {}\n  lo: {addresses: [10.2.0.1/24]}"),
    "a bridge of itself": ethernet("bridges: {br0: {interfaces: [br0]}}"),
    "a bridge of nothing": ethernet("bridges: {br0: {interfaces: [x]}}"),
    "a VLAN of nothing": ethernet("vlans: {v: {id: 1, link: x}}"),
    "a VLAN's number": ethernet("vlans: {v: {id: 4095, link: one}}"),
    "a name server": ethernet("    nameservers: {addresses: ['x\\n']}"),
    "a search domain": ethernet("    nameservers: {search: ['a b']}"),
    "many servers": ethernet("    nameservers: {search: [" + "abcdefgh, " * 100 + "]}"),
    "many addresses": ethernet("  two: {addresses: [" + "10.2.0.1/32, " * 100 + "]}"),
    "many devices": ethernet("bridges:\n" + "".join(f"  d{i}: {{}}\n" for i in range(100))),
    "a table": ethernet("    routes: [{to: 10.3.0.0/24, via: 10.1.0.1, table: 7}]"),
    "another version": "version: 3\n",
    "no version": "ethernets: {}\n",
    "no YAML": "version: 2\n  x: [",
}


@pytest.mark.root
@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(program: Path, tmp_path: Path, name: str) -> None:
    """In a line for each thing; the other device is configured."""
    network, _ = configured(program, tmp_path, BAD[name])
    assert network.said
    assert all(line.startswith("network: ") for line in network.said)
    if "version: 2\neth" in BAD[name]:
        assert network.addresses("one") == ["10.1.0.2/24"]
    assert "10.2.0.1" not in str(network.links["lo"])
    assert network.resolv_conf.count("\n") <= 1


@pytest.mark.root
def test_without_the_capability(program: Path, tmp_path: Path) -> None:
    (tmp_path / "network-config").write_text(ethernet(""))
    (tmp_path / "meta-data").write_text("instance-id: i\n")
    command = ["-c", 'exec setpriv --bounding-set=-net_admin "$0" "$@"', str(program)]
    outcome = run(Path("/bin/sh"), *command, "--network", str(tmp_path), before=BEFORE)
    assert outcome.said == (
        "metadata: network: not permitted: the container needs CAP_NET_ADMIN (capabilities.add)\n"
    )
