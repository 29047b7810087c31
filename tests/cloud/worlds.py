"""Clouds in tests: each is a server (an emulator, or the real service) behind a proxy, with what a
test has to know to look into it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compos.cloud.model import Provider
from compos.http import client as http_client
from tests.cloud.fakes import FakeArm, FakeCompute
from tests.cloud.proxy import Proxy, Refusal
from tests.cloud.servers import free_port, running, until_answers

__all__ = [
    "OPENERS", "World", "arm_error", "chosen_worlds", "each_process", "glance_error",
    "google_error", "no_wait", "query_error", "require",
]  # fmt: skip

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of Azurite's account: published in its documentation."""

GROUP = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group/providers/"
    "Microsoft.Compute"
)

AZURITE = Path(__file__).parents[2] / "build" / "azurite"


class World(NamedTuple):
    """One cloud.

    `environment` is what a user sets; `connect` gives its provider, which never sleeps; `flags`
    are those of `compos push`. `whole` lists the registered images with the SHA-256 of the disk
    that the cloud has, `everything` names all that there is, `clear` removes it. `refusals` are
    the cloud's answers by the name of a fault.
    """

    name: str
    container: str
    proxy: Proxy
    environment: dict[str, str]
    flags: tuple[str, ...]
    connect: Callable[[Path], Provider]
    whole: Callable[[], dict[str, str]]
    everything: Callable[[], list[str]]
    clear: Callable[[], None]
    refusals: dict[str, Refusal]
    endpoint: str = ""
    """Of the storage, for other clients of it."""


def no_wait(seconds: float) -> None:
    """Time that nobody has."""


def each_process(connect: Callable[[], Any]) -> Callable[[], Any]:
    """The SDK's clients, made once by each process: that takes longer than a push, and children
    cannot share their parent's connections."""
    known: dict[int, Any] = {}

    def connected() -> Any:
        if os.getpid() not in known:
            http_client._pool.cache_clear()
            known[os.getpid()] = connect()
        return known[os.getpid()]

    return connected


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Amazon: moto.


def query_error(status: int, code: str) -> Refusal:
    """An error of EC2's form."""
    text = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors>"
    body = f'<?xml version="1.0"?>{text}<RequestID>1</RequestID></Response>'
    headers = {"x-amzn-ErrorType": code, "Content-Type": "text/xml"}
    return Refusal(status, body.encode(), headers)


@contextmanager
def _strict(ec2: Any, ebs: Any) -> Iterator[None]:
    """moto as EC2 is, where it matters: a snapshot that is written is pending, a token starts one,
    blocks have the checksums that are sent with them, a name has one image, and that is of the
    snapshot which it was registered with."""
    from base64 import b64encode

    import flask
    from moto.ec2.exceptions import EC2ClientError

    start, put = ebs.start_snapshot, ebs.put_snapshot_block
    complete, register = ebs.complete_snapshot, ec2.register_image

    tokens: dict[str, Any] = {}

    def started(**arguments: Any) -> Any:
        token = str(flask.request.get_json(force=True)["ClientToken"])
        if token not in tokens:
            tokens[token] = start(**arguments)
            ec2.snapshots[tokens[token].snapshot_id].status = "pending"
        return tokens[token]

    def written(snapshot_id: str, block_data: bytes, checksum: str, **arguments: Any) -> Any:
        assert b64encode(hashlib.sha256(block_data).digest()).decode() == checksum
        return put(snapshot_id=snapshot_id, block_data=block_data, checksum=checksum, **arguments)

    def completed(snapshot_id: str) -> Any:
        ec2.snapshots[snapshot_id].status = "completed"
        return complete(snapshot_id=snapshot_id)

    def registered(name: str, description: str) -> Any:
        if any(one.name == name for one in ec2.amis.values()):
            raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use")
        found = register(name, description)
        ec2.snapshots.pop(found.ebs_snapshot.id, None)
        form = flask.request.form
        found.ebs_snapshot = ec2.snapshots[form["BlockDeviceMapping.1.Ebs.SnapshotId"]]
        return found

    ebs.start_snapshot, ebs.put_snapshot_block = started, written
    ebs.complete_snapshot, ec2.register_image = completed, registered
    try:
        yield
    finally:
        del ebs.start_snapshot, ebs.put_snapshot_block, ebs.complete_snapshot, ec2.register_image


