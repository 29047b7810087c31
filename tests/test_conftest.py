"""What `conftest.py` says where long values differ."""

from __future__ import annotations

import pytest

LONG = bytes(200_000)


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (LONG, LONG[:-1] + b"x", "200000 and 200000 bytes differ from offset 199999 on"),
        (LONG, LONG[:-1], "200000 and 199999 bytes differ from offset 199999 on"),
        (LONG[:70_000], LONG, "70000 and 200000 bytes differ from offset 70000 on"),
    ],
    ids=["one byte", "a byte less", "a beginning"],
)
def test_long_bytes_are_not_printed(left: bytes, right: bytes, said: str) -> None:
    with pytest.raises(AssertionError, match=said) as caught:
        assert left == right
    assert len(str(caught.value)) < 1000
