"""The named output formats: which there are, what each writes, and which may stand together.

Each format is a short recipe over a composed system; the table is the only place that knows them
all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from compos.errors import OutputError
from compos.output.job import CRUN, EFI_STUB, INIT, INSTALLER, OPENER, RPI3
from compos.output.roots import AUTO, root_named
from compos.suggestion import did_you_mean

if TYPE_CHECKING:
    from compos.output.job import Job
    from compos.output.write import Output

__all__ = ["FORMATS", "Format", "choose", "machines", "make", "require", "tools"]


class Format(NamedTuple):
    """One output format; `recipe` is `module:function` in this package, imported when it is needed.

    A streamable format stands alone and can go to a single file or standard output. `tools` are
    images that it is made with besides the system's own; `architectures` those that have it. A
    `named` one's contents have the outputs' name in them, one that `names_digests` those of its
    files. `machines` are what it runs on (`compose.drivers`), none for all. One with its `own_root`
    has the root on the medium whatever the build says of roots.
    """

    name: str
    recipe: str
    streamable: bool = False
    tools: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("amd64", "arm64", "riscv64")
    named: bool = False
    names_digests: bool = False
    machines: tuple[str, ...] = ()
    own_root: bool = False

    def make(self, job: Job) -> list[Output]:
        """The format's outputs, described but not yet written."""
        module, _, function = self.recipe.partition(":")
        recipe: Recipe = getattr(import_module(f"compos.output.{module}"), function)
        return recipe(job)


Recipe: TypeAlias = "Callable[[Job], list[Output]]"

_X86 = ("amd64",)
_UEFI = (INIT, EFI_STUB)
_INSTALLER = (*_UEFI, CRUN, INSTALLER)

FORMATS = {
    format.name: format
    for format in (
        Format("kernel+initrd", "initrd:files", machines=("virtual", "metal")),
        Format("kernel+squashfs", "root_images:kernel_squashfs", tools=(INIT,), own_root=True),
        Format("kernel+erofs", "root_images:kernel_erofs", tools=(INIT,), own_root=True),
        Format("kernel+iso", "root_images:kernel_iso", tools=(INIT,), own_root=True),
        Format("iso-bios", "isos:iso_bios", tools=(INIT,), architectures=_X86),
        Format("iso-efi", "isos:iso_efi", tools=_UEFI),
        Format("iso-efi-initrd", "isos:iso_efi_initrd", tools=(EFI_STUB,)),
        Format("iso", "isos:iso", tools=_UEFI),
        Format("raw-bios", "disks:raw_bios", tools=(INIT,), architectures=_X86),
        Format("raw-efi", "disks:raw_efi", tools=_UEFI),
        Format("raw", "disks:raw", tools=_UEFI),
        Format("qcow2-bios", "containers:qcow2_bios", tools=(INIT,), architectures=_X86),
        Format("qcow2-efi", "containers:qcow2_efi", tools=_UEFI),
        Format("qcow2", "containers:qcow2", tools=_UEFI),
        Format("aws", "containers:aws", tools=_UEFI, machines=("aws",)),
        Format("gcp", "containers:gcp", tools=_UEFI, machines=("gcp",)),
        Format("vhd", "containers:vhd", tools=_UEFI, machines=("azure",)),
        Format("dynamic-vhd", "containers:dynamic_vhd", tools=_UEFI, machines=("azure",)),
        Format("vhdx", "containers:vhdx", tools=_UEFI, machines=("azure",)),
        Format("vmdk", "containers:vmdk", tools=_UEFI, machines=("vmware",)),
        Format(
            "ova",
            "containers:ova",
            tools=_UEFI,
            named=True,
            names_digests=True,
            machines=("vmware",),
        ),
        Format("rpi3", "rpi3:card", tools=(RPI3,), architectures=("arm64",)),
        Format(
            "firecracker",
            "firecracker:microvm",
            tools=(INIT,),
            architectures=("amd64", "arm64"),
            named=True,
            machines=("firecracker",),
            own_root=True,
        ),
        Format("oci", "artifact:archive"),
        Format("bootc", "bootable:archive"),
        Format("tar", "tar:root", streamable=True),
        Format("docker", "tar:docker", streamable=True),
        Format("tar-kernel-initrd", "initrd:archive"),
        Format("uki", "unified:program", tools=(EFI_STUB,)),
        Format("update", "update:bundle", tools=_UEFI),
        Format("installer", "installer:medium", tools=_INSTALLER, named=True, own_root=True),
        Format(
            "installer-netboot",
            "installer:netboot",
            tools=_INSTALLER,
            named=True,
            own_root=True,
        ),
    )
}


