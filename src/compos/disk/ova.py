"""An open virtual appliance: a description, digests and a VMDK in one tar, which VMware and
VirtualBox import. Pure.

Source: DMTF DSP0243, "Open Virtualization Format Specification" 1.1.0; VMware's elements (`vmw:`)
as its tools write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from html import escape

from compos.filesystem.tar import tar_pieces
from compos.tree.contents import file_of
from compos.tree.node import EPOCH, Piece, file
from compos.tree.runs import disk_size

__all__ = ["ova_pieces"]

ENVELOPE = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="disk" ovf:href={disk} ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="disk" ovf:capacity="{capacity}"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="nat"><Description>The network of the machine</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id={name}>
    <Info>A virtual machine</Info>
    <Name>{title}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="otherLinux64Guest"><Info>Linux</Info></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
{items}
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""  # noqa: E501

ITEMS = (
    "AllocationUnits=hertz * 10^6|ElementName=1 CPU|InstanceID=1|ResourceType=3|VirtualQuantity=1",
    "AllocationUnits=byte * 2^20|ElementName=1024 MiB|InstanceID=2|ResourceType=4|VirtualQuantity=1024",  # noqa: E501
    "ElementName=SCSI controller|InstanceID=3|ResourceSubType=lsilogic|ResourceType=6",
    "AddressOnParent=0|ElementName=Disk|HostResource=ovf:/disk/disk1|InstanceID=4|Parent=3|ResourceType=17",
    "AutomaticAllocation=true|Connection=nat|ElementName=Network|InstanceID=5|ResourceSubType=VmxNet3|ResourceType=10",
)
"""CPU, memory, disk controller, disk, network; an item's elements in alphabetical order, as the
schema demands."""


def ova_pieces(
    name: str, vmdk: Sequence[Piece], digest: str, *, capacity: int, firmware: str
) -> list[Piece]:
    """The appliance `name`; what of it is no printable Unicode has no place in XML, and becomes
    `_`.

    `digest` is the VMDK's SHA-256 in hexadecimal, `capacity` its disk's size in bytes, `firmware`
    bios or efi.
    """
    name = "".join(letter if letter.isprintable() else "_" for letter in name)
    size = disk_size(vmdk)
    disk = f"{name}-disk1.vmdk"
    items = "\n".join(
        f"      <Item>{''.join(map(_element, item.split('|')))}</Item>" for item in ITEMS
    )
    quoted = _quoted(name)
    envelope = ENVELOPE.format(
        disk=_quoted(disk),
        size=size,
        capacity=capacity,
        name=quoted,
        title=quoted[1:-1],
        items=items,
        firmware=firmware,
    ).encode()
    manifest = (
        f"SHA256({name}.ovf)= {sha256(envelope).hexdigest()}\nSHA256({disk})= {digest}\n".encode()
    )
    node = file_of(vmdk, 0o644, EPOCH)
    members = [
        (f"{name}.ovf", file(envelope, 0o644, EPOCH)),
        (f"{name}.mf", file(manifest, 0o644, EPOCH)),
        (disk, node),
    ]
    return list(tar_pieces((path, member, {}) for path, member in members))


def _quoted(text: str) -> str:
    """An attribute's value in XML."""
    return f'"{escape(text)}"'


def _element(text: str) -> str:
    key, _, value = text.partition("=")
    return f"<rasd:{key}>{value}</rasd:{key}>"
