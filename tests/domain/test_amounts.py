"""Bins of R: a quarter wide from -5 to +5, each with its lower end, open on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.domain import amounts


@pytest.mark.parametrize(
    ("r", "number"),
    [
        *((0.0, 0), (0.249999, 0), (0.25, 1), (-0.000001, -1), (-0.25, -1)),
        *((-5.0, -20), (-5.000001, -21), (-80.0, -21), (4.999999, 19), (5.0, 20), (900.0, 20)),
    ],
)
def test_a_bin_includes_its_lower_end_and_the_outer_ones_are_open(r: float, number: int) -> None:
    assert amounts.r_bin(amounts.units(r, amounts.MAX_R) or 0) == number


@given(st.integers(-10_000_000, 10_000_000))
def test_every_result_is_in_one_bin(amount: int) -> None:
    number = amounts.r_bin(amount)
    assert number in amounts.R_BINS
    if number not in (amounts.R_BINS[0], amounts.R_BINS[-1]):
        assert number * amounts.R_BIN <= amount < (number + 1) * amounts.R_BIN
