"""vCenter's calls about machines and tags as their documentation has them.

developer.broadcom.com/xapis/vsphere-automation-api: POST
/vcenter/ovf/library-item/{id}?action=filter, ?action=deploy; GET /vcenter/vm, GET and DELETE
/vcenter/vm/{vm}; POST and GET .../power; PATCH .../hardware/cpu, .../hardware/memory; POST, GET and
DELETE .../hardware/disk; GET .../guest/identity, which is an error until the tools run; GET
/vcenter/{datacenter,datastore,folder,host,network,resource-pool}; POST and GET
/cis/tagging/{category,tag}, POST /cis/tagging/tag?action=list-tags-for-category, POST
/cis/tagging/tag-association/{tag}?action={attach,list-attached-objects}.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from tests.cloud.fakes import Reply

__all__ = ["VM", "Machines", "error"]

ITEM = "/api/content/library/item"
LIBRARY_ITEM = "/api/vcenter/ovf/library-item"
VM = "/api/vcenter/vm"


def error(kind: str, message: str) -> dict[str, Any]:
    """vCenter's form of an error."""
    return {"error_type": kind, "messages": [{"default_message": message}]}


class Machines:
    """Machines among `resources`, and the tags of things."""

    def __init__(self, resources: dict[str, dict[str, Any]]) -> None:
        self._resources = resources
        self._tags: dict[str, dict[str, dict[str, Any]]] = {"category": {}, "tag": {}}
        self._attached: dict[str, list[dict[str, str]]] = {}
        self._count = 0

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Reply:
        """Of paths below /api/vcenter."""
        if path.startswith(f"{LIBRARY_ITEM}/"):
            if path.replace(LIBRARY_ITEM, ITEM) not in self._resources:
                return 404, error("NOT_FOUND", "the item is not there")
            if query["action"] == "filter":
                return 200, {"name": "system", "networks": ["nat"]}
            return 200, self._deployed(body)
        if path == VM:
            return 200, [one for one in self._all() if query.get("names") in (None, one["name"])]
        if not path.startswith(f"{VM}/"):
            kind = path.rpartition("/")[2].replace("-", "_")
            return 200, [{kind: f"{kind}-1", "name": query.get("names", "")}]
        found = self._resources.get("/".join(path.split("/")[:5]))
        if found is None:
            return 404, error("NOT_FOUND", "the machine is not there")
        rest = path.split("/")[5:]
        if not rest and method == "DELETE":
            if found["power"] != "POWERED_OFF":
                return 400, error("NOT_ALLOWED_IN_CURRENT_STATE", "the machine runs")
            del self._resources[path]
            return 204, None
        return self._one(method, rest, query, body, found)

    def _all(self) -> list[dict[str, Any]]:
        return [one for path, one in self._resources.items() if path.startswith(f"{VM}/")]

    def _one(
        self,
        method: str,
        rest: list[str],
        query: Mapping[str, str],
        body: Any,
        found: dict[str, Any],
    ) -> Reply:
        if rest == ["power"] and method == "POST":
            wanted = {"start": "POWERED_ON", "stop": "POWERED_OFF"}[query["action"]]
            if found["power"] == wanted:
                return 400, error("ALREADY_IN_DESIRED_STATE", "it is so")
            found["power"] = wanted
            return 204, None
        if rest == ["power"]:
            return 200, {"state": found["power"]}
        if rest == ["guest", "identity"]:
            found["looked"] = found.get("looked", 0) + 1
            if found["looked"] == 1:
                return 503, error("SERVICE_UNAVAILABLE", "VMware Tools is not running")
            return 200, {"ip_address": "192.0.2.12"}
        if rest[:2] == ["hardware", "disk"]:
            return self._disk(method, rest[2:], body, found["disks"])
        if method == "PATCH":
            found[rest[1]] = body
            return 204, None
        return 200, {"name": found["name"], "power_state": found["power"]}

    def _disk(self, method: str, rest: list[str], body: Any, disks: list[dict[str, str]]) -> Reply:
        if method == "POST":
            assert body["new_vmdk"]["capacity"] % (1 << 30) == 0
            disks.append({"disk": str(2001 + len(disks))})
            return 201, disks[-1]["disk"]
        if method == "DELETE":
            disks[:] = [one for one in disks if one["disk"] != rest[0]]
            return 204, None
        return 200, list(disks)

    def _deployed(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = body["deployment_spec"]
        assert body["target"]["resource_pool_id"] == "resource_pool-1"
        for one in wanted.get("additional_parameters", ()):
            assert one["@class"] == "com.vmware.vcenter.ovf.extra_config_params"
            assert {pair["virtual_system_id"] for pair in one["extra_configs"]} == {"system"}
        if wanted["name"] in [one["name"] for one in self._all()]:
            message = {"default_message": "the name is taken"}
            return {"succeeded": False, "error": {"errors": [{"message": message}]}}
        self._count += 1
        id = f"vm-{self._count:012d}"
        kept = {"id": id, "name": wanted["name"], "power": "POWERED_OFF", "wanted": wanted}
        self._resources[f"{VM}/{id}"] = {**kept, "disks": [{"disk": "2000"}]}
        return {"succeeded": True, "resource_id": {"type": "VirtualMachine", "id": id}}

    def tagged(self, method: str, rest: list[str], query: Mapping[str, str], body: Any) -> Reply:
        """Of paths below /api/cis/tagging."""
        kind, action = rest[0], query.get("action")
        if kind == "tag-association":
            attached = self._attached.setdefault(rest[1], [])
            if action == "attach":
                if body["object_id"] not in attached:
                    attached.append(body["object_id"])
                return 204, None
            return 200, [one for one in attached if f"{VM}/{one['id']}" in self._resources]
        known = self._tags[kind]
        if action == "list-tags-for-category":
            category = body["category_id"]
            return 200, [id for id, one in known.items() if one["category_id"] == category]
        if method == "POST":
            if body["name"] in [one["name"] for one in known.values()]:
                return 400, error("ALREADY_EXISTS", "the name is taken")
            id = f"urn:vmomi:InventoryService:{uuid.uuid4()}:GLOBAL"
            known[id] = {**body, "id": id}
            return 201, id
        return (200, known[rest[1]]) if rest[1:] else (200, list(known))
