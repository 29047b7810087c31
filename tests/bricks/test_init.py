"""PID 1's parts, compiled for this machine: the plan's reader, modules, mount options, directories,
processes, specs."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.compose.plan import MAX_PLAN, MAX_SPECIFICATION
from tests.bricks.compiler import SOURCES, compile_driver, compile_init
from tests.machine import unshared

Run = Callable[..., str]

PARTS = {
    "plan": ("boot/plan", "base/files"),
    "modules": ("machine/modules", "base/files", "base/console", "base/failure"),
    "options": ("machine/mount", "base/files", "base/console", "base/failure"),
    "files": ("base/files",),
    "loop": ("base/process", "base/console", "base/failure", "base/sealed"),
    "process": ("base/process", "base/console", "base/failure", "base/sealed"),
    "sealed": ("base/sealed",),
    "spec": (
        "containers/spec",
        "containers/bundle",
        "boot/plan",
        "base/files",
        "machine/link",
        "machine/machine",
        "machine/mount",
        "base/console",
        "base/failure",
    ),
}


@pytest.fixture
def run() -> Run:
    def run(name: str, *arguments: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            [compile_driver(name, parts=PARTS[name]), *arguments],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="surrogateescape")

    return run


HEADER = "compos-plan\t1\n"

PLANS = {
    "stages and containers": (
        HEADER
        + "stage\tboot\ncoldplug\nmount\ta\t/b\ttmpfs\tro\nstage\tonboot\ncontainer\t000-a\t/c\t\n"
        "mount\ta\tb\t\tbind\ncgroup\tx\ncontainer\t001-b\t/d\t\nstage\tservices\ncontainerd\t/c\t/s\n"
        "container\tweb\t/w\tns\nrootpath\t1\t8\nscript\t/late\nmount\ta\t/b\tc\td\nstage\tshutdown\n",
        (
            "0 3 outside\n0 4 outside <a> </b> <tmpfs> <ro>\n1 6 outside <000-a> </c> <> +2\n"
            "1 7 inside <a> <b> <> <bind>\n1 8 inside <x>\n1 9 outside <001-b> </d> <> +0\n2 11 outside </c> </s>\n"
            "2 12 outside <web> </w> <ns> +1\n2 13 inside <1> <8>\n2 14 outside </late>\n2 15 outside <a> </b> <c> <d>\n"
        ),
    ),
    "escapes": (
        HEADER + "stage\tboot\nsymlink\ta\\tb\\\\c\\nd\t\n",
        "0 3 outside <a\tb\\c\nd> <>\n",
    ),
    "unknown word": (
        HEADER + "stage\tboot\nfly\nclock\n",
        "problem 3: unknown word\n0 4 outside\n",
    ),
    "too few fields": (HEADER + "stage\tboot\nmodule\n", "problem 3: wrong number of fields\n"),
    "too many": (HEADER + "stage\tboot\nclock\t\n", "problem 3: wrong number of fields\n"),
    "far too many": (
        HEADER + "stage\tboot\nmodule" + "\ta" * 90 + "\n",
        "problem 3: too many fields, or an unknown escape\n",
    ),
    "bad escape": (
        HEADER + "stage\tboot\nmodule\t\\x\n",
        "problem 3: too many fields, or an unknown escape\n",
    ),
    "escape at the end": (
        HEADER + "stage\tboot\nmodule\ta\\\n",
        "problem 3: too many fields, or an unknown escape\n",
    ),
    "cut off": (HEADER + "stage\tboot\nclock", "problem 3: the last line is truncated\n"),
    "before the stage": (
        HEADER + "clock\nstage\tboot\n",
        "problem 2: line before the first stage\n",
    ),
    "stage twice": (
        HEADER + "stage\tonboot\nstage\tboot\nclock\nstage\tservices\nclock\n",
        "problem 3: unknown stage, or not in the order boot, onboot, services, shutdown\n2 6 outside\n",
    ),
    "container in boot": (
        HEADER + "stage\tboot\ncontainer\ta\t/b\t\ncgroup\tx\nclock\nmount\ta\t/b\tc\td\n",
        "problem 3: no containers in the stage boot\n0 5 outside\n0 6 outside <a> </b> <c> <d>\n",
    ),
    "a lost container takes its lines along": (
        HEADER + "stage\tonboot\ncontainer\ta\nmount\ta\t/b\tc\td\ncontainer\tb\t/b\t\ncgroup\tx\n",
        "problem 3: wrong number of fields\n1 5 outside <b> </b> <> +1\n1 6 inside <x>\n",
    ),
    "containerd elsewhere": (
        HEADER + "stage\tshutdown\ncontainerd\ta\tb\n",
        "problem 3: too late for containerd\n",
    ),
    "container's word outside": (
        HEADER + "stage\tonboot\nrootpath\t1\t2\n",
        "problem 3: allowed only in a container\n",
    ),
    "zero byte": (HEADER + "stage\tboot\nmodule\ta\0b\n", "problem 3: zero byte\n"),
    "line too long": (
        HEADER + "stage\tboot\nmodule\t" + "a" * 65536 + "\n",
        "problem 3: line too long\n",
    ),
    "empty line": (HEADER + "stage\tboot\n\n", "problem 3: unknown word\n"),
    "other version": ("compos-plan\t2\nstage\tboot\nclock\n", "no plan\n"),
    "empty": ("", "no plan\n"),
    "header alone": (HEADER, ""),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_becomes_a_table_of_lines(name: str, run: Run, tmp_path: Path) -> None:
    text, expected = PLANS[name]
    (tmp_path / "plan").write_bytes(text.encode())
    assert run("plan", tmp_path / "plan") == expected


def test_broken_plans_break_nothing(run: Run, tmp_path: Path) -> None:
    chance = random.Random(20)
    base = PLANS["stages and containers"][0].encode()
    paths = []
    for number in range(400):
        damaged = bytearray(base)
        for _ in range(chance.randrange(1, 12)):
            place = chance.randrange(len(HEADER), len(damaged))
            damaged[place : place + chance.randrange(3)] = chance.choice(
                (b"", b"\t", b"\n", b"\\", b"\0", b"\xff")
            )
        path = tmp_path / str(number)
        path.write_bytes(damaged)
        paths.append(path)
    # The sanitizers end the program at the first wrong access; the run fixture checks its status.
    output = run("plan", *paths)
    assert output.count("problem") > 400


def test_the_builds_own_plan_is_read_without_a_problem(run: Run, tmp_path: Path) -> None:
    from compos.compose.plan import boot_plan

    plan = boot_plan({"onboot": [], "services": [], "onshutdown": []}, (), {}, {})
    (tmp_path / "plan").write_bytes(plan)
    output = run("plan", tmp_path / "plan")
    assert "problem" not in output
    assert output.count("\n") == plan.count(b"\n") - 1 - plan.count(b"\nstage\t")


DEPENDENCIES = """\
kernel/fs/overlayfs/overlay.ko:
kernel/net/virtio_net.ko.xz: kernel/net/net-failover.ko kernel/net/failover.ko
kernel/net/net-failover.ko: kernel/net/failover.ko
kernel/net/failover.ko:
kernel/loop_a.ko: kernel/loop_b.ko
kernel/loop_b.ko: kernel/loop_a.ko
kernel/broken.ko:
kernel/soft.ko:
kernel/one.ko:
kernel/two.ko:
no colon
"""

ALIASES = """\
# Aliases extracted from modules themselves.
alias fs-overlay overlay
alias virtio:d00000001v* virtio_net
alias pci:v00008086d00001234sv*sd*bc0[1-3]sc*i* one
alias pci:v00008086d00001234sv*sd*bc*sc*i* two
alias acpi*:LNXPWRBN:* one
alias char-major-10-* vfat
alias fs-broken broken
alias gone nowhere
alias short
"""

SOFT = """\
softdep soft pre: one missing post: two
softdep other pre: overlay
"""

LOADS = {
    "overlay": "insert {}/kernel/fs/overlayfs/overlay.ko\noverlay: 1\n",
    "fs-overlay": "insert {}/kernel/fs/overlayfs/overlay.ko\nfs-overlay: 1\n",
    "virtio-net": "insert {}/kernel/net/failover.ko\ninsert {}/kernel/net/net-failover.ko\n"
    "insert {}/kernel/net/virtio_net.ko.xz\nvirtio-net: 1\n",
    "virtio:d00000001v00001AF4": "insert {}/kernel/net/failover.ko\ninsert {}/kernel/net/net-failover.ko\n"
    "insert {}/kernel/net/virtio_net.ko.xz\nvirtio:d00000001v00001AF4: 1\n",
    "pci:v00008086d00001234sv1sd2bc02sc3i4": "insert {}/kernel/one.ko\ninsert {}/kernel/two.ko\n"
    "pci:v00008086d00001234sv1sd2bc02sc3i4: 2\n",
    "pci:v00008086d00001234sv1sd2bc04sc3i4": "insert {}/kernel/two.ko\npci:v00008086d00001234sv1sd2bc04sc3i4: 1\n",
    "acpi:LNXPWRBN:": "insert {}/kernel/one.ko\nacpi:LNXPWRBN:: 1\n",
    "loop-a": "insert {}/kernel/loop_b.ko\ninsert {}/kernel/loop_a.ko\nloop-a: 1\n",
    "vfat": "vfat: 1\n",
    "char-major-10-1": "char-major-10-1: 1\n",
    "soft": "insert {}/kernel/one.ko\ninsert {}/kernel/soft.ko\ninsert {}/kernel/two.ko\nsoft: 1\n",
    "over": "over: 0\n",
    "overlay2": "overlay2: 0\n",
    "": ": 0\n",
    "broken": "insert {}/kernel/broken.ko\nbroken: -1 module broken: Invalid argument\n",
    "fs-broken": "insert {}/kernel/broken.ko\nfs-broken: -1 module broken: Invalid argument\n",
    "gone": "gone: -1 module nowhere: not among the kernel's modules\n",
}


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    for name, text in (("dep", DEPENDENCIES), ("alias", ALIASES), ("softdep", SOFT)):
        (tmp_path / f"modules.{name}").write_text(text)
    (tmp_path / "modules.builtin").write_text("kernel/fs/fat/fat.ko\nkernel/fs/fat/vfat.ko\n")
    return tmp_path


@pytest.mark.parametrize("name", LOADS)
def test_a_module_is_loaded_after_what_it_needs(name: str, run: Run, modules: Path) -> None:
    assert run("modules", modules, name) == LOADS[name].replace("{}", str(modules))


def test_a_module_is_loaded_once(run: Run, modules: Path) -> None:
    output = run("modules", modules, "failover", "virtio_net", "virtio_net")
    assert output.count("insert") == 3


def test_only_the_dependencies_are_required(run: Run, modules: Path) -> None:
    for name in ("alias", "softdep", "builtin"):
        (modules / f"modules.{name}").unlink()
    assert run("modules", modules, "one", "fs-overlay").endswith("one: 1\nfs-overlay: 0\n")
    (modules / "modules.dep").unlink()
    assert run("modules", modules, "one", status=1) == "no modules\n"


def test_broken_indexes_break_nothing(run: Run, modules: Path) -> None:
    chance = random.Random(4)
    for _ in range(20):
        for name in ("dep", "alias", "softdep", "builtin"):
            noise = bytes(chance.choice(b"ab: \t\n*?[]/.-_koalisftdep\0\xff") for _ in range(3000))
            (modules / f"modules.{name}").write_bytes(noise)
        run("modules", modules, "a", "b", "pci:v1", "[", "ab-*", "\\")


# <sys/mount.h>
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOATIME, BIND, REC = 1, 2, 4, 8, 32, 1024, 4096, 16384
PRIVATE, SLAVE, SHARED, RELATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21

OPTIONS = [
    ("", 0, 0, ""),
    ("defaults", 0, 0, ""),
    (
        "nodev,nosuid,noexec,relatime,size=10%,mode=755",
        NODEV | NOSUID | NOEXEC | RELATIME,
        0,
        "size=10%,mode=755",
    ),
    ("rbind,ro,rshared", BIND | REC | RDONLY, SHARED | REC, ""),
    ("bind,rw", BIND, 0, ""),
    ("ro,rw", 0, 0, ""),
    ("rw,ro", RDONLY, 0, ""),
    ("remount,private", REMOUNT, PRIVATE, ""),
    ("slave,noatime,atime", 0, SLAVE, ""),
    (",,lowerdir=/a:/b,,upperdir=/c,", 0, 0, "lowerdir=/a:/b,upperdir=/c"),
    ("rox,bindx", 0, 0, "rox,bindx"),
]


@pytest.mark.parametrize("case", OPTIONS, ids=[case[0] or "none" for case in OPTIONS])
def test_mount_options(case: tuple[str, int, int, str], run: Run) -> None:
    words, flags, propagation, data = case
    number = [f"{value:#x}" if value else "0" for value in (flags, propagation)]
    assert run("options", words) == f"{number[0]} {number[1]} <{data}>\n"


def test_mount_data_ends_with_the_kernels_page(run: Run) -> None:
    assert run("options", "a" * 4094).endswith(f"<{'a' * 4094}>\n")
    assert run("options", "a" * 4095) == "too long\n"
    assert run("options", "a" * 4000 + "," + "b" * 200) == "too long\n"


def test_directories_below_a_root_stay_below_it(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "rootfs"
    (root / "real").mkdir(parents=True)
    (root / "absolute").symlink_to("/real")
    (root / "outside").symlink_to("../../..")
    (root / "file").write_text("")
    (root / "dangling").symlink_to("/nowhere")
    for path, place in (
        ("var/lib/deep", "var/lib/deep"),
        ("absolute/below", "real/below"),
        ("outside/below", "below"),
        ("a//b/./c", "a/b/c"),
        ("../../up", "up"),
        ("trailing/", "trailing"),
    ):
        assert run("files", "below", root, path) == f"{root / place}\n"
        assert (root / place).is_dir()
    assert run("files", "below", root, "file/below") == "error Not a directory\n"
    assert run("files", "below", root, "dangling/below") == "error File exists\n"
    assert run("files", "below", root, "a/" * 3000) == "error File name too long\n"
    assert run("files", "below", tmp_path / "missing", "a") == "error No such file or directory\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rootfs"]


def test_directories_are_made_with_their_parents(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("files", "make", tmp_path / "a/b/c") == "made\n"
    assert (tmp_path / "a/b/c").is_dir()
    assert run("files", "make", tmp_path / "a/b") == "made\n"
    assert run("files", "make", tmp_path / "file") == "Not a directory\n"
    assert run("files", "make", tmp_path / "file/below") == "Not a directory\n"


def test_small_files(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "name"
    for content, size, expected in (
        ("  host name \n\n", 65, "host name"),
        ("", 65, ""),
        (" \n ", 65, ""),
        ("abcdef", 4, "abc"),
    ):
        path.write_text(content)
        assert run("files", "line", path, str(size)) == f"<{expected}>\n"
    path.write_bytes(b"12345")
    assert run("files", "read", path, "5") == "5\n"
    assert run("files", "read", path, "4") == "error File too large\n"
    assert int(run("files", "read", "/proc/self/status", "70000")) > 100
    assert run("files", "read", tmp_path / "missing", "4") == "error No such file or directory\n"


PROCESSES = [
    ("echo hello; exit 3", "hello\n", "exit status 3, power 0"),
    ("echo hello", "hello\n", "exit status 0, power 0"),
    ("kill -9 $$", "", "signal 9 (Killed), power 0"),
    ("head -c 300000 /dev/zero | tr '\\0' x", "x" * 300000, "exit status 0, power 0"),
    # An orphan, which PID 1 gets, goes on talking after its parent's end.
    ("(sleep 0.3; echo late) & echo early", "early\nlate\n", "exit status 0, power 0"),
    ("cat", "", "exit status 0, power 0"),
]


@pytest.mark.parametrize("case", PROCESSES, ids=[case[0] for case in PROCESSES])
def test_a_process_is_run_and_its_output_passed_on(
    case: tuple[str, str, str], run: Run, tmp_path: Path
) -> None:
    script, written, end = case
    run_output = run("process", tmp_path / "log", "/bin/sh", "-c", script)
    assert end in run_output
    assert (tmp_path / "log").read_text() == written


def test_a_missing_program_is_status_127(run: Run, tmp_path: Path) -> None:
    assert "exit status 127, power 0\n" in run("process", tmp_path / "log", "/missing")


@pytest.mark.parametrize(
    ("number", "power"),
    [
        (signal.SIGUSR2, 1),
        (signal.SIGPWR, 1),
        (signal.SIGUSR1, 2),
        (signal.SIGTERM, 3),
        (signal.SIGINT, 3),
    ],
)
def test_a_request_for_power_off_ends_the_wait(number: int, power: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [
        str(compile_driver("process", parts=PARTS["process"])),
        str(log),
        "/bin/sh",
        "-c",
        "echo $$; exec sleep 60",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not (log.exists() and log.read_text().endswith("\n")):
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        os.kill(int(log.read_text()), signal.SIGKILL)
    assert f"interrupted, power {power}\n" in output


def test_two_thousand_descriptors_are_all_looked_at(run: Run) -> None:
    output = run("loop", "many", "2000")
    assert "relayed\n" in output
    assert int(output.rpartition("least ")[2]) >= 1


@pytest.mark.root
def test_a_process_number_that_comes_again() -> None:
    """A stranger's end is not that of a later process with its number: not of our child, and not of
    another stranger."""
    program = compile_driver("loop", parts=PARTS["loop"])
    command = [*unshared("--pid", "--fork", "--mount-proc"), str(program), "wrap"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == [
        "same number 1, own child ended 0 then exit status 0",
        "same number 1, living stranger ended 0 then exit status 3",
        "ended stranger ended 1 with exit status 5",
    ]


SPEC = '{"ociVersion":"1.2","root":{"path":"rootfs","readonly":true},"x":"\xe4"}'
OFFSET = SPEC.index('"rootfs"')

MISFITS = [
    (OFFSET + 1, 8),
    (OFFSET, 7),
    (OFFSET, 9),
    (OFFSET, 10**18),
    (10**18, 8),
    (2**64 - 1, 2),
    (OFFSET, 0),
    (OFFSET, 1),
    (OFFSET - 7, 15),
    ("x", 8),
    (OFFSET, "-1"),
    ("", ""),
]


WHERE = "import fcntl, os; exe = '/proc/self/exe'; print(os.readlink(exe), fcntl.fcntl(os.open(exe, os.O_RDONLY), 1034))"
"""F_GET_SEALS."""


def test_a_runtime_on_a_tmpfs_runs_from_a_sealed_copy(run: Run, tmp_path: Path) -> None:
    python = Path(sys.executable).resolve()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        program = Path(folder) / "python3"
        shutil.copy2(python, program)
        path, elsewhere, where = run("sealed", program, "999999999", "-Sc", WHERE).splitlines()
        assert path.startswith("/proc/1/fd/")
        assert elsewhere == "/elsewhere"
        assert where == "/memfd:runtime (deleted) 15", "all four seals: what runc and crun look for"
        assert run("sealed", program, "1000", "-Sc", WHERE).splitlines() == [
            str(program),
            "/elsewhere",
            "not copied",
        ]
    assert run("sealed", python, "999999999", "-Sc", WHERE).splitlines() == [
        str(python),
        "/elsewhere",
        "not copied",
    ]
    assert run("sealed", "/nowhere", "0").splitlines() == ["/nowhere", "/elsewhere", "not copied"]


def test_a_spec_gets_the_absolute_root_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(SPEC)
    expected = SPEC.replace('"rootfs"', f'"{tmp_path}/rootfs"')
    assert run("spec", tmp_path, str(OFFSET), "8") == expected


@pytest.mark.parametrize("misfit", MISFITS, ids=map(str, MISFITS))
def test_a_root_path_elsewhere_is_refused(
    misfit: tuple[object, object], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(SPEC)
    output = run("spec", tmp_path, *map(str, misfit))
    assert output == f"error the plan's rootpath does not fit {tmp_path}/config.json\n"


LINUX = '{"root":{"path":"rootfs"},"linux":{"resources":{}}}'


def test_a_spec_gets_the_profile_that_it_shares(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LINUX)
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}\n')
    place = ("8", str(LINUX.index('"resources"')), profile)
    whole = json.loads(run("spec", tmp_path, str(LINUX.index('"rootfs"')), *place))
    assert whole == {
        "root": {"path": f"{tmp_path}/rootfs"},
        "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "resources": {}},
    }


@pytest.mark.parametrize("offset", [0, 1, LINUX.index('"rootfs"') + 8, len(LINUX), 10**18])
def test_a_profile_elsewhere_is_refused(offset: int, run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LINUX)
    (tmp_path / "profile").write_text("{}")
    output = run(
        "spec", tmp_path, str(LINUX.index('"rootfs"')), "8", str(offset), tmp_path / "profile"
    )
    assert output == f"error the plan's seccomp does not fit {tmp_path}/config.json\n"


def test_a_container_without_its_profile_does_not_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LINUX)
    arguments = (tmp_path, str(LINUX.index('"rootfs"')), "8")
    assert "No such file" in run(
        "spec", *arguments, str(LINUX.index('"resources"')), tmp_path / "none"
    )
    assert "not an offset" in run("spec", *arguments, "x", tmp_path / "none")


def test_the_longest_specification(run: Run, tmp_path: Path) -> None:
    """The build refuses what is longer: the limits are one."""
    assert (
        f"MAX_SPEC = {MAX_SPECIFICATION >> 10} * 1024"
        in (SOURCES / "containers/spec.h").read_text()
    )
    assert "MAX_PLAN = 16 << 20" in (SOURCES / "main.c").read_text()
    assert MAX_PLAN == 16 << 20
    (tmp_path / "profile").write_text("{}")
    more = len(f"{tmp_path}/rootfs") - len("rootfs") + len('"seccomp":{},')
    place = (
        str(LINUX.index('"rootfs"')),
        "8",
        str(LINUX.index('"resources"')),
        tmp_path / "profile",
    )
    for size, fits in ((MAX_SPECIFICATION - more, True), (MAX_SPECIFICATION - more + 1, False)):
        (tmp_path / "config.json").write_text(LINUX.ljust(size))
        output = run("spec", tmp_path, *place)
        assert len(output) == MAX_SPECIFICATION if fits else "bytes with its profile" in output
    (tmp_path / "config.json").write_text(LINUX.ljust(MAX_SPECIFICATION + 1))
    assert run("spec", tmp_path, *place).endswith(
        f"config.json is longer than {MAX_SPECIFICATION} bytes\n"
    )


def test_bad_bundles(run: Run, tmp_path: Path) -> None:
    quote = tmp_path / 'a"b'
    quote.mkdir()
    (quote / "config.json").write_text(SPEC)
    assert "cannot be written to JSON" in run("spec", quote, str(OFFSET), "8")
    assert "No such file" in run("spec", tmp_path, str(OFFSET), "8")
    assert "must be absolute" in run("spec", "relative", str(OFFSET), "8")
    assert "shorter than" in run("spec", "/" + "a" * 600, str(OFFSET), "8")


@pytest.fixture(scope="module")
def init() -> Path:
    return compile_init()


BROKEN = (
    "compos-plan\t1\nstage\tonboot\nruntime\t/bin/sh\ncontainer\t000-a\t/a\t\nfly\nstage\tservices\n"
    "container\tweb\t/w\tns\nmount\t/x\ncontainer\tdb\t/d\tns\nstop\t99\t0\nstage\tshutdown\n"
)
WATCHED = """
mount -t tmpfs none /etc && mkdir /etc/compos && cp "$1/plan" /etc/compos && mount -t tmpfs none /run || exit 1
mount -t tmpfs none /var || exit 1
(until grep -q db /run/compos/status; do sleep 0.1; done
 cut -f 1-3,6 /run/compos/status > "$1/status"
 (exec -a svc "$2" start web) 2> "$1/answer"
 kill -USR2 1) 2> "$1/errors" &
