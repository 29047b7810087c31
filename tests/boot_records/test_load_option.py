"""A boot option, by the offsets of the UEFI specification."""

from __future__ import annotations

from compos.boot.load_option import only_url

URL = "http://192.0.2.1/boot.efi"


def test_bytes() -> None:
    option, order = only_url(URL)
    assert (option.variable.name, order.variable.name) == ("Boot0000", "BootOrder")
    assert str(option.variable.vendor) == "8be4df61-93ca-11d2-aa0d-00e098032b8c"
    assert (option.attributes, order.attributes, order.data) == (7, 7, b"\0\0")
    path = b"\x03\x18\x1d\x00http://192.0.2.1/boot.efi" + b"\x7f\xff\x04\x00"
    assert option.data == b"\x01\0\0\0" + b"\x21\0" + "network\0".encode("utf-16-le") + path
