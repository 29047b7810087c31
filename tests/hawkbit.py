"""A fake of a hawkBit server on loopback: the calls of its Direct Device Integration API that a
machine needs, as hawkBit's documentation describes them (its OpenAPI description of the DDI API,
and the pages "Direct Device Integration API" and "Authentication"). Nothing here was seen at a
server of hawkBit's; each call has the section that it is from.

with FakeHawkbit("TargetToken secret") as server:
    server.artifacts["os.raucb"] = data
    server.deploy("17", "os.raucb")
"""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.ranges import asked_range
from tests.registry import Served

__all__ = ["BASE", "CONTROLLER", "FakeHawkbit", "Feedback"]

CONTROLLER = "gateway-7"
BASE = f"/DEFAULT/controller/v1/{CONTROLLER}"


class Feedback(NamedTuple):
    """What a machine has said of an action."""

    kind: str
    action: str
    execution: str
    finished: str
    detail: str


class FakeHawkbit(Served):
    """Orders updates of the machine CONTROLLER, which proves itself by `token` ("TargetToken …").

    `replace` has answers (status, headers, body) that are given in place of the right ones, by the
    path behind the machine's own; `stranger` is the address of another server, for artifacts.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.sleep = "00:05:00"
        self.artifacts: dict[str, bytes] = {}
        self.deployment: tuple[str, tuple[str, ...]] | None = None
        self.cancellation: tuple[str, str] | None = None
        self.update = "forced"
        self.attributes: dict[str, str] | None = None
        self.feedback: list[Feedback] = []
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and `Authorization` of each request."""
        self.replace: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.stranger = ""
        fake = self

        class Handler(_Handler):
            server_state = fake

        super().__init__(Handler)

    def deploy(self, action: str, *names: str) -> None:
        """Order what these artifacts have."""
        self.deployment = (action, names)

    def cancel(self, action: str, stop: str) -> None:
        """Take an order back, by an action of its own."""
        self.cancellation = (action, stop)

    def last(self) -> Feedback:
        """What the machine has said last."""
        return self.feedback[-1]

    def poll(self, own: str) -> dict[str, Any]:
        """DDI API, "GET /{tenant}/controller/v1/{controllerId}": the root resource."""
        links: dict[str, Any] = {}
        if self.attributes is None:
            links["configData"] = {"href": f"{own}{BASE}/configData"}
        # The cancellation comes first: the deployment is shown when it is decided.
        if self.cancellation:
            links["cancelAction"] = {"href": f"{own}{BASE}/cancelAction/{self.cancellation[0]}"}
        elif self.deployment:
            href = f"{own}{BASE}/deploymentBase/{self.deployment[0]}?c=-2129030598"
            links["deploymentBase"] = {"href": href}
        return {"config": {"polling": {"sleep": self.sleep}}, "_links": links}

    def deployment_base(self, own: str) -> dict[str, Any]:
        """DDI API, "GET …/deploymentBase/{actionId}"."""
        assert self.deployment
        action, names = self.deployment
        artifacts = [self._artifact(own, name) for name in names]
        chunk = {"part": "os", "name": "gateway", "version": "1", "artifacts": artifacts}
        deployment = {"download": "forced", "update": self.update, "chunks": [chunk]}
        return {"id": action, "deployment": deployment}

    def _artifact(self, own: str, name: str) -> dict[str, Any]:
        """The same call, `deployment.chunks[].artifacts[]`."""
        data = self.artifacts.get(name, b"")
        href = f"{self.stranger or own}{BASE}/softwaremodules/23/artifacts/{name}"
        return {
            "filename": name,
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
            "size": len(data),
            "_links": {"download-http": {"href": href}, "md5sum-http": {"href": f"{href}.MD5SUM"}},
        }

    def cancel_action(self) -> dict[str, Any]:
        """DDI API, "GET …/cancelAction/{actionId}"."""
        assert self.cancellation
        action, stop = self.cancellation
        return {"id": action, "cancelAction": {"stopId": stop}}

    def heard(self, kind: str, action: str, body: dict[str, Any]) -> int:
        """DDI API, "POST …/deploymentBase/{actionId}/feedback" and "POST …/cancelAction/{actionId}/
        feedback": the status of the answer. The words of `execution` are those of the page's table
        "State Machine Mapping"."""
        status = body["status"]
        words = {"canceled", "rejected", "closed", "proceeding", "scheduled", "resumed"}
        assert status["execution"] in words | {"download", "downloaded"}
        assert status["result"]["finished"] in {"success", "failure", "none"}
        open_action = self.deployment if kind == "deploymentBase" else self.cancellation
        if not open_action or open_action[0] != action:
            return 404
        (detail,) = status["details"]
        said = Feedback(kind, action, status["execution"], status["result"]["finished"], detail)
        self.feedback.append(said)
        if said.execution == "closed" and kind == "deploymentBase":
            self.deployment = None
        elif kind == "cancelAction" and said.execution in {"closed", "rejected"}:
            if said.execution == "closed":
                self.deployment = None
            self.cancellation = None
        return 200

    def configured(self, body: dict[str, Any]) -> int:
        """DDI API, "PUT …/configData"."""
        assert body["mode"] in {"merge", "replace", "remove"}
        self.attributes = body["data"]
        return 200


