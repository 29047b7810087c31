"""What a kernel brick must be: the version, the architecture and the configuration that its system
needs, and modules that the kernel will load.

Pure. Sources: the kernel's Kconfig; include/linux/vermagic.h and kernel/module/main.c
(`check_modinfo`) for what a kernel asks of a module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from compos.compose.depmod import Module
from compos.compose.elf import ElfError, machine
from compos.compose.kernel_facts import ELF_MACHINES
from compos.errors import PackageError

__all__ = ["require_architecture", "require_config", "require_elf", "require_loadable"]

BUILT_IN = {
    "BLK_DEV_INITRD": "the initrd",
    "DEVTMPFS": "/dev",
    "TMPFS": "/run and writable containers",
    "PROC_FS": "/proc",
    "SYSFS": "/sys",
    "BINFMT_ELF": "programs",
    "UNIX": "sockets between services",
    "FUTEX": "threads",
    "EPOLL": "init",
    "SIGNALFD": "init",
    "CGROUPS": "containers",
    "UTS_NS": "containers",
    "IPC_NS": "containers",
    "PID_NS": "containers",
    "NET_NS": "containers",
    "SECCOMP_FILTER": "confined containers",
}
"""Options that have to be `y`, and what is not there without them."""

BUILT_IN_OR_MODULE = {"OVERLAY_FS": "writable containers"}

_OPTION = re.compile(r"CONFIG_([A-Z0-9_]+)=([ym])")


def require_config(text: str, place: str) -> None:
    """Raise `PackageError` (`brick-kernel-config`) for a configuration without what init and
    containers need."""
    found = {match[1]: match[2] for match in map(_OPTION.fullmatch, text.split("\n")) if match}
    missing = {name: use for name, use in BUILT_IN.items() if found.get(name) != "y"}
    missing |= {name: use for name, use in BUILT_IN_OR_MODULE.items() if name not in found}
    if missing:
        listed = ", ".join(f"CONFIG_{name} ({use})" for name, use in sorted(missing.items()))
        raise PackageError(
            "brick-kernel-config",
            f"the kernel was built without what a system needs: {listed}",
            place=place,
            hint="Use a kernel that has these options.",
        )


def require_architecture(found: str, wanted: str, what: str, place: str) -> None:
    """Raise `PackageError` (`brick-kernel-architecture`) when `what` is for another architecture;
    an empty `found` is one that compos does not know."""
    if found != wanted:
        raise PackageError(
            "brick-kernel-architecture",
            f"{what} is for {found or 'an unknown architecture'}, but the brick is for {wanted}",
            place=place,
            hint="Set `arches` to what the files are for; ${arch} in their names is replaced by "
            "the architecture.",
        )


def require_elf(path: str, data: bytes, architecture: str) -> None:
    """Raise `PackageError` (`brick-module`, `brick-kernel-architecture`) for a module that is no
    ELF file for `architecture`."""
    try:
        found = ELF_MACHINES.get(machine(data), "")
    except ElfError as error:
        raise PackageError(
            "brick-module",
            f"the module is {error}",
            place=path,
            hint="Use the .ko file that the kernel's build made.",
        ) from error
    require_architecture(found, architecture, f"the module {path}", path)


def require_loadable(
    modules: Iterable[Module], added: Iterable[Module], builtin: str, version: str, place: str
) -> None:
    """Raise `PackageError` (`brick-module`) for modules that the kernel `version` would refuse.

    `modules` are its own, whose vermagic begins with its version; those `added` have to have the
    same one, and what they depend on has to be there or in `builtin` (`modules.builtin`).
    """
    own = list(modules)
    magics: dict[str, None] = {}
    for module in own:
        _require_version(module, version, place)
        if module.vermagic:
            magics[module.vermagic.strip()] = None
    others = list(added)
    names: Mapping[str, object] = dict.fromkeys(
        [module.name for module in (*own, *others)]
        + [re.sub(r".*/|\.ko.*", "", line).replace("-", "_") for line in builtin.split("\n")]
    )
    for module in others:
        _require_version(module, version, place)
        if magics and module.vermagic.strip() not in magics:
            raise PackageError(
                "brick-module",
                f"the module's vermagic is {module.vermagic.strip()!r}, but that of the kernel's "
                f"modules is {next(iter(magics))!r}",
                place=f"{place}: {module.path}",
                hint="Build it with the headers of just this kernel.",
            )
        if missing := [name for name in module.depends if name not in names]:
            raise PackageError(
                "brick-module",
                f"the module depends on {', '.join(missing)}, which the kernel does not have",
                place=f"{place}: {module.path}",
                hint="Add this module to kernel.extra-modules, too.",
            )


def _require_version(module: Module, version: str, place: str) -> None:
    words = module.vermagic.split()
    if words and words[0] != version:
        raise PackageError(
            "brick-module",
            f"the module was built for the kernel {words[0]}, but the kernel is {version}",
            place=f"{place}: {module.path}",
            hint="Build it with the headers of just this kernel.",
        )
