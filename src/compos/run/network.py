"""A guest's network: published ports and its address.

May touch: the state directory; ports of this machine, to see that they are free.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError

__all__ = ["Publish", "check_free", "mac_address", "parse_networking", "parse_publish"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Publish:
    """A port of the guest made reachable at `address`:`host`."""

    host: int
    guest: int
    protocol: str = "tcp"
    address: str = LOOPBACK


def parse_publish(text: str) -> Publish:
    """`[ADDRESS:]HOST:GUEST[/tcp|udp]`. Raises `RunError` (`publish-syntax`)."""
    match = re.fullmatch(r"(?:([0-9.]+):)?([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp))?", text)
    if match is None or not all(0 < int(match[group]) < 65536 for group in (2, 3)):
        raise RunError(
            "publish-syntax",
            f"--publish {text}: ports are numbers from 1 to 65535",
            hint="Write it as --publish 8080:80, or --publish 0.0.0.0:8080:80/udp.",
        )
    return Publish(int(match[2]), int(match[3]), match[4] or "tcp", match[1] or LOOPBACK)


def check_free(rule: Publish) -> None:
    """Raise `RunError` (`port-in-use`, `port-denied`) when the host's port cannot be had."""
    kind = socket.SOCK_DGRAM if rule.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((rule.address, rule.host))
        except OSError as error:
            place = f"{rule.address}:{rule.host}/{rule.protocol}"
            if error.errno == errno.EACCES:
                raise RunError(
                    "port-denied", "this port needs root", place=place, hint="Use one above 1023."
                ) from error
            raise RunError(
                "port-in-use",
                f"the port {rule.host} is in use",
                place=place,
                hint="Stop whoever listens there, or publish another port.",
            ) from error


def parse_networking(text: str) -> str:
    """`user` (or `default`), `bridge,NAME`, `tap,NAME`, `none`. Raises `RunError` (`networking-syntax`)."""
    kind, _, name = text.partition(",")
    if kind in ("default", "user", "none") and not name:
        return "user" if kind == "default" else kind
    if kind in ("bridge", "tap") and re.fullmatch(r"[\w.-]{1,15}", name):
        return text
    raise RunError(
        "networking-syntax", f"--networking {text} is not understood", hint="Use user, bridge,NAME, tap,NAME or none."
    )


def mac_address(state: Path) -> str:
    """The guest's address, kept in the state directory: random, locally administered, unicast. Raises `RunError`."""
    path = state / "mac-addr"
    if path.exists():
        text = path.read_text().strip()
        if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
            raise RunError("mac-address", "this is no MAC address", place=str(path), hint="Delete the file.")
        return text
    raw = bytearray(os.urandom(6))
    raw[0] = (raw[0] | 0x02) & 0xFE
    text = raw.hex(":")
    path.write_text(text)
    return text
