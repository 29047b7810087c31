"""Virtual machines of Azure, each with a network, an address and a card of its own.

May touch: the Resource Manager. Sources: Azure REST API, "Virtual Machines - Create Or Update",
"Retrieve Boot Diagnostics Data", "Virtual Networks", "Public IP Addresses", "Network Interfaces",
learn.microsoft.com/rest/api/compute and /rest/api/virtualnetwork.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from compos.cloud.azure.image import COMPUTE, provisioned
from compos.cloud.azure.session import Azure
from compos.cloud.machine import MACHINE, Machine, MachineRequest, no_image, undone
from compos.cloud.model import NAME, Made, creation_time, resource_name
from compos.errors import CloudConflict, CloudMissing

__all__ = ["AzureMachines", "VmOptions"]

NETWORK = "2024-05-01"
RESOURCES = "2024-03-01"
SECONDS = 900
PAUSE = 5
MAX_CONSOLE = 1 << 20
USER = "compos"


CREATED = "compos-created"

_KINDS = (
    ("Microsoft.Compute/virtualMachines", COMPUTE),
    ("Microsoft.Network/networkInterfaces", NETWORK),
    ("Microsoft.Network/publicIPAddresses", NETWORK),
    ("Microsoft.Network/virtualNetworks", NETWORK),
)
"""What belongs to a machine, in the order in which it is deleted, and the versions of the APIs."""


class VmOptions(NamedTuple):
    """LinuxKit's flags: the resource group, which is made if it is not there, and the location."""

    group: str
    location: str = "westus"


