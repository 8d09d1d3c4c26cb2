"""What a trade brought, in percent and in R."""

from __future__ import annotations

import pytest

from stateful_engine.domain.returns import outcome_of, pnl_percentage, r_multiple, risk_reward


def test_a_long_gains_when_the_price_rises_and_a_short_when_it_falls() -> None:
    assert pnl_percentage("BUY", 100.0, 103.0) == pytest.approx(3.0)
    assert pnl_percentage("SELL", 100.0, 103.0) == pytest.approx(-3.0)


def test_r_counts_the_result_in_units_of_the_initial_risk() -> None:
    assert r_multiple("BUY", 100.0, 98.0, 105.0) == pytest.approx(2.5)
    assert r_multiple("SELL", 100.0, 102.0, 105.0) == pytest.approx(-2.5)


@pytest.mark.parametrize(("action", "stop"), [("BUY", 101.0), ("BUY", 100.0), ("SELL", 99.0), ("HOLD", 99.0)])
def test_without_a_stop_on_the_losing_side_there_is_no_r(action: str, stop: float) -> None:
    assert r_multiple(action, 100.0, stop, 105.0) is None


def test_missing_prices_and_hold_give_none_rather_than_zero() -> None:
    assert pnl_percentage("HOLD", 100.0, 103.0) is None
    assert pnl_percentage("BUY", None, 103.0) is None
    assert pnl_percentage("BUY", 0.0, 103.0) is None
    assert pnl_percentage("BUY", 100.0, None) is None
    assert r_multiple("BUY", None, 98.0, 105.0) is None


def test_the_documented_signal_has_its_documented_ratio() -> None:
    assert risk_reward("BUY", 45000.0, 44200.0, 46500.0) == pytest.approx(1.875)


@pytest.mark.parametrize(
    ("r", "outcome"),
    [(0.051, "WIN"), (0.05, "BREAKEVEN"), (0.0, "BREAKEVEN"), (-0.05, "BREAKEVEN"), (-0.051, "LOSS")],
)
def test_a_result_within_a_twentieth_of_the_risk_is_breakeven(r: float, outcome: str) -> None:
    assert outcome_of(r) == outcome
