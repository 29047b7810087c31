"""Containers of a booted guest: a hostile one finds no way out, and each row of docs/confinement.md
opens what it says.

One guest a runtime: `tests/boot/programs/hostile.c` runs in many small containers and says what the
kernel let it do.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boot.runtimes import RUNTIMES, until
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SOURCE = Path(__file__).resolve().parent / "programs" / "hostile.c"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "confinement.md"


ATTEMPTS = 77
PATHS = "core_pattern modprobe_path drop_caches ip_forward sysrq sysrq_setting irq"
SYS = "sys_module sys_memory"
MASKED = "keys timer_list acpi firmware"
UNFILTERED = (
    "personality_call userfault move_pages quotactl_call io_uring keyctl add_key request_key"
)
"""What the kernel lets everybody call: only the filter refuses it."""

UNFILTERED_TOO = """
    perf_event unshare_user unshare_32bit clone_user clone3_call kcmp_call steal_descriptor vsock alg_socket long_family
"""

OPENS = {
    "capabilities: [CAP_SYS_ADMIN]": f"""
        {PATHS} {SYS} {MASKED} keyctl add_key request_key unshare_user unshare_32bit unshare_mount clone_user clone3_call
        setns_call
        pivot_root mount_call remount_sysctl unmask_kcore fsopen_call open_tree_call bpf_call perf_event swapon_call
        quotactl_call fanotify host_name vsock alg_socket long_family
    """,
    "capabilities: [CAP_NET_ADMIN]": "ip_forward",
    "capabilities: [CAP_SYS_BOOT]": "sysrq reboot_call kexec_load kexec_file_load",
    "capabilities: [CAP_SYS_RAWIO]": "kcore ports",
    "capabilities: [CAP_BPF]": "bpf_call",
    "capabilities: [CAP_DAC_READ_SEARCH]": "handle",
    "capabilities: [CAP_PERFMON]": "perf_event",
    "capabilities: [CAP_SYSLOG]": "syslog_call",
    "capabilities: [CAP_SYS_CHROOT]": "chroot_call",
    "capabilities: [CAP_SYS_MODULE]": "init_module finit_module delete_module",
    "capabilities: [CAP_SYS_NICE]": "move_pages priority",
    "capabilities: [CAP_SYS_PACCT]": "acct_call",
    "capabilities: [CAP_SYS_PTRACE]": "kcmp_call steal_descriptor userfault",
    "capabilities: [CAP_SYS_TIME]": "set_clock tune_clock",
    "capabilities: [CAP_SYS_TTY_CONFIG]": "vhangup_call",
    "capabilities: [CAP_MKNOD]": "make_node",
    "maskedPaths: []": f"{MASKED}",
    "readonlyPaths: []": f"{PATHS} {SYS}",
    "seccomp: unconfined": f"{UNFILTERED} {UNFILTERED_TOO}",
    # libseccomp ends who uses an ABI that such a profile does not name.
    "seccomp: /etc/own.json": f"{UNFILTERED} {UNFILTERED_TOO} unshare_x32",
    "uid: 1000, noNewPrivileges: false": "setuid_program",
    "binds: [/sys:/sys]": f"{SYS} firmware debugfs",
    "binds: [/proc:/proc]": f"{PATHS} keys timer_list acpi",
    "binds: [/sys/firmware:/sys/firmware:ro]": "firmware",
    "binds: [/dev:/dev]": "",
    'devices: [{path: /dev/kmsg, type: c, major: 1, minor: 11, mode: "0600"}]': "kmsg",
    "pid: host": "",
}
"""What each row of the table lets through, beside what differs with the machine."""

ALL = "capabilities: [all]"
GETS_ALL = f"""
    {PATHS} {SYS} {MASKED} {UNFILTERED} {UNFILTERED_TOO} kcore make_node unshare_mount setns_call chroot_call mount_call
    kexec_load kexec_file_load init_module bpf_call perf_event acct_call swapon_call vhangup_call syslog_call reboot_call
    set_clock host_name ports
