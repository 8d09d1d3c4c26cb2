"""Numbers are read as hosts write them, and never guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stateful_engine.domain.numbers import (
    confidence_number,
    finite_number,
    parse_confidence,
    parse_price,
    parse_price_range,
    parse_ratio,
)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        (45000, 45000.0),
        (1.0852, 1.0852),
        (Decimal("0.1"), 0.1),
        ("43500", 43500.0),
        ("$43,500.00", 43500.0),
        ("44,200", 44200.0),
        ("1,234,567.8", 1234567.8),
        ("43.500,00", 43500.0),
        ("1.234.567", 1234567.0),
        ("1,0852", 1.0852),
        ("0,850", 0.85),
        ("2650 USD", 2650.0),
        ("Rp 1.050.000.000", 1.05e9),
        ("~43500", 43500.0),
        ("45000 (-2%)", 45000.0),
        ("TP1: 44,200", 44200.0),
        ("1e3", 1000.0),
        (".5", 0.5),
    ],
)
def test_prices_are_read_from_numbers_and_their_text(value: object, price: float) -> None:
    assert parse_price(value) == price


@pytest.mark.parametrize(
    "value",
    [
        0,
        0.0,
        "0",
        -1,
        "-43500",
        float("nan"),
        float("inf"),
        "NaN",
        "Infinity",
        "Below spring low",
        "2%",
        "",
        None,
        True,
        [1],
        {},
        10**400,
        1e16,
        "1" * 100,
    ],
)
def test_what_is_no_price_is_missing(value: object) -> None:
    assert parse_price(value) is None


@pytest.mark.parametrize(
    ("text", "low_and_high"),
    [
        ("43300-43500", (43300.0, 43500.0)),
        ("43,500 – 43,300", (43300.0, 43500.0)),
        ("$43,300 to $43,500", (43300.0, 43500.0)),
        ("43500", None),
        ("support - resistance", None),
        ("0-5", None),
        ("4" * 100, None),
    ],
)
def test_ranges_are_two_prices_in_order(text: str, low_and_high: tuple[float, float] | None) -> None:
    assert parse_price_range(text) == low_and_high


@pytest.mark.parametrize(
    ("value", "confidence"),
    [
        (0.85, 85.0),
        (1.0, 100.0),
        (1, 1.0),
        (0, 0.0),
        (0.0, 0.0),
        (1.2, 1.2),
        (85.5, 85.5),
        (100, 100.0),
        (Decimal("0.5"), 50.0),
        ("85%", 85.0),
        ("85", 85.0),
        ("0.85", 85.0),
        ("1", 1.0),
        ("1.0", 100.0),
        ("0,85", 85.0),
        ("0.85%", 0.85),
        ("8/10", 80.0),
        ("85/100", 85.0),
        ("HIGH (61.3%)", 61.3),
    ],
)
def test_confidences_end_on_the_scale_of_a_hundred(value: object, confidence: float) -> None:
    assert parse_confidence(value) == pytest.approx(confidence)


@pytest.mark.parametrize(
    "value",
    [150, -1, 100.5, "150%", "-5%", True, None, "HIGH", "6/7 bullish", "5/0", "nan", float("nan"), [80], "9" * 100],
)
def test_what_is_no_confidence_is_none(value: object) -> None:
    assert parse_confidence(value) is None


def test_a_confidence_out_of_range_is_told_apart_from_prose() -> None:
    assert confidence_number(150) == 150.0
    assert confidence_number("-5%") == -5.0
    assert confidence_number("HIGH") is None


@pytest.mark.parametrize(
    ("value", "ratio"),
    [
        (2.5, 2.5),
        ("2.5", 2.5),
        ("1:2.5", 2.5),
        ("2.5:1", 2.5),
        ("2:3", 1.5),
        (-0.5, -0.5),
        ("0:1", None),
        ("a:b", None),
    ],
)
def test_ratios_are_reward_for_one_risk(value: object, ratio: float | None) -> None:
    assert parse_ratio(value) == ratio


def test_a_number_of_endless_digits_is_not_finite() -> None:
    assert finite_number(10**5000) is None
    assert finite_number(True) is None
    assert finite_number(object()) is None
