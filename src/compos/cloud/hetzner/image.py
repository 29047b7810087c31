"""Snapshots of Hetzner Cloud, which has no way to send a disk: a machine is started in its rescue
system, the disk is written to it over ssh, and a snapshot is made of it.

May touch: Hetzner's API, the machine, the file to push; starts ssh and ssh-keygen.

Source: docs.hetzner.cloud, "Images" (list, get, delete), "Servers" (create, get, delete), "Server
Actions" (enable_rescue, poweron, poweroff, create_image), "Actions" (get), "SSH Keys".
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from compos.cloud.attempts import has_ended, this_host
from compos.cloud.hetzner.project import ended, listed, selected
from compos.cloud.hetzner.writer import Key, Writer, new_key
from compos.cloud.machine import ATTEMPT
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed, resource_name
from compos.cloud.rest import Rest, delete
from compos.errors import CloudError, CloudImport, CloudMissing

__all__ = ["HetznerImages", "HetznerOptions"]

LABEL = 63
"""Characters of a label's value: one fewer than a digest has."""
HOST, PROCESS = "compos-host", "compos-process"
ACTION_SECONDS, SNAPSHOT_SECONDS = 600, 7200
PAUSE = 3
_TYPES = {"amd64": "cx23", "arm64": "cax11"}
_ARCHITECTURES = {"amd64": "x86", "arm64": "arm"}
SYSTEM = "debian-12"
"""What the machine is made with; it never starts it."""


class HetznerOptions(NamedTuple):
    """`name` is the image's exact description; `type` and `location` are those of the machine that
    writes the disk, which bounds the disk's size."""

    name: str = ""
    type: str = ""
    location: str = "fsn1"


