"""DigitalOcean's calls as their documentation has them, and the world of a test around them.

docs.digitalocean.com/reference/api, "Images": POST /v2/images fetches the `url`; GET
/v2/images?tag_name=; GET and DELETE /v2/images/{id}. An image is NEW, and pending when it is first
looked at. "Droplets": POST and GET /v2/droplets, GET and DELETE /v2/droplets/{id}: one is new when
it is first looked at, and is still there for one look when it is deleted. "Block Storage": POST and
GET /v2/volumes, DELETE /v2/volumes/{id}: names are unique, and what a Droplet has is not deleted.
Errors are {"id", "message"}.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.cloud.fakes import Fake, Reply
from tests.cloud.object_store import object_store
from tests.cloud.proxy import Proxy, Refusal
from tests.cloud.worlds import World, each_process, no_wait

__all__ = ["FakeDigitalOcean", "digitalocean"]

NEXT = {"NEW": "pending", "pending": "available", "new": "active", "deleting": "gone"}


class FakeDigitalOcean(Fake):
    """`digest` fetches the object of a key."""

    def __init__(self, digest: Callable[[str], str | None]) -> None:
        super().__init__()
        self.digest = digest
        self.digests: dict[str, str] = {}
        self._count = 0

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        if path == "/v2/images" and method == "POST":
            return self._fetched(body)
        if path == "/v2/droplets" and method == "POST":
            return self._droplet(body)
        if path == "/v2/volumes" and method == "POST":
            return self._volume(body)
        if path.count("/") == 2:
            return self._listed(path, query)
        found = self.resources.get(path)
        if found is None:
            return 404, {"id": "not_found", "message": "The resource was not found."}
        if method == "DELETE":
            return self._deleted(path, found)
        shown = {path.split("/")[2][:-1]: dict(found)}
        found["status"] = NEXT.get(found["status"], found["status"])
        if found["status"] == "gone":
            self._end(path, found)
        return 200, shown

    def _listed(self, path: str, query: Mapping[str, str]) -> Reply:
        size, page = int(query.get("per_page", 20)), int(query.get("page", 1))
        listed = [one for key, one in self.resources.items() if key.rpartition("/")[0] == path]
        if not path.endswith("/volumes"):
            listed = [one for one in listed if query["tag_name"] in one["tags"]]
        shown = listed[(page - 1) * size : page * size]
        return 200, {path.rpartition("/")[2]: shown, "links": {}}

    def _deleted(self, path: str, found: dict[str, Any]) -> Reply:
        if found.get("droplet_ids"):
            return 409, {"id": "conflict", "message": "the volume is attached"}
        if "/droplets/" in path:
            found["status"] = "deleting"
        else:
            del self.resources[path]
        return 204, None

    def _end(self, path: str, droplet: dict[str, Any]) -> None:
        del self.resources[path]
        for id in droplet["volume_ids"]:
            self.resources[f"/v2/volumes/{id}"]["droplet_ids"] = []

    def _droplet(self, body: dict[str, Any]) -> Reply:
        assert re.fullmatch(r"[a-zA-Z0-9.-]+", body["name"])
        image = self.resources.get(f"/v2/images/{body['image']}", {})
        if image.get("status") != "available" or body["region"] not in image["regions"]:
            return 422, {"id": "unprocessable_entity", "message": "the image is not available"}
        volumes = [self.resources[f"/v2/volumes/{id}"] for id in body["volumes"]]
        if any(one["droplet_ids"] for one in volumes):
            return 422, {"id": "unprocessable_entity", "message": "a volume is attached already"}
        public = body.get("public_networking", True)
        addresses = [{"ip_address": "10.0.0.4", "type": "private"}]
        addresses += [{"ip_address": "192.0.2.10", "type": "public"}] if public else []
        made = self._new("droplets", body)
        made |= {"status": "new", "volume_ids": body["volumes"], "networks": {"v4": addresses}}
        for one in volumes:
            one["droplet_ids"] = [made["id"]]
        return 202, {"droplet": made, "links": {}}

    def _volume(self, body: dict[str, Any]) -> Reply:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,63}", body["name"])
        names = [one["name"] for key, one in self.resources.items() if "/volumes/" in key]
        if body["name"] in names:
            return 409, {"id": "conflict", "message": "a volume with this name exists"}
        made = self._new("volumes", body)
        made |= {"droplet_ids": [], "status": ""}
        return 201, {"volume": made}

    def _new(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        time = f"2026-11-29T03:{self._count // 60:02d}:{self._count % 60:02d}Z"
        made = {**body, "id": self._count, "created_at": time}
        if kind == "volumes":
            made["id"] = str(uuid.uuid4())
        self.resources[f"/v2/{kind}/{made['id']}"] = made
        return made

    def _fetched(self, body: dict[str, Any]) -> Reply:
        assert len(body["region"]) == 4
        for tag in body["tags"]:
            assert len(tag) <= 255
            assert set(tag) <= set(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_"
            )
        self._count += 1
        path = f"/v2/images/{self._count}"
        url = urlsplit(body["url"])
        assert parse_qs(url.query).keys() >= {"X-Amz-Signature", "X-Amz-Expires"}
        found = self.digest(unquote(url.path).removeprefix("/bucket/"))
        self.digests[path] = found or ""
        status = "NEW" if found else "deleted"
        kept: dict[str, Any] = {"regions": [body["region"]]}
        kept |= {key: body[key] for key in ("name", "tags", "distribution", "description")}
        time = f"2026-11-29T02:{self._count // 60:02d}:{self._count % 60:02d}Z"
        self.resources[path] = {**kept, "id": self._count, "status": status, "created_at": time}
        return 202, {"image": self.resources[path]}


def refusal(status: int, kind: str) -> Refusal:
    """An error of DigitalOcean's form."""
    return Refusal(status, json.dumps({"id": kind, "message": "no"}).encode())


@contextmanager
def digitalocean(folder: Path) -> Iterator[World]:
    """The fake, which fetches from moto's S3."""
    from compos.cloud.digitalocean.session import connect

    with object_store("bucket") as store, FakeDigitalOcean(store.digest) as fake, Proxy() as proxy:
        environment = {
            "DIGITALOCEAN_TOKEN": "dop_v1_hidden",
            "SPACES_ACCESS_KEY_ID": "SPACESKEY",
            "SPACES_SECRET_ACCESS_KEY": "hidden-secret",
            "DIGITALOCEAN_API_URL": proxy.to("127.0.0.1", fake.port),
            "SPACES_ENDPOINT_URL": proxy.to("127.0.0.1", store.port, keep_host=True),
        }
        clients = each_process(lambda: connect(bucket="bucket", region="fra1", wait=no_wait))

        def clear() -> None:
            fake.resources.clear()
            store.clear()

        yield World(
            "digitalocean",
            "qcow2",
            proxy,
            environment,
            ("--bucket", "bucket", "--region", "fra1"),
            lambda notes: clients(),
            lambda: {
                key: fake.digests[key]
                for key, one in fake.resources.items()
                if one["status"] == "available"
            },
            lambda: [*fake.resources, *store.keys()],
            clear,
            {
                "429": refusal(429, "too_many_requests"),
                "403": refusal(403, "forbidden"),
                # Its object storage answers in XML, whose words are found in JSON's place, too.
                "quota": Refusal(403, b"<Error><Code>QuotaExceeded</Code></Error>"),
                "expired": refusal(401, "unauthorized"),
            },
        )
