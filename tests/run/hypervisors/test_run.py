"""`compos run vbox` and its like, from the command line to programs that write down what they are
asked for; a machine's console is a program at its end of the socket."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.run.hypervisors.console import Keys
from tests.guest import COMPOS

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = f"""#!{sys.executable}
# A hypervisor's program: notes its arguments; starts a machine that greets and echoes.
import os, pathlib, socket, sys
folder = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    print(*[pathlib.Path(sys.argv[0]).name, *words], sep="\\t", file=calls)
if "--uartmode1" in words:
    (folder / "socket").write_text(words[-1])
if words[0] == "showvminfo":
    state = folder / "information"
    sys.exit(print(state.read_text()) if state.exists() else 1)
if words[0] == "-w":
    print("C:" + words[1].replace("/", chr(92)))
if words[0] == "startvm" and not (folder / "silent").exists() and os.fork() == 0:
    os.setsid()
    with socket.socket(socket.AF_UNIX) as console:
        console.connect((folder / "socket").read_text())
        console.sendall(b"hello from the guest\\r\\n")
        while data := console.recv(100):
            console.sendall(b"<" + data + b">")
            if b"off" in data:
                break
if words[0] == (folder / "fails").read_text() if (folder / "fails").exists() else False:
    sys.exit(3)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (
        "VBoxManage",
        "vmrun",
        "vmware-vdiskmanager",
        "vfkit",
        "powershell.exe",
        "wslpath",
    ):
        (folder / name).write_text(SCRIPT)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("os.iso", "os.vmdk", "os-initrd.img"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "os-kernel").write_bytes(b"MZ")
    return folder


def calls(programs: Path) -> list[list[str]]:
    return [line.split("\t") for line in (programs / "calls").read_text().splitlines()]


def run(programs: Path, *words: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [*COMPOS, "run", *words]
    folder = programs.parent
    return subprocess.run(
        command, input=typed, capture_output=True, cwd=folder, check=False, timeout=60
    )


@pytest.mark.slow
def test_a_console_and_what_is_left(programs: Path) -> None:
    done = run(programs, "vbox", "os.iso", typed=b"echo this\n; off\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"hello from the guest\r\n<echo this\n; off\n>"
    verbs = [line[1] for line in calls(programs)]
    assert verbs[:2] == ["showvminfo", "createvm"]
    assert verbs[-4:] == ["startvm", "controlvm", "storageattach", "unregistervm"]
    state = programs.parent / "os-state"
    assert not list(state.iterdir())
    assert state.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["storagectl", "startvm"])
def test_what_fails_leaves_no_machine(programs: Path, failing: str) -> None:
    (programs / "fails").write_text(failing)
    done = run(programs, "vbox", "os.iso")
    assert done.returncode == 1
    assert b"error[hypervisor-failed]" in done.stderr
    assert calls(programs)[-1][1] == "unregistervm"


def test_nothing_is_removed_that_was_not_made(programs: Path) -> None:
    (programs / "fails").write_text("createvm")
    assert run(programs, "vbox", "os.iso").returncode == 1
    assert [line[1] for line in calls(programs)] == ["showvminfo", "createvm"]


@pytest.mark.slow
def test_machines_of_others_are_left_alone(programs: Path) -> None:
    (programs / "information").write_text('name="os"\ngroups="/"\n')
    done = run(programs, "vbox", "os.iso")
    assert b"error[machine-exists]" in done.stderr
    assert [line[1] for line in calls(programs)] == ["showvminfo"]
    (programs / "information").write_text('name="os"\ngroups="/compos"\n')
    assert run(programs, "vbox", "os.iso", typed=b"off").returncode == 0
    verbs = [line[1] for line in calls(programs)]
    assert verbs.index("unregistervm") < verbs.index("createvm")


@pytest.mark.slow
@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_machine(programs: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMPOS, "run", "vbox", "--keep", "os.iso"],
        cwd=programs.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"hello from the guest\r\n"
    process.send_signal(number)
    assert process.wait(20) == 130
    process.stdout.close()
    assert calls(programs)[-1][1:] == ["controlvm", "os", "poweroff"]


def read_until(control: int, wanted: bytes) -> None:
    """Read what a terminal shows until these bytes have come."""
    seen = b""
    deadline = time.monotonic() + 60
    while wanted not in seen:
        ready, _, _ = select.select([control], [], [], deadline - time.monotonic())
        assert ready, seen
        seen += os.read(control, 1000)


@pytest.mark.slow
def test_a_terminal_is_raw_and_put_back(programs: Path) -> None:
    """Also where the machine is ended by keys."""
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMPOS, "run", "vbox", "os.iso"],
        cwd=programs.parent,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
    )
    read_until(control, b"hello")
    time.sleep(0.2)
    os.write(control, b"\x03\x01\x01")
    read_until(control, b"<\x03\x01>")
    os.write(control, b"\x01x")
    assert process.wait(20) == 0
    os.close(terminal)
    os.close(control)


