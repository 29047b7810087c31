"""The metadata brick's program against each cloud's service, and against servers that mean harm:
whatever they do ends in a line or two and a status of 0, in time."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bricks.compiler import compile_brick
from tests.bricks.metadata_runs import KEY, reply, run

TOKEN = "X-aws-ec2-metadata-token"


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_brick("metadata")


def serve(prefix: str, values: dict[str, str], *headers: str) -> dict[str, str]:
    return {f"GET {prefix}{path}": reply(text, *headers) for path, text in values.items()}


EC2 = {
    "hostname": "ip-10-0-0-1.internal",
    "public-ipv4": "1.2.3.4",
    "local-ipv4": "10.0.0.1\n",
    "placement/availability-zone": "eu-1a",
    "instance-type": "t3.nano",
    "instance-id": "i-1",
    "local-hostname": "ip-10-0-0-1",
    "public-keys/0/openssh-key": f"{KEY}\n",
}
EC2_FILES = {
    "hostname": "ip-10-0-0-1.internal",
    "public_ipv4": "1.2.3.4",
    "local_ipv4": "10.0.0.1",
    "availability_zone": "eu-1a",
    "instance_type": "t3.nano",
    "instance_id": "i-1",
    "local_hostname": "ip-10-0-0-1",
    "ssh/authorized_keys": f"{KEY}\n",
    "userdata": "for you",
}
USER_DATA = {"GET /latest/user-data": reply("for you")}
IMITATION = {**serve("/latest/meta-data/", EC2), **USER_DATA}
AWS = {"PUT /latest/api/token": reply("TOKEN=="), **IMITATION}
HETZNER = {
    **serve(
        "/hetzner/v1/metadata/",
        {
            "hostname": "box",
            "public-ipv4": "1.2.3.4",
            "instance-id": "42",
            "public-keys": json.dumps([KEY, "ssh-rsa B"]),
        },
    ),
    "GET /hetzner/v1/userdata": reply("for you"),
    **serve("/latest/meta-data/", {"hostname": "box", "local-ipv4": "10.0.0.1"}),
}
GOOGLE = serve(
    "/computeMetadata/v1/",
    {
        "instance/hostname": "vm.c.project.internal",
        "project/attributes/ssh-keys": f"me:{KEY}\nno colon\nyou:ssh-rsa B",
        "instance/attributes/user-data": "for you",
    },
    "Metadata-Flavor: Google",
)
VULTR = serve(
    "/v1/",
    {
        "hostname": "v",
        "interfaces/0/ipv4/address": "1.2.3.4",
        "interfaces/1/ipv4/address": "10.0.0.1",
        "interfaces/1/ipv4/netmask": "255.0.0.0",
        "region/regioncode": "AMS",
        "instanceid": "7",
        "public-keys": KEY,
    },
)
OCEAN = serve(
    "/metadata/v1/",
    {
        "hostname": "droplet",
        "interfaces/public/0/ipv4/address": "1.2.3.4",
        "interfaces/private/0/ipv4/address": "10.0.0.1",
        "region": "nyc3",
        "id": "9",
        "public-keys": KEY,
        "user-data": "for you",
    },
)
CONF = f"""ID=abc
HOSTNAME=scw-1
LOCATION_ZONE_ID=par1
PUBLIC_IP_ADDRESS=1.2.3.4
PRIVATE_IP=10.0.0.1
SSH_PUBLIC_KEYS=1
SSH_PUBLIC_KEYS_0_KEY='{KEY}'
"""
SCALEWAY = {
    "169.254.42.42 GET /conf": reply(CONF),
    "169.254.42.42 GET /user_data/cloud-init": reply("for you"),
}

INSTANCE = {
    "compute": {
        "vmId": "v-1",
        "name": "vm",
        "osProfile": {"computerName": "azure-1"},
        "location": "westeurope",
        "vmSize": "B1s",
        "publicKeys": [{"keyData": f"{KEY}\r\n", "path": "x"}, {}],
        "userData": base64.b64encode(b"for you").decode(),
    },
    "network": {
        "interface": [
            {
                "ipv4": {
                    "ipAddress": [{"privateIpAddress": "10.0.0.1", "publicIpAddress": "1.2.3.4"}]
                }
            }
        ]
    },
}
GOAL_STATE = """<?xml version="1.0"?><GoalState><Version>1</Version><Incarnation>3</Incarnation>
<Container><ContainerId>c-1</ContainerId><RoleInstanceList><RoleInstance>
<InstanceId>i_1.x</InstanceId></RoleInstance></RoleInstanceList></Container></GoalState>"""
AZURE_PATH = "GET /metadata/instance?api-version=2021-12-13"
AZURE = {
    AZURE_PATH: reply(json.dumps(INSTANCE)),
    "168.63.129.16 GET /machine/?comp=goalstate": reply(GOAL_STATE),
    "168.63.129.16 POST /machine?comp=health": reply(""),
}

CLOUDS: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "aws": (AWS, "AWS", EC2_FILES),
    "openstack": (IMITATION, "openstack", EC2_FILES),
    "gcp": (
        GOOGLE,
        "GCP",
        {
            "hostname": "vm.c.project.internal",
            "ssh/authorized_keys": f"{KEY}\nssh-rsa B\n",
            "userdata": "for you",
        },
    ),
    "hetzner": (
        HETZNER,
        "Hetzner",
        {
            "hostname": "box",
            "public_ipv4": "1.2.3.4",
            "local_ipv4": "10.0.0.1",
            "instance_id": "42",
            "ssh/authorized_keys": f"{KEY}\nssh-rsa B\n",
            "userdata": "for you",
        },
    ),
    "vultr": (
        VULTR,
        "Vultr",
        {
            "hostname": "v",
            "public_ipv4": "1.2.3.4",
            "private_ipv4": "10.0.0.1",
            "private_netmask": "255.0.0.0",
            "region_code": "AMS",
            "instance_id": "7",
            "ssh/authorized_keys": f"{KEY}\n",
        },
    ),
    "digitalocean": (
        OCEAN,
        "DigitalOcean",
        {
            "hostname": "droplet",
            "public_ipv4": "1.2.3.4",
            "private_ipv4": "10.0.0.1",
            "region": "nyc3",
            "id": "9",
            "ssh/authorized_keys": f"{KEY}\n",
            "userdata": "for you",
        },
    ),
    "scaleway": (
        SCALEWAY,
        "Scaleway",
        {
            "hostname": "scw-1",
            "instance_id": "abc",
            "instance_location": "par1",
            "public_ip": "1.2.3.4",
            "private_ip": "10.0.0.1",
            "ssh/authorized_keys": f"{KEY}\n",
            "userdata": "for you",
        },
    ),
}
CLOUDS["azure"] = (
    AZURE,
    "Azure",
    {
        "hostname": "azure-1",
        "instance_id": "v-1",
        "instance_type": "B1s",
        "location": "westeurope",
        "local_ipv4": "10.0.0.1",
        "public_ipv4": "1.2.3.4",
        "ssh/authorized_keys": f"{KEY}\n",
        "userdata": "for you",
    },
)
"""By argument: the service's replies, the provider's name, and the files of /run/config."""


@pytest.mark.root
@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud(program: Path, cloud: str) -> None:
    replies, name, wanted = CLOUDS[cloud]
    outcome = run(program, cloud, replies=replies)
    assert outcome.said == f"metadata: found {name}\n"
    assert outcome.status == 0
    assert outcome.config() == {**wanted, "provider": name}
    assert outcome.hostname == wanted["hostname"]
    assert outcome.files["config/ssh"] == ["755", "directory"]
    assert outcome.files["config/ssh/authorized_keys"][0] == "600"


@pytest.mark.root
@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_cloud_is_told_from_the_others(program: Path, cloud: str) -> None:
    """Several imitate AWS's service, which comes first."""
    replies, name, wanted = CLOUDS[cloud]
    outcome = run(program, replies=replies)
    assert outcome.config() == {**wanted, "provider": name}


