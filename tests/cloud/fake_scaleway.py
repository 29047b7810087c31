"""Scaleway's calls as their documentation has them, and the world of a test around them.

www.scaleway.com/en/developers/api/block: POST .../snapshots/import-from-object-storage, GET
.../snapshots, GET and DELETE .../snapshots/{id}. www.scaleway.com/en/developers/api/instances: POST
and GET .../images, GET and DELETE .../images/{id}. An import is `creating` when it is first looked
at; a snapshot of an image cannot be deleted. POST, GET .../servers, GET and DELETE
.../servers/{id}, PATCH .../servers/{id}/user_data/cloud-init, POST .../servers/{id}/action; POST,
GET .../volumes, GET, PATCH and DELETE .../volumes/{id}: an Instance is made with a volume of block
storage of its image's snapshot, and is off; `terminate` deletes one that is on with its volumes; it
and a volume are `starting` and `creating` when they are first looked at. Errors are {"type",
"message"}.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cloud.fakes import Fake, Reply
from tests.cloud.object_store import object_store
from tests.cloud.proxy import Proxy, Refusal
from tests.cloud.worlds import World, each_process, no_wait

__all__ = ["FakeScaleway", "scaleway"]


BLOCK = "block/v1alpha1/zones/fr-par-1"
INSTANCE = "instance/v1/zones/fr-par-1"


class FakeScaleway(Fake):
    """`digest` fetches the object of a key."""

    def __init__(self, digest: Callable[[str], str | None]) -> None:
        super().__init__()
        self.digest = digest
        self.digests: dict[str, str] = {}
        self._count = 0

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        kind = re.fullmatch(rf"/(?:{BLOCK}|{INSTANCE})/(\w+)(/.*)?", path)
        if kind is None:
            return _error(404, "unknown_resource", path)
        if method == "POST" and kind[2] == "/import-from-object-storage":
            return self._imported(path.rpartition("/")[0], body)
        if method == "POST" and kind[1] == "images":
            return self._image(path, body)
        if method == "POST" and kind[1] == "volumes":
            return 200, self._volume(body, **body.get("from_empty", {}))
        if kind[1] == "servers" and method in ("POST", "PATCH", "DELETE"):
            return self._server(method, kind[2] or "", body)
        if method == "GET" and not kind[2]:
            return 200, {kind[1]: self._listed(path, query)}
        found = self.resources.get(path)
        if found is None:
            return _error(404, "not_found", f"resource {path} is not found")
        if method == "PATCH":
            found |= body
            return 200, found
        if method == "DELETE" and kind[1] == "volumes":
            if self._owner(found["id"]):
                return _error(412, "precondition_failed", "the volume is attached")
            del self.resources[path]
            return 204, None
        if method == "DELETE":
            used = [one.get("root_volume", {}).get("id") for one in self.resources.values()]
            if found["id"] in used:
                return _error(412, "precondition_failed", "resource is still in use")
            del self.resources[path]
            return 204, None
        shown = json.loads(json.dumps(found))
        if found.get("status") == "creating":
            found["status"] = "available"
        if found.get("state") == "starting":
            found["state"] = "running"
        if found.get("state") == "stopping":
            self._end(path, found)
        return 200, {kind[1][:-1]: shown} if kind[1] in ("images", "servers") else shown

    def _owner(self, volume: str) -> str:
        """The server that a volume is attached to; empty without one."""
        for path, one in self.resources.items():
            if volume in [own["id"] for own in one.get("volumes", {}).values()]:
                return path
        return ""

    def _volume(self, body: dict[str, Any], size: int = 0) -> dict[str, Any]:
        assert size % (1 << 30) == 0
        kept = {key: body.get(key) for key in ("name", "project_id", "tags")}
        made = self._new({**kept, "tags": kept["tags"] or [], "size": size, "status": "creating"})
        self.resources[f"/{BLOCK}/volumes/{made['id']}"] = made
        return made

    def _server(self, method: str, rest: str, body: Any) -> Reply:
        if method == "POST" and not rest:
            return self._created(body)
        place = f"/{INSTANCE}/servers/{rest.split('/')[1]}"
        found = self.resources.get(place)
        if found is None:
            return _error(404, "unknown_resource", f"{place} is not found")
        if rest.endswith("/user_data/cloud-init"):
            found["user_data"] = body
            return 204, None
        if method == "DELETE":
            if found["state"] != "stopped":
                return _error(400, "invalid_request_error", "the Instance should be powered off")
            del self.resources[place]
            return 204, None
        wanted = {"poweron": ("stopped",), "terminate": ("running", "stopped in place", "starting")}
        if found["state"] not in wanted[body["action"]]:
            return _error(400, "invalid_request_error", f"the Instance is {found['state']}")
        found["state"] = {"poweron": "starting", "terminate": "stopping"}[body["action"]]
        if found["dynamic_ip_required"]:
            found["public_ips"] = [{"address": "192.0.2.11", "dynamic": True}]
        return 202, {"task": {"status": "pending"}}

    def _created(self, body: dict[str, Any]) -> Reply:
        if f"/{INSTANCE}/images/{body['image']}" not in self.resources:
            return _error(404, "unknown_resource", "the image is not found")
        volumes = body.get("volumes", {})
        for one in volumes.values():
            volume = self.resources[f"/{BLOCK}/volumes/{one['id']}"]
            if volume["status"] != "available" or self._owner(one["id"]):
                return _error(400, "invalid_argument", "the volume cannot be attached")
        root = self._volume({"name": body["name"]})
        attached = {"0": {"id": root["id"], "volume_type": "sbs_volume", "boot": True}, **volumes}
        made = self._new({**body, "state": "stopped", "volumes": attached, "public_ips": []})
        self.resources[f"/{INSTANCE}/servers/{made['id']}"] = made
        return 201, {"server": made}

    def _end(self, path: str, server: dict[str, Any]) -> None:
        del self.resources[path]
        for one in server["volumes"].values():
            self.resources.pop(f"/{BLOCK}/volumes/{one['id']}", None)

    def _imported(self, path: str, body: dict[str, Any]) -> Reply:
        digest = self.digest(body["key"]) if body["bucket"] == "bucket" else None
        if digest is None:
            return _error(404, "not_found", f"object {body['key']} is not found")
        assert body["size"] % 10**9 == 0
        made = self._new({"status": "creating", **body})
        self.digests[made["id"]] = digest
        self.resources[f"{path}/{made['id']}"] = made
        return 200, made

    def _image(self, path: str, body: dict[str, Any]) -> Reply:
        snapshot = body["root_volume"]
        place = f"/block/v1alpha1/zones/fr-par-1/snapshots/{snapshot}"
        if self.resources.get(place, {}).get("status") != "available":
            return _error(400, "invalid_request_error", "the snapshot is not available")
        made = self._new({**body, "state": "available", "root_volume": {"id": snapshot}})
        self.resources[f"{path}/{made['id']}"] = made
        return 201, {"image": made}

    def _new(self, document: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        time = f"2026-11-29T02:00:{self._count // 1000:02d}.{self._count % 1000:03d}000+00:00"
        return {**document, "id": str(uuid.uuid4()), "creation_date": time, "created_at": time}

    def _listed(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found = [one for key, one in self.resources.items() if key.rpartition("/")[0] == path]
        tags = set(query["tags"].split(",")) if "tags" in query else set()
        found = [one for one in found if tags <= set(one["tags"])]
        size = int(query.get("per_page") or query.get("page_size") or 20)
        start = (int(query.get("page", 1)) - 1) * size
        return found[start : start + size]


def _error(status: int, kind: str, message: str) -> Reply:
    return status, {"type": kind, "message": message}


def refusal(status: int, kind: str) -> Refusal:
    """An error of Scaleway's form."""
    return Refusal(status, json.dumps({"type": kind, "message": "no"}).encode())