@contextmanager
def aws(folder: Path) -> Iterator[World]:
    """moto: EC2 and EBS. It does not know the tags of RegisterImage. Where it is
    more lenient than EC2, `_strict` is not."""
    from moto.ebs.models import ebs_backends
    from moto.ec2.models import ec2_backends
    from moto.server import ThreadedMotoServer

    from compos.cloud.aws.image import BLOCK, AwsImages, AwsOptions
    from compos.cloud.aws.session import connect

    account, region = "123456789012", "eu-west-1"
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    ec2, ebs = ec2_backends[account][region], ebs_backends[account][region]

    def whole() -> dict[str, str]:
        found = {}
        for image in ec2.amis.values():
            if image.owner_id != account or not image.description.startswith("compos"):
                continue
            snapshot = ebs.snapshots[image.ebs_snapshot.id]
            hasher, at = hashlib.sha256(), 0
            for number, block in sorted(snapshot.blocks.items()):
                while at < number:
                    hasher.update(bytes(BLOCK))
                    at += 1
                hasher.update(block.block_data)
                at += 1
            found[image.id] = hasher.hexdigest() if snapshot.status == "completed" else ""
        return found

    def own_images() -> list[str]:
        return [one.id for one in ec2.amis.values() if (one.description or "").startswith("compos")]

    def everything() -> list[str]:
        return [*own_images(), *(one for one in ec2.snapshots if one in ebs.snapshots)]

    def clear() -> None:
        for one in own_images():
            del ec2.amis[one]
        for one in list(ebs.snapshots):
            ec2.snapshots.pop(one, None)
            del ebs.snapshots[one]

    with Proxy() as proxy, _strict(ec2, ebs):
        environment = {
            "AWS_ENDPOINT_URL": proxy.to("127.0.0.1", port),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "aws-secret-word",
            "AWS_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        clients = each_process(lambda: connect(wait=no_wait))
        try:
            yield World(
                "aws",
                "raw",
                proxy,
                environment,
                (),
                lambda notes: AwsImages(clients(), AwsOptions(), notes),
                whole,
                everything,
                clear,
                {
                    "429": query_error(503, "RequestLimitExceeded"),
                    "403": query_error(403, "UnauthorizedOperation"),
                    "quota": query_error(400, "SnapshotLimitExceeded"),
                    "expired": query_error(400, "ExpiredToken"),
                },
            )
        finally:
            server.stop()


# Azure: Azurite for the storage, a fake for the Resource Manager.


def arm_error(status: int, code: str, message: str = "no") -> Refusal:
    """An error of the Resource Manager's form."""
    body = f'{{"error": {{"code": "{code}", "message": "{message}"}}}}'
    headers = {"Content-Type": "application/json", "x-ms-error-code": code}
    return Refusal(status, body.encode(), headers)


@contextmanager
def azure(folder: Path, *, gallery: str = "", copied: bool = True) -> Iterator[World]:
    """Azurite of npm, and `FakeArm`; with a `gallery`, images are versions in it. Large disks are
    not `copied`: what an image has is in memory then."""
    from azure.storage.blob import BlobServiceClient

    from compos.cloud.azure.image import AzureImages, AzureOptions
    from compos.cloud.azure.session import connect

    port = free_port()
    command = [
        "node", str(AZURITE / "node_modules/azurite/dist/src/blob/main.js"),
        "--blobPort", str(port), "--silent",
        "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence",
    ]  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(running(command, folder / "azurite.out", os.environ))
        until_answers(f"http://127.0.0.1:{port}/")
        proxy = stack.enter_context(Proxy())
        blobs = f"{proxy.to('127.0.0.1', port, keep_host=True)}/devstoreaccount1"
        arm = stack.enter_context(FakeArm(blobs, KEY))
        direct = BlobServiceClient(f"http://127.0.0.1:{port}/devstoreaccount1", credential=KEY)
        environment = {
            "AZURE_RESOURCE_MANAGER_ENDPOINT": proxy.to("127.0.0.1", arm.port),
            "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
            "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000002",
            "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000003",
            "AZURE_CLIENT_SECRET": "azure-secret-word",
        }
        copies: dict[str, str] = {}

        def born(path: str, document: dict[str, Any]) -> None:
            """An image has a copy of the blob."""
            storage = document["properties"].get("storageProfile", {})
            source = storage.get("osDiskImage", {}).get("source", {})
            uri = storage.get("osDisk", {}).get("blobUri") or source.get("uri")
            if uri and copied:
                name = uri.rpartition("/")[2]
                data = direct.get_blob_client("compos", name).download_blob().readall()
                copies[path] = _sha256(data)

        arm.born = born

        def listed() -> list[str]:
            return [
                f"{one.name}/{blob.name}"
                for one in direct.list_containers()
                for blob in direct.get_container_client(one.name).list_blobs()
            ]

        def whole() -> dict[str, str]:
            return {path: copies[path] for path in images()}

        def images() -> list[str]:
            """Galleries and their images stay."""
            return [path for path in arm.resources if path in copies]

        shelf = f"{GROUP}/galleries/{gallery}"

        def clear() -> None:
            arm.resources.clear()
            copies.clear()
            if gallery:
                arm.resources[shelf] = {"id": shelf, "name": gallery, "properties": {}}
            for one in direct.list_containers():
                direct.delete_container(one.name)

        clear()
        options = AzureOptions("group", "devstoreaccount1", gallery=gallery)
        flags = ("--resource-group", "group", "--storage-account", "devstoreaccount1")
        clients = each_process(lambda: connect(wait=no_wait))
        yield World(
            "azure",
            "vhd",
            proxy,
            environment,
            (*flags, *(("--gallery", gallery) if gallery else ())),
            lambda notes: AzureImages(clients(), options),
            whole,
            lambda: [*images(), *listed()],
            clear,
            {
                "429": arm_error(429, "TooManyRequests"),
                "403": arm_error(403, "AuthorizationFailed"),
                "quota": arm_error(409, "QuotaExceeded", "Operation exceeds the quota"),
                "expired": arm_error(401, "ExpiredAuthenticationToken"),
            },
            blobs,
        )


# Google: an emulator of the storage, a fake of Compute Engine.


def google_error(status: int, reason: str) -> Refusal:
    """An error of Google's form."""
    body = (
        f'{{"error": {{"code": {status}, "message": "no", '
        f'"errors": [{{"domain": "global", "reason": "{reason}", "message": "no"}}]}}}}'
    )
    return Refusal(status, body.encode(), {"Content-Type": "application/json"})


@contextmanager
def gcp(folder: Path) -> Iterator[World]:
    """gcp-storage-emulator, and `FakeCompute`."""
    from gcp_storage_emulator.server import create_server

    from compos.cloud.gcp.image import GcpImages, GcpOptions
    from compos.cloud.gcp.session import connect

    port = free_port()
    storage = create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    storage.start()
    store = storage._storage

    def content(name: str) -> bytes:
        data: bytes = store.get_file("bucket", name)
        return data

    def objects() -> list[str]:
        return [one["name"] for one in store.get_file_list("bucket")[0]]

    with ExitStack() as stack:
        stack.callback(storage.stop)
        copies: dict[str, str] = {}

        def has_object(bucket: str, name: str) -> bool:
            if bucket != "bucket" or name not in objects():
                return False
            copies[name.removesuffix(".img.tar.gz")] = _sha256(content(name))
            return True

        compute = stack.enter_context(FakeCompute(has_object))
        proxy = stack.enter_context(Proxy())
        base = proxy.to("127.0.0.1", compute.port)
        compute.base = base
        environment = {
            "STORAGE_EMULATOR_HOST": proxy.to("127.0.0.1", port, keep_host=True),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": base,
            "CLOUDSDK_CORE_PROJECT": "project",
        }

        def clear() -> None:
            compute.resources.clear()
            for name in objects():
                store.delete_file("bucket", name)

        clients = each_process(lambda: connect(project="project", keys="", wait=no_wait))
        yield World(
            "gcp",
            "gcp",
            proxy,
            environment,
            ("--bucket", "bucket", "--family", "systems"),
            lambda notes: GcpImages(clients(), GcpOptions(bucket="bucket", family="systems")),
            lambda: {
                key.rpartition("/")[2]: copies.get(key.rpartition("/")[2], "")
                for key in compute.resources
            },
            lambda: [*compute.resources, *objects()],
            clear,
            {
                "429": google_error(429, "rateLimitExceeded"),
                "403": google_error(403, "forbidden"),
                "quota": google_error(403, "quotaExceeded"),
                "expired": google_error(401, "authError"),
            },
        )


# OpenStack: Keystone and Glance.


def glance_error(status: int, text: str) -> Refusal:
    """An error of OpenStack's form."""
    return Refusal(status, f"<html><body>{text}</body></html>".encode())


@contextmanager
def openstack(folder: Path) -> Iterator[World]:
    """Debian's Keystone and Glance."""
    import openstack as sdk

    from compos.cloud.openstack.image import GlanceImages, GlanceOptions
    from compos.cloud.openstack.session import connect
    from tests.cloud.openstack_services import keystone_and_glance

    with Proxy() as proxy, keystone_and_glance(folder, proxy) as environment:
        names = {key.removeprefix("OS_").lower(): value for key, value in environment.items()}
        direct = sdk.connect(load_envvars=False, **names)

        def images() -> list[Any]:
            return list(direct.image.images())

        def whole() -> dict[str, str]:
            return {
                one.id: _sha256(direct.image.download_image(one.id).content)
                for one in images()
                if one.status == "active"
            }

        def clear() -> None:
            for one in images():
                direct.image.delete_image(one.id)

        clients = each_process(lambda: connect(wait=no_wait))
        yield World(
            "openstack",
            "qcow2",
            proxy,
            environment,
            (),
            lambda notes: GlanceImages(clients(), GlanceOptions()),
            whole,
            lambda: [one.id for one in images()],
            clear,
            {
                "429": glance_error(429, "Too many requests"),
                "403": glance_error(403, "Forbidden"),
                "quota": glance_error(413, "Denying attempt to upload: exceeds the quota"),
                "expired": glance_error(401, "Authentication required"),
            },
        )


def _elsewhere(name: str) -> Callable[[Path], Any]:
    """The world of a cloud that has only a fake, in the fake's module."""
    return lambda folder: getattr(import_module(f"tests.cloud.fake_{name}"), name)(folder)


FAKES = ("digitalocean", "hetzner", "scaleway", "vcenter")
OPENERS: dict[str, Callable[[Path], Any]] = {
    "aws": aws,
    "azure": azure,
    "azure-gallery": lambda folder: azure(folder, gallery="shelf"),
    "gcp": gcp,
    "openstack": openstack,
    **{name: _elsewhere(name) for name in FAKES},
}
"""By the name of the provider, or of a way that it has."""


def chosen_worlds() -> list[str]:
    """The clouds that take part: those of PyPI, and with COMPOS_CLOUDS all."""
    return (
        [name for name in os.environ["COMPOS_CLOUDS"].split(",") if name in OPENERS]
        or list(OPENERS)
        if os.environ.get("COMPOS_CLOUDS")
        else ["aws", "gcp"]
    )


def require(name: str) -> None:
    """Skip a test whose SDK or emulator is not installed; in CI, it fails."""
    for module in _MODULES[name]:
        if find_spec(module) is None:
            reason = f"{module} is not installed (requirements-dev.lock has it)"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)


_MODULES = {
    "aws": ("boto3", "moto", "flask"),
    "azure": ("azure",),
    "azure-gallery": ("azure",),
    "gcp": ("requests", "gcp_storage_emulator"),
    "openstack": ("openstack",),
    "digitalocean": ("boto3", "moto", "flask"),
    "hetzner": (),
    "vcenter": (),
    "scaleway": ("boto3", "moto", "flask"),
}
