"""What confines a container: a row a rule of docs/confinement.md, and containerd's own defaults as
the judge of ours.

What the rows mean in a booted guest is in tests/boot/test_confinement.py.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compos.compose.confinement import MASKED, READONLY, confinement
from compos.compose.profiles import MAX_PROFILE
from compos.compose.seccomp import BY_CAPABILITY
from compos.config.check import CAPABILITIES
from compos.config.model import Settings
from compos.errors import ComposError
from tests.compose.systems import World

DOCS = Path(__file__).resolve().parents[2] / "docs" / "confinement.md"
SECTIONS = ("onboot", "services", "onshutdown")


def test_paths_are_containerds() -> None:
    spec = json.loads(
        subprocess.run(["ctr", "oci", "spec"], capture_output=True, check=True).stdout
    )
    theirs = spec["linux"]
    # Later versions of containerd add to the list; ours has what 2.0 has.
    assert set(theirs["maskedPaths"]) <= set(MASKED)
    assert set(MASKED) - set(theirs["maskedPaths"]) <= {"/sys/devices/virtual/powercap"}
    assert set(theirs["readonlyPaths"]) == set(READONLY)
    assert theirs["resources"]["devices"] == [dict(rule) for rule in of(Settings()).device_rules]
    sysfs = next(mount for mount in spec["mounts"] if mount["destination"] == "/sys")
    assert "ro" in sysfs["options"]


def of(
    settings: Settings, uid: int = 0, mounts: tuple[dict[str, Any], ...] = (), default: str = ""
) -> Any:
    return confinement(settings, uid, mounts, "amd64", default)


def calls(settings: Settings) -> set[str]:
    """The system calls that are allowed whatever their arguments."""
    document = json.loads(of(settings).seccomp)
    return {
        name
        for rule in document["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }


def test_without_capabilities() -> None:
    limits = of(Settings())
    assert (limits.masked, limits.readonly) == (MASKED, READONLY)
    assert limits.readonly_sys
    assert limits.no_new_privileges
    assert not calls(Settings()).intersection(set().union(*BY_CAPABILITY.values()))


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_what_a_capability_opens(capability: str) -> None:
    """And nothing else of it; `docs/confinement.md` has a row for each that opens something."""
    settings = Settings(capabilities=(capability,))
    limits = of(settings)
    assert calls(settings) - calls(Settings()) == BY_CAPABILITY.get(capability, frozenset())
    unmasked = set(MASKED) - set(limits.masked)
    writable = set(READONLY) - set(limits.readonly)
    admin = capability == "CAP_SYS_ADMIN"
    assert unmasked == (
        set(MASKED) if admin else {"CAP_SYS_RAWIO": {"/proc/kcore"}}.get(capability, set())
    )
    expected = {
        "CAP_NET_ADMIN": {"/proc/sys"},
        "CAP_SYS_BOOT": {"/proc/sysrq-trigger"},
        "CAP_SYS_RAWIO": {"/proc/bus"},
    }
    assert writable == (set(READONLY) if admin else expected.get(capability, set()))
    assert limits.readonly_sys != admin
    opens = bool(unmasked or writable or capability in BY_CAPABILITY)
    assert (f"| `capabilities: [{capability}]` |" in DOCS.read_text()) >= opens


def test_the_network_s_settings_are_those_of_cap_net_admin() -> None:
    readonly = of(Settings(capabilities=("CAP_NET_ADMIN",))).readonly
    assert "/proc/sys/kernel" in readonly
    assert not [path for path in readonly if "/proc/sys/net".startswith(path)]


@pytest.mark.parametrize(
    "names", [("all",), ("ALL", "CAP_KILL"), CAPABILITIES], ids=["all", "ALL", "each of them"]
)
def test_all_capabilities_are_as_under_linuxkit(names: tuple[str, ...]) -> None:
    limits = of(Settings(capabilities=names))
    assert limits == of(Settings(), default="linuxkit")
    assert limits == ((), (), False, False, None, ())


@pytest.mark.parametrize(
    ("settings", "uid", "expected"),
    [
        (Settings(), 0, True),
        (Settings(), 999, True),
        (Settings(capabilities=("CAP_CHOWN", "CAP_KILL")), 0, True),
        (Settings(capabilities=("CAP_CHOWN", "CAP_SETUID")), 0, False),
        (Settings(capabilities=("CAP_SETGID",)), 0, False),
        (Settings(capabilities=("CAP_SYS_ADMIN",)), 0, False),
        # Not root, and its capabilities are not ambient: only a program can bring them.
        (Settings(capabilities=("CAP_NET_RAW",)), 999, False),
        (Settings(capabilities=("CAP_NET_RAW",), ambient=("CAP_NET_RAW",)), 999, True),
        (Settings(ambient=("CAP_NET_RAW",)), 999, True),
        (Settings(ambient=("CAP_SETUID",)), 999, False),
        (Settings(no_new_privileges=False), 0, False),
        (Settings(no_new_privileges=True, capabilities=("all",)), 0, True),
    ],
)
def test_no_new_privileges(settings: Settings, uid: int, expected: bool) -> None:
    assert of(settings, uid).no_new_privileges is expected


def mount(destination: str, kind: str = "bind") -> tuple[dict[str, Any], ...]:
    return ({"destination": destination, "type": kind, "source": "/x"},)


@pytest.mark.parametrize(
    ("mounts", "unmasked", "writable"),
    [
        (mount("/sys"), {"/sys/firmware", "/sys/devices/virtual/powercap"}, set()),
        (mount("/x/../sys/"), {"/sys/firmware", "/sys/devices/virtual/powercap"}, set()),
        (mount("/proc"), {path for path in MASKED if path.startswith("/proc/")}, set(READONLY)),
        (mount("/sys/firmware/efi/efivars"), {"/sys/firmware"}, set()),
        (mount("/sys/firmware/efi/efivars", "efivarfs"), {"/sys/firmware"}, set()),
        (mount("/proc/keys", "tmpfs"), {"/proc/keys"}, set()),
        (mount("/proc/sys/fs/binfmt_misc", "binfmt_misc"), set(), set()),
        (mount("/proc/sys"), set(), {"/proc/sys"}),
        # A file system of its own at /proc is the same /proc.
        (mount("/proc", "proc"), set(), set()),
        (mount("/sys", "sysfs"), set(), set()),
        (mount("/host/proc"), set(), set()),
        (mount("/procession"), set(), set()),
        (mount("/"), set(MASKED), set(READONLY)),
    ],
)
def test_what_the_user_mounts_is_seen(
    mounts: tuple[dict[str, Any], ...], unmasked: set[str], writable: set[str]
) -> None:
    limits = of(Settings(), mounts=mounts)
    assert set(MASKED) - set(limits.masked) == unmasked
    assert set(READONLY) - set(limits.readonly) == writable


KEYS: list[tuple[str, str, Any]] = [
    ("maskedPaths: []", "linux.maskedPaths", None),
    ("maskedPaths: [/a]", "linux.maskedPaths", ["/a"]),
    ("maskedPaths: []", "linux.readonlyPaths", list(READONLY)),
    ("readonlyPaths: []", "linux.readonlyPaths", None),
    ("readonlyPaths: []", "linux.maskedPaths", list(MASKED)),
    ("readonlyPaths: [/a]", "linux.readonlyPaths", ["/a"]),
    ("seccomp: unconfined", "linux.seccomp", None),
    ("seccomp: unconfined", "linux.maskedPaths", list(MASKED)),
    ("noNewPrivileges: false", "process.noNewPrivileges", None),
]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(("entry", "path", "expected"), KEYS)
def test_keys_replace_a_part(
    entry: str, path: str, expected: Any, section: str, world: World
) -> None:
    value: Any = world.spec(f"    {entry}\n", section)
    for key in path.split("."):
        value = value.get(key)
    assert value == expected


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_confined(section: str, world: World) -> None:
    spec = world.spec("", section)
    assert spec["linux"]["maskedPaths"] == list(MASKED)
    assert spec["linux"]["seccomp"]["defaultErrnoRet"] == 38


def test_readonly_paths_of_the_user_open_sys(world: World) -> None:
    options = next(
        one
        for one in world.spec("    readonlyPaths: []\n")["mounts"]
        if one["destination"] == "/sys"
    )
    assert "ro" not in options["options"]


def planned(world: World) -> None:
    """The init image reads plans with profiles, as ours does."""
    labels = {"org.compos.init.plan": "1", "org.compos.init.seccomp": "1"}
    world.image("acme/init:1", world_init(), {"Labels": labels})


def world_init() -> list[Any]:
    from tests.images import Member

    return [[Member("init", mode=0o755, content="#!")]]


MANY = "init: [acme/init:1]\nservices:\n" + "".join(
    f"  - name: s{n}\n    image: acme/app:1\n{extra}"
    for n, extra in enumerate(
        ["", "", "    uid: 7\n", "    capabilities: [CAP_SYS_TIME]\n", "    seccomp: unconfined\n"]
    )
)


def test_containers_share_one_profile_file(world: World) -> None:
    planned(world)
    nodes = world.nodes(MANY)
    profiles = [path for path in nodes if path.startswith("etc/compos/seccomp/")]
    assert len(profiles) == 2, "one for those without capabilities, one for the clock's"
    plan = world.text(nodes["etc/compos/plan"])
    named = re.findall(r"^seccomp\t(\d+)\t/(\S+)$", plan, re.MULTILINE)
    assert {path for _, path in named} == set(profiles)
    assert len(named) == 4
    assert plan.count("rootpath\t") == 5
    config = world.text(nodes["containers/services/s0/config.json"])
    offset, path = int(named[0][0]), named[0][1]
    whole = json.loads(f'{config[:offset]}"seccomp":{world.text(nodes[path])},{config[offset:]}')
    assert whole["linux"].pop("seccomp")["syscalls"]
    assert whole == json.loads(config)


def test_health_checks_gain_nothing_either(world: World) -> None:
    """Only where the container has the flag, a check, and an init that knows the line."""
    check = "    healthcheck: {test: [CMD, /x]}\n"
    entries = (
        "",
        check,
        check + "    noNewPrivileges: false\n",
        check + "    seccomp: unconfined\n",
    )
    services = "".join(
        f"  - name: s{n}\n    image: acme/app:1\n{entry}" for n, entry in enumerate(entries)
    )
    yaml = f"init: [acme/init:1]\nservices:\n{services}"
    assert "no-new-privileges" not in json.dumps([*world.nodes(yaml)])
    planned(world)
    blocks = world.text(world.nodes(yaml)["etc/compos/plan"]).split("\ncontainer\t")[1:]
    assert ["\nno-new-privileges\n" in block for block in blocks] == [False, True, False, True]


def test_onboot_containers_get_theirs_by_the_plan_too(world: World) -> None:
    planned(world)
    nodes = world.nodes("init: [acme/init:1]\nonboot:\n  - name: app\n    image: acme/app:1\n")
    plan = world.text(nodes["etc/compos/plan"])
    assert re.search(r"^container\t000-app\t.*\n(.*\n)*rootpath\t.*\nseccomp\t", plan, re.MULTILINE)


def test_an_init_that_knows_plans_without_profiles(world: World) -> None:
    """An older init image: an unknown line would leave its containers without one."""
    world.image("acme/init:1", world_init(), {"Labels": {"org.compos.init.plan": "1"}})
    nodes = world.nodes(MANY)
    assert "seccomp" not in world.text(nodes["etc/compos/plan"])
    assert "seccomp" in json.loads(world.text(nodes["containers/services/s0/config.json"]))["linux"]


OWN = """\
files:
  - path: etc/own.json
    contents: '{}'