@contextmanager
def scaleway(folder: Path) -> Iterator[World]:
    """The fake, and moto's S3."""
    from compos.cloud.scaleway.session import connect

    with object_store("bucket") as store, FakeScaleway(store.digest) as fake, Proxy() as proxy:
        environment = {
            "SCW_ACCESS_KEY": "SCWXXXXXXXXXXXXXXXXX",
            "SCW_SECRET_KEY": "11111111-2222-3333-4444-555555555555",
            "SCW_DEFAULT_PROJECT_ID": "project",
            "SCW_CONFIG_PATH": str(folder / "none"),
            "SCW_API_URL": proxy.to("127.0.0.1", fake.port),
            "AWS_ENDPOINT_URL_S3": proxy.to("127.0.0.1", store.port, keep_host=True),
        }
        clients = each_process(lambda: connect(bucket="bucket", wait=no_wait))

        def clear() -> None:
            fake.resources.clear()
            store.clear()

        yield World(
            "scaleway",
            "qcow2",
            proxy,
            environment,
            ("--bucket", "bucket"),
            lambda notes: clients(),
            lambda: {
                one["id"]: fake.digests[one["root_volume"]["id"]]
                for key, one in fake.resources.items()
                if "/images/" in key
            },
            lambda: [*fake.resources, *store.keys()],
            clear,
            {
                "429": refusal(429, "too_many_requests"),
                "403": refusal(403, "permissions_denied"),
                # Its object storage answers in XML, whose words are found in JSON's place, too.
                "quota": Refusal(403, b"<Error><Code>QuotaExceeded</Code></Error>"),
                "expired": refusal(401, "denied_authentication"),
            },
        )
