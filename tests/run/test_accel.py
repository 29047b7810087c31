"""The KVM probe: a fake QEMU plays a working, a hanging and a broken one."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from compos import progress
from compos.run.accel import choose_accel, kernel_boots

PANIC = """#!/bin/sh
for last; do :; done
echo 'Kernel panic - not syncing: VFS: Unable to mount root fs' > "${last#file:}"
"""
HANG = "#!/bin/sh\nexec sleep 60\n"
ABORT = "#!/bin/sh\nexit 134\n"
SILENT = "#!/bin/sh\nexit 0\n"


def fake(tmp_path: Path, script: str) -> str:
    path = tmp_path / "qemu"
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("script", "works"), [(PANIC, True), (HANG, False), (ABORT, False), (SILENT, False)])
def test_only_a_kernel_that_ran_counts(tmp_path: Path, script: str, works: bool) -> None:
    assert kernel_boots(fake(tmp_path, script), tmp_path / "kernel", patience=1) is works


class Notices:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def start(self, name: str, total: int | None) -> progress.Task:
        raise AssertionError

    def finish(self, task: progress.Task, seconds: float) -> None:
        raise AssertionError

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    listener = Notices()
    monkeypatch.setattr(progress, "_listener", listener)
    return listener.texts


def choose(tmp_path: Path, qemu: str, kernel: Path | None) -> str:
    device = tmp_path / "kvm"
    device.touch()
    return choose_accel(qemu, kernel, platform.machine(), tmp_path / "verdicts", device)


def test_the_verdict_is_remembered(tmp_path: Path, notices: list[str]) -> None:
    qemu = fake(tmp_path, PANIC)
    assert choose(tmp_path, qemu, tmp_path / "kernel") == "kvm"
    assert choose(tmp_path, qemu, None) == "kvm", "a disk boot may use what a kernel boot found out"
    assert notices == []


def test_a_fall_back_is_told_in_one_line(tmp_path: Path, notices: list[str]) -> None:
    assert choose(tmp_path, fake(tmp_path, ABORT), tmp_path / "kernel") == "tcg"
    assert len(notices) == 1
    assert "emulated" in notices[0]


def test_without_a_kernel_nothing_is_assumed(tmp_path: Path, notices: list[str]) -> None:
    assert choose(tmp_path, fake(tmp_path, PANIC), None) == "tcg"
    assert len(notices) == 1


def test_no_device_and_foreign_architectures_are_emulated(tmp_path: Path) -> None:
    qemu = fake(tmp_path, PANIC)
    assert choose_accel(qemu, None, platform.machine(), tmp_path, tmp_path / "missing") == "tcg"
    assert choose_accel(qemu, None, "vax", tmp_path, tmp_path) == "tcg"
