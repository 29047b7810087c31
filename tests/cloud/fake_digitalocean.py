"""DigitalOcean's calls as their documentation has them, and the world of a test around them.

docs.digitalocean.com/reference/api, "Images": POST /v2/images fetches the `url`; GET
/v2/images?tag_name=; GET and DELETE /v2/images/{id}. An image is NEW, and pending when it is first
looked at; errors are {"id", "message"}.
"""

from __future__ import annotations

import json
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

NEXT = {"NEW": "pending", "pending": "available"}


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
        if path == "/v2/images":
            size, page = int(query.get("per_page", 20)), int(query.get("page", 1))
            wanted = query["tag_name"]
            listed = [one for one in self.resources.values() if wanted in one["tags"]]
            return 200, {"images": listed[(page - 1) * size : page * size], "links": {}}
        found = self.resources.get(path)
        if found is None:
            return 404, {"id": "not_found", "message": "The resource was not found."}
        if method == "DELETE":
            del self.resources[path]
            return 204, None
        shown = {"image": dict(found)}
        found["status"] = NEXT.get(found["status"], found["status"])
        return 200, shown

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
        kept = {key: body[key] for key in ("name", "tags", "distribution", "description")}
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
