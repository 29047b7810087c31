"""Virtual machines of vCenter, deployed from items of a content library.

May touch: vCenter. Source: developer.broadcom.com/xapis/vsphere-automation-api: "vcenter": "OVF
Library Item" (filter, deploy), "VM" (list, get, delete), "VM Power" (get, start, stop), "VM
Hardware CPU", "Memory", "Disk", "VM Guest Identity", "Host", "Resource Pool", "Datastore",
"Network", "Folder" (list); "cis": "Tagging Category", "Tag", "Tag Association". vCenter's REST API
has no call for what a machine prints.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from compos.cloud.machine import MACHINE, Machine, MachineRequest, undone
from compos.cloud.model import Made, creation_time
from compos.cloud.rest import Rest, delete
from compos.cloud.vcenter.image import described
from compos.errors import CloudConflict, CloudError, CloudMissing, CloudUnreachable

__all__ = ["VcenterMachines", "VmOptions"]

SECONDS = 600
PAUSE = 3
ADDRESS_SECONDS = 120
GIB = 1 << 30
ITEM = "/content/library/item"
TAGGING = "/cis/tagging"
CATEGORY = "compos"
EXTRA = "com.vmware.vcenter.ovf.extra_config_params"


class VmOptions(NamedTuple):
    """LinuxKit's flags, all names: the content library, and where a machine is put. `cpus` and
    `memory` (MiB) are those of the appliance if they are 0. With `wait_for_address`, the start ends
    when VMware's tools have reported one."""

    library: str = "compos"
    datacenter: str = ""
    datastore: str = ""
    network: str = ""
    host: str = ""
    folder: str = ""
    cpus: int = 0
    memory: int = 0
    wait_for_address: bool = False


