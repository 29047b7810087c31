"""Instances of Scaleway, with volumes of block storage.

May touch: Scaleway's APIs. Sources: www.scaleway.com/en/developers/api/instances ("Create an
Instance", "List all Instances", "Get an Instance", "Perform action", "Delete an Instance", "Add/set
user data"); .../api/block ("Create a volume", "List volumes", "Get a volume", "Update a volume",
"Delete a detached volume"); www.scaleway.com/en/docs/instances, "Add SSH keys using Instance tags".
Scaleway has no call for what an Instance prints.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from compos.cloud.machine import ATTEMPT, MACHINE, Machine, MachineRequest, no_image, undone
from compos.cloud.model import NAME, Made
from compos.cloud.rest import Answer, Rest, delete, pages
from compos.cloud.scaleway.image import Zone, tag_of
from compos.errors import CloudError, CloudMissing

__all__ = ["ScalewayMachines"]

PAGE = 50
SECONDS = 600
PAUSE = 3
MAX_DATA = 128 << 10
"""Bytes of user data."""
GIB = 1 << 30
IOPS = 5000
"""The slower one of Scaleway's two kinds of block storage."""
VOLUME = "volumes/"
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ON = ("running", "stopped in place")
"""States of an Instance that has started; the second is that of one that has powered itself off."""


