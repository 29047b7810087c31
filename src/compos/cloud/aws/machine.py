"""Instances of EC2.

May touch: EC2. Source: Amazon EC2 API reference (RunInstances, DescribeInstances,
GetConsoleOutput, TerminateInstances).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from compos.cloud.aws.session import Clients, filters, tags
from compos.cloud.machine import ATTEMPT, MACHINE, Machine, MachineRequest, no_image, undone
from compos.cloud.model import NAME, Made
from compos.errors import CloudError, CloudMissing

__all__ = ["AwsMachines", "InstanceOptions"]

SECONDS = 600
PAUSE = 5


_ALIVE = ("pending", "running", "stopping", "stopped")
"""States of instances that are not terminated."""


class InstanceOptions(NamedTuple):
    """LinuxKit's flags: the type of further disks, and the security group."""

    disk_type: str = "gp3"
    security_group: str = ""


class AwsMachines:
    """Instances of the user's account in one region."""

    def __init__(self, clients: Clients, options: InstanceOptions) -> None:
        self._clients = clients
        self._call = clients.call
        self._options = options

    def start(self, request: MachineRequest) -> Machine:
        """Run an instance, and wait until it runs."""
        attempt = str(uuid.uuid4())
        description = self._description(request, attempt)
        with undone(lambda: self._remove_attempt(attempt)):
            started = self._call(
                "ec2",
                "run_instances",
                **description,
                answer={"Instances": [{"InstanceId": "INSTANCE"}]},
            )
            id = str(started["Instances"][0]["InstanceId"])
            if not self._clients.calls.until(lambda: self._runs(id), seconds=SECONDS, pause=PAUSE):
                raise CloudError("cloud-slow", "the instance does not run yet", place=id)
            found = self._found(id)
        address = found.get("PublicIpAddress") or found.get("PrivateIpAddress", "")
        return Machine(id, request.name, str(address))

    def console(self, machine: Machine) -> str:
        """Decoded by boto3."""
        found = self._call(
            "ec2", "get_console_output", InstanceId=machine.id, answer={"Output": ""}
        )
        return str(found.get("Output", ""))

    def has_stopped(self, machine: Machine) -> bool:
        """Whether the instance is stopped or gone."""
        return self._clients.calls.dry or self._state(machine.id) in (
            "stopped",
            "terminated",
            "shutting-down",
        )

    def remove(self, id: str) -> None:
        """Terminate the instance; its disks go with it."""
        try:
            self._call("ec2", "terminate_instances", InstanceIds=[id], answer={})
        except CloudMissing:
            return
        self._clients.calls.until(
            lambda: self._state(id) == "terminated", seconds=SECONDS, pause=PAUSE
        )

    def _remove_attempt(self, attempt: str) -> None:
        """Terminate the instance that one start has made; its answer may be lost."""
        for one in self._listed(
            filters(**{f"tag__{ATTEMPT}": attempt, "instance_state_name": _ALIVE})
        ):
            self.remove(str(one["InstanceId"]))

    def made(self) -> Iterator[Made]:
        """Instances with compos's tag that are not terminated."""
        for one in self._listed(filters(tag_key=MACHINE, instance_state_name=_ALIVE)):
            own = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
            yield Made("machine", one["InstanceId"], own.get(MACHINE, ""), "", one["LaunchTime"])

    def wait(self, seconds: float) -> None:
        """As the door waits."""
        self._clients.calls.wait(seconds)

    def _image(self, name: str) -> str:
        """The AMI of this id or name, or the newest that was pushed under it."""
        if name.startswith("ami-"):
            return name
        for wanted in (filters(name=name), filters(**{f"tag__{NAME}": name})):
            found = self._call(
                "ec2",
                "describe_images",
                Owners=["self"],
                Filters=wanted,
                answer={"Images": [{"ImageId": "IMAGE"}]},
            )["Images"]
            if found:
                return str(max(found, key=lambda one: one.get("CreationDate", ""))["ImageId"])
        raise no_image(name, "aws", self._clients.region)

    def _listed(self, wanted: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            found = self._call(
                "ec2",
                "describe_instances",
                Filters=wanted,
                **({"NextToken": token} if token else {}),
                answer={"Reservations": []},
            )
            for reservation in found["Reservations"]:
                yield from reservation["Instances"]
            token = found.get("NextToken", "")
            if not token:
                return

    def _description(self, request: MachineRequest, attempt: str) -> dict[str, Any]:
        """The arguments of RunInstances, of which EC2 makes one instance, however often they
        arrive with the same token."""
        group = [self._options.security_group] if self._options.security_group else []
        card = {
            "DeviceIndex": 0,
            "AssociatePublicIpAddress": request.public,
            **({"Groups": group} if group else {}),
        }
        kind = self._options.disk_type
        own = tags({MACHINE: request.name, "Name": request.name, ATTEMPT: attempt})
        zone = {"AvailabilityZone": f"{self._clients.region}{request.zone}"}
        return {
            "ImageId": self._image(request.image),
            "InstanceType": request.size,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": attempt,
            "NetworkInterfaces": [card],
            "MetadataOptions": {"HttpTokens": "required"},
            "BlockDeviceMappings": [
                {
                    "DeviceName": f"/dev/sd{chr(ord('f') + number)}",
                    "Ebs": {"VolumeSize": size, "VolumeType": kind, "DeleteOnTermination": True},
                }
                for number, size in enumerate(request.disks)
            ],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": own} for kind in ("instance", "volume")
            ],
            **({"UserData": request.data} if request.data else {}),
            **({"KeyName": request.key} if request.key else {}),
            **({"Placement": zone} if request.zone else {}),
        }

    def _found(self, id: str) -> Mapping[str, Any]:
        found = self._call(
            "ec2",
            "describe_instances",
            InstanceIds=[id],
            answer={"Reservations": [{"Instances": [{"State": {"Name": "running"}}]}]},
        )["Reservations"]
        if not found:
            raise CloudMissing("cloud-missing", "the instance is gone", place=id)
        instance: Mapping[str, Any] = found[0]["Instances"][0]
        return instance

    def _state(self, id: str) -> str:
        try:
            return str(self._found(id)["State"]["Name"])
        except CloudMissing:
            return "terminated"

    def _runs(self, id: str) -> bool:
        found = self._found(id)
        state = found["State"]["Name"]
        if state in ("terminated", "shutting-down"):
            reason = found.get("StateReason", {}).get("Message", "nobody says why")
            raise CloudError("cloud-refused", f"the instance has ended: {reason}", place=id)
        # One that has done its work and powered off was running, too.
        return bool(state in ("running", "stopped"))
