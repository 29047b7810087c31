"""What each hypervisor is told, beside what LinuxKit tells it (its run_vbox.go, run_vmware.go,
run_hyperv.go and run_virtualization.go, by the words of their manuals); libvirt's parser reads its
domains."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.disks import Disk
from compos.run.hypervisors import hyperv, libvirt, vbox, virtualization, vmware
from compos.run.hypervisors.plan import Guest, Plan, guest_name

STATE = Path("/s")
ISO = Boot(Path("/b/os"), iso=Path("/b/os.iso"))
DISK = Boot(Path("/b/os"), disk=Disk(Path("/b/os.vmdk"), format="vmdk"))
KERNEL = Boot(Path("/b/os"), Path("/b/os-kernel"), Path("/b/os-initrd.img"), "console=ttyS0 a=b,c")


def lines(plan: Plan) -> list[str]:
    return [" ".join(step.words) for step in plan.steps]


IDE = "--storagectl IDE Controller --port 1 --device 0"
VBOX = """\
V createvm --name os --register --groups /compos --basefolder /s
V modifyvm os --acpi on
V modifyvm os --memory 1024
V modifyvm os --cpus 1
V modifyvm os --firmware bios
V modifyvm os --uart1 0x3F8 4
V modifyvm os --uartmode1 client /s/console
V storagectl os --name IDE Controller --add ide
V storageattach os --storagectl IDE Controller --port 1 --device 0 --type dvddrive --medium /b/os.iso
V modifyvm os --boot1 dvd
V startvm os --type headless"""


def test_vbox_boots_a_cd_as_linuxkit_does() -> None:
    plan = vbox.plan(Guest("os", ISO, STATE), program="V")
    assert "\n".join(lines(plan)) == VBOX
    assert plan.console == STATE / "console"
    assert [step.makes for step in plan.steps] == [True] + 10 * [False]


def test_vbox_with_everything() -> None:
    disks = (Disk(Path("/d/one.vdi"), 512), Disk(Path("/d/two.vhd"), 1024))
    guest = Guest("os", DISK, STATE, 2, 512, disks, uefi=True, gui=True, keep=True)
    networks = (vbox.Network("bridged", "eth0"), vbox.Network("hostonly", "v0"))
    found = lines(vbox.plan(guest, program="V", networks=networks))
    assert found[:2] == [
        "V createmedium disk --filename /d/one.vdi --size 512 --format VDI",
        "V createmedium disk --filename /d/two.vhd --size 1024 --format VHD",
    ]
    for line in (
        "V modifyvm os --firmware efi",
        "V modifyvm os --boot1 disk",
        f"V storageattach os {IDE} --type hdd --medium /b/os.vmdk",
        "V storagectl os --name SATA --add sata",
        "V storageattach os --storagectl SATA --port 0 --device 0 --type hdd --medium /d/one.vdi",
        "V storageattach os --storagectl SATA --port 1 --device 0 --type hdd --medium /d/two.vhd",
        "V modifyvm os --nictype1 virtio --nic1 bridged --bridgeadapter1 eth0 --cableconnected1 on",
        "V modifyvm os --nictype2 virtio --nic2 hostonly --hostonlyadapter2 v0 --cableconnected2 on",
        "V startvm os --type gui",
    ):
        assert line in found


def test_vbox_deletes_no_disk() -> None:
    """`unregistervm --delete` would, of everything that is still attached."""
    guest = Guest("os", DISK, STATE, disks=(Disk(Path("/d/one.vdi"), 512),))
    after = [" ".join(step.words) for step in vbox.plan(guest, program="V").after]
    delete = after.index("V unregistervm os --delete")
    for controller, port in (("IDE Controller", 1), ("SATA", 0)):
        detach = (
            f"V storageattach os --storagectl {controller} --port {port} --device 0 --medium none"
        )
        assert after.index(detach) < delete
    kept = vbox.plan(guest._replace(keep=True), program="V").after
    assert [" ".join(step.words) for step in kept] == ["V controlvm os poweroff"]
    replaced = lines(vbox.plan(guest, program="V", replaces=True))
    assert replaced.index("V unregistervm os --delete") < replaced.index(VBOX.splitlines()[0])


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("nat", ("nat", "")),
        ("type=null", ("null", "")),
        ("type=bridged,adapter=en0: Wi-Fi", ("bridged", "en0: Wi-Fi")),
        ("bridged,bridgeadapter=eth0", ("bridged", "eth0")),
        ("hostonly,hostadapter=vboxnet0", ("hostonly", "vboxnet0")),
        ("natnetwork,adapter=n", ("natnetwork", "n")),
    ],
)
def test_networks_of_vbox(text: str, network: tuple[str, str]) -> None:
    assert vbox.parse_network(text) == network


@pytest.mark.parametrize(
    "text", ["", "wifi", "bridged", "nat,adapter=x", "nat,mtu=1", "type=,adapter=x", "nat,nat"]
)
def test_what_is_no_network_of_vbox(text: str) -> None:
    with pytest.raises(RunError) as caught:
        vbox.parse_network(text)
    assert caught.value.id == "networking-syntax"


def test_only_our_machines_are_ours() -> None:
    assert vbox.is_ours('name="os"\ngroups="/compos"\nostype="Other"\n')
    for other in ('groups="/"', 'groups="/compos2"', 'description="groups="/compos""', ""):
        assert not vbox.is_ours(f'name="os"\n{other}\n')


VMX = """\
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "12"
displayName = "os"
guestOS = "other3xlinux-64"
firmware = "bios"
numvcpus = "2"
memsize = "512"
"""


def test_vmware_as_linuxkit_does() -> None:
    guest = Guest("os", DISK, STATE, 2, 512, (Disk(Path("/s/disk.vmdk"), 1024),))
    plan = vmware.plan(guest, vmrun="R", diskmanager="D", fusion=False)
    assert lines(plan) == [
        "D -c -s 1024MB -a lsilogic -t 0 /s/disk.vmdk",
        "R -T ws start /s/linuxkit.vmx nogui",
    ]
    ((path, text),) = plan.files
    assert path == STATE / "linuxkit.vmx"
    assert text.decode().startswith(VMX)
    for line in (
        'scsi0.virtualDev = "lsilogic"',
        'scsi0:0.fileName = "/b/os.vmdk"',
        'scsi0:1.fileName = "/s/disk.vmdk"',
        'ethernet0.virtualDev = "e1000"',
        'serial0.fileName = "/s/console.log"',
    ):
        assert f"{line}\n" in text.decode()
    fusion = vmware.plan(guest._replace(gui=True), vmrun="R", diskmanager="D", fusion=True)
    assert lines(fusion)[-1] == "R -T fusion start /s/linuxkit.vmx"


def test_a_path_ends_no_value_of_a_vmx() -> None:
    boot = Boot(Path("/b"), disk=Disk(Path('/b/a"\nisolation.tools = "|.vmdk')))
    ((_, text),) = vmware.plan(
        Guest("os", boot, STATE), vmrun="R", diskmanager="", fusion=False
    ).files
    assert b'scsi0:0.fileName = "/b/a|22|0Aisolation.tools = |22|7C.vmdk"\n' in text


CMDLETS = """\
Get-VM
New-VM -Name 'it''s' -Generation 2 -NoVHD -SwitchName $switch
Set-VM -Name 'it''s' -StaticMemory -MemoryStartupBytes 512MB -ProcessorCount 2 -CheckpointType Disabled
New-VHD -Path 'C:\\disk.vhdx' -SizeBytes 1024MB -Dynamic
Add-VMHardDiskDrive -VMName 'it''s' -Path 'C:\\disk.vhdx'
Add-VMDvdDrive -VMName 'it''s' -Path 'C:\\it''s.iso'
Set-VMFirmware -VMName 'it''s' -EnableSecureBoot Off -FirstBootDevice (Get-VMDvdDrive -VMName 'it''s')
Set-VMComPort -VMName 'it''s' -Number 1 -Path '\\\\.\\pipe\\it''s-com1'
Start-VM -Name 'it''s'
NamedPipeClientStream '.', 'it''s-com1'"""


def test_hyperv_as_linuxkit_does() -> None:
    disk = Disk(Path("/s/disk.vhdx"), 1024)
    guest = Guest("it's", ISO, STATE, 2, 512, (disk,))
    paths = {Path("/b/os.iso"): "C:\\it's.iso", disk.path: "C:\\disk.vhdx"}
    plan = hyperv.plan(guest, paths)
    for step, cmdlet in zip(plan.steps, CMDLETS.splitlines(), strict=True):
        assert step.words[:-1] == ("powershell.exe", "-NoProfile", "-NonInteractive", "-Command")
        assert step.words[-1].startswith("$ErrorActionPreference = 'Stop'\n")
        assert cmdlet in step.words[-1]
    assert [step.makes for step in plan.steps].index(True) == 1
    assert "'Default Switch'" in plan.steps[1].words[-1]
    named = hyperv.plan(guest, paths, switch="a’; Remove-VM *")
    assert "$switch = 'a’’; Remove-VM *'\n" in named.steps[1].words[-1]
    assert [step.words[-1].splitlines()[-1] for step in plan.after] == [
        "Stop-VM -Name 'it''s' -TurnOff -Force",
        "Remove-VM -Name 'it''s' -Force",
    ]
    assert hyperv.plan(guest._replace(keep=True), paths).after == ()


def test_virtualization_as_linuxkit_does() -> None:
    guest = Guest("os", KERNEL, STATE, 2, 512, (Disk(Path("/s/disk.raw"), 0, "raw"),), STATE / "d")
    plan = virtualization.plan(
        guest, program="F", kernel=Path("/s/kernel"), mac="02:00:00:00:00:01", shares=(Path("/x"),)
    )
    (step,) = plan.steps
    assert step.words[:7] == ("F", "--cpus", "2", "--memory", "512", "--kernel", "/s/kernel")
    assert step.words[7:11] == (
        *("--initrd", "/b/os-initrd.img"),
        *("--kernel-cmdline", "console=ttyS0 a=b,c console=hvc0"),
    )
    devices = step.words[11:]
    assert set(devices[::2]) == {"--device"}
    assert devices[1::2] == (
        "virtio-serial,stdio",
        "virtio-rng",
        "virtio-balloon",
        "virtio-net,nat,mac=02:00:00:00:00:01",
        "virtio-blk,path=/s/disk.raw",
        "usb-mass-storage,path=/s/d,readonly",
        "virtio-fs,sharedDir=/x,mountTag=virtiofs0",
    )
    with pytest.raises(RunError) as caught:
        virtualization.plan(guest, program="F", kernel=STATE, mac=None, shares=(Path("/x,y"),))
    assert caught.value.id == "disk-path"


@pytest.mark.parametrize("boot", [ISO, DISK, KERNEL], ids=["iso", "disk", "kernel"])
@pytest.mark.parametrize("kind", ["user", "network,n", "bridge,br0", "none"])
def test_libvirt_reads_its_domain(tmp_path: Path, boot: Boot, kind: str) -> None:
    """By its schema and its parser, in virsh's test driver, which knows no other type."""
    name = 'a<b>&"'
    guest = Guest(
        name,
        boot,
        STATE,
        2,
        512,
        (Disk(Path('/d/a&"<.qcow2'), 0, "qcow2"),),
        metadata=STATE / "data.iso",
        gui=True,
    )
    network = libvirt.parse_network(kind)
    mac = "02:00:00:00:00:01"
    text = libvirt.domain(guest, arch="x86_64", accel="tcg", network=network, mac=mac)
    file = tmp_path / "domain.xml"
    file.write_bytes(text.replace(b'<domain type="qemu">', b'<domain type="test">'))
    script = f"define --validate {file}; dumpxml '{name}'"
    virsh = ["virsh", "--quiet", "--connect", "test:///default"]
    done = subprocess.run([*virsh, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "<vcpu placement='static'>2</vcpu>" in done.stdout
    assert "<source file='/d/a&amp;&quot;&lt;.qcow2'/>" in done.stdout
    assert ("<interface" in done.stdout) == (kind != "none")
    if boot is KERNEL:
        assert "<cmdline>console=ttyS0 a=b,c</cmdline>" in done.stdout
    else:
        assert f"<boot dev='{'cdrom' if boot is ISO else 'hd'}'/>" in done.stdout


def test_libvirt_takes_firmware_and_kvm() -> None:
    guest = Guest("os", DISK, STATE, uefi=True)
    text = libvirt.domain(guest, arch="aarch64", accel="kvm", network=("none", ""), mac=None)
    assert b'<domain type="kvm">' in text
    assert b'<os firmware="efi">' in text
    assert b'<type arch="aarch64" machine="virt">hvm</type>' in text
    plan = libvirt.plan(
        guest, program="v", uri="u", arch="x86_64", accel="tcg", network=("user", ""), mac=None
    )
    assert lines(plan) == ["v --connect u --quiet create -- /s/domain.xml"]
    assert [step.words[-3:] for step in plan.after] == [("destroy", "--", "os")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("os", "os"),
        ("os-efi.qcow2", "os"),
        ("os-bios.img", "os"),
        ("a.b.vmdk", "a.b"),
    ],
)
def test_names(path: str, name: str) -> None:
    assert guest_name("", Boot(Path("/x") / path)) == name


@pytest.mark.parametrize("name", ["-x", ".", "..", "a/b", "a\\b", "a\nb", "it's", "a*", "$(x)"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(RunError) as caught:
        guest_name(name, ISO)
    assert caught.value.id == "machine-name"


@pytest.mark.parametrize(
    ("make", "guest"),
    [
        (lambda one: vbox.plan(one, program="V"), Guest("os", KERNEL, STATE)),
        (
            lambda one: vbox.plan(one, program="V"),
            Guest("os", Boot(Path("/b"), disk=Disk(Path("/b/os.qcow2"))), STATE),
        ),
        (
            lambda one: vbox.plan(one, program="V"),
            Guest("os", ISO, STATE, disks=(Disk(Path("/d.raw")),)),
        ),
        (
            lambda one: vmware.plan(one, vmrun="R", diskmanager="", fusion=True),
            Guest("os", ISO, STATE),
        ),
        (lambda one: hyperv.plan(one, {}), Guest("os", DISK, STATE)),
        (
            lambda one: virtualization.plan(one, program="F", kernel=STATE, mac=None),
            Guest("os", DISK, STATE),
        ),
        (
            lambda one: virtualization.plan(one, program="F", kernel=STATE, mac=None),
            Guest("os", KERNEL, STATE, disks=(Disk(Path("/d"), 0, "qcow2"),)),
        ),
    ],
)
def test_what_a_hypervisor_cannot_boot(make: object, guest: Guest) -> None:
    assert callable(make)
    with pytest.raises(RunError) as caught:
        make(guest)
    assert caught.value.id == "disk-format"
