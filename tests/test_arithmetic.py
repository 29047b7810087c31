from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from compos.arithmetic import align_up, ceil_div


@settings(deadline=None)
@given(st.integers(0, 1 << 70), st.integers(1, 1 << 40))
def test_rounding_up_adds_less_than_a_unit(value: int, unit: int) -> None:
    assert 0 <= ceil_div(value, unit) * unit - value < unit
    assert align_up(value, unit) == ceil_div(value, unit) * unit