def choose(names: Sequence[str], *, to_file: bool) -> list[Format]:
    """The formats meant by `names` (each may be a comma list); none means the default.

    `to_file` says that one file or standard output was asked for. Raises `OutputError` on names
    that do not exist or do not go together.
    """
    wanted = list(
        dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip())
    )
    if not wanted:
        wanted = ["tar"] if to_file else ["kernel+initrd"]
    for name in wanted:
        if name not in FORMATS:
            raise _unknown(name)
    chosen = [FORMATS[name] for name in wanted]
    streamable = [format.name for format in chosen if format.streamable]
    if streamable and len(chosen) > 1:
        raise OutputError(
            "format-alone",
            f"the format {streamable[0]} cannot be combined with others",
            hint=f"Run the build once for {streamable[0]} and once for the others.",
        )
    if to_file and not chosen[0].streamable:
        raise OutputError(
            "format-not-streamable",
            f"the format {chosen[0].name} writes several files and cannot go to --o",
            hint="Use --dir and --name instead of --o.",
        )
    return chosen


def require(formats: Sequence[Format], architecture: str) -> None:
    """Raise `OutputError` (`format-architecture`) when `architecture` cannot have one of
    `formats`."""
    for format in formats:
        if architecture not in format.architectures:
            can = ", ".join(
                one.name for one in FORMATS.values() if architecture in one.architectures
            )
            raise OutputError(
                "format-architecture",
                f"the format {format.name} is not supported for {architecture}: its machines boot "
                "differently",
                hint=f"Use one of the formats for {architecture}: {can}.",
            )


def tools(formats: Sequence[Format], root: str, *, encrypted: bool = False) -> list[str]:
    """References of the images that `formats` are made with, when the root is kept as `root` says,
    and slots have `encrypted` roots."""
    wanted = dict.fromkeys(tool for format in formats for tool in format.tools)
    # Only a root that lies on the medium needs to be found.
    in_memory = root != AUTO and not root_named(root).on_medium
    if in_memory and not any(format.own_root for format in formats):
        wanted.pop(INIT, None)
    if encrypted and INIT in wanted:
        wanted[OPENER] = None
    return list(wanted)


def machines(formats: Sequence[Format]) -> tuple[str, ...]:
    """What `formats` run on, as `compose.drivers` names it; empty for anything."""
    if not all(format.machines for format in formats):
        return ()
    return tuple(sorted({machine for format in formats for machine in format.machines}))


def make(job: Job, formats: Sequence[Format]) -> list[Output]:
    """All outputs of `formats`, described but not yet written.

    A file that several formats share is there once. Raises `OutputError` (`format-conflict`) when
    two would write different files of one name.
    """
    outputs: dict[str, Output] = {}
    makers: dict[str, str] = {}
    for format in formats:
        for output in format.make(job):
            known = outputs.setdefault(output.suffix, output)
            if known is not output and tuple(known.pieces) != tuple(output.pieces):
                raise OutputError(
                    "format-conflict",
                    f"{makers[output.suffix]} and {format.name} write different files with the "
                    f"same name, NAME{output.suffix}",
                    hint="Build them in separate runs, with a different --name.",
                )
            makers.setdefault(output.suffix, format.name)
    return list(outputs.values())


def _unknown(name: str) -> OutputError:
    hint = did_you_mean(name, FORMATS, f"Use one of: {', '.join(sorted(FORMATS))}.")
    return OutputError("format-unknown", f"unknown output format {name!r}", hint=hint)