@pytest.mark.root
def test_what_the_services_are_sent(program: Path) -> None:
    requests = run(program, "aws", replies=AWS).requests
    assert f"{TOKEN}-ttl-seconds: 300\r\n" in requests[0]
    assert "Content-Length: 0\r\n" in requests[0]
    assert all(f"{TOKEN}: TOKEN==\r\n" in one for one in requests[1:])
    for one in run(program, "gcp", replies=GOOGLE).requests:
        assert "Host: metadata.google.internal\r\n" in one
        assert "Metadata-Flavor: Google\r\n" in one
    user_data = run(program, "scaleway", replies=SCALEWAY).requests[-1]
    assert user_data.startswith("169.254.42.42 low GET /user_data/cloud-init "), "it is for root"


@pytest.mark.root
def test_azure_is_told_that_the_machine_runs(program: Path) -> None:
    report = run(program, "azure", replies=AZURE).requests[-1]
    assert report.startswith("168.63.129.16 high POST /machine?comp=health HTTP/1.1\r\n")
    assert "x-ms-version: 2012-11-30\r\n" in report
    head, _, body = report.partition("\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n" in f"{head}\r\n"
    root = ElementTree.fromstring(body)
    assert root.findtext("GoalStateIncarnation") == "3"
    assert root.findtext("Container/ContainerId") == "c-1"
    role = root.find("Container/RoleInstanceList/Role")
    assert role is not None
    assert (role.findtext("InstanceId"), role.findtext("Health/State")) == ("i_1.x", "Ready")
    for text in ("", GOAL_STATE.replace("c-1", "<!-- -->"), GOAL_STATE.replace("c-1", "x" * 999)):
        goal = "168.63.129.16 GET /machine/?comp=goalstate"
        outcome = run(program, "azure", replies={**AZURE, goal: reply(text)})
        assert "metadata: Azure: reporting that the machine is ready: the goal state has no " in (
            outcome.said
        )
        assert outcome.config()["provider"] == "Azure"


@pytest.mark.root
@pytest.mark.parametrize("data", ["Zm9y!", "Zm9", "Zm9yA", "=Zm9", "Zg=y", "Zm9y===="])
def test_azures_user_data_that_is_no_base64(program: Path, data: str) -> None:
    instance = json.dumps({"compute": {"vmId": "v-1", "userData": data}})
    outcome = run(program, "azure", replies={**AZURE, AZURE_PATH: reply(instance)})
    assert "metadata: Azure: user data is no base64\n" in outcome.said
    assert outcome.config() == {"provider": "Azure", "instance_id": "v-1"}


@pytest.mark.root
@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"compute": []}',
        '{"compute": {"vmId": 1}}',
        "[" * 100000,
        '{"network": {"interface": {}}}',
    ],
)
def test_what_is_no_azure(program: Path, text: str) -> None:
    outcome = run(program, "azure", replies={AZURE_PATH: reply(text)})
    assert (outcome.status, outcome.files) == (0, {})
    assert outcome.said.endswith("metadata: no provider found\n")


