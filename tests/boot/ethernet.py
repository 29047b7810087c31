"""A machine at the other end of guests' cables: ARP, IPv4 and ICMP echo, in tagged frames.

As a switch does, it remembers at which cable it saw its peer last. Frames: IEEE 802.3 and 802.1Q;
RFC 826, 791, 792.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from compos.run.links import Link, take_link

__all__ = ["Peer"]

MAC = bytes.fromhex("02f0f0f0f001")
BROADCAST = b"\xff" * 6
TAG, IPV4, ARP = 0x8100, 0x0800, 0x0806


class Frame(NamedTuple):
    """A frame that arrived: at which cable, its VLAN (0: it has no tag), type and contents."""

    cable: int
    source: bytes
    vlan: int
    kind: int
    payload: bytes


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Peer:
    """One address in one VLAN at several cables, each a folder that a guest names with `--link`."""

    def __init__(self, folders: list[Path], address: str, vlan: int) -> None:
        self.address = ipaddress.IPv4Address(address).packed
        self.vlan = vlan
        self.links: list[Link] = [take_link(folder, MAC.hex(":")) for folder in folders]
        self.sockets = []
        for link in self.links:
            link.own.unlink(missing_ok=True)
            end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            end.bind(str(link.own))
            end.setblocking(False)
            self.sockets.append(end)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end, link in zip(self.sockets, self.links, strict=True):
            end.close()
            link.release()

    def ping(self, address: str, *, vlan: int | None = None, seconds: float = 5) -> int | None:
        """Ask until `address` answers; at which cable it did so, or None after `seconds`.

        `vlan` 0 sends without a tag; by default the frames are in the VLAN of this machine.
        """
        there = ipaddress.IPv4Address(address).packed
        vlan = self.vlan if vlan is None else vlan
        deadline = time.monotonic() + seconds
        # Every question is sent to all, at all cables: nothing is learnt that could hide a failure.
        echo = struct.pack(">BBHHH", 8, 0, 0, 0x1234, 1) + b"are you there?  "
        echo = echo[:2] + struct.pack(">H", checksum(echo)) + echo[4:]
        while time.monotonic() < deadline:
            for cable in range(len(self.sockets)):
                self._send(cable, BROADCAST, vlan, ARP, self._arp(1, bytes(6), there))
            seen = self.receive(0.5)
            answer = next((one for one in seen if self._is_answer(one, there, vlan)), None)
            if answer is None:
                continue
            self._send(answer.cable, answer.source, vlan, IPV4, self._ip(there, echo))
            for frame in self.receive(1):
                if frame[2:4] == (vlan, IPV4) and frame.payload[20:21] == b"\0":
                    assert frame.payload[24:44] == echo[4:24]
                    return frame.cable
        return None

    def receive(self, seconds: float) -> list[Frame]:
        """What arrives until nothing more does, or for `seconds`; questions for this machine's
        address are answered."""
        frames: list[Frame] = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for end in select.select(self.sockets, [], [], left)[0]:
                frame = self._parse(self.sockets.index(end), end.recv(65536))
                frames.append(frame)
                self._answer(frame)
        return frames

    def _parse(self, cable: int, data: bytes) -> Frame:
        vlan, rest = 0, data[12:]
        if rest[:2] == TAG.to_bytes(2):
            vlan, rest = int.from_bytes(rest[2:4]) & 0xFFF, rest[4:]
        return Frame(cable, data[6:12], vlan, int.from_bytes(rest[:2]), rest[2:])

    def _answer(self, frame: Frame) -> None:
        if (
            frame[2:4] == (self.vlan, ARP)
            and frame.payload[6:8] == b"\0\1"
            and frame.payload[24:28] == self.address
        ):
            reply = self._arp(2, frame.payload[8:14], frame.payload[14:18])
            self._send(frame.cable, frame.source, frame.vlan, ARP, reply)

    def _is_answer(self, frame: Frame, there: bytes, vlan: int) -> bool:
        return (
            frame[2:4] == (vlan, ARP)
            and frame.payload[6:8] == b"\0\2"
            and frame.payload[14:18] == there
        )

    def _arp(self, operation: int, hardware: bytes, there: bytes) -> bytes:
        head = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
        return head + MAC + self.address + hardware + there

    def _ip(self, there: bytes, contents: bytes) -> bytes:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(contents), 1, 0, 64, 1, 0)
        head += self.address + there
        return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + contents

    def _send(self, cable: int, to: bytes, vlan: int, kind: int, payload: bytes) -> None:
        tag = struct.pack(">HH", TAG, vlan) if vlan else b""
        frame = to + MAC + tag + kind.to_bytes(2) + payload
        # Lost, as at a cable of which the other end hangs loose.
        with suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            self.sockets[cable].sendto(frame.ljust(60, b"\0"), str(self.links[cable].other))