services:
  - name: app
    image: acme/app:1
    seccomp: /etc/own.json
"""
GOOD = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}'


def test_a_profile_of_ones_own(world: World) -> None:
    spec = json.loads(
        world.text(world.nodes(OWN.format(GOOD))["containers/services/app/config.json"])
    )
    assert spec["linux"]["seccomp"] == json.loads(GOOD)
    planned(world)
    nodes = world.nodes("init: [acme/init:1]\n" + OWN.format(GOOD))
    assert "seccomp\t" in (plan := world.text(nodes["etc/compos/plan"]))
    assert "\t/etc/own.json\n" in plan
    assert not [path for path in nodes if path.startswith("etc/compos/seccomp")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"defaultAction": 5}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 5}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [5]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "archMap": []}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "excludes": {}}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": NaN}',
        "[" * 100_000,
        " " * (MAX_PROFILE + 1),
    ],
    ids=range(11),
)
def test_a_profile_that_is_none(text: str, world: World) -> None:
    with pytest.raises(ComposError) as caught:
        world.nodes(OWN.format(text))
    assert caught.value.id == "config-seccomp"
    assert "os.yml" in (caught.value.place or "")


@pytest.mark.parametrize(
    "value", ["/no/such", "/etc", "Unconfined", "etc/own.json", "/a/../b", "''"]
)
def test_a_profile_that_is_not_there(value: str, world: World) -> None:
    with pytest.raises(ComposError) as caught:
        world.spec(f"    seccomp: {value}\n")
    assert caught.value.id == "config-seccomp"