class ScalewayMachines:
    """Instances of the user's project in one zone."""

    def __init__(self, rest: Rest, zone: Zone) -> None:
        self._rest = rest
        self._zone = zone

    def start(self, request: MachineRequest) -> Machine:
        """Create volumes and an Instance, switch it on, and wait until it runs."""
        if len(request.data) > MAX_DATA:
            raise CloudError("cloud-option", f"Scaleway takes user data of {MAX_DATA} bytes")
        image = self._image(request.image)
        attempt = uuid.uuid4().hex
        tags = [f"{MACHINE}={request.name}", f"{ATTEMPT}={attempt}"]
        with undone(lambda: self._remove_attempt(attempt)):
            volumes = [self._volume(request.name, size, tags) for size in request.disks]
            id = self._server(self._description(request, image, volumes, tags), attempt)
            self._claim(id, tags)
            if request.data:
                self._give_data(id, request.data)
            self._switch_on(id)
            if not self._rest.calls.until(lambda: self._runs(id), seconds=SECONDS, pause=PAUSE):
                raise CloudError("cloud-slow", "the Instance does not run yet", place=id)
            return Machine(id, request.name, _address(self._found(id)))

    def console(self, machine: Machine) -> str:
        """Nothing: Scaleway does not tell."""
        return ""

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the Instance is off."""
        try:
            state = self._found(machine.id)["state"]
        except CloudMissing:
            return True
        return self._rest.calls.dry or state in ("stopped", "stopped in place")

    def remove(self, id: str) -> None:
        """Delete an Instance with its volumes, or one volume."""
        if id.startswith(VOLUME):
            delete(self._rest, f"{self._zone.volumes}/{id.removeprefix(VOLUME)}")
            return
        try:
            found = self._found(id)
        except CloudMissing:
            return
        # Those that it boots from are known by their Instance only, if a start was interrupted.
        volumes = [str(one["id"]) for one in found.get("volumes", {}).values()]
        self._delete_server(id, str(found["state"]))
        for volume in volumes:
            delete(self._rest, f"{self._zone.volumes}/{volume}")

    def made(self) -> Iterator[Made]:
        """Instances with compos's tag, and volumes of theirs that belong to none."""
        used = set[str]()
        for one in self._servers(""):
            used.update(str(volume["id"]) for volume in one.get("volumes", {}).values())
            if tag_of(one, MACHINE):
                yield _made("machine", str(one["id"]), one, "creation_date")
        for one in self._volumes(""):
            if tag_of(one, MACHINE) and one["id"] not in used:
                yield _made("volume", f"{VOLUME}{one['id']}", one, "created_at")

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    def _description(
        self, request: MachineRequest, image: str, volumes: list[str], tags: list[str]
    ) -> dict[str, Any]:
        """The body of "Create an Instance"."""
        further = {
            str(number): {"id": id, "volume_type": "sbs_volume", "boot": False}
            for number, id in enumerate(volumes, 1)
        }
        # Spaces separate tags.
        keys = [f"AUTHORIZED_KEY={request.key.replace(' ', '_')}"] if request.key else []
        return {
            "name": request.name,
            "commercial_type": request.size,
            "image": image,
            "project": self._zone.project,
            "dynamic_ip_required": request.public,
            "boot_type": "local",
            "tags": [*tags, *keys],
            **({"volumes": further} if further else {}),
        }

    def _image(self, name: str) -> str:
        """The image of this id or name, or the newest that was pushed under it."""
        if self._rest.calls.dry or _UUID.fullmatch(name):
            return name
        wanted = {"project": self._zone.project}
        images = list(pages(self._rest, self._zone.images, "images", wanted, size=PAGE))
        found = [one for one in images if one["name"] == name] or [
            one for one in images if tag_of(one, NAME) == name
        ]
        if not found:
            raise no_image(name, "scaleway", self._zone.name)
        return str(max(found, key=lambda one: (one["creation_date"], one["id"]))["id"])

    def _volume(self, name: str, size: int, tags: list[str]) -> str:
        """The id of a new volume, as soon as it can be used. One that a repeated request has made
        too many has the tag of the start, too."""
        body = {
            "name": name,
            "project_id": self._zone.project,
            "perf_iops": IOPS,
            "from_empty": {"size": size * GIB},
            "tags": tags,
        }
        id = str(self._rest("POST", self._zone.volumes, body, answer={"id": "VOLUME"})["id"])
        path = f"{self._zone.volumes}/{id}"

        def is_there() -> bool:
            status = self._rest("GET", path, answer={"status": "available"})["status"]
            if status == "error":
                raise CloudError("cloud-refused", "the volume has failed", place=id)
            return bool(status == "available")

        if not self._rest.calls.until(is_there, seconds=SECONDS, pause=PAUSE):
            raise CloudError("cloud-slow", "the volume is still not there", place=id)
        return id

    def _server(self, body: Mapping[str, Any], attempt: str) -> str:
        """The id of a new Instance. A request that was repeated may have made two, and has if its
        volumes can belong to two: the first stays."""
        try:
            self._rest("POST", self._zone.servers, body, answer={})
        except CloudError:
            if self._rest.calls.dry or not list(self._servers(attempt)):
                raise
        if self._rest.calls.dry:
            return "SERVER"
        made = sorted(self._servers(attempt), key=lambda one: (one["creation_date"], one["id"]))
        if not made:
            raise CloudMissing("cloud-missing", "the Instance is gone again", place=body["name"])
        own = {str(one["id"]) for one in made[0].get("volumes", {}).values()}
        for one in made[1:]:
            self._delete_server(str(one["id"]), str(one["state"]))
            for volume in one.get("volumes", {}).values():
                if volume["id"] not in own:
                    delete(self._rest, f"{self._zone.volumes}/{volume['id']}")
        for one in self._volumes(attempt):
            if one["id"] not in own:
                delete(self._rest, f"{self._zone.volumes}/{one['id']}")
        return str(made[0]["id"])

    def _claim(self, id: str, tags: list[str]) -> None:
        """Tag the volume that it boots from, which was made with the Instance."""
        boot = self._found(id).get("volumes", {}).get("0", {})
        if boot.get("volume_type") == "sbs_volume":
            path = f"{self._zone.volumes}/{boot['id']}"
            self._rest("PATCH", path, {"tags": tags}, answer={})

    def _give_data(self, id: str, data: bytes) -> None:
        self._rest.exchange(
            "PATCH",
            f"{self._zone.servers}/{id}/user_data/cloud-init",
            headers={"Content-Type": "text/plain"},
            body=data,
            answer=Answer(204, {}, b""),
            shown={"user_data": ""},
        )

    def _switch_on(self, id: str) -> None:
        try:
            self._act(id, "poweron")
        except CloudError:
            # The answer to our first attempt was lost: one that runs cannot be switched on.
            if self._found(id)["state"] not in ("starting", *_ON):
                raise

    def _act(self, id: str, action: str) -> None:
        path = f"{self._zone.servers}/{id}/action"
        self._rest("POST", path, {"action": action}, answer={})

    def _found(self, id: str) -> dict[str, Any]:
        boot = {"id": "BOOT-VOLUME", "volume_type": "sbs_volume"}
        answer = {"server": {"state": "running", "volumes": {"0": boot}}}
        path = f"{self._zone.servers}/{id}"
        server: dict[str, Any] = self._rest("GET", path, answer=answer)["server"]
        return server

    def _runs(self, id: str) -> bool:
        return self._found(id)["state"] in _ON

    def _servers(self, attempt: str) -> Iterator[dict[str, Any]]:
        """Of one start, or all."""
        wanted = {"project": self._zone.project, **_wanted(attempt)}
        return pages(self._rest, self._zone.servers, "servers", wanted, size=PAGE)

    def _volumes(self, attempt: str) -> Iterator[dict[str, Any]]:
        wanted = {"project_id": self._zone.project, **_wanted(attempt)}
        path = self._zone.volumes
        return pages(self._rest, path, "volumes", wanted, size=PAGE, size_word="page_size")

    def _remove_attempt(self, attempt: str) -> None:
        """Delete the Instances and volumes of one start."""
        for one in list(self._servers(attempt)):
            self.remove(str(one["id"]))
        for one in list(self._volumes(attempt)):
            delete(self._rest, f"{self._zone.volumes}/{one['id']}")

    def _delete_server(self, id: str, state: str) -> None:
        """One that is on is terminated, one that is off is deleted; wait until it is gone."""
        with suppress(CloudMissing):
            if state == "stopped":
                delete(self._rest, f"{self._zone.servers}/{id}")
            else:
                try:
                    self._act(id, "terminate")
                except CloudMissing:
                    raise
                except CloudError:
                    # The answer to our first attempt was lost.
                    if self._found(id)["state"] != "stopping":
                        raise
        if not self._rest.calls.until(lambda: self._is_gone(id), seconds=SECONDS, pause=PAUSE):
            raise CloudError("cloud-slow", "the Instance is still there", place=id)

    def _is_gone(self, id: str) -> bool:
        with suppress(CloudMissing):
            self._found(id)
            return self._rest.calls.dry
        return True


def _wanted(attempt: str) -> dict[str, str]:
    return {"tags": f"{ATTEMPT}={attempt}"} if attempt else {}


def _address(server: Mapping[str, Any]) -> str:
    """The public address, else the private one."""
    for one in (*(server.get("public_ips") or ()), server.get("public_ip") or {}):
        if one.get("address"):
            return str(one["address"])
    return str(server.get("private_ip") or "")


def _made(kind: str, id: str, one: Mapping[str, Any], time: str) -> Made:
    created = datetime.fromisoformat(str(one[time]))
    return Made(kind, id, tag_of(dict(one), MACHINE), "", created, complete=kind == "machine")
