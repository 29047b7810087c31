"""The metadata brick on a VMware host: a tracer plays the host, and Debian's vmware-rpctool, which is
run on it first, says that it does so rightly. OVF environments also come on a CD."""

from __future__ import annotations

import base64
import gzip
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import DRIVERS, compile_brick, compile_sources
from tests.bricks.metadata_runs import KEY, Outcome, run

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="VMware's port is one of x86"),
]


@pytest.fixture(scope="module")
def host() -> Path:
    return compile_sources("vmware_host", [DRIVERS / "metadata" / "vmware_host.c"], [])


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_brick("metadata")


def hosted(
    host: Path, program: Path, folder: Path, values: dict[str, str | bytes], *options: str
) -> Outcome:
    """The program on a host with these values of guestinfo; an option with one hyphen is the
    host's."""
    folder.mkdir(exist_ok=True)
    for name, value in values.items():
        data = value.encode() if isinstance(value, str) else value
        (folder / f"guestinfo.{name}").write_bytes(data)
    mode = [option for option in options if not option.startswith("--")]
    own = [option for option in options if option.startswith("--")]
    # Who is traced cannot look for leaks.
    script = 'export ASAN_OPTIONS=detect_leaks=0; exec "$0" "$@"'
    command = ["-c", script, str(host), *mode, str(folder), str(program), *own, "vmware"]
    return run(Path("/bin/sh"), *command)


def lines(outcome: Outcome) -> list[str]:
    assert outcome.status == 0
    return [line.removeprefix("metadata: ") for line in outcome.said.splitlines()]


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


