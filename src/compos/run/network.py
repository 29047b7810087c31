"""A guest's network: published ports and its address.

May touch: the state directory; ports of this machine, to see that they are free.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError
from compos.output.place import put_file

__all__ = [
    "LOOPBACK",
    "Publish",
    "SharedNetwork",
    "check_free",
    "mac_address",
    "parse_networking",
    "parse_publish",
    "shared_network",
]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Publish:
    """A port of the guest made reachable at `address`:`host`."""

    host: int
    guest: int
    protocol: str = "tcp"
    address: str = LOOPBACK


def parse_publish(text: str) -> Publish:
    """`[ADDRESS:]HOST:GUEST[/tcp|udp]`, the address an IPv4 one. Raises `RunError`
    (`publish-syntax`)."""
    match = re.fullmatch(r"(?:([0-9.]+):)?([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp))?", text, re.ASCII)
    if match is None:
        raise _syntax(text, "the syntax is invalid")
    if not all(0 < int(match[group]) < 65536 for group in (2, 3)):
        raise _syntax(text, "a port must be a number from 1 to 65535")
    try:
        address = str(ipaddress.IPv4Address(match[1] or LOOPBACK))
    except ValueError as error:
        raise _syntax(text, f"{match[1]} is not an IPv4 address") from error
    return Publish(int(match[2]), int(match[3]), match[4] or "tcp", address)


def _syntax(text: str, reason: str) -> RunError:
    return RunError(
        "publish-syntax",
        f"--publish {text}: {reason}",
        hint="Write it as --publish 8080:80, or --publish 0.0.0.0:8080:80/udp.",
    )


@dataclass(frozen=True, slots=True)
class SharedNetwork:
    """A network of any number of guests: each frame is a datagram to a multicast group that does
    not leave this machine. `mac` is the address of the guest's card."""

    group: str
    port: int
    mac: str


def shared_network(name: str, mac: str) -> SharedNetwork:
    """The network that every guest of this user has under `name`. Raises `RunError`
    (`network-name`).

    Group and port follow from both: the organisation-local scope (RFC 2365), and the ports that
    programs do not get by themselves.
    """
    if not re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII):
        raise RunError(
            "network-name",
            f"{name!r} cannot be the name of a network",
            hint="Use up to 64 letters, digits and any of - . _",
        )
    digest = hashlib.sha256(f"{os.geteuid()} {name}".encode()).digest()
    port = 10000 + int.from_bytes(digest[3:5], "big") % 20000
    return SharedNetwork(f"239.192.{digest[0]}.{digest[1]}", port, mac)


def check_free(rules: tuple[Publish, ...]) -> None:
    """Raise `RunError` (`port-in-use`, `port-denied`, `publish-address`) when one of the host's
    ports cannot be had."""
    taken = set()
    for rule in rules:
        place = f"{rule.address}:{rule.host}/{rule.protocol}"
        if place in taken:
            raise RunError(
                "port-in-use",
                f"the port {rule.host} is published twice",
                place=place,
                hint="Publish another port.",
            )
        taken.add(place)
        _try(rule, place)


def _try(rule: Publish, place: str) -> None:
    kind = socket.SOCK_DGRAM if rule.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if rule.protocol == "tcp":  # as QEMU does; for UDP it would let two have the same port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((rule.address, rule.host))
        except OSError as error:
            raise _refused(rule, place, error.errno) from error


def _refused(rule: Publish, place: str, reason: int | None) -> RunError:
    if reason in (errno.EACCES, errno.EPERM):
        return RunError(
            "port-denied", "the port requires root", place=place, hint="Publish a port above 1023."
        )
    if reason == errno.EADDRINUSE:
        hint = "Stop the program that uses it, or publish another port."
        return RunError("port-in-use", f"the port {rule.host} is in use", place=place, hint=hint)
    return RunError(
        "publish-address",
        f"this machine does not have the address {rule.address}",
        place=place,
        hint="Leave out the address for 127.0.0.1, or use 0.0.0.0 for all addresses.",
    )


def parse_networking(text: str) -> str:
    """`user` (or `default`), `bridge,NAME`, `tap,NAME`, `none`. Raises `RunError`
    (`networking-syntax`)."""
    kind, _, name = text.partition(",")
    if kind in ("default", "user", "none") and not name:
        return "user" if kind == "default" else kind
    if kind in ("bridge", "tap") and re.fullmatch(r"[\w.-]{1,15}", name):
        return text
    raise RunError(
        "networking-syntax",
        f"--networking {text} is not valid",
        hint="Use user, bridge,NAME, tap,NAME or none.",
    )


def mac_address(state: Path, card: int = 0) -> str:
    """The address of the guest's network card `card`, kept in the state directory: random, locally
    administered, unicast. Raises `ComposError`."""
    path = state / f"mac-addr{card or ''}"
    if path.exists():
        text = path.read_text().strip()
        if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
            raise RunError(
                "mac-address",
                "the file does not contain a MAC address",
                place=str(path),
                hint="Delete the file.",
            )
        return text
    raw = bytearray(os.urandom(6))
    raw[0] = (raw[0] | 0x02) & 0xFE
    text = raw.hex(":")
    put_file(path, text.encode())
    return text