class HetznerImages:
    """Snapshots of the token's project."""

    def __init__(self, rest: Rest, writer: Writer, options: HetznerOptions) -> None:
        self._rest, self._writer, self._options = rest, writer, options

    def find(self, image: Image) -> Pushed | None:
        """The first snapshot of this file and name."""
        found = self._snapshots(image)
        if not found:
            return None
        self.abandon(image)
        return _pushed(found[0])

    def send(self, image: Image) -> Pushed:
        """Write the disk to a machine, and make a snapshot of it."""
        self.abandon(image)
        attempt = uuid.uuid4().hex
        labels = {**_labels(image), ATTEMPT: attempt, HOST: this_host(), PROCESS: str(os.getpid())}
        with new_key(dry=self._rest.calls.dry) as key:
            key_id = self._key(key, labels)
            server, address = self._machine(image, key_id, labels)
            self._action(server, "enable_rescue", {"type": "linux64", "ssh_keys": [key_id]})
            self._action(server, "poweron")
            self._writer.write(image, address, key)
        self._action(server, "poweroff")
        self._snapshot(server, image, attempt)
        if self._rest.calls.dry:
            delete(self._rest, f"/servers/{server}")
            delete(self._rest, f"/ssh_keys/{key_id}")
            return Pushed("0", {"image": "0"})
        first, *others = self._snapshots(image)
        for one in others:
            if one["labels"].get(ATTEMPT) == attempt:
                delete(self._rest, f"/images/{one['id']}")
        self._remove_helpers({ATTEMPT: attempt})
        return _pushed(first)

    def abandon(self, image: Image) -> None:
        """Remove the machines and keys of this machine's attempts that do not go on: they cost
        money."""
        self._remove_helpers({DIGEST: image.digest[:LABEL], HOST: this_host()})

    def made(self) -> Iterator[Made]:
        """Snapshots, and machines and keys that a push has left."""
        for kind, path, complete in _KINDS:
            for one in listed(self._rest, path, selected(kind, {DIGEST: ""})):
                created = datetime.fromisoformat(one["created"])
                labels = one["labels"]
                done = complete and one.get("status") == "available"
                name, digest = labels.get(NAME, ""), labels[DIGEST]
                yield Made(kind, str(one["id"]), name, digest, created, done)

    def remove(self, made: Made) -> None:
        """Delete a snapshot, a machine or a key."""
        path = next(path for kind, path, _ in _KINDS if kind == made.kind)
        delete(self._rest, f"/{path}/{made.id}")

    def _full_name(self, image: Image) -> str:
        return self._options.name or image.full_name

    def _key(self, key: Key, labels: Mapping[str, str]) -> int:
        body = {"name": f"compos-{labels[ATTEMPT]}", "public_key": key.public, "labels": labels}
        try:
            made = self._rest("POST", "/ssh_keys", body, answer={"ssh_key": {"id": 0}})
        except CloudError:
            # The answer to our first attempt was lost: nobody else has this key.
            found = list(
                listed(self._rest, "ssh_keys", selected("ssh_key", {ATTEMPT: labels[ATTEMPT]}))
            )
            if not found:
                raise
            return int(found[0]["id"])
        return int(made["ssh_key"]["id"])

    def _machine(self, image: Image, key: int, labels: Mapping[str, str]) -> tuple[int, str]:
        """The id and the address of a machine that is off."""
        name = resource_name(f"compos-{labels[ATTEMPT]}")
        body = {
            "name": name,
            "server_type": self._options.type or _TYPES[image.architecture],
            "image": SYSTEM,
            "location": self._options.location,
            "ssh_keys": [key],
            "start_after_create": False,
            "labels": labels,
        }
        query = selected("server", {ATTEMPT: labels[ATTEMPT]})
        try:
            answer = {"server": {"id": 0}, "action": {"id": 0}}
            made = self._rest("POST", "/servers", body, answer=answer)
            ended(self._rest, made["action"], ACTION_SECONDS)
        except CloudError:
            if not list(
                listed(self._rest, "servers", selected("server", {ATTEMPT: labels[ATTEMPT]}))
            ):
                raise
        query = selected("server", {ATTEMPT: labels[ATTEMPT]})
        found = self._first("servers", query, {"id": 0, "public_net": {"ipv4": {"ip": "ADDRESS"}}})
        network = found["public_net"]
        address = (network.get("ipv4") or network.get("ipv6") or {}).get("ip", "")
        return int(found["id"]), str(address)

    def _action(
        self,
        server: int,
        name: str,
        body: Mapping[str, Any] | None = None,
        *,
        seconds: float = ACTION_SECONDS,
    ) -> None:
        path = f"/servers/{server}/actions/{name}"
        begun = self._rest("POST", path, body or {}, answer={"action": {"id": 0}})
        ended(self._rest, begun["action"], seconds)

    def _snapshot(self, server: int, image: Image, attempt: str) -> None:
        body = {
            "type": "snapshot",
            "description": self._full_name(image),
            "labels": {**_labels(image), ATTEMPT: attempt},
        }
        try:
            self._action(server, "create_image", body, seconds=SNAPSHOT_SECONDS)
        except CloudImport:
            raise
        except CloudError:
            # The answer to our first attempt was lost, and the machine is locked since.
            query = selected("image", {ATTEMPT: attempt})

            def is_there() -> bool:
                return any(
                    one["status"] == "available" for one in listed(self._rest, "images", query)
                )

            begun = any(True for _ in listed(self._rest, "images", query))
            if not begun or not self._rest.calls.until(
                is_there, seconds=SNAPSHOT_SECONDS, pause=PAUSE
            ):
                raise

    def _snapshots(self, image: Image) -> list[dict[str, Any]]:
        query = selected("image", {DIGEST: image.digest[:LABEL]})
        found = [
            one
            for one in listed(self._rest, "images", query)
            if one["description"] == self._full_name(image) and one["status"] == "available"
        ]
        return sorted(found, key=lambda one: (one["created"], one["id"]))

    def _remove_helpers(self, labels: Mapping[str, str]) -> None:
        for kind, path in (("server", "servers"), ("ssh_key", "ssh_keys")):
            for one in listed(self._rest, path, selected(kind, labels)):
                own = one["labels"]
                if has_ended(own[HOST], int(own.get(PROCESS, 0) or 0)):
                    delete(self._rest, f"/{path}/{one['id']}")

    def _first(self, path: str, query: Mapping[str, str], dry: dict[str, Any]) -> dict[str, Any]:
        found = next(listed(self._rest, path, query), dry if self._rest.calls.dry else None)
        if found is None:
            raise CloudMissing("cloud-missing", "the machine is gone again", place=path)
        return found


_KINDS = (("image", "images", True), ("server", "servers", False), ("ssh_key", "ssh_keys", False))
"""What is made: the kind, its path, and whether it can be complete."""


def _labels(image: Image) -> dict[str, str]:
    return {DIGEST: image.digest[:LABEL], NAME: resource_name(image.name)}


def _pushed(found: Mapping[str, Any]) -> Pushed:
    return Pushed(str(found["id"]), {"image": str(found["id"])})
