"""Reading ELF files: what a program is linked against, and a kernel module's sections.
Bounds-checked; pure.

Source: System V ABI, "Object Files" (gABI 4.1): 64-bit little-endian files, as of x86-64, AArch64
and RISC-V.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["Elf", "ElfError", "machine", "read_elf", "section"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_SONAME = 0, 1, 5, 10, 14
SHT_NOBITS = 8
MAX_NAME = 4096


class ElfError(ValueError):
    """Not an ELF file that we can read."""


class Elf(NamedTuple):
    """What the dynamic linker would read; empty strings and tuples where the file says nothing."""

    machine: int
    interpreter: str
    needed: tuple[str, ...]
    soname: str


def read_elf(data: bytes) -> Elf:
    """The dynamic section of `data`. Raises `ElfError`."""
    header = _header(data)
    segments = [
        _unpack(_PROGRAM, data, header[5] + index * header[9], "program header")
        for index in range(header[10])
    ]
    interpreter = ""
    needed: list[int] = []
    soname = strings = None
    for kind, _, offset, _, _, size, _, _ in segments:
        if kind == PT_INTERP:
            interpreter = _text(data, offset, offset + size)
        elif kind == PT_DYNAMIC:
            for at in range(offset, offset + size - _DYNAMIC.size + 1, _DYNAMIC.size):
                tag, value = _unpack(_DYNAMIC, data, at, "dynamic section")
                if tag == DT_NULL:
                    break
                if tag == DT_NEEDED:
                    needed.append(value)
                elif tag == DT_SONAME:
                    soname = value
                elif tag == DT_STRTAB:
                    strings = value
    if strings is None:
        return Elf(header[2], interpreter, (), "")
    base = _file_offset(segments, strings)
    return Elf(
        header[2],
        interpreter,
        tuple(_text(data, base + at, len(data)) for at in needed),
        _text(data, base + soname, len(data)) if soname is not None else "",
    )


def machine(data: bytes) -> int:
    """`e_machine` of an ELF file. Raises `ElfError`."""
    return _header(data)[2]


def section(data: bytes, name: str) -> bytes:
    """The contents of the section `name`, empty when there is none. Raises `ElfError`."""
    header = _header(data)
    table, size, count, names_index = header[6], header[11], header[12], header[13]
    if count == 0:
        return b""
    names = _unpack(_SECTION, data, table + names_index * size, "section header")
    wanted = name.encode() + b"\0"
    for index in range(count):
        fields = _unpack(_SECTION, data, table + index * size, "section header")
        at = names[4] + fields[0]
        if data[at : at + len(wanted)] == wanted:
            if fields[1] == SHT_NOBITS:
                return b""
            if fields[4] + fields[5] > len(data):
                raise ElfError(f"the section {name} extends beyond the end of the file")
            return data[fields[4] : fields[4] + fields[5]]
    return b""


def _header(data: bytes) -> tuple[int, ...]:
    # e_ident: magic, ELFCLASS64, ELFDATA2LSB
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < _HEADER.size:
        raise ElfError("not a 64-bit little-endian ELF file")
    fields: tuple[int, ...] = _HEADER.unpack_from(data)
    if (fields[10] and fields[9] < _PROGRAM.size) or (fields[12] and fields[11] < _SECTION.size):
        raise ElfError("impossible header sizes")
    return fields


def _unpack(form: struct.Struct, data: bytes, offset: int, what: str) -> tuple[int, ...]:
    if offset < 0 or offset + form.size > len(data):
        raise ElfError(f"the {what} extends beyond the end of the file")
    return form.unpack_from(data, offset)


def _text(data: bytes, start: int, end: int) -> str:
    stop = data.find(b"\0", start, min(end, start + MAX_NAME))
    if not 0 <= start <= len(data) or stop < 0:
        raise ElfError("a name is not terminated")
    return data[start:stop].decode("utf-8", "surrogateescape")


def _file_offset(segments: list[tuple[int, ...]], address: int) -> int:
    for kind, _, offset, virtual, _, size, _, _ in segments:
        if kind == PT_LOAD and virtual <= address < virtual + size:
            return offset + address - virtual
    raise ElfError("the string table is not in a loaded segment")