class VcenterMachines:
    """Machines of one vCenter."""

    def __init__(self, rest: Rest, options: VmOptions) -> None:
        self._rest = rest
        self._options = options

    def start(self, request: MachineRequest) -> Machine:
        """Deploy the item, tag the machine, give it what was asked for, and switch it on."""
        item = self._item(request.image)
        if self._listed("/vcenter/vm", request.name):
            raise CloudConflict(
                "cloud-conflict",
                f"a machine called {request.name} exists",
                hint="Give this one another name with --name.",
            )
        tag = self._tag()
        id = self._deploy(item, request)
        with undone(lambda: self.remove(id)):
            thing = {"object_id": {"type": "VirtualMachine", "id": id}}
            self._rest("POST", f"{TAGGING}/tag-association/{tag}?action=attach", thing, answer={})
            self._equip(id, request)
            self._power(id, "start")
            if not self._rest.calls.until(
                lambda: self._state(id) != "", seconds=SECONDS, pause=PAUSE
            ):
                raise CloudError("cloud-slow", "the machine does not run yet", place=id)
            return Machine(id, request.name, self._address(id))

    def console(self, machine: Machine) -> str:
        """Nothing: vCenter does not tell."""
        return ""

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the machine is off."""
        try:
            return self._rest.calls.dry or self._state(machine.id) == "POWERED_OFF"
        except CloudMissing:
            return True

    def remove(self, id: str) -> None:
        """Switch a machine off and delete it with its disks."""
        with suppress(CloudMissing):
            self._power(id, "stop")
            delete(self._rest, f"/vcenter/vm/{id}")

    def made(self) -> Iterator[Made]:
        """Machines with compos's tag. vCenter does not tell when they were made."""
        tag = self._known_tag()
        if not tag:
            return
        path = f"{TAGGING}/tag-association/{tag}?action=list-attached-objects"
        for one in self._rest("POST", path, answer={"items": []}).get("items", ()):
            if one["type"] != "VirtualMachine":
                continue
            with suppress(CloudMissing):
                found = self._rest("GET", f"/vcenter/vm/{one['id']}", answer={})
                yield Made("machine", str(one["id"]), str(found["name"]), "", _born(found))

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    def _item(self, name: str) -> str:
        """The item of this name, or the newest that was pushed under it."""
        if self._rest.calls.dry:
            return name
        found = []
        for library in self._ids("/content/library", {"name": self._options.library}):
            for id in self._ids(ITEM, {"library_id": library}):
                with suppress(CloudMissing):
                    found.append(self._rest("GET", f"{ITEM}/{id}", answer={}))
        ready = [one for one in found if one["size"]]
        chosen = [one for one in ready if name in (one["name"], one["id"])] or [
            one for one in ready if described(one)[0] == name
        ]
        if not chosen:
            raise CloudMissing(
                "cloud-missing",
                f"the library {self._options.library} has no item called {name}",
                hint="Push it: compos push vcenter.",
            )
        return str(max(chosen, key=lambda one: (one["creation_time"], one["id"]))["id"])

    def _ids(self, path: str, wanted: Mapping[str, str]) -> list[str]:
        found = self._rest("POST", f"{path}?action=find", wanted, answer={"items": []})
        return [str(id) for id in found.get("items", ())]

    def _deploy(self, item: str, request: MachineRequest) -> str:
        """The id of a new machine, which is off. The token lets vCenter know a request that is
        repeated."""
        path = f"/vcenter/ovf/library-item/{item}"
        target = self._target()
        summary = self._rest(
            "POST", f"{path}?action=filter", {"target": target}, answer={"networks": []}
        )
        answer = {"succeeded": True, "resource_id": {"id": "VM"}}
        found = self._rest(
            "POST",
            f"{path}?action=deploy&client_token={uuid.uuid4()}",
            {"target": target, "deployment_spec": self._specification(summary, request)},
            answer=answer,
        )
        if not found.get("succeeded"):
            errors = (found.get("error") or {}).get("errors") or [{}]
            message = (errors[0].get("message") or {}).get("default_message", "nobody says why")
            raise CloudError("cloud-refused", f"vCenter does not deploy: {message}"[:300])
        return str(found["resource_id"]["id"])

    def _target(self) -> dict[str, str]:
        options = self._options
        where = self._named("datacenter", options.datacenter, {})
        host = self._named("host", options.host, where)
        folder = self._named("folder", options.folder, where)
        pools = self._places("resource-pool", {**where, **host})
        return {
            "resource_pool_id": pools,
            **({"host_id": host["hosts"]} if host else {}),
            **({"folder_id": folder["folders"]} if folder else {}),
        }

    def _specification(self, summary: Mapping[str, Any], request: MachineRequest) -> dict[str, Any]:
        """The body's `deployment_spec`."""
        options = self._options
        where = self._named("datacenter", options.datacenter, {})
        store = self._named("datastore", options.datastore, where)
        network = self._named("network", options.network, where)
        networks = summary.get("networks", ())
        extra = {
            "@class": EXTRA,
            "type": "ExtraConfigParams",
            "extra_configs": [
                {"key": key, "value": value, "virtual_system_id": str(summary.get("name", ""))}
                for key, value in _guest_info(request).items()
            ],
        }
        return {
            "name": request.name,
            "annotation": f"compos: {request.image}",
            "accept_all_EULA": True,
            "storage_provisioning": "thin",
            **({"default_datastore_id": store["datastores"]} if store else {}),
            **(
                {"network_mappings": dict.fromkeys(networks, network["networks"])}
                if network
                else {}
            ),
            **({"additional_parameters": [extra]} if extra["extra_configs"] else {}),
        }

    def _named(self, kind: str, name: str, where: Mapping[str, str]) -> dict[str, str]:
        """The id of the `kind` called `name`, as filters of lists have it; empty without a name."""
        if not name:
            return {}
        return {f"{kind}s": self._places(kind, {**where, "names": name})}

    def _places(self, kind: str, wanted: Mapping[str, str]) -> str:
        """The id of the first `kind` that there is."""
        key = kind.replace("-", "_")
        path = f"/vcenter/{kind}" + (f"?{urlencode(wanted)}" if wanted else "")
        found = self._rest("GET", path, answer={"items": [{key: key.upper()}]}).get("items", ())
        if not found:
            raise CloudMissing(
                "cloud-missing", f"there is no {kind} {wanted.get('names', '')}".rstrip()
            )
        return str(found[0][key])

    def _listed(self, path: str, name: str) -> list[dict[str, Any]]:
        found = self._rest("GET", f"{path}?{urlencode({'names': name})}", answer={"items": []})
        return list(found.get("items", ()))

    def _equip(self, id: str, request: MachineRequest) -> None:
        options = self._options
        if options.cpus:
            path = f"/vcenter/vm/{id}/hardware/cpu"
            self._rest("PATCH", path, {"count": options.cpus}, answer={})
        if options.memory:
            path = f"/vcenter/vm/{id}/hardware/memory"
            self._rest("PATCH", path, {"size_MiB": options.memory}, answer={})
        disks = f"/vcenter/vm/{id}/hardware/disk"
        for size in request.disks:
            # A request that is repeated makes one more: how many there are says whether it arrived.
            count = len(self._rest("GET", disks, answer={"items": []}).get("items", ()))
            body = {"type": "SCSI", "new_vmdk": {"capacity": size * GIB}}
            self._rest("POST", disks, body, answer={})
            added = self._rest("GET", disks, answer={"items": []}).get("items", ())
            for one in added[count + 1 :]:
                delete(self._rest, f"{disks}/{one['disk']}")

    def _power(self, id: str, action: str) -> None:
        try:
            self._rest("POST", f"/vcenter/vm/{id}/power?action={action}", answer={})
        except CloudMissing:
            raise
        except CloudError as error:
            if "ALREADY_IN_DESIRED_STATE" not in error.message:
                raise

    def _state(self, id: str) -> str:
        path = f"/vcenter/vm/{id}/power"
        return str(self._rest("GET", path, answer={"state": "POWERED_ON"})["state"])

    def _address(self, id: str) -> str:
        """What VMware's tools in the machine have reported; systems without them have none."""
        found = ""

        def is_known() -> bool:
            nonlocal found
            with suppress(CloudError):
                path = f"/vcenter/vm/{id}/guest/identity"
                found = str(self._rest("GET", path, answer={}).get("ip_address") or "")
            return bool(found)

        seconds = ADDRESS_SECONDS if self._options.wait_for_address else 0
        self._rest.calls.until(is_known, seconds=seconds, pause=PAUSE)
        return found

    def _tag(self) -> str:
        """The id of compos's tag, which is made if it is not there."""
        if found := self._known_tag():
            return found
        category = self._category()
        if not category:
            body = {
                "name": CATEGORY,
                "description": "Made by compos",
                "cardinality": "MULTIPLE",
                "associable_types": [],
            }
            category = self._made_once(f"{TAGGING}/category", body, self._category)
        tag = {"name": MACHINE, "description": "Started by compos", "category_id": category}
        return self._made_once(f"{TAGGING}/tag", tag, self._known_tag)

    def _made_once(self, path: str, body: Mapping[str, Any], find: Any) -> str:
        """Names are unique: what exists is ours, or that of another one who starts a machine."""
        try:
            return str(self._rest("POST", path, body, answer={"items": "TAG"})["items"])
        except CloudUnreachable:
            raise
        except CloudError:
            found = str(find())
            if not found:
                raise
            return found

    def _category(self) -> str:
        ids = self._rest("GET", f"{TAGGING}/category", answer={"items": []}).get("items", ())
        return self._first_named(f"{TAGGING}/category", ids, CATEGORY)

    def _known_tag(self) -> str:
        category = self._category()
        if not category:
            return ""
        path = f"{TAGGING}/tag?action=list-tags-for-category"
        body = {"category_id": category}
        ids = self._rest("POST", path, body, answer={"items": []}).get("items", ())
        return self._first_named(f"{TAGGING}/tag", ids, MACHINE)

    def _first_named(self, path: str, ids: Any, name: str) -> str:
        for id in ids:
            with suppress(CloudMissing):
                if self._rest("GET", f"{path}/{id}", answer={}).get("name") == name:
                    return str(id)
        return ""


def _guest_info(request: MachineRequest) -> dict[str, str]:
    """What the brick `metadata` reads from the host."""
    found = {}
    if request.data:
        found["guestinfo.userdata"] = base64.b64encode(request.data).decode()
        found["guestinfo.userdata.encoding"] = "base64"
    if request.key:
        text = json.dumps({"public-keys-data": request.key})
        found["guestinfo.metadata"] = base64.b64encode(text.encode()).decode()
        found["guestinfo.metadata.encoding"] = "base64"
    return found


def _born(found: Mapping[str, Any]) -> datetime:
    """When a machine was made, if its identity tells."""
    return creation_time(str((found.get("identity") or {}).get("creation_time") or ""))
