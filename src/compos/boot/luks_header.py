"""What the header of a LUKS2 volume says of who opens it.

Reads the volume's first bytes, which anybody may have written. Source: "LUKS2 On-Disk Format
Specification" 1.1.2, sections 2 (binary header) and 3 (JSON area); of the tokens, systemd's
documentation of `systemd-cryptenroll`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from compos.image.json_document import parse_json

__all__ = ["openers"]

MAGIC = b"LUKS\xba\xbe"
# [LUKS2] 2.1: magic, version, size of the header with its JSON area in bytes.
_HEADER = struct.Struct(">6sHQ")
VERSION = 2
JSON_AT = 4096
MAX_HEADER = 4 << 20
"""Bytes; the specification has no larger ones."""
MAX_TOKENS = 32


def openers(read: Callable[[int, int], bytes]) -> list[str] | None:
    """What opens the volume whose bytes `read(offset, length)` returns, in words: a TPM with its
    PCRs, a recovery key. None if it is not encrypted with LUKS2; empty for passphrases alone, and
    where the header is damaged."""
    head = read(0, _HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, version, size = _HEADER.unpack(head)
    if magic != MAGIC or version != VERSION:
        return None
    if not JSON_AT < size <= MAX_HEADER:
        return []
    text = read(JSON_AT, size - JSON_AT).split(b"\0", 1)[0]
    try:
        document = parse_json(text, limit=MAX_HEADER)
    except ValueError:
        return []
    tokens = document.get("tokens") if isinstance(document, dict) else None
    found = list(tokens.values())[:MAX_TOKENS] if isinstance(tokens, dict) else []
    words = (_opener(token) for token in found if isinstance(token, dict))
    return [one for one in words if one]


def _opener(token: dict[str, Any]) -> str:
    kind = token.get("type")
    if kind == "systemd-tpm2":
        bound = [_numbers(token.get("tpm2-pcrs"), "by value")]
        bound.append(_numbers(token.get("tpm2_pubkey_pcrs"), "by signature"))
        words = ", ".join(one for one in bound if one) or "whatever it has started"
        return f"the TPM 2.0 ({words}{', with a PIN' if token.get('tpm2-pin') is True else ''})"
    known = {"compos-tpm12": "the TPM 1.2", "systemd-recovery": "a recovery key"}
    return known.get(kind, "") if isinstance(kind, str) else ""


def _numbers(pcrs: object, how: str) -> str:
    given = pcrs if isinstance(pcrs, list) else []
    numbers = [str(pcr) for pcr in given if type(pcr) is int and 0 <= pcr < 24]
    return f"PCR {', '.join(numbers)} {how}" if numbers else ""
