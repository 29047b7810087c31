"""Command lines of Firecracker and cloud-hypervisor. Neither can run here; what they are given is
compared with their documentation's examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.disks import Disk
from compos.run.hypervisors.microvm import HYPERVISORS, MicroVm, firecracker_line, run_microvm

DESCRIPTION = {
    "boot-source": {
        "kernel_image_path": "os-vmlinux",
        "initrd_path": "os-firecracker-initrd.img",
        "boot_args": "reboot=k panic=1 pci=off",
    },
    "drives": [
        {
            "drive_id": "root",
            "path_on_host": "os-firecracker.img",
            "is_root_device": False,
            "is_read_only": True,
        }
    ],
    "machine-config": {"vcpu_count": 1, "mem_size_mib": 512},
}


@pytest.fixture
def machine(tmp_path: Path) -> MicroVm:
    (tmp_path / "os-firecracker.json").write_text(json.dumps(DESCRIPTION))
    for name in ("os-kernel", "os-initrd.img"):
        (tmp_path / name).touch()
    (tmp_path / "os-cmdline").write_text("console=ttyS0")
    (tmp_path / "state").mkdir()
    return MicroVm(tmp_path / "os", tmp_path / "state", 2, 256)


def full(machine: MicroVm) -> MicroVm:
    disk = Disk(machine.state / "d.img", format="raw")
    return replace(machine, disks=(disk,), tap="tap0", mac="02:00:00:00:00:01", vsock=3)


def test_firecracker(machine: MicroVm, tmp_path: Path) -> None:
    assert firecracker_line(machine) == [
        "--no-api",
        "--config-file",
        str(tmp_path / "state" / "firecracker.json"),
    ]
    written = json.loads((tmp_path / "state" / "firecracker.json").read_text())
    assert written["machine-config"] == {"vcpu_count": 2, "mem_size_mib": 256}
    assert written["boot-source"]["kernel_image_path"] == str(tmp_path / "os-vmlinux")
    assert written["drives"][0]["path_on_host"] == str(tmp_path / "os-firecracker.img")
    assert set(written) == set(DESCRIPTION)
    firecracker_line(full(machine))
    written = json.loads((tmp_path / "state" / "firecracker.json").read_text())
    assert written["network-interfaces"] == [
        {"iface_id": "eth0", "guest_mac": "02:00:00:00:00:01", "host_dev_name": "tap0"}
    ]
    assert written["vsock"] == {"guest_cid": 3, "uds_path": str(tmp_path / "state" / "vsock")}
    assert written["drives"][1] == {
        "drive_id": "disk0",
        "path_on_host": str(tmp_path / "state" / "d.img"),
        "is_root_device": False,
        "is_read_only": False,
    }


def test_cloud_hypervisor(machine: MicroVm, tmp_path: Path) -> None:
    line = HYPERVISORS["cloud-hypervisor"](full(machine))
    assert " ".join(line).replace(str(tmp_path), "DIR") == (
        "--kernel DIR/os-kernel --initramfs DIR/os-initrd.img --cmdline console=ttyS0 "
        "--cpus boot=2 --memory size=256M --rng src=/dev/urandom --serial tty --console off "
        "--disk path=DIR/state/d.img --net tap=tap0,mac=02:00:00:00:00:01 "
        "--vsock cid=3,socket=DIR/state/vsock"
    )


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"boot-source": {}}', '{"boot-source": 1, "drives": []}', "[" * 100_000],
)
def test_descriptions_that_are_none(machine: MicroVm, content: str) -> None:
    machine.prefix.with_name("os-firecracker.json").write_text(content)
    with pytest.raises(RunError) as caught:
        firecracker_line(machine)
    assert caught.value.id == "boot-damaged"


def test_what_is_missing(machine: MicroVm) -> None:
    for program in HYPERVISORS:
        with pytest.raises(RunError) as caught:
            run_microvm(program, machine, which=lambda name: None)
        assert caught.value.id == "hypervisor-missing"
        elsewhere = replace(machine, prefix=machine.state / "no")
        with pytest.raises(RunError) as caught:
            run_microvm(program, elsewhere, which=lambda name: name)
        assert caught.value.id == "boot-missing"


def test_raw_disks_only(machine: MicroVm) -> None:
    for path, form in (("a.qcow2", "qcow2"), ("a,readonly=off", "raw")):
        with pytest.raises(RunError) as caught:
            run_microvm(
                "firecracker",
                replace(machine, disks=(Disk(Path(path), format=form),)),
                which=lambda name: name,
            )
        assert caught.value.id == "microvm-disk"


def test_its_status_is_ours(machine: MicroVm) -> None:
    lines: list[Sequence[str]] = []

    def start(line: Sequence[str]) -> int:
        lines.append(line)
        return 7

    assert run_microvm("firecracker", machine, which=lambda name: f"/opt/{name}", start=start) == 7
    assert lines[0][0] == "/opt/firecracker"
