"""Droplets of DigitalOcean, with volumes.

May touch: DigitalOcean's API. Source: docs.digitalocean.com/reference/api, "Droplets" (create,
list, retrieve, delete), "Block Storage" (create, list, delete), "Images" (list, retrieve).
DigitalOcean has no call for what a Droplet prints.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from compos.cloud.digitalocean.image import OURS, plain, tag_of
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
from compos.cloud.rest import Rest, delete, pages
from compos.errors import CloudConflict, CloudError, CloudMissing

__all__ = ["DigitalOceanMachines"]

PAGE = 200
SECONDS = 600
PAUSE = 5
MAX_DATA = 64 << 10
"""Bytes of user data."""
VOLUME = "volumes/"


class DigitalOceanMachines:
    """Droplets of the token's team."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def start(self, request: MachineRequest) -> Machine:
        """Create volumes and a Droplet, where its image is, and wait until it runs."""
        image = self._image(request.image)
        region = request.zone or str(next(iter(image["regions"]), ""))
        data = text_of(request.data, "DigitalOcean", MAX_DATA)
        attempt = uuid.uuid4().hex
        tags = [OURS, f"{MACHINE}:{plain(request.name)}", f"{ATTEMPT}:{attempt}"]
        with undone(lambda: self._remove_attempt(attempt)):
            volumes = [
                self._volume(number, size, region, attempt, tags)
                for number, size in enumerate(request.disks)
            ]
            body = {
                "name": resource_name(request.name),
                "region": region,
                "size": request.size,
                "image": image["id"],
                "tags": tags,
                "volumes": volumes,
                "with_droplet_agent": False,
                **({} if request.public else {"public_networking": False}),
                **({"ssh_keys": [_key(request.key)]} if request.key else {}),
                **({"user_data": data} if data else {}),
            }
            id = self._droplet(body, attempt)
            if not self._rest.calls.until(lambda: self._runs(id), seconds=SECONDS, pause=PAUSE):
                raise CloudError("cloud-slow", "the Droplet does not run yet", place=id)
            return Machine(id, request.name, _address(self._found(id)))

    def console(self, machine: Machine) -> str:
        """Nothing: DigitalOcean does not tell."""
        return ""

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the Droplet is off."""
        try:
            found = self._found(machine.id)
        except CloudMissing:
            return True
        return self._rest.calls.dry or found["status"] == "off"

    def remove(self, id: str) -> None:
        """Delete a Droplet, and then its volumes, which are detached by that; or one volume."""
        if id.startswith(VOLUME):
            delete(self._rest, f"/v2/{id}")
            return
        try:
            attempt = tag_of(self._found(id), ATTEMPT)
        except CloudMissing:
            return
        self._delete_droplet(id)
        if attempt:
            self._remove_attempt(attempt)

    def made(self) -> Iterator[Made]:
        """Droplets with compos's tag, and volumes of theirs that belong to none."""
        for one in self._droplets(OURS):
            yield _made("machine", str(one["id"]), one)
        for one in self._volumes():
            if tag_of(one, MACHINE) and not one["droplet_ids"]:
                yield _made("volume", f"{VOLUME}{one['id']}", one)

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    def _image(self, name: str) -> dict[str, Any]:
        """The image of this id or name, or the newest that was pushed under it."""
        if self._rest.calls.dry:
            return {"id": name, "regions": ["REGION"]}
        if name.isdecimal():
            image: dict[str, Any] = self._rest("GET", f"/v2/images/{name}", answer={})["image"]
            return image
        ours = list(pages(self._rest, "/v2/images", "images", {"tag_name": OURS}, size=PAGE))
        found = [one for one in ours if one["name"] == name] or [
            one for one in ours if tag_of(one, NAME) == plain(name)
        ]
        ready = [one for one in found if one["status"] == "available"]
        if not ready:
            raise no_image(name, "digitalocean")
        return max(ready, key=lambda one: (str(one["created_at"]), int(one["id"])))

    def _volume(self, number: int, size: int, region: str, attempt: str, tags: list[str]) -> str:
        """The id of a new volume: names are unique in a region, so it is made once."""
        body = {
            "name": f"compos-{attempt}-{number}",
            "size_gigabytes": size,
            "region": region,
            "tags": tags,
        }
        try:
            made = self._rest("POST", "/v2/volumes", body, answer={"volume": {"id": "VOLUME"}})
        except CloudConflict:
            # The answer to our first attempt was lost.
            for one in self._volumes():
                if one["name"] == body["name"]:
                    return str(one["id"])
            raise
        return str(made["volume"]["id"])

    def _droplet(self, body: Mapping[str, Any], attempt: str) -> str:
        """The id of a new Droplet. A request that was repeated has made two: the first stays."""
        try:
            self._rest("POST", "/v2/droplets", body, answer={})
        except CloudError:
            # Volumes belong to one only: perhaps that of our first attempt, whose answer was lost.
            if not list(self._droplets(f"{ATTEMPT}:{attempt}")):
                raise
        if self._rest.calls.dry:
            return "DROPLET"
        made = sorted(int(one["id"]) for one in self._droplets(f"{ATTEMPT}:{attempt}"))
        if not made:
            raise CloudMissing("cloud-missing", "the Droplet is gone again", place=body["name"])
        for id in made[1:]:
            self._delete_droplet(str(id))
        return str(made[0])

    def _droplets(self, tag: str) -> Iterator[dict[str, Any]]:
        return pages(self._rest, "/v2/droplets", "droplets", {"tag_name": tag}, size=PAGE)

    def _volumes(self) -> Iterator[dict[str, Any]]:
        """All of the team's: the list cannot be asked for tags."""
        return pages(self._rest, "/v2/volumes", "volumes", {}, size=PAGE)

    def _found(self, id: str) -> dict[str, Any]:
        answer = {"droplet": {"status": "active", "tags": [f"{ATTEMPT}:ATTEMPT"]}}
        droplet: dict[str, Any] = self._rest("GET", f"/v2/droplets/{id}", answer=answer)["droplet"]
        return droplet

    def _runs(self, id: str) -> bool:
        # One that has done its work and powered off was running, too.
        return bool(self._found(id)["status"] in ("active", "off"))

    def _remove_attempt(self, attempt: str) -> None:
        """Delete the Droplets and volumes of one start."""
        tag = f"{ATTEMPT}:{attempt}"
        for one in list(self._droplets(tag)):
            self._delete_droplet(str(one["id"]))
        for one in list(self._volumes()):
            if tag in one["tags"]:
                delete(self._rest, f"/v2/volumes/{one['id']}")

    def _delete_droplet(self, id: str) -> None:
        """Delete, and wait: its volumes cannot be deleted before."""
        delete(self._rest, f"/v2/droplets/{id}")
        self._rest.calls.until(lambda: self._is_gone(id), seconds=SECONDS, pause=PAUSE)

    def _is_gone(self, id: str) -> bool:
        with suppress(CloudMissing):
            self._found(id)
            return self._rest.calls.dry
        return True


def _key(text: str) -> int | str:
    """The id of a key, or its fingerprint."""
    return int(text) if text.isdecimal() else text


def _address(droplet: Mapping[str, Any]) -> str:
    """The public address, else any."""
    found = sorted(
        (droplet.get("networks") or {}).get("v4", ()), key=lambda one: one["type"] != "public"
    )
    return str(found[0]["ip_address"]) if found else ""


def _made(kind: str, id: str, one: Mapping[str, Any]) -> Made:
    created = datetime.fromisoformat(str(one["created_at"]))
    name = tag_of(dict(one), MACHINE)
    return Made(kind, id, name, "", created, complete=kind == "machine")