@pytest.mark.parametrize(
    ("typed", "passed", "ended"),
    [
        ([b"ab\x03\x04"], b"ab\x03\x04", False),
        ([b"a\x01xb"], b"a", True),
        ([b"a\x01", b"xb"], b"a", True),
        ([b"\x01\x01", b"x"], b"\x01x", False),
        ([b"\x01c"], b"\x01c", False),
    ],
)
def test_keys(typed: list[bytes], passed: bytes, ended: bool) -> None:
    keys = Keys()
    found = b"".join(keys.passed(part) for part in typed)
    assert (found, keys.ended) == (passed, ended)


def test_vmware_returns_at_once(programs: Path) -> None:
    done = run(programs, "vmware", "--disk", "size=1G", "os")
    assert done.returncode == 0, done.stderr
    state = programs.parent / "os-state"
    assert calls(programs) == [
        ["vmware-vdiskmanager", "-c", "-s", "1024MB", "-a", "lsilogic", "-t", "0", f"{state}/disk.vmdk"],
        ["vmrun", "-T", "ws", "start", f"{state}/linuxkit.vmx", "nogui"],
    ]  # fmt: skip
    assert 'displayName = "os"' in (state / "linuxkit.vmx").read_text()


def test_virtualization_unpacks_the_kernel(programs: Path) -> None:
    kernel = programs.parent / "os-kernel"
    subprocess.run(["gzip", kernel], check=True)
    kernel.with_name("os-kernel.gz").rename(kernel)
    done = run(programs, "virtualization", "--data", "x", "--disk", "size=1M", "os")
    assert done.returncode == 0, done.stderr
    state = programs.parent / "os-state"
    assert (state / "kernel").read_bytes() == b"MZ"
    assert (state / "disk.raw").stat().st_size == 1 << 20
    ((*_, last),) = calls(programs)
    assert last == f"usb-mass-storage,path={state}/data.iso,readonly"
    kernel.write_bytes(b"\x1f\x8b broken")
    assert b"error[kernel-damaged]" in run(programs, "virtualization", "os").stderr


@pytest.mark.slow
def test_hyperv_has_the_paths_of_windows(programs: Path) -> None:
    done = run(programs, "hyperv", "os.iso")
    assert done.returncode == 0, done.stderr
    text = (programs / "calls").read_text()
    path = str(programs.parent).replace("/", "\\")
    assert f"Add-VMDvdDrive -VMName 'os' -Path 'C:{path}\\os.iso'" in text
    assert text.rstrip().endswith("Remove-VM -Name 'os' -Force")


@pytest.mark.slow
def test_the_commands_of_the_documentation(programs: Path) -> None:
    """Of libvirt's, the guests of `make matrix` are the test."""
    text = (ROOT / "docs" / "running.md").read_text()
    commands = re.findall(r"^compos run ((?:vbox|vmware|virtualization|hyperv) .*)$", text, re.M)
    assert len(commands) == 4
    for command in commands:
        done = run(programs, *shlex.split(command), typed=b"off")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["vbox", "--vboxmanage", "none-such", "os.iso"], "hypervisor-missing"),
        (["vbox", "--networking", "wifi", "os.iso"], "networking-syntax"),
        (["vbox", "--disk", "file=none.vdi", "os.iso"], "disk-missing"),
        (["vbox", "--state", "x" * 120, "os.iso"], "console-path"),
        (["vbox", "none.iso"], "boot-missing"),
        (["virtualization", "--networking", "vpnkit", "os"], "networking-syntax"),
        (["libvirt", "--networking", "vmnet", "os"], "networking-syntax"),
        (["libvirt", "--name", "-x", "os"], "machine-name"),
    ],
)
def test_what_is_refused(
    programs: Path,
    words: list[str],
    error: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(programs.parent)
    assert main(["run", *words]) == 1
    assert f"error[{error}]" in capsys.readouterr().err
