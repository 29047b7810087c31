"""QEMU's monitor and guest agent, as a host speaks with them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.guest import Guest

__all__ = ["Agent", "agent", "monitor"]


def monitor(guest: Guest, *commands: str) -> None:
    """Give QEMU's monitor commands, and go back to the console."""
    guest.type("\x01c")
    for command in commands:
        guest.type(f"{command}\n")
        guest.expect(r"\(qemu\) ", 20)
    guest.type("\x01c")


class Agent:
    """The guest's agent, by its protocol: JSON, a line for each request and answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("r")

    def send(self, command: str, **arguments: Any) -> None:
        """Without waiting for an answer."""
        request = {"execute": command, "arguments": arguments}
        self._connection.sendall(json.dumps(request).encode() + b"\n")

    def ask(self, command: str, **arguments: Any) -> Any:
        self.send(command, **arguments)
        answer = json.loads(self._answers.readline())
        assert "return" in answer, answer
        return answer["return"]


@contextmanager
def agent(guest: Guest, path: Path) -> Iterator[Agent]:
    """Plugs the agent's port into a guest that has a `virtio-serial-pci`; `path` becomes QEMU's
    socket."""
    monitor(
        guest,
        f"chardev-add socket,id=agent,path={path},server=on,wait=off",
        "device_add virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        yield Agent(connection)
