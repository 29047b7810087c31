"""Servers of Hetzner Cloud, with volumes.

May touch: Hetzner's API. Source: docs.hetzner.cloud, "Servers" (create, list, get, delete),
"Volumes" (create, list, delete), "Images" (list), "Label Selector". Hetzner has no call for what a
server prints.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from compos.cloud.hetzner.project import ended, listed, selected
from compos.cloud.machine import (
    ATTEMPT,
    MACHINE,
    Machine,
    MachineRequest,
    no_image,
    text_of,
    undone,
)
from compos.cloud.model import NAME, Made, resource_name
from compos.cloud.rest import Rest, delete
from compos.errors import CloudConflict, CloudError, CloudMissing

__all__ = ["HetznerMachines", "ServerOptions"]

SECONDS = 600
PAUSE = 3
MAX_DATA = 32 << 10
"""Bytes of user data."""
LEAST_DISK = 10
"""GB of the smallest volume."""
VOLUME = "volumes/"


class ServerOptions(NamedTuple):
    """`network` is the id of a network that the server is in: one without a public address needs
    it."""

    network: str = ""


class HetznerMachines:
    """Servers of the token's project."""

    def __init__(self, rest: Rest, options: ServerOptions) -> None:
        self._rest = rest
        self._options = options

    def start(self, request: MachineRequest) -> Machine:
        """Create volumes and a server, and wait until it runs."""
        if not request.public and not self._options.network:
            raise CloudError(
                "cloud-option",
                "a server without a public address needs a network",
                hint="Name one with --network.",
            )
        body = self._description(request)
        labels = {MACHINE: resource_name(request.name), ATTEMPT: uuid.uuid4().hex}
        with undone(lambda: self._remove_attempt(labels[ATTEMPT])):
            volumes = [
                self._volume(number, size, request.zone, labels)
                for number, size in enumerate(request.disks)
            ]
            id = self._server({**body, "volumes": volumes, "labels": labels})
            if not self._rest.calls.until(lambda: self._runs(id), seconds=SECONDS, pause=PAUSE):
                raise CloudError("cloud-slow", "the server does not run yet", place=id)
            return Machine(id, request.name, _address(self._found(id)))

    def console(self, machine: Machine) -> str:
        """Nothing: Hetzner does not tell."""
        return ""

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the server is off."""
        try:
            found = self._found(machine.id)
        except CloudMissing:
            return True
        return self._rest.calls.dry or found["status"] == "off"

    def remove(self, id: str) -> None:
        """Delete a server, and then its volumes, which are detached by that; or one volume."""
        if id.startswith(VOLUME):
            delete(self._rest, f"/{id}")
            return
        try:
            attempt = str(self._found(id).get("labels", {}).get(ATTEMPT, ""))
        except CloudMissing:
            return
        self._delete_server(id)
        if attempt:
            self._remove_attempt(attempt)

    def made(self) -> Iterator[Made]:
        """Servers with compos's label, and volumes of theirs that belong to none."""
        for one in listed(self._rest, "servers", selected("server", {MACHINE: ""})):
            yield _made("machine", str(one["id"]), one)
        for one in listed(self._rest, "volumes", selected("volume", {MACHINE: ""})):
            if one.get("server") is None:
                yield _made("volume", f"{VOLUME}{one['id']}", one)

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    def _description(self, request: MachineRequest) -> dict[str, Any]:
        """The body of "Create a Server", without what belongs to one attempt."""
        network = self._options.network
        public = {"enable_ipv4": request.public, "enable_ipv6": request.public}
        data = text_of(request.data, "Hetzner", MAX_DATA)
        return {
            "name": resource_name(request.name),
            "server_type": request.size,
            "image": self._image(request.image),
            "location": request.zone,
            "public_net": public,
            **({"networks": [int(network)]} if network.isdecimal() else {}),
            **({"ssh_keys": [request.key]} if request.key else {}),
            **({"user_data": data} if data else {}),
        }

    def _image(self, name: str) -> str:
        """The snapshot of this id or description, or the newest that was pushed under a name."""
        if name.isdecimal() or self._rest.calls.dry:
            return name
        snapshots = list(listed(self._rest, "images", selected("image", {NAME: ""})))
        found = [one for one in snapshots if one["description"] == name] or [
            one for one in snapshots if one["labels"][NAME] == resource_name(name)
        ]
        ready = [one for one in found if one["status"] == "available"]
        if not ready:
            raise no_image(name, "hetzner")
        return str(max(ready, key=lambda one: (one["created"], one["id"]))["id"])

    def _volume(self, number: int, size: int, zone: str, labels: Mapping[str, str]) -> int:
        body = {
            "name": f"compos-{labels[ATTEMPT]}-{number}",
            "size": max(size, LEAST_DISK),
            "location": zone,
            "labels": labels,
        }
        made = self._created("volumes", "volume", body)
        return int(made["id"])

    def _server(self, body: Mapping[str, Any]) -> str:
        try:
            return str(self._created("servers", "server", body)["id"])
        except CloudConflict as error:
            raise CloudConflict(
                "cloud-conflict",
                f"a machine called {body['name']} exists",
                hint="Give this one another name with --name.",
            ) from error

    def _created(self, path: str, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What is made of `body`: names are unique, so it is made once."""
        try:
            made = self._rest("POST", f"/{path}", body, answer={kind: {"id": 0}})
        except CloudConflict:
            # Perhaps the answer to our first attempt was lost.
            query = selected(kind, {ATTEMPT: body["labels"][ATTEMPT]})
            for one in listed(self._rest, path, query):
                if one["name"] == body["name"]:
                    return one
            raise
        if action := made.get("action"):
            ended(self._rest, action, SECONDS)
        found: dict[str, Any] = made[kind]
        return found

    def _found(self, id: str) -> dict[str, Any]:
        answer = {"server": {"status": "running", "labels": {ATTEMPT: "ATTEMPT"}}}
        server: dict[str, Any] = self._rest("GET", f"/servers/{id}", answer=answer)["server"]
        return server

    def _runs(self, id: str) -> bool:
        # One that has done its work and powered off was running, too.
        return bool(self._found(id)["status"] in ("running", "off"))

    def _remove_attempt(self, attempt: str) -> None:
        """Delete the servers and volumes of one start."""
        for one in listed(self._rest, "servers", selected("server", {ATTEMPT: attempt})):
            self._delete_server(str(one["id"]))
        for one in listed(self._rest, "volumes", selected("volume", {ATTEMPT: attempt})):
            delete(self._rest, f"/volumes/{one['id']}")

    def _delete_server(self, id: str) -> None:
        with suppress(CloudMissing):
            gone = self._rest("DELETE", f"/servers/{id}", answer={})
            if action := gone.get("action"):
                ended(self._rest, action, SECONDS)


def _address(server: Mapping[str, Any]) -> str:
    """The public address, else one of a network."""
    public = server.get("public_net") or {}
    private = server.get("private_net") or [{}]
    for one in (public.get("ipv4"), public.get("ipv6"), private[0]):
        if one and one.get("ip"):
            return str(one["ip"])
    return ""


def _made(kind: str, id: str, one: Mapping[str, Any]) -> Made:
    created = datetime.fromisoformat(one["created"])
    return Made(kind, id, one["labels"][MACHINE], "", created, complete=kind == "machine")
