"""Results count at a fixed age, whatever resolved first."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from stateful_engine.domain.experiments import ExposedSignal, MaturityCounts, Ripeness, mature, matured_value
from stateful_engine.errors import InvalidInputError

CREATED = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
HORIZON = timedelta(hours=24)
DUE = CREATED + HORIZON
OPEN = ExposedSignal("u1", CREATED, "BUY", entry_price=100.0, stop_loss=98.0)
WON = replace(OPEN, exit_price=104.0, closed_at=CREATED + timedelta(hours=2))


def test_a_signal_that_resolved_early_still_waits_for_its_horizon() -> None:
    early = matured_value(WON, now=DUE - timedelta(microseconds=1), horizon=HORIZON)
    assert (early.ripeness, early.r) == (Ripeness.RUNNING, None)
    due = matured_value(WON, now=DUE, horizon=HORIZON)
    assert (due.ripeness, due.r) == (Ripeness.CLOSED, 2.0)


def test_a_signal_that_is_still_open_at_its_horizon_is_marked_to_market() -> None:
    marked = matured_value(replace(OPEN, mark_price=99.0), now=DUE, horizon=HORIZON)
    assert (marked.ripeness, marked.r) == (Ripeness.MARKED, -0.5)
    sold = ExposedSignal("u1", CREATED, "SELL", entry_price=100.0, stop_loss=102.0, mark_price=99.0)
    assert matured_value(sold, now=DUE, horizon=HORIZON).r == 0.5


def test_an_exit_after_the_horizon_does_not_count_but_the_price_at_the_horizon_does() -> None:
    late = replace(WON, closed_at=DUE + timedelta(seconds=1), mark_price=101.0)
    assert matured_value(late, now=DUE + HORIZON, horizon=HORIZON).r == 0.5
    without_price = replace(late, mark_price=None)
    assert matured_value(without_price, now=DUE + HORIZON, horizon=HORIZON).ripeness is Ripeness.UNMARKED


def test_an_exit_exactly_at_the_horizon_counts() -> None:
    assert matured_value(replace(WON, closed_at=DUE), now=DUE, horizon=HORIZON).ripeness is Ripeness.CLOSED


def test_a_known_r_wins_over_prices_and_needs_no_stop() -> None:
    known = ExposedSignal("u1", CREATED, "BUY", r=-1.0, closed_at=CREATED)
    assert matured_value(known, now=DUE, horizon=HORIZON).r == -1.0
    assert matured_value(replace(WON, r=1.7), now=DUE, horizon=HORIZON).r == 1.7


def test_a_trade_that_nobody_could_enter_is_worth_nothing_to_everybody() -> None:
    unfilled = matured_value(replace(OPEN, filled=False), now=DUE, horizon=HORIZON)
    assert (unfilled.ripeness, unfilled.r) == (Ripeness.UNFILLED, 0.0)


@pytest.mark.parametrize(
    "signal",
    [
        replace(OPEN, action="HOLD"),
        replace(OPEN, stop_loss=None),
        replace(OPEN, entry_price=None),
        replace(OPEN, stop_loss=100.0),
        replace(OPEN, stop_loss=101.0),
    ],
)
def test_advice_without_a_risk_has_no_r(signal: ExposedSignal) -> None:
    found = matured_value(signal, now=DUE, horizon=HORIZON)
    assert (found.ripeness, found.r) == (Ripeness.WITHOUT_RISK, None)


@pytest.mark.parametrize("field", ["created_at", "closed_at", "now"])
def test_naive_times_are_refused(field: str) -> None:
    naive = DUE.replace(tzinfo=None)
    signal = WON if field == "now" else replace(WON, **{field: naive})
    with pytest.raises(InvalidInputError, match="naive"):
        matured_value(signal, now=naive if field == "now" else DUE, horizon=HORIZON)


def test_a_horizon_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="horizon"):
        matured_value(WON, now=DUE, horizon=timedelta(0))


def test_an_arm_is_its_matured_values_and_the_count_of_everything_else() -> None:
    signals = [
        WON,
        replace(OPEN, mark_price=99.0, cluster="u2"),
        replace(OPEN, filled=False, cluster="u2"),
        OPEN,
        replace(WON, created_at=DUE),
        replace(OPEN, action="HOLD"),
    ]
    arm = mature(signals, now=DUE, horizon=HORIZON)
    assert arm.values == (("u1", 2.0), ("u2", -0.5), ("u2", 0.0))
    assert arm.counts == MaturityCounts(closed=1, marked=1, unfilled=1, running=1, unmarked=1, without_risk=1)
    assert (arm.counts.matured, arm.counts.due) == (3, 4)
    assert arm.counts.share == pytest.approx(3 / 5)
    assert arm.counts.unmarked_share == 0.25
    assert (arm.moments.n, arm.moments.mean) == (2, 0.5)
    assert (arm.wins.n, arm.wins.sum) == (3, 1)
    assert arm.counts + arm.counts == MaturityCounts(2, 2, 2, 2, 2, 2)


def test_an_arm_without_signals_is_empty_and_divides_by_nothing() -> None:
    arm = mature([], now=DUE, horizon=HORIZON)
    assert (arm.values, arm.counts.share, arm.counts.unmarked_share, arm.moments.n) == ((), None, 0.0, 0)