METALDATA = {
    **serve(
        "/get/meta/",
        {
            "hostname": "m",
            "public-ipv4": "1.2.3.4",
            "private-ipv4": "10.0.0.1",
            "failure-domain": "a",
            "machine-id": "7",
            "machine-type": "small",
            "authorized-keys": f"{KEY}\n",
        },
    ),
    "GET /get/user": reply("for you"),
}


@pytest.mark.root
def test_metaldata_is_found_by_its_name(program: Path) -> None:
    hosts = {"/etc/hosts": "169.254.42.42 metaldata\n"}
    outcome = run(program, "metaldata", replies=METALDATA, files=hosts)
    assert outcome.said == "metadata: found metaldata\n"
    assert outcome.config() == {
        "provider": "metaldata",
        "hostname": "m",
        "public_ipv4": "1.2.3.4",
        "private_ipv4": "10.0.0.1",
        "failure_domain": "a",
        "machine_id": "7",
        "machine_type": "small",
        "ssh/authorized_keys": f"{KEY}\n",
        "userdata": "for you",
    }
    assert all("Host: metaldata\r\n" in request for request in outcome.requests)


@pytest.mark.root
def test_the_older_service_only_where_the_newer_is_missing(program: Path) -> None:
    for status in (404, 405, 501):
        replies = {**AWS, "PUT /latest/api/token": reply("", status=status)}
        assert run(program, "aws", replies=replies).config()["provider"] == "AWS"
        replies["PUT /latest/api/token"] = reply("", "Server: EC2ws", status=status)
        assert run(program, replies=replies).config()["provider"] == "AWS"
    for status in (401, 403, 500):
        replies = {**AWS, "PUT /latest/api/token": reply("", status=status)}
        outcome = run(program, "aws", replies=replies)
        assert outcome.said == (
            f"metadata: AWS: /latest/api/token: no token, status {status}\n"
            "metadata: no provider found\n"
        )
        assert outcome.files == {}


