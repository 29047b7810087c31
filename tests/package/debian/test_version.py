"""Version order against dpkg, on a table and on generated versions."""

from __future__ import annotations

import itertools
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.package.debian.version import compare, satisfies, version_key

ORDERED = [
    "0~~",
    "0~~a",
    "0~",
    "0",
    "0a",
    "0+",
    "1.0~rc1-1",
    "1.0-1~bpo12+1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1+deb13u10",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.2-3-1",
    "1.9",
    "1.10",
    "20240101",
    "1:0.1",
    "1:0.1-0.1",
    "10:0",
]
EQUAL = [("1.0", "1.0-0"), ("0:1.0", "1.0"), ("1.01", "1.1"), ("1.a", "1.a0"), ("1.0-00", "1.0")]


def dpkg(left: str, operator: str, right: str) -> bool:
    return (
        subprocess.run(
            ["dpkg", "--compare-versions", left, operator, right], stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


@pytest.mark.parametrize(("left", "right"), list(itertools.pairwise(ORDERED)))
def test_order(left: str, right: str) -> None:
    assert dpkg(left, "lt", right)
    assert (compare(left, right), compare(right, left), compare(left, left)) == (-1, 1, 0)


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal(left: str, right: str) -> None:
    assert dpkg(left, "eq", right)
    assert compare(left, right) == 0
    assert version_key(left) == version_key(right)


@pytest.mark.parametrize("operator", ["<<", "<=", "=", ">=", ">>", "<", ">"])
@pytest.mark.parametrize(("left", "right"), [("1", "2"), ("2", "1"), ("1-0", "1")])
def test_operators(operator: str, left: str, right: str) -> None:
    assert satisfies(left, operator, right) == dpkg(left, operator, right)


PART = st.text("0123456789ab~+.", max_size=6)
VERSIONS = st.builds(
    lambda epoch, digit, upstream, revision: f"{epoch}{digit}{upstream}{revision}",
    st.sampled_from(["", "0:", "1:"]),
    st.sampled_from("019"),
    PART,
    st.sampled_from(["", "-0", "-1~", "-1+b1", "-a-2"])
    | PART.filter(bool).map(lambda part: f"-{part}"),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(VERSIONS, VERSIONS)
def test_generated(left: str, right: str) -> None:
    expected = -1 if dpkg(left, "lt", right) else int(dpkg(left, "gt", right))
    assert compare(left, right) == expected