class AzureMachines:
    """Virtual machines of one resource group."""

    def __init__(self, azure: Azure, options: VmOptions) -> None:
        self._azure = azure
        self._rest = azure.rest
        self._options = options

    def start(self, request: MachineRequest) -> Machine:
        """Make the machine and what it needs, and wait until it runs."""
        image = self._image(request.image)
        self._need_group()
        name = resource_name(request.name, 48)
        url = self._url("Microsoft.Compute/virtualMachines", name, COMPUTE)
        if not self._rest.calls.dry and not self._is_gone(url):
            # What is put is changed, not refused, if it exists.
            raise CloudConflict(
                "cloud-conflict",
                f"a machine called {name} exists",
                place=self._id(url),
                hint="Give this one another name with --name.",
            )
        with undone(lambda: self.remove(self._id(url))):
            card = self._network(name, public=request.public)
            self._put(url, self._description(request, image, card))
            address = self._address(name, public=request.public)
            return Machine(self._id(url), request.name, address)

    def console(self, machine: Machine) -> str:
        """The log that the boot diagnostics keep, fetched by an address that is a permission."""
        found = self._rest(
            "POST",
            f"{self._base}{machine.id}/retrieveBootDiagnosticsData?api-version={COMPUTE}",
            answer={},
        )
        address = str(found.get("serialConsoleLogBlobUri", ""))
        if not address:
            return ""
        from compos.http.client import Client

        with Client().request("GET", address) as answer:
            return answer.beginning(MAX_CONSOLE).decode("utf-8", "replace")

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the machine is stopped or deallocated."""
        try:
            found = self._rest(
                "GET",
                f"{self._base}{machine.id}/instanceView?api-version={COMPUTE}",
                answer={"statuses": [{"code": "PowerState/stopped"}]},
            )
        except CloudMissing:
            return True
        codes = {one.get("code") for one in found.get("statuses", ())}
        return bool(codes & {"PowerState/stopped", "PowerState/deallocated"})

    def remove(self, id: str) -> None:
        """Delete the machine, with its disks, and then its card, address and network."""
        *_, group, _, _, _, name = id.split("/")
        for kind, version in _KINDS:
            path = f"{self._azure.group(group)}/providers/{kind}/{name}"
            self._delete(f"{path}?api-version={version}")

    def made(self) -> Iterator[Made]:
        """Machines of the subscription with compos's tag, and networks, addresses and cards of
        theirs that no machine has."""
        known = set[tuple[str, str]]()
        for kind, version in _KINDS:
            for one in self._tagged(kind, version):
                *_, group, _, _, _, name = one["id"].split("/")
                # All that belongs to a machine has its name.
                if (group.lower(), name) not in known:
                    known.add((group.lower(), name))
                    machine = kind.endswith("virtualMachines")
                    word = "machine" if machine else "network"
                    own = one["tags"]
                    yield Made(
                        word,
                        one["id"],
                        own[MACHINE],
                        "",
                        creation_time(own.get(CREATED, "")),
                        complete=machine,
                    )

    def _tagged(self, kind: str, version: str) -> Iterator[dict[str, Any]]:
        url = f"{self._azure.subscription}/providers/{kind}?api-version={version}"
        while url:
            page = self._rest("GET", url, answer={"value": []})
            yield from (one for one in page["value"] if MACHINE in one.get("tags", {}))
            url = str(page.get("nextLink", ""))

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._rest.calls.wait(seconds)

    @property
    def _base(self) -> str:
        return self._azure.subscription.partition("/subscriptions/")[0]

    def _id(self, url: str) -> str:
        return url.removeprefix(self._base).partition("?")[0]

    def _url(self, kind: str, name: str, version: str) -> str:
        group = self._azure.group(self._options.group)
        return f"{group}/providers/{kind}/{name}?api-version={version}"

    def _put(self, url: str, document: dict[str, Any]) -> dict[str, Any]:
        found = self._rest("PUT", url, document, answer={"id": self._id(url)})
        provisioned(self._rest, url)
        return found

    def _delete(self, url: str) -> None:
        """Delete, and wait: what a resource is used by has to be gone before it."""
        try:
            self._rest("DELETE", url, answer={})
        except CloudMissing:
            return
        self._rest.calls.until(lambda: self._is_gone(url), seconds=SECONDS, pause=PAUSE)

    def _is_gone(self, url: str) -> bool:
        try:
            return not self._rest("GET", url, answer={})
        except CloudMissing:
            return True

    def _need_group(self) -> None:
        url = f"{self._azure.group(self._options.group)}?api-version={RESOURCES}"
        try:
            self._rest("GET", url, answer={})
        except CloudMissing:
            document = {"location": self._options.location, "tags": {MACHINE: "group"}}
            self._rest("PUT", url, document, answer={})

    def _resource(self, properties: dict[str, Any], name: str) -> dict[str, Any]:
        return {
            "location": self._options.location,
            "tags": {MACHINE: name, CREATED: datetime.now(UTC).isoformat(timespec="seconds")},
            "properties": properties,
        }

    def _network(self, name: str, *, public: bool) -> str:
        """The id of a card in a network of its own, as LinuxKit makes it."""
        subnet = {"name": "subnet", "properties": {"addressPrefix": "10.0.0.0/24"}}
        space: dict[str, Any] = {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [subnet],
        }
        network = self._url("Microsoft.Network/virtualNetworks", name, NETWORK)
        id = self._put(network, self._resource(space, name))["id"]
        configuration: dict[str, Any] = {"subnet": {"id": f"{id}/subnets/subnet"}}
        if public:
            url = self._url("Microsoft.Network/publicIPAddresses", name, NETWORK)
            static = {"publicIPAllocationMethod": "Static"}
            document = {**self._resource(static, name), "sku": {"name": "Standard"}}
            configuration["publicIPAddress"] = {"id": self._put(url, document)["id"]}
        card = self._url("Microsoft.Network/networkInterfaces", name, NETWORK)
        properties = {"ipConfigurations": [{"name": "ip", "properties": configuration}]}
        return str(self._put(card, self._resource(properties, name))["id"])

    def _address(self, name: str, *, public: bool) -> str:
        if public:
            url = self._url("Microsoft.Network/publicIPAddresses", name, NETWORK)
            found = self._rest("GET", url, answer={})
            return str(found.get("properties", {}).get("ipAddress", ""))
        url = self._url("Microsoft.Network/networkInterfaces", name, NETWORK)
        found = self._rest("GET", url, answer={})
        first = found.get("properties", {}).get("ipConfigurations", [{}])[0]
        return str(first.get("properties", {}).get("privateIPAddress", ""))

    def _image(self, name: str) -> str:
        """The id of the image of this id or name, or of the newest that was pushed under it."""
        if name.startswith("/subscriptions/"):
            return name
        listed = self._rest(
            "GET",
            f"{self._azure.subscription}/providers/Microsoft.Compute/images?api-version={COMPUTE}",
            answer={"value": [{"id": "IMAGE", "name": name}]},
        )["value"]
        found = [one for one in listed if one["name"] == name] or [
            one for one in listed if one.get("tags", {}).get(NAME) == name
        ]
        if not found:
            raise no_image(name, "azure")
        newest = max(found, key=lambda one: one.get("tags", {}).get("compos-created", ""))
        return str(newest["id"])

    def _description(self, request: MachineRequest, image: str, card: str) -> dict[str, Any]:
        """The body of "Virtual Machines - Create Or Update"."""
        # Azure demands a way to log in; nobody learns the password.
        profile: dict[str, Any] = {
            "computerName": resource_name(request.name, 48),
            "adminUsername": USER,
            "adminPassword": f"{secrets.token_urlsafe(24)}aA1!",
        }
        if request.key:
            del profile["adminPassword"]
            key = {"path": f"/home/{USER}/.ssh/authorized_keys", "keyData": request.key}
            profile["linuxConfiguration"] = {
                "disablePasswordAuthentication": True,
                "ssh": {"publicKeys": [key]},
            }
        if request.data:
            profile["customData"] = base64.b64encode(request.data).decode()
        disk = {"createOption": "FromImage", "deleteOption": "Delete"}
        further = [
            {"lun": lun, "createOption": "Empty", "diskSizeGB": size, "deleteOption": "Delete"}
            for lun, size in enumerate(request.disks)
        ]
        properties = {
            "hardwareProfile": {"vmSize": request.size},
            "storageProfile": {
                "imageReference": {"id": image},
                "osDisk": disk,
                "dataDisks": further,
            },
            # Versions of galleries are specialized: they are not prepared.
            **({} if "/galleries/" in image else {"osProfile": profile}),
            "networkProfile": {"networkInterfaces": [{"id": card}]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        }
        document = self._resource(properties, request.name)
        return {**document, **({"zones": [request.zone]} if request.zone else {})}
