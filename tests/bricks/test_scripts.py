"""The bricks' shell scripts, run by busybox as in the bricks, on folders and programs that stand in
for the system's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BRICKS = Path(__file__).resolve().parents[2] / "bricks"


def shell(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script with busybox's shell."""
    command = ["busybox", "sh", str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def program(path: Path, text: str) -> None:
    """A stand-in for a program, in busybox's shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


SYSCTL = {
    "dots": ("a.b = 1\n", {"a/b": "1"}, ""),
    "slashes keep dots": ("conf/eth0.1/x=2", {"conf/eth0.1/x": "2"}, ""),
    "spaces within": ("  a.b =\t999 59999 \n", {"a/b": "999 59999"}, ""),
    "comments": ("# a.b=1\n; a.b=2\n\n", {}, ""),
    "later wins": ("a.b=1\na.b=2\n", {"a/b": "2"}, ""),
    "unknown key": ("no.such=1\na.b=1\n", {"a/b": "1"}, "cannot set"),
    "no value": ("a.b\n", {}, "not key=value: a.b"),
    "two values": ("a.b=1=2\n", {}, "not key=value: a.b=1=2"),
}


@pytest.mark.parametrize("name", SYSCTL)
def test_sysctl(name: str, tmp_path: Path) -> None:
    text, expected, warning = SYSCTL[name]
    settings, target = tmp_path / "sysctl.d", tmp_path / "sys"
    for file in ("a/b", "conf/eth0.1/x"):
        (target / file).parent.mkdir(parents=True)
        (target / file).write_text("")
    settings.mkdir()
    (settings / "10-own.conf").write_text(text)
    done = shell(BRICKS / "sysctl/sysctl", "-configDir", settings, "-sysctlDir", target)
    assert done.returncode == 0
    written = {
        str(file.relative_to(target)): file.read_text()
        for file in target.rglob("*")
        if file.is_file()
    }
    assert {key: value for key, value in written.items() if value} == expected
    assert (warning in done.stderr) if warning else not done.stderr


def test_sysctl_reads_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "sysctl.d").mkdir()
    for name, value in (("90-last.conf", 3), ("00-linuxkit.conf", 1), ("50-own.conf", 2)):
        (tmp_path / "sysctl.d" / name).write_text(f"key = {value}\n")
    (tmp_path / "key").write_text("")
    assert (
        shell(
            BRICKS / "sysctl/sysctl", "-configDir", tmp_path / "sysctl.d", "-sysctlDir", tmp_path
        ).returncode
        == 0
    )
    assert (tmp_path / "key").read_text() == "3"


TUNNEL = """\
# a comment
[Interface]
PrivateKey = aaaa=
address = 10.0.0.1/24, fd00::1/64   # two
MTU = 1380
DNS = 10.0.0.53, example.test
PostUp = false
[Peer]
PublicKey = bbbb=
AllowedIPs = 10.1.0.0/16, 0.0.0.0/0
AllowedIPs = ::/0, fd01::/48
"""


def tunnel(
    tmp_path: Path, *, interface: str = "wg0"
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run lk-wg-config on `TUNNEL` with `ip` and `wg` that write down how they were called."""
    log, resolv = tmp_path / "calls", tmp_path / "resolv.conf"
    resolv.write_text("")
    program(tmp_path / "bin/ip", f'[ "$4" != missing ] || exit 1\necho "ip $*" >> {log}\n')
    program(tmp_path / "bin/wg", f'echo "wg $1 $2" >> {log}\nsed "s/^/wg: /" "$3" >> {log}\n')
    (tmp_path / f"{interface}.conf").write_text(TUNNEL)
    # /etc/resolv.conf belongs to the container; here it must be another file.
    script = tmp_path / "lk-wg-config"
    script.write_text(
        (BRICKS / "wireguard/lk-wg-config").read_text().replace("/etc/resolv.conf", str(resolv))
    )
    # The brick's shell is dash (busybox's would run its own ip); its other tools are busybox's.
    busybox = shutil.which("busybox")
    assert busybox is not None
    for tool in ("basename", "grep", "mktemp", "rm", "sed", "tr"):
        (tmp_path / "bin" / tool).symlink_to(busybox)
    done = subprocess.run(
        ["/bin/dash", script, "configure", tmp_path / f"{interface}.conf"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": str(tmp_path / "bin")},
    )
    return done, log.read_text().splitlines() if log.exists() else []


def test_a_tunnel_is_configured(tmp_path: Path) -> None:
    done, calls = tunnel(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [call for call in calls if call.startswith("wg: ") and call != "wg: "] == [
        "wg: [Interface]",
        "wg: PrivateKey = aaaa=",
        "wg: [Peer]",
        "wg: PublicKey = bbbb=",
        "wg: AllowedIPs = 10.1.0.0/16, 0.0.0.0/0",
        "wg: AllowedIPs = ::/0, fd01::/48",
    ]
    assert [call for call in calls if call.startswith("ip ")] == [
        "ip link show dev wg0",
        "ip address replace 10.0.0.1/24 dev wg0",
        "ip address replace fd00::1/64 dev wg0",
        "ip link set mtu 1380 dev wg0",
        "ip link set up dev wg0",
        "ip -4 route replace 10.1.0.0/16 dev wg0",
        "ip -4 route replace default dev wg0",
        "ip -6 route replace default dev wg0",
        "ip -6 route replace fd01::/48 dev wg0",
    ]
    assert (tmp_path / "resolv.conf").read_text() == "nameserver 10.0.0.53\nsearch example.test\n"
    assert "PostUp is ignored" in done.stderr


def test_a_missing_interface_is_named(tmp_path: Path) -> None:
    done, calls = tunnel(tmp_path, interface="missing")
    assert done.returncode == 1
    assert "there is no interface missing here" in done.stderr
    assert calls == []


LEASES = {
    "applied": (["BOUND 1400"], 1400),
    "too small": (["BOUND 500"], 1500),
    "none": (["BOUND "], 1500),
    "given back": (["BOUND 1400", "RENEW 1300", "EXPIRE "], 1500),
    "bound again": (["BOUND 1400", "STOP ", "BOUND 1280"], 1280),
    "other reasons": (["PREINIT 1400", "CARRIER 1400"], 1500),
}


@pytest.mark.parametrize("name", LEASES)
def test_a_lease_sets_the_mtu(name: str, tmp_path: Path) -> None:
    events, expected = LEASES[name]
    mtu = tmp_path / "sys/class/net/eth0/mtu"
    mtu.parent.mkdir(parents=True)
    mtu.write_text("1500\n")
    hook = tmp_path / "10-mtu"
    hook.write_text((BRICKS / "dhcpcd/10-mtu").read_text().replace("/sys/", f"{tmp_path}/sys/"))
    for event in events:
        reason, _, value = event.partition(" ")
        caller = tmp_path / "run-hooks"
        caller.write_text(
            f"interface=eth0 reason={reason} new_interface_mtu={value} state_dir={tmp_path}/state\n. {hook}\n"
        )
        done = shell(caller)
        assert (done.returncode, done.stderr) == (0, "")
    assert int(mtu.read_text()) == expected


STEPS = {
    "before it starts": ("PREINIT", (), ["up"]),
    "no link, nothing to take back": ("NOCARRIER", (), []),
    "no link": ("NOCARRIER", ("run/dhcpcd/hook-state/x",), ["hooks"]),
    "a link": ("CARRIER", (), []),
    "a lease": ("BOUND", (), ["hooks"]),
    "a hook of somebody's": ("CARRIER", ("etc/dhcpcd.exit-hook",), ["hooks"]),
    "one more hook": ("PREINIT", ("usr/lib/dhcpcd/dhcpcd-hooks/50-own",), ["hooks"]),
}


@pytest.mark.parametrize("name", STEPS)
def test_dhcpcd_runs_only_the_hooks_that_have_something_to_do(name: str, tmp_path: Path) -> None:
    reason, files, expected = STEPS[name]
    hooks = tmp_path / "usr/lib/dhcpcd/dhcpcd-hooks"
    for path in (
        *files,
        *(f"usr/lib/dhcpcd/dhcpcd-hooks/{n}" for n in ("10-mtu", "20-resolv.conf")),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "carrier").write_text("1\n")
    carrier = (
        (BRICKS / "dhcpcd/05-carrier")
        .read_text()
        .replace("/sys/class/net/$interface/", f"{tmp_path}/")
    )
    # A shell of busybox takes its own ip.
    (hooks / "05-carrier").write_text(carrier.replace("ip link", f"{tmp_path}/bin/ip link"))
    program(tmp_path / "usr/lib/dhcpcd/dhcpcd-run-hooks", f"echo hooks >> {tmp_path}/called")
    program(
        tmp_path / "bin/ip", f'[ "$*" = "link set dev eth0 up" ] && echo up >> {tmp_path}/called'
    )
    script = tmp_path / "step"
    text = (BRICKS / "dhcpcd/run").read_text()
    for folder in ("/usr/lib", "/etc", "/run/dhcpcd"):
        text = text.replace(folder, f"{tmp_path}{folder}")
    script.write_text(f"interface=eth0 reason={reason}\n{text}")
    done = shell(script)
    assert (done.returncode, done.stderr) == (0, "")
    called = tmp_path / "called"
    assert (called.read_text().split() if called.exists() else []) == expected


SYSFS = {
    "set": ("a/b = 1\n", {"a/b": "1"}, ""),
    "spaces within, no end of line": ("a/b =\t1 2  ", {"a/b": "1 2"}, ""),
    "comments": ("# a/b=1\n\n", {}, ""),
    "the first mistake ends it": ("a/x = 1\na/b = 1\n", {}, "no {0}/sys/a/x here"),
    "some kernels have it": ("-a/x = 1\na/b = 1\n", {"a/b": "1"}, ""),
    "no value": ("a/b\n", {}, "not path=value: a/b"),
}


@pytest.mark.parametrize("name", SYSFS)
def test_sysfs(name: str, tmp_path: Path) -> None:
    text, expected, error = SYSFS[name]
    settings, file = tmp_path / "sysfs.d", tmp_path / "sys/a/b"
    file.parent.mkdir(parents=True)
    file.touch()
    settings.mkdir()
    (settings / "10-own.conf").write_text(text)
    done = shell(BRICKS / "sysfs/sysfs", "-configDir", settings, "-sysfsDir", tmp_path / "sys")
    assert done.returncode == (1 if error else 0), done.stderr
    assert error.format(tmp_path) in done.stderr
    assert file.read_text() == expected.get("a/b", "")


FORMATS = (
    "# a comment\n:one:M::x:y:/bin/sh:CF\n\n,qemu-{0},M,,x,y,/bin/sh,\n:qemu-{0}:M::z:y:/bin/sh:"
)


def test_binfmt_registers_all_but_the_machines_own(tmp_path: Path) -> None:
    (tmp_path / "binfmt.d").mkdir()
    (tmp_path / "binfmt.d/x.conf").write_text(FORMATS.format("s390x"))
    (tmp_path / "misc").mkdir()
    (tmp_path / "misc/one").write_text("enabled\n")
    (tmp_path / "misc/register").touch()
    script = tmp_path / "binfmt"
    text = (BRICKS / "binfmt/binfmt").read_text()
    for machine, last in (("s390x", ",qemu-s390x,M,,"), ("riscv64", ":qemu-s390x:M::z")):
        script.write_text(text.replace("$(uname -m)", machine))
        done = shell(script, "-dir", tmp_path / "binfmt.d", "-mount", tmp_path / "misc")
        assert (done.returncode, done.stderr) == (0, "")
        # A file stands in for the kernel: it has the line that was written last.
        assert (tmp_path / "misc/register").read_text().startswith(last)
        assert (tmp_path / "misc/one").read_text() == "-1\n", "the old entry is removed"


MACHINES = {
    "aarch64": (2, "little", 183),
    "arm": (1, "little", 40),
    "loongarch64": (2, "little", 258),
    "ppc64le": (2, "little", 21),
    "riscv64": (2, "little", 243),
    "s390x": (2, "big", 22),
    "x86_64": (2, "little", 62),
}
"""Class, byte order and `e_machine` of each architecture's ELF files (elf.h)."""


@pytest.mark.parametrize("kind", [2, 3], ids=["executable", "position-independent"])
def test_binfmt_knows_each_architectures_programs(kind: int) -> None:
    rows = [
        line.encode().decode("unicode_escape").encode("latin-1").split(b":")
        for line in (BRICKS / "binfmt/qemu.conf").read_text().splitlines()
        if line.startswith(":")
    ]
    assert len(rows) == len(MACHINES)
    for name, (size, order, machine) in MACHINES.items():
        ident = bytes((0x7F, *b"ELF", size, 1 if order == "little" else 2, 1, 3, *bytes(8)))
        # The four header fields behind it are as wide in both classes.
        header = ident + b"".join(
            number.to_bytes(2, "big" if order == "big" else "little") for number in (kind, machine)
        )
        taken = [
            row[1].decode()
            for row in rows
            if bytes(a & m for a, m in zip(header, row[5], strict=True))
            == bytes(a & m for a, m in zip(row[4], row[5], strict=True))
        ]
        assert taken == [f"qemu-{name}"]


LOOPY = {
    "nothing": ([], 1, "usage: loopy"),
    "an unknown option": (["--fast", "file"], 1, "usage: loopy"),
    "two files": (["one", "two"], 1, "usage: loopy"),
    "no size": (["-s", "5M", "file"], 1, "5M is no size in MiB"),
    "no device": (["-d", "/no/loop0", "file"], 2, "no block device /no/loop0"),
}


@pytest.mark.parametrize("name", LOOPY)
def test_loopy_reports_what_is_wrong(name: str) -> None:
    arguments, status, message = LOOPY[name]
    done = shell(BRICKS / "losetup/loopy", *arguments)
    assert done.returncode == status
    assert message in done.stderr


SWAP = {
    "nothing": ([], 1, "--path has to be below /var"),
    "elsewhere": (["--path", "/swap", "--size", "1M"], 1, "--path has to be below /var"),
    "by detours": (["--path", "/var/../swap", "--size", "1M"], 1, "without .."),
    "no size": (["--path", "/var/x"], 1, "--size is missing"),
    "a bad size": (["--path", "/var/x", "--size", "1T"], 1, "1T is no size"),
    "an unknown option": (["--fast"], 1, "unknown option --fast"),
    "no value": (["--path"], 1, "--path wants a value"),
    "not mounted": (
        ["--path", "/var/x", "--size", "1M", "--condition", "part:/no"],
        0,
        "no swap: nothing is mounted at /no",
    ),
    "not mounted, required": (
        ["--path", "/var/x", "--size", "1M", "--condition", "part:/no:true"],
        1,
        "nothing is mounted at /no",
    ),
    "too small": (
        ["--path", "/var/x", "--size", "1M", "--condition", "partsize:/proc:1K"],
        0,
        "/proc has 0 KiB, not 1K",
    ),
    "too small, required": (
        ["--path", "/var/x", "--size", "1M", "--condition", "partsize:/proc:1K:true"],
        1,
        "/proc has 0 KiB, not 1K",
    ),
    "a condition of another kind": (
        ["--path", "/var/x", "--size", "1M", "--condition", "disk:/no"],
        1,
        "unknown condition disk:/no",
    ),
}


@pytest.mark.parametrize("name", SWAP)
def test_swap_reports_what_is_wrong(name: str) -> None:
    arguments, status, message = SWAP[name]
    done = shell(BRICKS / "swap/swap.sh", *arguments)
    assert done.returncode == status, done.stderr
    assert message in (done.stderr if status else done.stdout)


def test_poweroff_wants_a_number() -> None:
    done = shell(BRICKS / "poweroff/poweroff.sh", "soon")
    assert (done.returncode, done.stderr) == (1, "poweroff: soon is no number of seconds\n")


def test_a_tunnel_is_configured_alike_by_both_bricks() -> None:
    one, other = (BRICKS / name / "lk-wg-config" for name in ("ip", "wireguard"))
    assert one.read_bytes() == other.read_bytes()


POSTGRESQL = {
    "the first start": ([], ["17/main/PG_VERSION"], ""),
    "every other one": (["17/main/PG_VERSION"], ["17/main/PG_VERSION"], ""),
    "cut short": (["17/new/half"], ["17/main/PG_VERSION"], ""),
    "another version": (["16/main/PG_VERSION"], ["16/main/PG_VERSION"], "of another version"),
    "two versions": (
        ["16/main/PG_VERSION", "17/main/PG_VERSION"],
        ["16/main/PG_VERSION", "17/main/PG_VERSION"],
        "",
    ),
    "something else": (["17/main/notes"], ["17/main/notes"], "is no database"),
}
"""What is below the folder at first and then, and why the server does not start."""


@pytest.mark.parametrize("name", POSTGRESQL)
def test_postgresql_keeps_what_is_there(name: str, tmp_path: Path) -> None:
    before, after, refused = POSTGRESQL[name]
    base = tmp_path / "data"
    (base / "17").mkdir(parents=True)
    for path in before:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).touch()
    program(tmp_path / "bin/initdb", 'echo "made $*"; mkdir "$2" && touch "$2/PG_VERSION"\n')
    program(tmp_path / "bin/postgres", 'echo "serves $*"\n')
    text = (BRICKS / "postgresql/serve-postgresql").read_text()
    script = tmp_path / "serve"
    # Not as root: what the other half does, giving the folder away, is the guest's to show.
    text = text.replace("/var/lib/postgresql", str(base)).replace('"$(id -u)"', "999")
    script.write_text(f"PATH={tmp_path}/bin:$PATH\n{text}")
    done = shell(script, "-c", "work_mem=8MB")
    found = [str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()]
    assert sorted(found) == after
    assert (done.returncode, refused in done.stderr) == (1 if refused else 0, True), done.stderr
    assert ("serves -c config_file=" in done.stdout) == (not refused)
    assert "-c work_mem=8MB" in done.stdout or refused
    assert ("made -D" in done.stdout) == (name in ("the first start", "cut short"))