@pytest.mark.root
def test_no_cloud_and_no_network(program: Path) -> None:
    for replies in ({}, {"GET /": reply("something else")}):
        outcome = run(program, replies=replies)
        assert outcome.said == "metadata: no provider found\n"
        assert (outcome.status, outcome.files, outcome.hostname) == (0, {}, "unchanged")
        assert outcome.seconds < 25


@pytest.mark.root
def test_the_arguments(program: Path) -> None:
    unknown = run(program, "aws", "clouds")
    assert (unknown.status, unknown.said) == (1, "metadata: clouds: unknown provider\n")
    named = run(program, "vmware", "equinixmetal", "file=/nowhere")
    assert named.status == 0
    assert [line.split(": ")[1] for line in named.said.splitlines()] == [
        "equinixmetal",
        "no provider found",
    ]
    detailed = run(program, "-v", "file=/nowhere")
    assert "metadata: trying file=/nowhere\n" in detailed.said
    # A file comes after the network, whatever the order of arguments.
    files = {"/run/given": "from a file"}
    outcome = run(program, "file=/run/given", "vultr", replies=VULTR, files=files)
    assert outcome.files["config/provider"][1] == "Vultr"
    outcome = run(program, "vultr", "file=/run/given", files=files)
    assert outcome.files["config/provider"][1] == "/run/given"
    assert outcome.files["config/userdata"][1] == "from a file"


CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
USES = {
    "chunked": CHUNKED + "3;x=y\r\nfor\r\n4\r\n you\r\n0\r\n\r\n",
    "without a length": "HTTP/1.1 200 OK\r\n\r\nfor you",
    "of HTTP/1.0, with bare line ends": "HTTP/1.0 200 OK\nContent-Length: 7\n\nfor you",
    "behind an interim response": "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + reply("for you"),
}


@pytest.mark.root
@pytest.mark.parametrize("response", USES.values(), ids=USES)
def test_responses_that_are_valid(program: Path, response: str) -> None:
    outcome = run(program, "aws", replies={**AWS, "GET /latest/user-data": response})
    assert outcome.config()["userdata"] == "for you"
    assert outcome.said == "metadata: found AWS\n"


@pytest.mark.root
def test_redirects(program: Path) -> None:
    path = "GET /latest/user-data"
    for location in ("/other", "http://169.254.169.254/other"):
        moved = reply("", f"Location: {location}", status=301)
        replies = {**AWS, path: moved, "GET /other": reply("for you")}
        assert run(program, "aws", replies=replies).config()["userdata"] == "for you"
    for location, said in {
        "http://10.0.0.1/": "redirected elsewhere: http://10.0.0.1/",
        "//10.0.0.1/": "redirected elsewhere: //10.0.0.1/",
        "https://169.254.169.254/x": "redirected elsewhere: https://169.254.169.254/x",
        "/a b": "redirected to what is no address",
        "/latest/user-data": "redirected more than 3 times",
    }.items():
        replies = {**AWS, path: reply("", f"Location: {location}", status=302)}
        outcome = run(program, "aws", replies=replies)
        assert outcome.said == (f"metadata: AWS: /latest/user-data: {said}\nmetadata: found AWS\n")