exec "$2"
"""


@pytest.mark.root
def test_what_cannot_be_read_is_left_out_loudly(init: Path, tmp_path: Path) -> None:
    """On the console, in the status, and to whoever asks for it; the rest of the plan is carried
    out."""
    (tmp_path / "plan").write_text(BROKEN)
    command = [
        *unshared("-pfm", "--mount-proc"),
        "bash",
        "-c",
        WATCHED,
        "-",
        str(tmp_path),
        str(init),
    ]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    console = [re.sub(r" at [\d.]+ s$", "", line.strip()) for line in done.stdout.splitlines()]
    assert [line for line in console if "plan line 5" in line] == [
        "compos: plan line 5: unknown word",
        "compos: plan line 5: the container 000-a is skipped",
    ]
    assert "compos: onboot 000-a: skipped: one of its lines cannot be used" in console
    assert "compos: service web: skipped: one of its lines cannot be used" in console
    assert "compos: service db: plan line 10: invalid argument" in console
    assert "compos: services started (0 of 2)" in console
    assert "compos: power off" in console
    assert (tmp_path / "status").read_text() == "web\tfailed\t-\t127\ndb\tfailed\t-\t127\n"
    assert "its lines in the plan cannot be used" in (tmp_path / "answer").read_text()


COMMANDS = [
    (["init"], 2, "only PID 1 is init"),
    (["/sbin/modprobe", "-q", "--", "no-such-module"], 1, ""),
    (["/sbin/modprobe", "-ab", "no-such-module"], 1, "no-such-module"),
    (["modprobe", "-abq"], 0, ""),
    (["modprobe", "-r", "x"], 2, "-r: unknown option"),
    (["poweroff", "-x"], 2, "x"),
    (["rc.shutdown", "noop"], 2, "noop: neither poweroff nor reboot"),
    (["/usr/bin/service", "start"], 2, "svc"),
    # As a kernel of LinuxKit's calls its only helper: with the name of what it wants.
    (["/usr/bin/core-catcher", "1", "2"], 2, "only PID 1 is init"),
]


@pytest.mark.parametrize("case", COMMANDS, ids=[" ".join(case[0]) for case in COMMANDS])
def test_the_name_decides_what_init_is(case: tuple[list[str], int, str], init: Path) -> None:
    arguments, status, message = case
    done = subprocess.run(
        arguments, executable=init, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == status
    assert message in done.stderr
    assert bool(message) == bool(done.stderr)
