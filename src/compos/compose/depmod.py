"""The kernel's module index: what depmod writes, as text files, natively. Pure.

Source: modules.dep(5), depmod.d(5), and the kernel's include/linux/module.h (MODULE_INFO, kept in
the section `.modinfo`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from compos.compose.elf import ElfError, section
from compos.compose.kernel_image import KernelImageError, decompressed

__all__ = ["SUFFIXES", "Module", "index_files", "module_closure", "module_name", "read_module"]


SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")
"""How module files end, compressed or not (modprobe(8))."""

MAX_MODULE = 128 << 20
"""Bytes of a module without its compression; the largest that distributions have, a graphics
driver, has 30 MB."""


class Module(NamedTuple):
    """One module: `path` relative to `lib/modules/VERSION`, `name` with underscores, and its
    `.modinfo`."""

    path: str
    name: str
    depends: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    softdeps: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    vermagic: str = ""


def module_name(path: str) -> str:
    """`kernel/fs/nls/nls_iso8859-1.ko` → `nls_iso8859_1`."""
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def read_module(path: str, data: bytes) -> Module:
    """The module in `data`, compressed or not; one that is not an ELF file has a name and nothing
    else."""
    try:
        info = section(decompressed(data, MAX_MODULE) or data, ".modinfo")
    except (ElfError, KernelImageError):
        info = b""
    values: dict[str, list[str]] = {}
    for record in info.split(b"\0"):
        key, equals, value = record.partition(b"=")
        if equals:
            values.setdefault(key.decode("ascii", "replace"), []).append(
                value.decode("utf-8", "replace")
            )
    depends = [
        name.replace("-", "_")
        for text in values.get("depends", ())
        for name in text.split(",")
        if name
    ]
    return Module(
        path,
        module_name(path),
        tuple(depends),
        tuple(values.get("alias", ())),
        tuple(values.get("softdep", ())),
        tuple(values.get("firmware", ())),
        values.get("vermagic", [""])[0],
    )


def module_closure(modules: Mapping[str, Module], names: Iterable[str]) -> tuple[str, ...]:
    """`names` and everything that they depend on, dependencies first; unknown names (built in) are
    left out."""
    done: dict[str, None] = {}
    for name in names:
        _visit(modules, name, done, frozenset())
    return tuple(done)


def _visit(
    modules: Mapping[str, Module], name: str, done: dict[str, None], above: frozenset[str]
) -> None:
    if name in done or name in above or name not in modules:
        return
    for dependency in modules[name].depends:
        _visit(modules, dependency, done, above | {name})
    done[name] = None


def index_files(
    modules: Iterable[Module], *, order: bytes, builtin_modinfo: bytes
) -> dict[str, bytes]:
    """The index files by name; the arguments are the files of these names that the kernel's build
    made."""
    ordered = _in_order(modules, order)
    by_name = {module.name: module for module in ordered}
    return {
        "modules.dep": _lines(_dependencies(by_name, module) for module in ordered),
        "modules.alias": _lines(
            ["# Aliases extracted from modules themselves."]
            + [f"alias {alias} {module.name}" for module in ordered for alias in module.aliases]
        ),
        "modules.softdep": _lines(
            ["# Soft dependencies extracted from modules themselves."]
            + [f"softdep {module.name} {text}" for module in ordered for text in module.softdeps]
        ),
        "modules.builtin.alias": _lines(_builtin_aliases(builtin_modinfo)),
    }


def _in_order(modules: Iterable[Module], order: bytes) -> list[Module]:
    """As in `modules.order`, the rest by path: for equal aliases the first one wins."""
    rank = {line: index for index, line in enumerate(order.decode("utf-8", "replace").split())}
    return sorted(modules, key=lambda module: (rank.get(module.path, len(rank)), module.path))


def _dependencies(modules: Mapping[str, Module], module: Module) -> str:
    # modprobe loads from the right: what others need stands last.
    needed = [name for name in module_closure(modules, module.depends) if name != module.name]
    return f"{module.path}:" + "".join(f" {modules[name].path}" for name in reversed(needed))


def _builtin_aliases(builtin_modinfo: bytes) -> Sequence[str]:
    aliases = []
    for record in builtin_modinfo.split(b"\0"):
        name, _, rest = record.decode("utf-8", "replace").partition(".")
        key, _, value = rest.partition("=")
        if key == "alias":
            aliases.append(f"alias {value} {name}")
    return aliases


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
