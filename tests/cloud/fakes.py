"""Fakes of documented REST calls, for clouds that nobody can run: what is put is there, what is not
is an error of the cloud's own form. Each names its documentation.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["FakeArm", "FakeCompute", "FakeNova"]

Reply = tuple[int, Any]


class Fake:
    """A server of JSON; `resources` are the documents by their paths."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.lock = threading.RLock()
        fake = self

        class Handler(_Handler):
            owner = fake

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return self.server.server_port

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        """The status and the document."""
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ClassVar[Fake]

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _exchange(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        is_text = self.headers.get("Content-Type", "").startswith("text/")
        body = data.decode() if is_text else json.loads(data) if data else None
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with self.owner.lock:
            status, document = self.owner.answer(self.command, unquote(url.path), query, body)
        text = b"" if document is None else json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("X-Subject-Token", "token")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _exchange  # noqa: N815


class FakeArm(Fake):
    """Azure's Resource Manager: resources are put, get ready, and are listed and deleted.

    learn.microsoft.com/azure/azure-resource-manager/management/async-operations; the versions of
    the API are those that learn.microsoft.com/rest/api/compute, /storagerp and /virtualnetwork
    name. A resource's state is Creating when it is first looked at, Succeeded from then on.
    """

    def __init__(self, blob_endpoint: str, key: str) -> None:
        super().__init__()
        self._blob_endpoint = blob_endpoint
        self._key = key
        self.born: Callable[[str, dict[str, Any]], None] = lambda path, document: None
        """Called with each resource that is put."""

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        if "api-version" not in query and path != "/console":
            return 400, _arm_error("MissingApiVersionParameter", "no api-version")
        if path.endswith("/listKeys"):
            return 200, {"keys": [{"keyName": "key1", "value": self._key}]}
        if re.search(r"/storageAccounts/[^/]+$", path):
            endpoints = {"blob": self._blob_endpoint}
            return 200, {
                "id": path,
                "location": "westeurope",
                "properties": {"primaryEndpoints": endpoints},
            }
        if path == "/console":
            return 200, "Welcome to LinuxKit"
        if path.endswith("/instanceView"):
            return 200, {"statuses": [{"code": "PowerState/stopped"}]}
        if path.endswith("/retrieveBootDiagnosticsData"):
            return 200, {"serialConsoleLogBlobUri": f"http://127.0.0.1:{self.port}/console"}
        if method == "POST":
            return (200, None) if path.rpartition("/")[0] in self.resources else _missing(path)
        if (
            method == "PUT"
            and "/versions/" in path
            and path.rpartition("/versions/")[0] not in (self.resources)
        ):
            return 404, _arm_error("ParentResourceNotFound", "the gallery's image is not there")
        if method == "PUT":
            properties = {"provisioningState": "Creating", **(body.get("properties") or {})}
            if "/publicIPAddresses/" in path:
                properties["ipAddress"] = "192.0.2.7"
            self.resources[path] = {
                **body,
                "id": path,
                "name": path.rpartition("/")[2],
                "properties": properties,
            }
            self.born(path, self.resources[path])
            return 201, self.resources[path]
        if method == "DELETE":
            gone = [one for one in self.resources if one == path or one.startswith(f"{path}/")]
            for one in gone:
                del self.resources[one]
            return (202, None) if gone else (204, None)
        if path in self.resources:
            found = json.loads(json.dumps(self.resources[path]))
            self.resources[path]["properties"]["provisioningState"] = "Succeeded"
            return 200, found
        kind = path.rpartition("/providers/")[2]
        # A provider and pairs of a kind and a name are a resource; a kind more is a list.
        if kind.count("/") % 2 == 0:
            return _missing(path)
        wanted = re.compile(f"/{re.escape(kind)}/[^/]+$")
        return 200, {"value": [one for key, one in self.resources.items() if wanted.search(key)]}


def _arm_error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _missing(path: str) -> Reply:
    return 404, _arm_error("ResourceNotFound", f"The Resource '{path}' was not found.")


class FakeCompute(Fake):
    """Compute Engine: global images, disks and instances, with operations.

    cloud.google.com/compute/docs/reference/rest/v1: images, disks, instances, globalOperations,
    zoneOperations. `has_object` says whether an image's source exists. A `requestId` makes a
    request that is repeated the same one.
    """

    def __init__(self, has_object: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._has_object = has_object
        self._operations: dict[str, int] = {}
        self._requests: dict[str, Reply] = {}

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        if "/operations/" in path:
            self._operations[path] += 1
            return 200, self._operation(path, done=self._operations[path] > 1)
        if method == "POST" and path in self.resources:
            return 405, _google_error(405, "methodNotAllowed", path)
        if method == "POST" and path.rpartition("/")[0] in self.resources:
            return self._act(path, body)
        if method == "POST":
            token = query.get("requestId", "")
            if token not in self._requests:
                reply = self._insert(path, body)
                if not token:
                    return reply
                self._requests[token] = reply
            return self._requests[token]
        if method == "DELETE":
            if self.resources.pop(path, None) is None:
                return 404, _google_error(404, "notFound", f"The resource '{path}' was not found")
            return 200, self._begun(path)
        if path in self.resources:
            return 200, self.resources[path]
        if path.endswith("/serialPort"):
            return 200, {"contents": "Welcome to LinuxKit\n"}
        listed = [one for key, one in self.resources.items() if key.rpartition("/")[0] == path]
        if re.search(r"/(images|instances|disks)$", path):
            return 200, {"items": _filtered(listed, query.get("filter", ""))}
        return 404, _google_error(404, "notFound", f"The resource '{path}' was not found")

    def _insert(self, path: str, body: dict[str, Any]) -> Reply:
        item = f"{path}/{body['name']}"
        if item in self.resources:
            return 409, _google_error(409, "alreadyExists", f"The resource '{item}' already exists")
        source = body.get("rawDisk", {}).get("source")
        if source:
            bucket, _, name = source.removeprefix("https://storage.googleapis.com/").partition("/")
            if not self._has_object(bucket, name):
                return 404, _google_error(404, "notFound", f"{source} was not found")
        kept = {
            **body,
            "kind": f"compute#{path.rpartition('/')[2][:-1]}",
            "status": "READY" if path.endswith("images") else "RUNNING",
            "creationTimestamp": "2026-11-29T02:00:00.000-08:00",
            "selfLink": item,
        }
        for card in kept.get("networkInterfaces", ()):
            card["networkIP"] = "10.0.0.2"
            for access in card.get("accessConfigs", ()):
                access["natIP"] = "192.0.2.8"
        self.resources[item] = kept
        return 200, self._begun(item)

    def _act(self, path: str, body: Any) -> Reply:
        item, _, verb = path.rpartition("/")
        if verb == "deprecate":
            self.resources[item]["deprecated"] = body
        return 200, self._begun(item)

    def _begun(self, item: str) -> dict[str, Any]:
        path = f"{item.partition('/global')[0]}/global/operations/op-{len(self._operations):012x}"
        self._operations[path] = 0
        return self._operation(path, done=False)

    def _operation(self, path: str, *, done: bool) -> dict[str, Any]:
        return {
            "kind": "compute#operation",
            "name": path.rpartition("/")[2],
            "status": "DONE" if done else "RUNNING",
            "selfLink": f"{self.base}{path}",
        }

    base = ""


class FakeNova(Fake):
    """Keystone's catalog, Nova's servers and flavors, and one image of Glance.

    docs.openstack.org/api-ref/compute: servers, flavors, os-getConsoleOutput;
    docs.openstack.org/api-ref/identity/v3: "Password authentication with scoped authorization".
    A server is BUILD when it is first looked at, then ACTIVE, then SHUTOFF.
    """

    base = ""
    """Where clients find it, if that is not its own port."""

    _count = 0
    _STATES = ("BUILD", "ACTIVE", "ACTIVE", "SHUTOFF")

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        base = self.base or f"http://127.0.0.1:{self.port}"
        if path == "/v3":
            links = [{"rel": "self", "href": f"{base}/v3/"}]
            return 200, {"version": {"id": "v3.14", "status": "stable", "links": links}}
        if path == "/v3/auth/tokens":
            return 201, _token(base)
        if path in ("/compute/v2.1", "/compute/v2.1/"):
            links = [{"rel": "self", "href": f"{base}/compute/v2.1/"}]
            one = {"id": "v2.1", "status": "CURRENT", "version": "2.79", "min_version": "2.1"}
            return 200, {"version": {**one, "links": links}}
        if path in ("/image", "/image/"):
            links = [{"rel": "self", "href": f"{base}/image/v2/"}]
            return 300, {"versions": [{"id": "v2.9", "status": "CURRENT", "links": links}]}
        if path == "/image/v2/images":
            known = query.get("name") == "web-1" or query.get("compos-name") == "web"
            return 200, {"images": [{"id": "image-1"}] if known else []}
        if path.endswith("/flavors"):
            return 200, {"flavors": [{"id": "1", "name": "m1.tiny"}]}
        if path.endswith("/servers/detail"):
            return 200, {"servers": list(self.resources.values())}
        if method == "POST" and path.endswith("/servers"):
            self._count += 1
            id = f"00000000-0000-4000-8000-{self._count:012d}"
            addresses = {"net": [{"addr": "192.0.2.9", "OS-EXT-IPS:type": "floating"}]}
            made = {**body["server"], "id": id, "seen": 0, "addresses": addresses}
            self.resources[id] = {**made, "created": "2026-11-29T02:00:00Z"}
            return 202, {"server": {"id": id}}
        return self._server(method, path.partition("/servers/")[2], body)

    def _server(self, method: str, rest: str, body: Any) -> Reply:
        id, _, verb = rest.partition("/")
        if id not in self.resources:
            return 404, {"itemNotFound": {"code": 404, "message": f"Instance {id} not found"}}
        if verb == "action" and "os-getConsoleOutput" in body:
            return 200, {"output": "Welcome to LinuxKit\n"}
        if method == "DELETE":
            del self.resources[id]
            return 204, None
        found = self.resources[id]
        status = self._STATES[min(found["seen"], len(self._STATES) - 1)]
        found["seen"] += 1
        return 200, {"server": {**found, "status": status}}


def _token(base: str) -> dict[str, Any]:
    def service(kind: str, name: str, url: str) -> dict[str, Any]:
        endpoint = {"id": name, "interface": "public", "region_id": "one", "region": "one"}
        return {
            "type": kind, "name": name, "id": name, "endpoints": [{**endpoint, "url": url}],
        }  # fmt: skip

    return {
        "token": {
            "methods": ["password"],
            "expires_at": "2036-11-29T02:00:00.000000Z",
            "issued_at": "2026-11-29T02:00:00.000000Z",
            "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": [
                service("compute", "nova", f"{base}/compute/v2.1"),
                service("image", "glance", f"{base}/image"),
            ],
        }
    }


def _filtered(listed: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """AIP-160 as far as it is used: `(family=x) (labels.name:*)`."""
    for name, value in re.findall(r"([\w.-]+)[=:]([\w*-]+)", text):
        key = name.removeprefix("labels.")
        listed = [
            one
            for one in listed
            if (found := (one if name == key else one.get("labels", {})).get(key)) is not None
            and value in ("*", found)
        ]
    return listed


def _google_error(status: int, reason: str, message: str) -> dict[str, Any]:
    one = {"domain": "global", "reason": reason, "message": message}
    return {"error": {"code": status, "message": message, "errors": [one]}}
