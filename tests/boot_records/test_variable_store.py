"""A virtual machine's variable store with keys in it: known bytes, templates of Debian's packages,
and what is no template. That firmware takes it is seen in tests/boot/test_secure_boot.py."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compos.boot.efi_signatures import PK
from compos.boot.variable_store import SECURE_BOOT_ENABLE, Stored, contents_of, with_variables
from tests.records import fields

VARIABLE = {
    "StartId": (0, "H"), "State": (2, "B"), "Attributes": (4, "I"), "MonotonicCount": (8, "Q"),
    "TimeStamp": (16, "16s"), "PubKeyIndex": (32, "I"), "NameSize": (36, "I"),
    "DataSize": (40, "I"), "VendorGuid": (44, "16s"),
}  # fmt: skip
"""EDK II, AUTHENTICATED_VARIABLE_HEADER."""

NEW = [
    Stored(PK, 0x27, b"abc", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    Stored(SECURE_BOOT_ENABLE, 3, b"\1"),
]


def template(*, size: int = 4096, variables: bytes = b"") -> bytes:
    """A volume with one block and an empty store."""
    guid = bytes.fromhex("8d2bf1ff96768b4ca9852747075b4f50")
    volume = (
        bytes(16)
        + guid
        + struct.pack("<Q4sIHHHBBIIQ", size, b"_FVH", 0, 72, 0, 0, 0, 2, 1, size, 0)
    )
    kind = bytes.fromhex("782cf3aa7b949a43a1802e144ec37792")
    store = kind + struct.pack("<IBB6x", size - 72, 0x5A, 0xFE)
    return (volume + store + variables).ljust(size, b"\xff")


def test_known_bytes() -> None:
    made = with_variables(template(), NEW)
    assert len(made) == 4096
    assert made[:100] == template()[:100]
    assert fields(made[100:], "<", VARIABLE) == {
        "StartId": 0x55AA, "State": 0x3F, "Attributes": 0x27, "MonotonicCount": 0,
        "TimeStamp": bytes.fromhex("ea0701020304050000000000" + "00000000"), "PubKeyIndex": 0,
        "NameSize": 6, "DataSize": 3, "VendorGuid": bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c"),
    }  # fmt: skip
    assert made[160:172] == b"P\0K\0\0\0abc\xff\xff\xff"
    assert fields(made[172:], "<", VARIABLE)["Attributes"] == 3
    assert made[232:268] == "SecureBootEnable".encode("utf-16-le") + b"\0\0\1\xff"
    assert made[268:].strip(b"\xff") == b""


def test_what_is_there_stays() -> None:
    first = with_variables(template(), NEW[:1])
    assert with_variables(first, NEW[1:]) == with_variables(template(), NEW)


@pytest.mark.parametrize("path", ["OVMF_VARS.fd", "OVMF_VARS_4M.fd"])
def test_the_templates_of_packages(path: str) -> None:
    data = Path("/usr/share/OVMF", path).read_bytes()
    made = with_variables(data, NEW)
    assert len(made) == len(data)
    changed = [at for at in range(0, len(data), 4) if made[at : at + 4] != data[at : at + 4]]
    assert changed[-1] - changed[0] < 168


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off"),
        (bytes(4096), "no variable store"),
        (template()[:90], "cut off"),
        (template()[:3000], "cut off"),
        (template().replace(b"\x5a\xfe", b"\x5a\xff"), "damaged"),
        (template(variables=b"x" * 80), "damaged"),
        (template(variables=struct.pack("<HBxI", 0x55AA, 0x3F, 7) + b"\xff" * 52), "damaged"),
        (with_variables(template(), NEW), "PK already"),
        (template(size=200), "no room"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_templates(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        with_variables(data, NEW)


def test_contents() -> None:
    data = with_variables(template(), NEW)
    assert contents_of(data, PK) == b"abc"
    assert contents_of(data, SECURE_BOOT_ENABLE) == b"\1"
    assert contents_of(template(), PK) is None
    with pytest.raises(ValueError, match="cut off"):
        contents_of(data[:50], PK)
