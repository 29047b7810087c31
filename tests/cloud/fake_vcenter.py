"""vCenter's calls as their documentation has them, and the world of a test around them.

developer.broadcom.com/xapis/vsphere-automation-api: POST /session; POST /content/library?action=find;
POST /content/local-library; POST, GET, DELETE /content/library/item; POST, GET, DELETE
/content/library/item/update-session, ?action=complete, /file; GET /vcenter/datastore. Answers that
are an id or a list are just that; a `client_token` makes a request that is repeated the same one;
errors are {"error_type", "messages"}. A session is ACTIVE when it is first looked at. Machines are
those of `fake_vcenter_machines`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.cloud.fake_vcenter_machines import Machines, error
from tests.cloud.fakes import Fake, Reply
from tests.cloud.proxy import Proxy, Refusal
from tests.cloud.worlds import World, each_process, no_wait

__all__ = ["FakeVcenter", "vcenter"]

ITEM = "/api/content/library/item"


class FakeVcenter(Fake):
    """`uploads` is the address of what takes files, `digests` are those that arrived, by item."""

    def __init__(self) -> None:
        super().__init__()
        self.uploads = ""
        self.arrived: dict[str, tuple[str, int]] = {}
        self.digests: dict[str, str] = {}
        self.library = ""
        self.machines = Machines(self.resources)
        self._tokens: dict[str, Reply] = {}

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        if token := query.get("client_token"):
            if token not in self._tokens:
                self._tokens[token] = self._answer(method, path, query, body)
            return self._tokens[token]
        return self._answer(method, path, query, body)

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        if path == "/api/session":
            return 201, "token-of-a-session"
        if path.startswith("/api/cis/tagging/"):
            return self.machines.tagged(method, path.split("/")[4:], query, body)
        if path.startswith("/api/vcenter/"):
            return self.machines.answer(method, path, query, body)
        if path == "/api/content/library":
            return 200, [self.library] if self.library else []
        if path == "/api/content/local-library":
            assert body["storage_backings"] == [
                {"type": "DATASTORE", "datastore_id": "datastore-1"}
            ]
            self.library = str(uuid.uuid4())
            return 201, self.library
        if path == ITEM and query.get("action") == "find":
            return 200, [
                one["id"]
                for key, one in self.resources.items()
                if key.rpartition("/")[0] == ITEM
                and all(one[name] == value for name, value in body.items())
            ]
        if method == "POST" and path in (ITEM, f"{ITEM}/update-session"):
            return self._created(path, body)
        if path == f"{ITEM}/update-session":
            wanted = query["library_item_id"]
            found = [
                one["id"] for one in self.resources.values() if one.get("library_item_id") == wanted
            ]
            return 200, found
        return self._one(method, path, query, body)

    def _created(self, path: str, body: dict[str, Any]) -> Reply:
        names = [
            one.get("name") for key, one in self.resources.items() if key.startswith(f"{ITEM}/")
        ]
        if "name" in body and body["name"] in names:
            return 400, error("ALREADY_EXISTS", "the name is taken")
        made = {**body, "id": str(uuid.uuid4()), "creation_time": "2026-11-29T02:00:00.000Z"}
        made |= {"size": 0} if path == ITEM else {"state": "ACTIVE"}
        self.resources[f"{path}/{made['id']}"] = made
        return 201, made["id"]

    def _one(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        place = path.removesuffix("/file")
        found = self.resources.get(place)
        if found is None:
            return 404, error("NOT_FOUND", f"{place} is not there")
        if method == "DELETE":
            del self.resources[place]
            return 204, None
        if path.endswith("/file"):
            assert body["name"].endswith(".ova")
            found["file"] = body
            return 200, {"upload_endpoint": {"uri": f"{self.uploads}/{found['id']}"}}
        if query.get("action") == "complete":
            if found["state"] != "ACTIVE" or found.get("completed"):
                return 400, error("NOT_ALLOWED_IN_CURRENT_STATE", "it is completed")
            found["completed"] = True
            return 204, None
        shown = dict(found)
        if found.get("completed") and found["state"] == "ACTIVE":
            self._finish(found)
        return 200, shown

    def _finish(self, session: dict[str, Any]) -> None:
        digest, size = self.arrived.get(session["id"], ("", 0))
        whole = size == session["file"]["size"]
        session["state"] = "DONE" if whole else "ERROR"
        item = self.resources.get(f"{ITEM}/{session['library_item_id']}")
        if whole and item:
            item["size"] = size
            self.digests[item["id"]] = digest


@contextmanager
def uploads(fake: FakeVcenter) -> Iterator[int]:
    """A server that takes files: another one of vCenter's addresses."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            digest = hashlib.sha256(data).hexdigest()
            fake.arrived[self.path.rpartition("/")[2]] = (digest, len(data))
            self.send_response_only(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def refusal(status: int, kind: str) -> Refusal:
    """An error of vCenter's form."""
    return Refusal(status, json.dumps(error(kind, kind)).encode())


@contextmanager
def vcenter(folder: Path) -> Iterator[World]:
    """The fake."""
    from compos.cloud.vcenter.image import VcenterOptions
    from compos.cloud.vcenter.session import connect

    with FakeVcenter() as fake, uploads(fake) as port, Proxy() as proxy:
        fake.uploads = proxy.to("127.0.0.1", port)
        url = proxy.to("127.0.0.1", fake.port)
        environment = {
            "VCURL": url,
            "VCUSER": "administrator",
            "VCPASSWORD": "hidden-password",
            "VCDATASTORE": "store",
        }
        options = VcenterOptions(datastore="store")
        clients = each_process(lambda: connect(options, url=url, wait=no_wait))

        def clear() -> None:
            fake.resources.clear()
            fake.library = ""

        yield World(
            "vcenter",
            "ova",
            proxy,
            environment,
            (),
            lambda notes: clients(),
            lambda: {
                key: fake.digests[one["id"]]
                for key, one in fake.resources.items()
                if re.fullmatch(rf"{ITEM}/[0-9a-f-]+", key) and one["size"]
            },
            lambda: list(fake.resources),
            clear,
            {
                "429": refusal(429, "TOO_MANY_REQUESTS"),
                "403": refusal(403, "UNAUTHORIZED"),
                "quota": refusal(400, "RESOURCE_QUOTA_EXCEEDED"),
                "expired": refusal(401, "UNAUTHENTICATED"),
            },
        )