class _Handler(BaseHTTPRequestHandler):
    """The calls by their methods and paths."""

    protocol_version = "HTTP/1.1"
    server_state: FakeHawkbit

    def _enter(self) -> str | None:
        """The path behind the machine's own; None if the request is answered already."""
        fake, path = self.server_state, urlsplit(self.path).path
        given = self.headers.get("Authorization", "")
        fake.requests.append((self.command, self.path, given))
        # "Authentication", "Target Security Token" and "Gateway Security Token".
        rest = path.removeprefix(BASE)
        if given != fake.token:
            self._answer(401)
        elif rest == path:
            self._answer(404)
        elif rest in fake.replace:
            status, headers, body = fake.replace[rest]
            self._answer(status, body, headers)
        else:
            return rest
        return None

    def do_GET(self) -> None:
        fake, rest = self.server_state, self._enter()
        own = f"http://{self.headers['Host']}"
        if rest == "":
            self._document(fake.poll(own))
        elif rest and fake.deployment and rest == f"/deploymentBase/{fake.deployment[0]}":
            self._document(fake.deployment_base(own))
        elif rest and fake.cancellation and rest == f"/cancelAction/{fake.cancellation[0]}":
            self._document(fake.cancel_action())
        elif rest and (found := re.fullmatch(r"/softwaremodules/23/artifacts/(.+)", rest)):
            self._file(fake.artifacts.get(found[1]))
        elif rest is not None:
            self._answer(404)

    def do_POST(self) -> None:
        rest, body = self._enter(), self._body()
        if rest and (found := re.fullmatch(r"/(deploymentBase|cancelAction)/(\d+)/feedback", rest)):
            self._answer(self.server_state.heard(found[1], found[2], json.loads(body)))
        elif rest is not None:
            self._answer(404)

    def do_PUT(self) -> None:
        rest, body = self._enter(), self._body()
        if rest is not None:
            known = rest == "/configData"
            self._answer(self.server_state.configured(json.loads(body)) if known else 404)

    def _body(self) -> bytes:
        assert self.headers["Content-Type"] == "application/json"
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _document(self, document: dict[str, Any]) -> None:
        kind = {"Content-Type": "application/hal+json;charset=UTF-8"}
        self._answer(200, json.dumps(document).encode(), kind)

    def _file(self, content: bytes | None) -> None:
        """DDI API, "GET …/softwaremodules/{softwareModuleId}/artifacts/{fileName}", with ranges."""
        if content is None:
            self._answer(404)
            return
        asked = asked_range(self.headers.get("Range"), len(content))
        headers = {"Accept-Ranges": "bytes"}
        if asked is not None:
            headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{len(content)}"
            content = content[asked.start : asked.stop]
        self._answer(200 if asked is None else 206, content, headers)

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: tests look at `requests`."""
