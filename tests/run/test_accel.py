"""The KVM probe: a fake QEMU plays a working, a hanging and a broken one."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compos import progress
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.run.accel import choose_accel, kernel_boots

PROOF = "VFS: Unable to mount root fs on unknown-block(0,0)"
# One of the arguments says which file the serial port writes to. What a broken KVM did on the machine where this was
# written: an assertion with `-cpu host`; with others 40 bytes on the console, this complaint, and a
# QEMU that stays.
SAY = """for word; do case "$word" in file,id=console,*) console=${word#*path=};; esac; done
exec 3> "$console"
"""
PANIC = f"#!/bin/sh\n{SAY}echo '{PROOF}' >&3\n"
PANIC_AND_STAY = f"#!/bin/sh\n{SAY}echo '{PROOF}' >&3\nexec sleep 60\n"
SLOW_PANIC = (
    f"#!/bin/sh\n{SAY}for i in $(seq 16); do echo line >&3; sleep 0.1; done\necho '{PROOF}' >&3\n"
)
EARLY_CRASH = f"#!/bin/sh\n{SAY}echo early console >&3\n"
HANG = f"#!/bin/sh\n{SAY}echo early console >&3\nexec sleep 60\n"
COMPLAINT = "#!/bin/sh\necho 'KVM internal error. Suberror: 1' >&2\nexec sleep 60\n"
CHATTER = f"#!/bin/sh\n{SAY}while echo again >&3; do sleep 0.1; done\n"
ABORT = "#!/bin/sh\nexit 134\n"
SILENT = "#!/bin/sh\nexit 0\n"


def fake(tmp_path: Path, script: str) -> str:
    path = tmp_path / "qemu"
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "works", "seconds"),
    [
        (PANIC, True, 0),
        (PANIC_AND_STAY, True, 0),
        (SLOW_PANIC, True, 1.6),
        (EARLY_CRASH, False, 0),
        (HANG, False, 1),
        (COMPLAINT, False, 0),
        (CHATTER, False, 2),
        (ABORT, False, 0),
        (SILENT, False, 0),
    ],
)
def test_only_a_kernel_that_came_through_counts(
    tmp_path: Path, script: str, works: bool, seconds: float
) -> None:
    """`seconds` is the least that it takes; each ends long before the times that are not its own."""
    started = time.monotonic()
    qemu = fake(tmp_path, script)
    stall, limit = (50.0, 2) if script is CHATTER else (1, 50)
    if script in (PANIC, PANIC_AND_STAY, EARLY_CRASH, COMPLAINT, ABORT, SILENT):
        stall = 50
    if script is SLOW_PANIC:
        # Silent for less than that, however busy the machine is; all of it takes longer.
        stall = 1.5
    kernel = tmp_path / "kernel"
    assert kernel_boots(qemu, kernel, arch="x86_64", stall=stall, limit=limit) is works
    assert seconds <= time.monotonic() - started < 40


@pytest.mark.parametrize(
    ("arch", "wanted"),
    [
        (
            "x86_64",
            "-cpu host -machine q35 -accel kvm .*-append earlyprintk=ttyS0 console=ttyS0 panic=-1",
        ),
        (
            "aarch64",
            "-cpu host -machine virt,gic-version=host -accel kvm .*-append earlycon console=ttyAMA0 panic=-1",
        ),
        ("riscv64", "-cpu host -machine virt -accel kvm .*-append earlycon console=ttyS0 panic=-1"),
    ],
)
def test_the_probe_is_the_machine_that_will_run(tmp_path: Path, arch: str, wanted: str) -> None:
    qemu = fake(tmp_path, f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n')
    kernel_boots(qemu, tmp_path / "kernel", arch=arch)
    assert re.search(wanted, (tmp_path / "arguments").read_text())


class Notices(progress.Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def notices() -> Iterator[list[str]]:
    listener = Notices()
    progress.listen(listener)
    yield listener.texts
    progress.listen(progress.Silent())


def opened(tmp_path: Path) -> Callable[[], Store]:
    return lambda: Store(tmp_path / "store")


def choose(
    tmp_path: Path, qemu: str, kernel: Path | None, arch: str = platform.machine(), asked: str = ""
) -> str:
    device = tmp_path / "kvm"
    device.touch()
    boot = tmp_path / "boot"
    return choose_accel(
        qemu, kernel, arch, opened(tmp_path), asked=asked, device=device, host_kernels=boot
    )


def test_a_good_verdict_is_remembered(tmp_path: Path, notices: list[str]) -> None:
    qemu = fake(tmp_path, PANIC)
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "kvm"
    (tmp_path / "qemu").chmod(0o644)  # cannot be started any more
    assert choose(tmp_path, qemu, None) == "kvm", "a disk boot may use what a kernel boot found out"
    assert notices == []


def test_a_bad_verdict_is_remembered_and_told_every_time(
    tmp_path: Path, notices: list[str]
) -> None:
    qemu = fake(tmp_path, ABORT)
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "tcg"
    (tmp_path / "qemu").chmod(0o644)
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "tcg"
    assert len(notices) == 2
    assert all("KVM does not work" in text and "emulated" in text for text in notices)


def test_another_qemu_is_tried_anew(tmp_path: Path, notices: list[str]) -> None:
    assert choose(tmp_path, fake(tmp_path, ABORT), tmp_path / "kernel") == "tcg"
    assert choose(tmp_path, fake(tmp_path, PANIC), tmp_path / "kernel") == "kvm"


def test_a_damaged_verdict_is_none(tmp_path: Path) -> None:
    qemu = fake(tmp_path, PANIC)
    choose(tmp_path, qemu, tmp_path / "kernel")
    (verdict,) = (tmp_path / "store/derived/accel").iterdir()
    verdict.write_text("")
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "kvm"
    assert verdict.read_text() == "kvm"


def test_a_store_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    assert choose(tmp_path, fake(tmp_path, PANIC), tmp_path / "kernel") == "kvm"


def test_a_store_that_others_can_write_to_is_no_obstacle_and_not_believed(tmp_path: Path) -> None:
    qemu = fake(tmp_path, ABORT)
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "tcg"
    (verdict,) = (tmp_path / "store/derived/accel").iterdir()
    with Store(tmp_path / "store").derive(DerivedKind.ACCEL, verdict.name) as path:
        path.write_text("kvm")
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "kvm", "the verdict is believed"
    (tmp_path / "store").chmod(0o777)
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "tcg"


def test_a_disk_is_tried_with_the_host_s_kernel(tmp_path: Path, notices: list[str]) -> None:
    qemu = fake(tmp_path, PANIC)
    assert choose(tmp_path, qemu, None) == "tcg"
    assert len(notices) == 1
    assert "not been tested" in notices[0]
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "vmlinuz-6.1").touch()
    assert choose(tmp_path, qemu, None) == "kvm"


def test_no_device(tmp_path: Path, notices: list[str]) -> None:
    missing = tmp_path / "missing"
    assert choose_accel("qemu", None, platform.machine(), opened(tmp_path), device=missing) == "tcg"
    assert notices == [f"there is no {missing}: the guest is emulated, which is slower"]


@pytest.mark.parametrize(
    ("asked", "foreign", "accel"),
    [
        ("kvm", False, "kvm"),
        ("tcg", False, "tcg"),
        ("kvm:tcg", False, "kvm:tcg"),
        ("kvm", True, "tcg"),
        ("tcg,tb-size=256", True, "tcg,tb-size=256"),
        ("", True, "tcg"),
    ],
)
def test_what_is_asked_for_needs_no_probe(
    tmp_path: Path, asked: str, foreign: bool, accel: str
) -> None:
    arch = "vax" if foreign else platform.machine()
    assert choose(tmp_path, "/no/qemu", tmp_path / "kernel", arch, asked) == accel


@pytest.mark.parametrize(
    ("machine", "arch", "answer", "asked", "accel"),
    [
        ("arm64", "aarch64", "echo 1", "", "hvf"),
        ("x86_64", "x86_64", "echo 1", "", "hvf"),
        ("arm64", "aarch64", "echo 0", "", "tcg"),
        ("arm64", "aarch64", "echo unknown oid >&2; exit 1", "", "tcg"),
        ("arm64", "aarch64", None, "", "tcg"),
        ("arm64", "x86_64", "echo 1", "", "tcg"),
        ("arm64", "x86_64", "echo 1", "hvf", "tcg"),
        ("arm64", "aarch64", "echo 1", "tcg", "tcg"),
        ("arm64", "aarch64", "echo 0", "hvf", "hvf"),
    ],
)
def test_macos_is_asked_for_its_hypervisor(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    notices: list[str],
    machine: str,
    arch: str,
    answer: str | None,
    asked: str,
    accel: str,
) -> None:
    """`arm64` is macOS's name of what Linux and QEMU call `aarch64`."""
    if answer is not None:
        (tmp_path / "sysctl").write_text(
            f'#!/bin/sh\n[ "$*" = "-n kern.hv_support" ] || exit 3\n{answer}\n'
        )
        (tmp_path / "sysctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = choose_accel(
        "/no/qemu", None, arch, opened(tmp_path), asked=asked, system="Darwin", machine=machine
    )
    assert chosen == accel
    assert bool(notices) is (accel == "tcg" and asked != "tcg"), "a fall-back is reported"