"""

VOLUMES = {
    "binds-rw": ("binds: ['data:/v']", "written"),
    "add-rw": ("binds.add: ['data:/v']", "written"),
    "mounts-rw": ("mounts: [{type: bind, source: data, destination: /v}]", "written"),
    "mounts-options": (
        "mounts: [{type: bind, source: data, destination: /v, options: [bind, rw]}]",
        "written",
    ),
    "binds-ro": ("binds: ['fixed:/v:ro']", "read"),
    "add-ro": ("binds.add: ['fixed:/v:ro']", "read"),
    "mounts-ro": ("mounts: [{type: bind, source: fixed, destination: /v, options: [ro]}]", "read"),
    "mounts-ro-rw": (
        "mounts: [{type: bind, source: fixed, destination: /v, options: [ro, rw]}]",
        "read",
    ),
    "data-ro": ("mounts: [{type: bind, source: data, destination: /v, options: [ro]}]", "read"),
}
"""Each way to name a volume."""

TRY = "touch /v/$0 2>/dev/null && echo volume $0 written || { ls /v >/dev/null && echo volume $0 read; }"


def rows() -> list[str]:
    """The YAML of each row of the table."""
    table = DOCS.read_text().partition("## Granting more")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def entry(name: str, settings: str, *arguments: str) -> str:
    """A container that runs the hostile program."""
    programs = "'/opt/hostile:/hostile:ro', '/opt/hostile-setuid:/hostile-setuid:ro'"
    if "binds: [" in settings:
        settings = settings.replace("binds: [", f"binds: [{programs}, ")
    else:
        settings = ", ".join(filter(None, (f"binds: [{programs}]", settings)))
    words = ", ".join(("/hostile", name, *arguments))
    return f"  - {{name: {name}, image: compos/busybox:v1, command: [{words}], {settings}}}\n"


def system(init: str, program: Path, onboot: str = "", head: str = "") -> str:
    """A system in which the hostile program runs once in every section, beside what is given."""
    volumes = "".join(
        f"  - {{name: {name}, image: compos/busybox:v1, command: [/bin/sh, -c, '{TRY}', {name}], {settings}}}\n"
        for name, (settings, _) in VOLUMES.items()
    )
    return f"""{head}
kernel: {{image: compos/kernel:v1, cmdline: "console=ttyS0 panic=-1", modules: auto}}
init: [compos/init:v1, {init}]
onboot:
{entry("boot", "")}{entry("host", "pid: host", "host")}{onboot}{volumes}
onshutdown:
{entry("down", "")}
services:
  - {{name: getty, image: compos/getty:v1, env: [INSECURE=true]}}
{entry("service", "logging: {driver: console}")}
{entry("user", "uid: 1000, logging: {driver: console}")}
  - name: places
    image: compos/busybox:v1
    readonly: true
    binds: ["/etc/own.json:/new/file", "/etc/compos:/new/folder"]
    command: [/bin/sh, -c, 'echo places: $(cat /new/file) $(ls /new/folder); touch /new/x /x; exec sleep 100000']
    logging: {{driver: console}}
  - name: checked
    image: compos/busybox:v1
    command: [/bin/sh, -c, 'until test -s /check; do sleep 1; done; echo checked: $(cat /check); exec sleep 100000']
    healthcheck: {{test: "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status > /check", interval: 1s}}
    logging: {{driver: console}}
volumes:
  - {{name: data}}
  - {{name: fixed, image: compos/busybox:v1, readonly: true}}
files:
  - {{path: opt/hostile, source: {program}, mode: "0755"}}
  - {{path: opt/hostile-setuid, source: {program}, mode: "4755"}}
  - path: etc/own.json
    contents: '{{"defaultAction": "SCMP_ACT_ALLOW"}}'
    mode: "0644"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "hostile"
    subprocess.run(["gcc", "-static", "-O1", "-o", path, SOURCE], check=True)
    return path


