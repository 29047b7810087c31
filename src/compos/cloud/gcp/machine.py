"""Instances of Compute Engine.

May touch: Compute Engine. Source: Compute Engine API v1 (instances.insert, get,
getSerialPortOutput, delete, aggregatedList; images.list),
cloud.google.com/compute/docs/reference/rest/v1/instances.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from compos.cloud.gcp.image import finished
from compos.cloud.gcp.session import Google
from compos.cloud.machine import ATTEMPT, MACHINE, Machine, MachineRequest, undone
from compos.cloud.model import NAME, Made, resource_name
from compos.errors import CloudConflict, CloudError, CloudMissing

__all__ = ["GcpMachines", "VmOptions"]


class VmOptions(NamedTuple):
    """LinuxKit's flags. `user` is whom the SSH key belongs to."""

    nested: bool = False
    vtpm: bool = False
    user: str = "moby"


class GcpMachines:
    """Instances of one project in one zone."""

    def __init__(self, google: Google, zone: str, options: VmOptions) -> None:
        self._google = google
        self._rest = google.rest
        self._zone = zone
        self._options = options

    def start(self, request: MachineRequest) -> Machine:
        """Insert an instance, and wait until it runs."""
        url = f"{self._google.compute}/zones/{self._zone}/instances"
        own = f"{url}/{resource_name(request.name)}"
        attempt = uuid.uuid4()
        document = self._description(request)
        document["labels"][ATTEMPT] = attempt.hex
        with undone(lambda: self._remove_attempt(own, attempt.hex)):
            try:
                begun = self._rest(
                    "POST", f"{url}?requestId={attempt}", document, answer={"status": "DONE"}
                )
            except CloudConflict as error:
                raise CloudConflict(
                    "cloud-conflict",
                    f"a machine called {document['name']} exists",
                    place=own,
                    hint="Give this one another name with --name.",
                ) from error
            finished(self._google, begun)
            found = self._rest("GET", own, answer={})
        cards = found.get("networkInterfaces", [{}])
        access = cards[0].get("accessConfigs", [{}])
        address = access[0].get("natIP") or cards[0].get("networkIP", "")
        return Machine(own, request.name, str(address))

    def console(self, machine: Machine) -> str:
        """The first serial port."""
        found = self._rest("GET", f"{machine.id}/serialPort?port=1", answer={"contents": ""})
        return str(found.get("contents", ""))

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the instance is terminated, Google's word for powered off."""
        try:
            found = self._rest("GET", machine.id, answer={"status": "TERMINATED"})
        except CloudMissing:
            return True
        return bool(found.get("status") in ("TERMINATED", "STOPPED"))

    def remove(self, id: str) -> None:
        """Delete the instance; its disks go with it."""
        try:
            finished(self._google, self._rest("DELETE", id, answer={"status": "DONE"}))
        except CloudMissing:
            return

    def _remove_attempt(self, own: str, attempt: str) -> None:
        """Delete the instance that one start has made, and no other of its name."""
        try:
            found = self._rest("GET", own, answer={})
        except CloudMissing:
            return
        if found.get("labels", {}).get(ATTEMPT) == attempt:
            self.remove(own)

    def made(self) -> Iterator[Made]:
        """Instances of the zone with compos's label."""
        wanted = quote(f"labels.{MACHINE}:*")
        url = f"{self._google.compute}/zones/{self._zone}/instances"
        found = self._rest("GET", f"{url}?filter={wanted}", answer={"items": []})
        for one in found.get("items", ()):
            created = datetime.fromisoformat(one["creationTimestamp"])
            yield Made("machine", f"{url}/{one['name']}", one["name"], "", created)

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    def _image(self, name: str) -> str:
        """The image of this name, or the newest that was pushed under it."""
        images = f"{self._google.compute}/global/images"
        try:
            self._rest("GET", f"{images}/{name}", answer={})
        except CloudMissing:
            wanted = quote(f"labels.{NAME}={resource_name(name)}")
            found = self._rest("GET", f"{images}?filter={wanted}", answer={}).get("items", [])
            if not found:
                raise
            name = max(found, key=lambda one: one["creationTimestamp"])["name"]
        return f"projects/{self._google.project}/global/images/{name}"

    def _description(self, request: MachineRequest) -> dict[str, Any]:
        """The body of instances.insert."""
        metadata = {"serial-port-enable": "1"}
        if request.key:
            metadata["ssh-keys"] = f"{self._options.user}:{request.key}"
        if request.data:
            metadata["user-data"] = _text(request.data)
        card: dict[str, Any] = {"network": "global/networks/default"}
        if request.public:
            card["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
        boot = {"sourceImage": self._image(request.image)}
        sizes = [{"diskSizeGb": str(size)} for size in request.disks]
        disks = [
            {"boot": True, "autoDelete": True, "initializeParams": boot},
            *({"autoDelete": True, "initializeParams": size} for size in sizes),
        ]
        nested = {"enableNestedVirtualization": True}
        return {
            "name": resource_name(request.name),
            "machineType": f"zones/{self._zone}/machineTypes/{request.size}",
            "labels": {MACHINE: resource_name(request.name)},
            "disks": disks,
            "networkInterfaces": [card],
            "metadata": {"items": [{"key": k, "value": v} for k, v in metadata.items()]},
            **({"advancedMachineFeatures": nested} if self._options.nested else {}),
            **({"shieldedInstanceConfig": {"enableVtpm": True}} if self._options.vtpm else {}),
        }


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CloudError(
            "cloud-option", "user data must be text in UTF-8 at Google Cloud"
        ) from error
