"""Scaleway's calls as their documentation has them, and the world of a test around them.

www.scaleway.com/en/developers/api/block: POST .../snapshots/import-from-object-storage, GET
.../snapshots, GET and DELETE .../snapshots/{id}. www.scaleway.com/en/developers/api/instances: POST
and GET .../images, GET and DELETE .../images/{id}. An import is `creating` when it is first looked
at; a snapshot of an image cannot be deleted; errors are {"type", "message"}.
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


class FakeScaleway(Fake):
    """`digest` fetches the object of a key."""

    def __init__(self, digest: Callable[[str], str | None]) -> None:
        super().__init__()
        self.digest = digest
        self.digests: dict[str, str] = {}
        self._count = 0

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        kind = re.fullmatch(r"/(?:block/v1alpha1|instance/v1)/zones/fr-par-1/(\w+)(/.*)?", path)
        if kind is None:
            return _error(404, "unknown_resource", path)
        if method == "POST" and kind[2] == "/import-from-object-storage":
            return self._imported(path.rpartition("/")[0], body)
        if method == "POST" and kind[1] == "images":
            return self._image(path, body)
        if method == "GET" and not kind[2]:
            return 200, {kind[1]: self._listed(path, query)}
        found = self.resources.get(path)
        if found is None:
            return _error(404, "not_found", f"resource {path} is not found")
        if method == "DELETE":
            used = [one.get("root_volume", {}).get("id") for one in self.resources.values()]
            if found["id"] in used:
                return _error(412, "precondition_failed", "resource is still in use")
            del self.resources[path]
            return 204, None
        shown = json.loads(json.dumps(found))
        if found.get("status") == "creating":
            found["status"] = "available"
        return 200, {"image": shown} if kind[1] == "images" else shown

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