def test_the_host_is_one_to_vmwares_own_client(host: Path, tmp_path: Path) -> None:
    alone = subprocess.run(["vmware-rpctool", "info-get guestinfo.x"], check=False).returncode
    assert alone != 0, "this machine is one of VMware's"
    client = shutil.which("vmware-rpctool") or ""
    for text in ("for you", "", "x" * 5001):
        (tmp_path / "guestinfo.x").write_text(text)
        command = [str(host), str(tmp_path), client, "info-get guestinfo.x"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{text}\n")
    command = [str(host), str(tmp_path), client, "info-get guestinfo.y"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "No value found\n")


METADATA = f"""
instance-id: vm-1
local-hostname: web
public-keys-data: |
  {KEY}
  ssh-rsa B
network:
  version: 2
  ethernets: {{}}
"""


@pytest.mark.root
def test_guestinfo(host: Path, program: Path, tmp_path: Path) -> None:
    values: dict[str, str | bytes] = {
        "metadata": METADATA,
        "userdata": packed("#cloud-config\nhostname: user\n"),
        "userdata.encoding": "gzip+base64",
        "vendordata": base64.b64encode(b"from the vendor"),
        "vendordata.encoding": "b64\n",
    }
    outcome = hosted(host, program, tmp_path, values)
    assert lines(outcome) == ["network: not carried out (--network)", "found VMWARE"]
    assert outcome.config() == {
        "provider": "VMWARE",
        "hostname": "user",
        "instance_id": "vm-1",
        "metadata": METADATA.rstrip(),
        "userdata": "#cloud-config\nhostname: user\n",
        "vendordata": "from the vendor",
        "ssh/authorized_keys": f"{KEY}\nssh-rsa B\n",
    }


@pytest.mark.root
def test_guestinfo_in_json_with_an_encoded_network(
    host: Path, program: Path, tmp_path: Path
) -> None:
    network = packed("version: 2\nethernets: {}\n")
    metadata = f'{{"hostname": "caf\\u0065", "network": "{network}", "network.encoding": "gz+b64"}}'
    outcome = hosted(host, program, tmp_path, {"metadata": metadata}, "--network")
    assert lines(outcome) == ["found VMWARE"]
    config = outcome.config()
    assert config["network-config"] == "version: 2\nethernets: {}"
    assert config["hostname"] == "cafe"


ENVIRONMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1"
    xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" oe:id="">
  <PlatformSection><Kind>VMware ESXi</Kind></PlatformSection>
  <PropertySection>
    <Property oe:key="hostname" oe:value="by-ovf"/>
    <Property oe:key="instance-id" oe:value="ovf-1"/>
    <Property oe:key="public-keys" oe:value="ssh-rsa A&#10;ssh-rsa B"/>
    <Property oe:key="user-data" oe:value="Zm9yIHlvdQ=="/>
    <Property oe:key="password" oe:value=""/>
  </PropertySection>
</Environment>
"""


@pytest.mark.root
def test_an_ovf_environment(host: Path, program: Path, tmp_path: Path) -> None:
    wanted = {
        "hostname": "by-ovf",
        "instance_id": "ovf-1",
        "ssh/authorized_keys": "ssh-rsa A\nssh-rsa B\n",
        "userdata": "for you",
    }
    outcome = hosted(host, program, tmp_path / "values", {"ovfEnv": ENVIRONMENT})
    assert lines(outcome) == ["found VMWARE"]
    assert outcome.config() == {"provider": "VMWARE", **wanted}
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "ovf-env.xml").write_text(ENVIRONMENT)
    outcome = run(compile_brick("metadata", driver="disc"), str(tmp_path / "disc"))
    assert outcome.config() == {"provider": "disc", **wanted}


NOTHING: dict[str, dict[str, str | bytes]] = {
    "no values": {},
    "a hyphen": {"metadata": "---", "userdata": " ", "ovfEnv": ""},
    "an unknown encoding": {"userdata": "x", "userdata.encoding": "rot13"},
    "no base64": {"userdata": "!", "userdata.encoding": "base64"},
    "no gzip": {"userdata": "Zm9y", "userdata.encoding": "gzip+base64"},
    "a huge value": {"userdata": "x" * 1100000},
}


@pytest.mark.root
@pytest.mark.parametrize("name", NOTHING)
def test_no_guestinfo(host: Path, program: Path, tmp_path: Path, name: str) -> None:
    outcome = hosted(host, program, tmp_path, NOTHING[name])
    said = lines(outcome)
    assert said[-1] == "no provider found"
    assert len(said) == (1 if name in ("no values", "a hyphen") else 2)
    assert all(line.startswith("VMWARE: guestinfo.userdata: ") for line in said[:-1])
    assert outcome.files == {}


HOSTILE = {
    "-closed": "VMWARE: the host opens no channel",
    "-silent": "VMWARE: guestinfo.metadata: the host breaks off",
    "-huge": "VMWARE: guestinfo.metadata: the answer is longer than 1048578 bytes",
    "-cut": "VMWARE: guestinfo.metadata: the host's answer is cut",
    "-wrong": "VMWARE: guestinfo.metadata: the host breaks off",
}


@pytest.mark.root
@pytest.mark.parametrize("mode", HOSTILE)
def test_a_hostile_host(host: Path, program: Path, tmp_path: Path, mode: str) -> None:
    outcome = hosted(host, program, tmp_path, {"metadata": "hostname: x\n"}, mode)
    said = lines(outcome)
    assert (said[0], said[-1]) == (HOSTILE[mode], "no provider found")
    assert len(said) <= 5
    assert outcome.files == {}


@pytest.mark.root
def test_a_host_that_was_moved(host: Path, program: Path, tmp_path: Path) -> None:
    """It has forgotten a question in the middle, which is asked again."""
    outcome = hosted(host, program, tmp_path, {"userdata": "for you"}, "-forgetful")
    assert lines(outcome) == ["found VMWARE"]
    assert outcome.config()["userdata"] == "for you"


BAD_ENVIRONMENTS = {
    "cut": ENVIRONMENT[:400],
    "an entity": ENVIRONMENT.replace("<Env", "<!DOCTYPE x [<!ENTITY y 'z'>]><Env", 1),
    "a zero byte": ENVIRONMENT.replace("ESXi", "\0"),
    "elements for ever": "<a>" * 100,
}


@pytest.mark.root
@pytest.mark.parametrize("name", BAD_ENVIRONMENTS)
def test_a_bad_ovf_environment(host: Path, program: Path, tmp_path: Path, name: str) -> None:
    outcome = hosted(host, program, tmp_path, {"ovfEnv": BAD_ENVIRONMENTS[name]})
    said = lines(outcome)
    assert len(said) == 2
    assert said[0].startswith("OVF environment: ")
    assert outcome.config() == {"provider": "VMWARE"}
