"""`compos doctor` on this machine, and on ones where something is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import compos.api.doctor.building as building
from compos.api.access import Access
from compos.api.doctor import examine
from compos.api.doctor.finding import Finding, Verdict, bounded
from compos.api.doctor.machines import MACHINES, firmware, helpers, kvm, qemu
from compos.api.doctor.publishing import EXTRAS, extras, tokens
from compos.api.options import ImageOptions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(ImageOptions(cache=tmp_path / "store"))


def verdicts(findings: object) -> dict[str, Verdict]:
    return {one.name: one.verdict for one in findings}  # type: ignore[attr-defined]


def test_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network: what it has says nothing of the machine."""
    monkeypatch.setenv("COMPOS_DEBIAN_MIRROR", "http://127.0.0.1:1/debian")
    monkeypatch.setenv("LINUXKIT_MIRROR", "http://127.0.0.1:1")
    monkeypatch.setattr("compos.http.retry.FIRST_SECONDS", 0)
    monkeypatch.setattr(building, "SPACE", 0)
    started = time.monotonic()
    findings = list(examine(ImageOptions(cache=tmp_path / "store")))
    assert time.monotonic() - started < 120
    found = verdicts(findings)
    told = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True)
    (x86,) = [one for one in findings if one.name == "QEMU x86_64"]
    assert x86.text.split()[0] in told.stdout.decode()
    assert found["Debian mirror"] is found["registry"] is Verdict.ABSENT
    for name in ("compos", "store", "UEFI x86_64", "TPM", "PKCS #11"):
        assert found[name] is Verdict.OK, name
    assert all(one.remedy for one in findings if one.verdict is not Verdict.OK)
    assert Verdict.PROBLEM not in found.values()


def test_nothing_is_installed(
    access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("compos.run.firmware.SHARE", tmp_path)
    monkeypatch.setattr("compos.api.doctor.machines._own", lambda: "x86_64")
    monkeypatch.setattr("compos.api.doctor.publishing.find_spec", lambda name: None)
    findings = [one for check in (*MACHINES, tokens, extras) for one in check(access)]
    found = verdicts(findings)
    assert found.pop("QEMU x86_64") is Verdict.PROBLEM
    found.pop("vsock")  # a device, which may be there
    assert set(found.values()) == {Verdict.ABSENT}
    remedies = {one.name: one.remedy for one in findings}
    assert remedies["QEMU aarch64"] == "apt-get install qemu-system-arm"
    assert remedies["UEFI x86_64"] == "apt-get install ovmf"
    assert remedies["TPM"] == "apt-get install swtpm"
    assert remedies["extra aws"] == "pip install 'compos-linux[aws]'"
    assert set(found) >= {"KVM", "virtiofs", "PKCS #11", "qemu-img"}


def test_a_disk_that_is_full(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "SPACE", 1 << 60)
    (finding,) = building.store(access)
    assert (finding.verdict, finding.remedy) == (Verdict.PROBLEM, "compos cache clean")


def test_a_store_of_somebody_elses(access: Access, tmp_path: Path) -> None:
    """The error is the finding."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    (finding,) = bounded(building.store, access)
    assert finding.verdict is Verdict.PROBLEM
    assert "write" in finding.text


def test_a_check_that_hangs(access: Access) -> None:
    def a_sleeper(access: Access) -> list[Finding]:
        time.sleep(30)
        return []

    a_sleeper.patience = 0.2  # type: ignore[attr-defined]
    (finding,) = bounded(a_sleeper, access)
    assert (finding.name, finding.verdict) == ("a sleeper", Verdict.PROBLEM)


def test_kvm_is_tried_with_a_kernel(
    access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A QEMU whose guest hangs as one does under a broken KVM."""
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    (tmp_path / "vmlinuz-1").touch()
    monkeypatch.setattr("compos.run.qemu.find_qemu", lambda arch, given: str(program))
    monkeypatch.setattr("compos.api.doctor.machines._own", lambda: "x86_64")
    monkeypatch.setattr("compos.run.accel.platform.machine", lambda: "x86_64")
    monkeypatch.setattr(
        "compos.run.accel.choose_accel.__kwdefaults__",
        {
            "asked": "",
            "device": tmp_path / "vmlinuz-1",
            "host_kernels": tmp_path,
            "system": "Linux",
            "machine": "x86_64",
        },
    )
    monkeypatch.setattr(
        "compos.run.accel.kernel_boots.__kwdefaults__", {"stall": 0.3, "limit": 5.0}
    )
    (finding,) = kvm(access)
    assert finding.verdict is Verdict.ABSENT
    assert "KVM does not work on this machine" in finding.text


def test_firmware_without_secure_boot(
    access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "OVMF").mkdir()
    for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
        (tmp_path / "OVMF" / name).touch()
    monkeypatch.setattr("compos.run.firmware.SHARE", tmp_path)
    found = {one.name: one for one in firmware(access)}
    assert found["UEFI x86_64"].text == "OVMF/OVMF_CODE_4M.fd; without Secure Boot"
    (tmp_path / "OVMF" / "OVMF_CODE_4M.secboot.fd").touch()
    found = {one.name: one for one in firmware(access)}
    assert found["UEFI x86_64"].text.endswith("Secure Boot: OVMF/OVMF_CODE_4M.secboot.fd")


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"all-clouds"}


@pytest.mark.parametrize("json_asked", [False, True])
def test_the_command(json_asked: bool, tmp_path: Path) -> None:
    """Nothing is left to hang at its end: the process ends although checks may still wait."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "compos",
            "--cache",
            tmp_path,
            "doctor",
            *(["--json"] if json_asked else []),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={
            "PATH": str(tmp_path),
            "PYTHONPATH": str(ROOT / "src"),
            "HOME": str(tmp_path),
            "COMPOS_DEBIAN_MIRROR": "file:///nowhere",
            "LINUXKIT_MIRROR": "http://127.0.0.1:1",
        },
    )
    assert done.returncode == 1, done.stderr  # no QEMU
    if json_asked:
        found = {one["name"]: one for one in json.loads(done.stdout)}
        assert found["QEMU x86_64"]["remedy"] == "apt-get install qemu-system-x86"
        assert {one["verdict"] for one in found.values()} == {"ok", "absent", "problem"}
    else:
        assert "--  TPM" in done.stdout
        assert "apt-get install swtpm" in done.stdout
        assert "!!  QEMU" in done.stdout
        assert "Traceback" not in done.stderr


def test_helpers_and_qemu_are_found(access: Access) -> None:
    """The tests' own packages."""
    assert verdicts(qemu(access))["QEMU aarch64"] is Verdict.OK
    assert verdicts(helpers(access))["TPM"] is Verdict.OK
