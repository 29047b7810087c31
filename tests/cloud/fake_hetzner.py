"""Hetzner's calls as their documentation has them, an ssh that writes to no machine, and the world
of a test around them.

docs.hetzner.cloud: GET, DELETE /images; POST, GET, DELETE /servers; POST
/servers/{id}/actions/{enable_rescue,poweron,poweroff,create_image}; GET /actions/{id}; POST, GET,
DELETE /ssh_keys; POST, GET, DELETE /volumes. An action is `running` when it is first looked at; a
machine with a running create_image is locked; a machine that is to start is `initializing` when it
is first looked at; a volume of a machine cannot be deleted; names of machines, keys and volumes are
unique; errors are {"error": {"code", "message"}}.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cloud.fakes import Fake, Reply
from tests.cloud.proxy import Proxy, Refusal
from tests.cloud.worlds import World, each_process, no_wait

__all__ = ["FakeHetzner", "hetzner"]

SSH = f"""#!{sys.executable}
# ssh, to a rescue system whose disk is a file: keeps its SHA-256.
import gzip, hashlib, pathlib, re, sys
address, command = sys.argv[-2:]
if command == "true":
    sys.exit(0)
assert "blkdiscard -f /dev/sda" in command
size = int(re.search(r"head -c (\\d+) /dev/sda", command)[1])
data = gzip.decompress(sys.stdin.buffer.read())
digest = hashlib.sha256(data[:size]).hexdigest()
pathlib.Path(__file__).with_name(address).write_text(digest)
print(digest, "-")
"""


class FakeHetzner(Fake):
    """`disks` has a file with the SHA-256 of each machine's disk, by its address."""

    def __init__(self, disks: Path) -> None:
        super().__init__()
        self._disks = disks
        self._count = 0
        self.digests: dict[str, str] = {}
        self.actions: dict[str, dict[str, Any]] = {}
        self._locks: dict[int, str] = {}

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        kind = path.split("/")[1]
        if kind == "actions":
            return self._looked_at(path)
        if verb := re.fullmatch(r"/servers/(\d+)/actions/(\w+)", path):
            return self._act(int(verb[1]), verb[2], body)
        if method == "POST":
            return self._created(kind, body)
        if path.count("/") == 1:
            return 200, {kind: self._listed(kind, query), "meta": {}}
        if path not in self.resources:
            return _error(404, "not_found", f"{path} not found")
        found = self.resources[path]
        if method == "DELETE" and found.get("server"):
            return _error(409, "conflict", "the volume is attached")
        if method == "DELETE":
            del self.resources[path]
            for id in found.get("volumes", ()):
                self.resources[f"/volumes/{id}"]["server"] = None
            return 200, {"action": self._begun(lambda: None)}
        shown = dict(found)
        if found.get("status") == "initializing":
            found["status"] = "running"
        return 200, {kind[:-1]: shown}

    def _created(self, kind: str, body: dict[str, Any]) -> Reply:
        for key, value in body["labels"].items():
            assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", value), key
        mine = (one for key, one in self.resources.items() if key.startswith(f"/{kind}/"))
        taken = [one["name"] for one in mine]
        if body["name"] in taken:
            return _error(409, "uniqueness_error", "name is already used")
        made = self._new(kind, body)
        if kind == "servers":
            public = body.get("public_net", {}).get("enable_ipv4", True)
            made["public_net"] = {"ipv4": {"ip": f"192.0.2.{made['id']}"} if public else None}
            made["status"] = "initializing" if body.get("start_after_create", True) else "off"
            assert re.fullmatch("[a-z0-9-]{1,63}", body["name"])
            for id in body.get("volumes", ()):
                assert self.resources[f"/volumes/{id}"]["server"] is None
                self.resources[f"/volumes/{id}"]["server"] = made["id"]
            answer = {"server": dict(made), "root_password": "hidden-password"}
            return 201, {**answer, "action": self._begun(lambda: None)}
        if kind == "volumes":
            assert body["size"] >= 10
            made["server"] = None
            return 201, {"volume": made, "action": self._begun(lambda: None)}
        return 201, {"ssh_key": made}

    def _new(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        time = f"2026-11-29T02:{self._count // 60:02d}:{self._count % 60:02d}+00:00"
        made = {**body, "id": self._count, "created": time}
        self.resources[f"/{kind}/{self._count}"] = made
        return made

    def _act(self, server: int, verb: str, body: Any) -> Reply:
        found = self.resources.get(f"/servers/{server}")
        if found is None:
            return _error(404, "not_found", "server not found")
        if self.actions.get(self._locks.get(server, ""), {}).get("status") == "running":
            return _error(423, "locked", "server is locked")
        if verb != "create_image":
            found[verb] = body
            return 201, {"action": self._begun(lambda: None)}
        assert "enable_rescue" in found
        assert "poweroff" in found
        made = self._new("images", {**body, "status": "creating"})
        disk = self._disks / found["public_net"]["ipv4"]["ip"]
        self.digests[f"/images/{made['id']}"] = disk.read_text() if disk.exists() else ""
        action = self._begun(lambda: made.update(status="available"))
        self._locks[server] = str(action["id"])
        return 201, {"image": made, "action": action}

    def _begun(self, then: Any) -> dict[str, Any]:
        self._count += 1
        action = {"id": self._count, "status": "running", "error": None}
        self.actions[str(self._count)] = {**action, "then": then}
        return action

    def _looked_at(self, path: str) -> Reply:
        action = self.actions[path.rpartition("/")[2]]
        shown = {key: action[key] for key in ("id", "status", "error")}
        if action["status"] == "running":
            action["status"] = "success"
            action["then"]()
        return 200, {"action": shown}

    def _listed(self, kind: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        for action in self.actions.values():
            # Time passes also for those who do not look.
            if kind == "images" and action["status"] == "running":
                action["status"] = "success"
                action["then"]()
        found = [one for key, one in self.resources.items() if key.startswith(f"/{kind}/")]
        assert (kind == "images") == (query.get("type") == "snapshot")
        for word in query.get("label_selector", "").split(","):
            name, equals, value = word.partition("==")
            found = [
                one
                for one in found
                if name in one["labels"] and (not equals or one["labels"][name] == value)
            ]
        size = int(query["per_page"])
        return found[(int(query["page"]) - 1) * size : int(query["page"]) * size]


def _error(status: int, code: str, message: str) -> Reply:
    return status, {"error": {"code": code, "message": message, "details": {}}}


def refusal(status: int, code: str) -> Refusal:
    """An error of Hetzner's form."""
    return Refusal(status, json.dumps({"error": {"code": code, "message": "no"}}).encode())


@contextmanager
def hetzner(folder: Path) -> Iterator[World]:
    """The fake."""
    from compos.cloud.hetzner.image import HetznerOptions
    from compos.cloud.hetzner.session import connect

    programs = folder / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(SSH)
    (programs / "ssh").chmod(0o755)
    with FakeHetzner(programs) as fake, Proxy() as proxy:
        environment = {
            "HCLOUD_TOKEN": "hidden-token-of-hetzner",
            "HCLOUD_ENDPOINT": proxy.to("127.0.0.1", fake.port),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        clients = each_process(lambda: connect(HetznerOptions(), wait=no_wait))
        yield World(
            "hetzner",
            "raw",
            proxy,
            environment,
            (),
            lambda notes: clients(),
            lambda: {
                key: fake.digests[key]
                for key, one in fake.resources.items()
                if key.startswith("/images/") and one["status"] == "available"
            },
            lambda: [*fake.resources],
            fake.resources.clear,
            {
                "429": refusal(429, "rate_limit_exceeded"),
                "403": refusal(403, "forbidden"),
                "quota": refusal(403, "resource_limit_exceeded"),
                "expired": refusal(401, "unauthorized"),
            },
        )
