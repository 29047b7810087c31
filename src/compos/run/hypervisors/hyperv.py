"""Hyper-V, by PowerShell, from the Windows Subsystem for Linux.

Pure. Source: Microsoft's reference of the PowerShell module Hyper-V.
"""

from __future__ import annotations

from pathlib import Path

from compos.errors import RunError
from compos.run.hypervisors.plan import Guest, Plan, Step

__all__ = ["plan"]

POWERSHELL = ("powershell.exe", "-NoProfile", "-NonInteractive", "-Command")

CHECK = """\
if (-not (Get-Module -ListAvailable Hyper-V)) { throw 'Hyper-V is not installed' }
$groups = [Security.Principal.WindowsIdentity]::GetCurrent().Groups.Value
if (-not ($groups -contains 'S-1-5-32-544' -or $groups -contains 'S-1-5-32-578')) {
  throw 'Only administrators, and those of Hyper-V, can make machines' }
"""
"""The groups' well-known identifiers, which are the same in every language."""

SWITCH = """\
$switch = (Get-VMSwitch | Where-Object Name -eq 'Default Switch' | Select-Object -First 1).Name
if (-not $switch) {
  $switch = (Get-VMSwitch -SwitchType External | Select-Object -First 1).Name }
if (-not $switch) { throw 'There is no switch: name one with --switch' }
"""

CONSOLE = """\
$pipe = New-Object IO.Pipes.NamedPipeClientStream '.', {pipe}, 'InOut', 'Asynchronous'
$pipe.Connect(10000)
$keys = [Console]::OpenStandardInput().CopyToAsync($pipe)
$pipe.CopyTo([Console]::OpenStandardOutput())
"""
"""Both ways until the machine ends."""


def plan(guest: Guest, paths: dict[Path, str], *, switch: str = "") -> Plan:
    """PowerShell's commands; `paths` are those of the CD and the disks as Windows has them.

    A machine of the same name is somebody's: it is left alone, and nothing is made.
    """
    if guest.boot.iso is None:
        raise RunError(
            "disk-format",
            "Hyper-V boots CDs here",
            place=str(guest.boot.prefix),
            hint="Build one: compos build -f iso-efi FILE.yml",
        )
    name = _quoted(guest.name)
    taken = _quoted(f"There is a machine {guest.name}: use --name")
    exists = f"if (Get-VM -Name {name} -ErrorAction SilentlyContinue) {{ throw {taken} }}"
    found = f"$switch = {_quoted(switch)}\n" if switch else SWITCH
    steps = [
        _step(f"{CHECK}{exists}"),
        _step(
            f"{found}New-VM -Name {name} -Generation 2 -NoVHD -SwitchName $switch",
            makes=True,
        ),
        _step(
            f"Set-VM -Name {name} -StaticMemory -MemoryStartupBytes {guest.mem}MB "
            f"-ProcessorCount {guest.cpus} -CheckpointType Disabled"
        ),
    ]
    for disk in guest.disks:
        path = _quoted(paths[disk.path])
        if disk.size and not disk.path.exists():
            steps.append(_step(f"New-VHD -Path {path} -SizeBytes {disk.size}MB -Dynamic"))
        steps.append(_step(f"Add-VMHardDiskDrive -VMName {name} -Path {path}"))
    pipe = f"{guest.name}-com1"
    port = _quoted(rf"\\.\pipe\{pipe}")
    steps += [
        _step(f"Add-VMDvdDrive -VMName {name} -Path {_quoted(paths[guest.boot.iso])}"),
        _step(
            f"Set-VMFirmware -VMName {name} -EnableSecureBoot Off "
            f"-FirstBootDevice (Get-VMDvdDrive -VMName {name})"
        ),
        _step(f"Set-VMComPort -VMName {name} -Number 1 -Path {port}"),
        _step(f"Start-VM -Name {name}"),
        _step(CONSOLE.format(pipe=_quoted(pipe))),
    ]
    after = (
        ()
        if guest.keep
        else (
            _step(f"Stop-VM -Name {name} -TurnOff -Force", may_fail=True),
            _step(f"Remove-VM -Name {name} -Force"),
        )
    )
    return Plan(tuple(steps), after=after)


def _step(script: str, *, makes: bool = False, may_fail: bool = False) -> Step:
    return Step((*POWERSHELL, f"$ErrorActionPreference = 'Stop'\n{script}"), makes, may_fail)


def _quoted(text: str) -> str:
    """A string that PowerShell takes as it is; it knows typographic quotes, too."""
    doubled = "".join(
        letter * 2 if letter in "'\u2018\u2019\u201a\u201b" else letter for letter in text
    )
    return f"'{doubled}'"
