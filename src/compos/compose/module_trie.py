"""The binary form of the module indexes, tries from names to values, as kmod reads them. Pure.

Source: kmod, `libkmod-index.c` (the comment "Index file format"): integers are 32 bits, big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from compos.compose.depmod import module_name

__all__ = ["binary_indexes", "module_trie"]

MAGIC = 0xB007F457
VERSION = 0x0002_0001
NODE_PREFIX, NODE_VALUES, NODE_CHILDREN = 0x8000_0000, 0x4000_0000, 0x2000_0000
"""In the offset of a node: which parts it has."""

_WORD = struct.Struct(">I")

Pairs = Sequence[tuple[bytes, int, bytes]]


def module_trie(entries: Iterable[tuple[str, str]]) -> bytes:
    """The index of `entries`, each a key and a value; equal keys keep their order, which is their
    priority.

    Keys are of ASCII without control characters, or `ValueError`.
    """
    pairs: list[tuple[bytes, int, bytes]] = []
    for number, (key, value) in enumerate(entries):
        encoded = key.encode("ascii")
        if any(byte < 32 or byte > 126 for byte in encoded):
            raise ValueError(f"{key!r} cannot be a key")
        pairs.append((encoded, number, value.encode("utf-8", "surrogateescape")))
    out = bytearray(_WORD.pack(MAGIC) + _WORD.pack(VERSION) + bytes(4))
    root = _write(sorted(pairs), 0, out)
    _WORD.pack_into(out, 8, root)
    return bytes(out)


def binary_indexes(texts: Mapping[str, bytes]) -> dict[str, bytes]:
    """The binary indexes that say what these text files say; both by name, as in
    `lib/modules/VERSION`."""

    def lines(name: str) -> list[str]:
        text = texts.get(name, b"").decode("utf-8", "surrogateescape")
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    return {
        "modules.dep.bin": module_trie(
            (module_name(line.partition(":")[0]), line) for line in lines("modules.dep")
        ),
        "modules.alias.bin": module_trie(_aliases(lines("modules.alias"))),
        "modules.builtin.bin": module_trie(
            (module_name(line), "") for line in lines("modules.builtin")
        ),
        "modules.builtin.alias.bin": module_trie(_aliases(lines("modules.builtin.alias"))),
        "modules.symbols.bin": module_trie(()),
    }


def _aliases(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Aliases with the module of each; in aliases, - and _ are the same except in brackets."""
    for line in lines:
        _, alias, name = line.split(None, 2)
        if alias.isascii() and alias.isprintable():
            yield _underscored(alias), name


def _underscored(alias: str) -> str:
    out, depth = [], 0
    for character in alias:
        depth += (character == "[") - (character == "]")
        out.append("_" if character == "-" and depth == 0 else character)
    return "".join(out)


def _write(pairs: Pairs, depth: int, out: bytearray) -> int:
    """Append the node for `pairs`, whose keys are equal up to `depth`, children first; returns its
    offset with flags."""
    if not pairs:
        # An empty index is a node with nothing.
        return len(out)
    first, last = pairs[0][0], pairs[-1][0]
    end = depth
    # The root has no prefix, as depmod has it.
    while depth > 0 and end < min(len(first), len(last)) and first[end] == last[end]:
        end += 1
    values = [pair for pair in pairs if len(pair[0]) == end]
    longer = pairs[len(values) :]
    children: dict[int, int] = {}
    begin = 0
    while begin < len(longer):
        byte = longer[begin][0][end]
        stop = begin
        while stop < len(longer) and longer[stop][0][end] == byte:
            stop += 1
        children[byte] = _write(longer[begin:stop], end + 1, out)
        begin = stop
    offset = len(out)
    prefix = first[depth:end]
    if prefix:
        offset |= NODE_PREFIX
        out += prefix + b"\0"
    if children:
        offset |= NODE_CHILDREN
        low, high = min(children), max(children)
        out += bytes((low, high))
        out += b"".join(_WORD.pack(children.get(byte, 0)) for byte in range(low, high + 1))
    if values:
        offset |= NODE_VALUES
        out += _WORD.pack(len(values))
        for _, priority, value in sorted(values, key=lambda pair: pair[1]):
            out += _WORD.pack(priority) + value + b"\0"
    return offset
