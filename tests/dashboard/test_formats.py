"""Numbers on a page: what is not known is a dash, and nothing else looks like a number that it is not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from stateful_engine.dashboard import formats

UNKNOWN: tuple[Any, ...] = (None, math.nan, math.inf, -math.inf, True, "12", "")


@pytest.mark.parametrize("value", UNKNOWN)
def test_what_is_no_number_is_a_dash(value: Any) -> None:
    for show in (formats.number, formats.signed, formats.percent, formats.r, formats.price, formats.duration):
        assert show(value) == "–"


@pytest.mark.parametrize(
    ("value", "number", "signed"),
    [
        (0, "0", "0"),
        (0.0, "0", "0"),
        (-0.0, "0", "0"),
        (-0.001, "0", "0"),
        (0.001, "0", "0"),
        (1234567, "1,234,567", "+1,234,567"),
        (1234.5, "1,234.5", "+1,234.5"),
        (-12.345, "−12.35", "−12.35"),
        (99.999, "100", "+100"),
        (100, "100", "+100"),
    ],
)
def test_numbers_have_the_digits_they_need_and_a_real_minus(value: float, number: str, signed: str) -> None:
    assert formats.number(value) == number
    assert formats.signed(value) == signed


def test_prices_keep_the_digits_of_cheap_coins() -> None:
    assert formats.price(0.00001234) == "0.00001234"
    assert formats.price(45123.5) == "45,123.5"
    assert formats.price(-3) == "−3"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.94, "59.9 s"), (90, "1.5 min"), (7200, "2 h"), (86400 * 3, "3 d")]
)
def test_durations_come_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_intervals_times_and_texts_are_escaped_and_never_none() -> None:
    assert formats.interval(None) == formats.text(None) == formats.text("") == formats.moment(None) == "–"
    assert formats.interval([-1.5, 2.0], " %") == "−1.5 to 2 %"
    assert formats.text("<b>") == "&lt;b&gt;"
    assert formats.moment("2026-01-02T03:04:05+00:00") == (
        '<time datetime="2026-01-02T03:04:05+00:00">2026-01-02 03:04</time>'
    )
    assert "<i>" not in formats.moment("<i>")