HOSTILE: dict[str, str | list[str] | dict[str, str]] = {
    "silence": "",
    "no HTTP": "SSH-2.0-OpenSSH\r\n",
    "an end at once": "HTTP/1.1 200",
    "an end in the body": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
    "a status that is none": "HTTP/1.1 9999 X\r\n\r\n",
    "a negative length": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "a length with a tail": "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\na",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length beyond all": "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n",
    "an unknown encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "a chunk without a size": f"{CHUNKED}\r\n",
    "a chunk of a negative size": f"{CHUNKED}-1\r\nx\r\n",
    "a chunk beyond all": f"{CHUNKED}fffffffffffffff\r\n",
    "a chunk longer than it says": f"{CHUNKED}1\r\nabc\r\n0\r\n\r\n",
    "chunks for ever": [CHUNKED, "1\r\na\r\n" * 1000],
    "headers for ever": ["HTTP/1.1 200 OK\r\n", "X: y\r\n" * 1000],
    "one header for ever": ["HTTP/1.1 200 OK\r\nX: ", "y" * 10000],
    "interim responses for ever": ["HTTP/1.1 100 Continue\r\n\r\n"],
    "a body for ever": ["HTTP/1.1 200 OK\r\n\r\n", "x" * 10000],
    "zero bytes": "\0" * 5000,
    "a byte a second": {"slowly": reply("for you" * 100)},
}


@pytest.mark.root
@pytest.mark.parametrize("response", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_server(program: Path, response: str | list[str] | dict[str, str]) -> None:
    """When it is looked for, with the usual list of providers, and in the middle."""
    outcome = run(program, "aws", "digitalocean", replies={"PUT /latest/api/token": response})
    assert outcome.status == 0
    assert outcome.said.count("\n") == 2, outcome.said
    assert outcome.said.startswith("metadata: AWS: /latest/api/token: ")
    assert outcome.files == {}
    assert outcome.seconds < 8
    replies = {**AWS, "GET /latest/meta-data/public-ipv4": response}
    outcome = run(program, "aws", replies=replies)
    assert outcome.status == 0
    assert outcome.said.count("\n") == 2, outcome.said
    config = outcome.config()
    assert config == {"hostname": "ip-10-0-0-1.internal", "provider": "AWS"}
    assert outcome.seconds < 8


EVERYWHERE = {
    "a byte a second": {"slowly": "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 100},
    "redirects": reply("", "Location: /x", status=301),
    "a body for ever": ["HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\n\r\n", "x" * 10000],
    "JSON without an end": reply("[" * 60000),
}


@pytest.mark.root
@pytest.mark.parametrize("response", EVERYWHERE.values(), ids=EVERYWHERE)
def test_a_hostile_server_to_all_providers(program: Path, response: Any) -> None:
    """Whatever is asked of whichever address: a line for each address that answers like this."""
    options = ("--users", "--commands", "--network")
    outcome = run(program, *options, replies={"*": response, "PUT /latest/api/token": response})
    assert outcome.status == 0
    said = outcome.said.splitlines()
    assert len(said) <= 5, said
    assert said[-1].startswith(("metadata: no provider found", "metadata: found ")), said
    assert outcome.seconds < 15


@pytest.mark.root
def test_user_data_without_an_end(program: Path) -> None:
    body = ["HTTP/1.1 200 OK\r\n\r\n", "x" * 100000]
    outcome = run(program, "aws", replies={**AWS, "GET /latest/user-data": body})
    assert "/latest/user-data: the response is longer than 4194304 bytes\n" in outcome.said
    assert "userdata" not in outcome.config()


@pytest.mark.root
@pytest.mark.parametrize("name", ["a\nb", "../x", "a b", "-x", "x" * 300, "\x1b[2J", ""])
def test_what_is_no_host_name(program: Path, name: str) -> None:
    replies = {**VULTR, "GET /v1/hostname": reply(name)}
    outcome = run(program, "vultr", replies=replies)
    assert outcome.said.startswith("metadata: Vultr: its host name is no host name\n")
    assert outcome.hostname == "unchanged"
    assert "hostname" not in outcome.config()


@pytest.mark.root
def test_a_long_host_name(program: Path) -> None:
    name = "web." + "x" * 70
    outcome = run(program, "vultr", replies={**VULTR, "GET /v1/hostname": reply(name)})
    assert outcome.hostname == "web"
    assert outcome.config()["hostname"] == name


@pytest.mark.root
def test_keys_with_control_characters(program: Path) -> None:
    keys = f"# a comment\n\n{KEY}\r\nssh-rsa \x1b]0;x\x07\n\0\nssh-rsa Z"
    outcome = run(program, "vultr", replies={**VULTR, "GET /v1/public-keys": reply(keys)})
    assert outcome.config()["ssh/authorized_keys"] == f"{KEY}\nssh-rsa Z\n"
