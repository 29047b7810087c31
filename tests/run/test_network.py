"""Published ports, networking modes and the guest's address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.network import Publish, check_free, mac_address, parse_networking, parse_publish


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("8080:80", Publish(8080, 80)),
        ("8080:80/udp", Publish(8080, 80, "udp")),
        ("0.0.0.0:53:5353/tcp", Publish(53, 5353, "tcp", "0.0.0.0")),
    ],
)
def test_publish(text: str, rule: Publish) -> None:
    assert parse_publish(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "80",
        "0:80",
        "80:65536",
        "80:80/sctp",
        "a:b",
        "",
        "80:80:80:80",
        "999.0.0.1:80:80",
        "1.2:80:80",
        "٨٠:80",
    ],
)
def test_bad_publish_is_an_error(text: str) -> None:
    with pytest.raises(RunError) as caught:
        parse_publish(text)
    assert caught.value.id == "publish-syntax"


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunError) as caught:
            check_free((Publish(port, 80),))
    assert caught.value.id == "port-in-use"
    assert str(port) in caught.value.message
    check_free((Publish(port, 80), Publish(port, 80, "udp")))


def test_a_udp_port_in_use_is_named() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(RunError) as caught:
            check_free((Publish(port, 80, "udp"),))
    assert caught.value.id == "port-in-use"
    assert caught.value.place == f"127.0.0.1:{port}/udp"


def test_a_port_published_twice_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    with pytest.raises(RunError) as caught:
        check_free((Publish(port, 80), Publish(port, 81)))
    assert caught.value.message == f"the port {port} is published twice"


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(RunError) as caught:
        check_free((Publish(8080, 80, address="192.0.2.1"),))  # RFC 5737: documentation only
    assert caught.value.id == "publish-address"


@pytest.mark.parametrize("text", ["bridge", "tap,", "nat", "user,x", "bridge,a;b"])
def test_bad_networking_is_an_error(text: str) -> None:
    with pytest.raises(RunError):
        parse_networking(text)


def test_the_address_is_kept(tmp_path: Path) -> None:
    address = mac_address(tmp_path)
    assert int(address[:2], 16) & 3 == 2, "locally administered, unicast"
    assert mac_address(tmp_path) == address
    (tmp_path / "mac-addr").write_text("nonsense")
    with pytest.raises(RunError):
        mac_address(tmp_path)
