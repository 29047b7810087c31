"""Servers of Nova.

May touch: Nova and Glance. Source: Compute API v2.1, docs.openstack.org/api-ref/compute: "Create
server", "Show server details", "Show console output (os-getConsoleOutput action)", "Delete server",
"List flavors".
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from compos.cloud.machine import ATTEMPT, MACHINE, Machine, MachineRequest, no_image, undone
from compos.cloud.model import NAME, Made
from compos.cloud.openstack.session import OpenStack
from compos.errors import CloudError, CloudMissing

__all__ = ["NovaMachines", "ServerOptions"]

SECONDS = 600
PAUSE = 3


class ServerOptions(NamedTuple):
    """LinuxKit's flags: the id of a network, and the names of security groups."""

    network: str = ""
    groups: tuple[str, ...] = ("default",)


class NovaMachines:
    """Servers of the user's project."""

    def __init__(self, cloud: OpenStack, options: ServerOptions) -> None:
        self._rest = cloud.compute
        self._images = cloud.image
        self._options = options

    def start(self, request: MachineRequest) -> Machine:
        """Create a server, and wait until it is active."""
        attempt = uuid.uuid4().hex
        description = self._description(request)
        description["metadata"][ATTEMPT] = attempt
        with undone(lambda: self._remove_attempt(attempt)):
            id = self._server(description, attempt)
            if not self._rest.calls.until(lambda: self._runs(id), seconds=SECONDS, pause=PAUSE):
                raise CloudError("cloud-slow", "the server has not become active", place=id)
            return Machine(id, request.name, _address(self._found(id)))

    def console(self, machine: Machine) -> str:
        """What Nova has kept of it."""
        found = self._rest(
            "POST",
            f"/servers/{machine.id}/action",
            {"os-getConsoleOutput": {}},
            answer={"output": ""},
        )
        return str(found.get("output", ""))

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the server is shut off."""
        try:
            found = self._found(machine.id)
            return self._rest.calls.dry or found["status"] in ("SHUTOFF", "DELETED", "ERROR")
        except CloudMissing:
            return True

    def remove(self, id: str) -> None:
        """Delete the server; its volumes go with it."""
        try:
            self._rest("DELETE", f"/servers/{id}", answer={})
        except CloudMissing:
            return
        self._rest.calls.until(lambda: self._is_gone(id), seconds=SECONDS, pause=PAUSE)

    def made(self) -> Iterator[Made]:
        """Servers with compos's metadata."""
        for one in self._listed():
            if MACHINE in one.get("metadata", {}):
                created = datetime.fromisoformat(one["created"])
                yield Made("machine", one["id"], one["name"], "", created)

    def _listed(self) -> Iterator[dict[str, Any]]:
        """All servers of the project, page by page."""
        marker = ""
        while True:
            query = f"?{urlencode({'marker': marker})}" if marker else ""
            found = self._rest("GET", f"/servers/detail{query}", answer={"servers": []})
            yield from found["servers"]
            if not found.get("servers_links"):
                return
            marker = str(found["servers"][-1]["id"])

    def _of_attempt(self, attempt: str) -> list[str]:
        """The ids of what one start has made, the first one first."""
        found = [one for one in self._listed() if one["metadata"].get(ATTEMPT) == attempt]
        return [
            str(one["id"]) for one in sorted(found, key=lambda one: (one["created"], one["id"]))
        ]

    def _remove_attempt(self, attempt: str) -> None:
        for id in self._of_attempt(attempt):
            self.remove(id)

    def _server(self, description: dict[str, Any], attempt: str) -> str:
        """The id of a new server. Nova has no token for a request that is repeated: of two, the
        first stays."""
        self._rest("POST", "/servers", {"server": description}, answer={})
        if self._rest.calls.dry:
            return "SERVER"
        found = self._of_attempt(attempt)
        if not found:
            raise CloudMissing(
                "cloud-missing", "the server is gone again", place=description["name"]
            )
        for id in found[1:]:
            self.remove(id)
        return found[0]

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    def _description(self, request: MachineRequest) -> dict[str, Any]:
        """The body of "Create server"."""
        image = self._image(request.image)
        options = self._options
        boot = {
            "boot_index": 0, "uuid": image, "source_type": "image", "destination_type": "local",
            "delete_on_termination": True,
        }  # fmt: skip
        further = [
            {
                "boot_index": -1, "source_type": "blank", "destination_type": "volume",
                "volume_size": size, "delete_on_termination": True,
            }
            for size in request.disks
        ]  # fmt: skip
        return {
            "name": request.name,
            "imageRef": image,
            "flavorRef": self._flavor(request.size),
            "metadata": {MACHINE: request.name},
            "security_groups": [{"name": name} for name in options.groups],
            **({"block_device_mapping_v2": [boot, *further]} if further else {}),
            **({"networks": [{"uuid": options.network}]} if options.network else {}),
            **({"key_name": request.key} if request.key else {}),
            **({"availability_zone": request.zone} if request.zone else {}),
            **({"user_data": base64.b64encode(request.data).decode()} if request.data else {}),
        }

    def _image(self, name: str) -> str:
        """The id of the image of this id or name, or of the newest that was pushed under it."""
        for wanted in ({"id": f"in:{name}"}, {"name": name}, {NAME: name}):
            query = urlencode({**wanted, "status": "active", "sort": "created_at:desc"})
            found = self._images("GET", f"/images?{query}", answer={"images": [{"id": "IMAGE"}]})
            if found["images"]:
                return str(found["images"][0]["id"])
        raise no_image(name, "openstack")

    def _flavor(self, name: str) -> str:
        found = self._rest("GET", "/flavors", answer={"flavors": [{"id": name, "name": name}]})
        for one in found["flavors"]:
            if name in (one["name"], one["id"]):
                return str(one["id"])
        raise CloudMissing(
            "cloud-missing",
            f"there is no flavor called {name}",
            hint=f"Use one of: {', '.join(one['name'] for one in found['flavors'])}.",
        )

    def _found(self, id: str) -> dict[str, Any]:
        answer = {"server": {"status": "ACTIVE", "addresses": {}}}
        server: dict[str, Any] = self._rest("GET", f"/servers/{id}", answer=answer)["server"]
        return server

    def _runs(self, id: str) -> bool:
        found = self._found(id)
        if found["status"] == "ERROR":
            reason = found.get("fault", {}).get("message", "nobody says why")
            raise CloudError("cloud-refused", f"the server has failed: {reason}"[:300], place=id)
        return bool(found["status"] in ("ACTIVE", "SHUTOFF"))

    def _is_gone(self, id: str) -> bool:
        try:
            self._found(id)
        except CloudMissing:
            return True
        return False


def _address(server: dict[str, Any]) -> str:
    """A floating address, else any."""
    found = [one for network in server.get("addresses", {}).values() for one in network]
    found.sort(key=lambda one: one.get("OS-EXT-IPS:type") != "floating")
    return str(found[0]["addr"]) if found else ""