@pytest.fixture(scope="module", params=["crun", pytest.param("containerd", marks=pytest.mark.wide)])
def console(
    request: pytest.FixtureRequest,
    built: Callable[[str], Path],
    program: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Everything that a guest says from its boot to its end."""
    folder = tmp_path_factory.mktemp("confinement")
    containers = "".join(entry(f"row{number}", row) for number, row in enumerate(rows()))
    prefix = built(system(RUNTIMES[request.param], program, containers))
    with Guest(prefix, "--state", f"{folder}/state", log=folder / "console.log") as guest:
        guest.expect(r"compos: services started", 300)
        guest.prompt()
        for name in ("service", "user"):
            until(guest, rf"attempts of {name}: .* end")
        until(guest, "checked: .*Seccomp: ")
        until(guest, "touch: /x: Read-only")
        assert "still here" in guest.run("echo still here"), (
            "the machine is alive after all attempts"
        )
        assert guest.power_off() == 0
        yield guest.text()


def test_a_health_check_is_confined_as_its_service(console: str) -> None:
    """It is a process that the runtime puts into a running container."""
    found = re.search(r"checked: (CapEff.*)", console)
    assert found
    assert found[1].split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"]


def test_a_read_only_root_gets_places_for_its_binds(console: str) -> None:
    """Which its image does not have; the root is read-only then."""
    found = re.search(r"places: (.*)", console)
    assert found
    assert '"SCMP_ACT_ALLOW"' in found[1]
    assert " plan" in found[1]
    for path in ("/new/x", "/x"):
        assert f"touch: {path}: Read-only file system" in console


def passed(console: str, name: str) -> set[str]:
    """The attempts of a container that got through."""
    found = re.search(rf"attempts of {name}: passed([^;]*); refused (\d+);.* end", console)
    assert found, f"no word of {name}:\n{console[-3000:]}"
    names = {one.partition("=")[0] for one in found[1].split()}
    assert len(names) + int(found[2]) >= ATTEMPTS
    return names


@pytest.mark.parametrize("name", ["boot", "service", "user", "down", "host"])
def test_a_hostile_container_finds_no_way_out(name: str, console: str) -> None:
    assert passed(console, name) == set()
    found = re.search(rf"attempts of {name}: .*", console)
    assert found
    assert "CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2" in found[0]


def test_each_row_opens_what_it_says(console: str) -> None:
    wrong = {}
    for number, row in enumerate(rows()):
        expected = set(OPENS.get(row, "").split())
        # The console is one of crun's devices for everybody, and none of runc's.
        names = passed(console, f"row{number}") - ({"console"} if "/dev:/dev" in row else set())
        if row != ALL and names != expected:
            wrong[row] = (names - expected, expected - names)
    assert not wrong, "opened too much, and too little"
    assert set(GETS_ALL.split()) <= passed(console, f"row{rows().index(ALL)}")


def test_the_table_is_whole() -> None:
    assert set(rows()) == {*OPENS, ALL}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name: str, console: str) -> None:
    assert f"volume {name} {VOLUMES[name][1]}" in console


@pytest.mark.wide
def test_a_whole_system_as_under_linuxkit(
    built: Callable[[str], Path], program: Path, tmp_path: Path
) -> None:
    prefix = built(system(RUNTIMES["crun"], program, head="confinement: linuxkit"))
    with Guest(prefix, "--state", f"{tmp_path}/state", log=tmp_path / "console.log") as guest:
        guest.expect(r"compos: services started", 300)
        guest.prompt()
        assert guest.power_off() == 0
        text = guest.text()
    for name in ("boot", "down"):
        expected = f"{PATHS} {SYS} {MASKED} {UNFILTERED} {UNFILTERED_TOO}"
        assert set(expected.split()) <= passed(text, name)
    assert "setuid_program" in passed(text, "user")


@pytest.mark.wide
def test_cgroup_v1(built: Callable[[str], Path], program: Path, tmp_path: Path) -> None:
    """Its release agent is a program that the kernel runs for whoever may name it."""
    text = system(RUNTIMES["crun"], program).replace(
        "panic=-1", "panic=-1 linuxkit.unified_cgroup_hierarchy=0"
    )
    with Guest(built(text), "--state", f"{tmp_path}/state", log=tmp_path / "console.log") as guest:
        guest.expect(r"compos: services started", 300)
        guest.prompt()
        assert "release_agent" in guest.run(
            "ls /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/release_agent"
        )
        assert guest.power_off() == 0
        assert passed(guest.text(), "boot") == set()
        assert passed(guest.text(), "service") == set()
