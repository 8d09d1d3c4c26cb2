"""Open signals and candles: what gets closed, what stays open and why, and what is never touched twice."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from stateful_engine.domain.barriers import RESOLVER_VERSION
from stateful_engine.errors import InvalidInputError
from stateful_engine.extension import Runtime
from stateful_engine.services.outcomes import (
    CLOSED_MEANWHILE,
    NO_CANDLES,
    Outcomes,
    ResolutionReport,
    resolve_outcomes,
)
from stateful_engine.storage import journal
from stateful_engine.storage.signals import RESULT_COLUMNS
from tests.factories import MOMENT

HOUR = timedelta(hours=1)
START = MOMENT.replace(minute=0, second=0, microsecond=0) + HOUR
"""When the first candle after `MOMENT` opens."""

LONG = {
    "symbol": "BTCUSDT",
    "timeframe": "1H",
    "action": "BUY",
    "entry_price": 100.0,
    "stop_loss": 98.0,
    "take_profit": 104.0,
}
QUIET = (100.0, 101.0, 99.0, 100.0)
UP = (100.0, 105.0, 99.5, 104.5)
DOWN = (100.0, 100.5, 97.0, 97.5)
BOTH = (100.0, 105.0, 97.0, 104.0)


def candles(*bars: tuple[float, ...], start: datetime = START, step: timedelta = HOUR) -> list[tuple[float, ...]]:
    return [((start + number * step).timestamp() * 1000, *bar) for number, bar in enumerate(bars)]


def save(runtime: Runtime, **changes: Any) -> str:
    return runtime.state_manager.save_signal_history(LONG | changes, durable=True)


def stored(runtime: Runtime, signal_id: str) -> dict[str, Any]:
    found = runtime.state_manager.get_signal(signal_id)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def at_the_moment(clock: Any) -> Any:
    return clock


@pytest.fixture
def outcomes(runtime: Runtime) -> Outcomes:
    return Outcomes(runtime.database, runtime.recorder, on_change=runtime.analytics.invalidate)


def resolve(outcomes: Outcomes, clock: Any, *bars: tuple[float, ...], **options: Any) -> ResolutionReport:
    clock.set(MOMENT + timedelta(days=2))
    return outcomes.resolve({("BTCUSDT", "1H"): candles(*bars)}, **options)


def test_a_signal_whose_target_was_reached_is_closed_with_all_that_is_known(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    signal_id = save(runtime)
    report = resolve(outcomes, clock, QUIET, UP)
    found = stored(runtime, signal_id)
    assert (found["outcome"], found["exit_reason"], found["exit_price"]) == ("WIN", "TP", 104.0)
    assert found["closed_at"] == (START + HOUR).isoformat()
    assert (found["pnl_percentage"], found["r_multiple"]) == (pytest.approx(4.0), pytest.approx(2.0))
    assert (found["mfe_r"], found["mae_r"]) == (pytest.approx(2.0), pytest.approx(-0.5))
    assert (found["mfe_pct"], found["mae_pct"]) == (pytest.approx(4.0), pytest.approx(-1.0))
    assert (found["resolved_by"], found["resolver_version"]) == ("barrier", RESOLVER_VERSION)
    assert (found["candle_source"], found["ambiguity_policy"]) == ("given:BTCUSDT-1H", "pessimistic")
    assert (found["ambiguous"], found["data_gap"]) == (False, False)
    assert (report.resolved, report.outcomes["WIN"], report.exit_reasons["TP"]) == (1, 1, 1)


def test_a_signal_that_has_an_outcome_is_never_resolved_again(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    by_hand, by_candles = save(runtime), save(runtime)
    runtime.state_manager.record_outcome(by_hand, "LOSS", pnl_percentage=-1.0)
    assert resolve(outcomes, clock, UP).resolved == 1
    before = [stored(runtime, by_hand), stored(runtime, by_candles)]
    assert resolve(outcomes, clock, DOWN).resolved == 0
    assert [stored(runtime, by_hand), stored(runtime, by_candles)] == before
    assert before[0]["outcome"] == "LOSS"


def test_what_a_person_says_beats_what_candles_say(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    signal_id = save(runtime)
    resolve(outcomes, clock, UP)
    runtime.state_manager.record_outcome(signal_id, "LOSS", pnl_percentage=-3.0)
    found = stored(runtime, signal_id)
    assert (found["outcome"], found["pnl_percentage"], found["resolved_by"]) == ("LOSS", -3.0, "manual")
    assert [found[name] for name in ("mfe_r", "candle_source", "ambiguous", "r_multiple")] == [None] * 4
    assert resolve(outcomes, clock, UP).resolved == 0


def test_a_signal_that_somebody_closes_during_the_run_keeps_that_outcome(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    signal_id = save(runtime)

    def close_first(done: int, total: int) -> None:
        if not done:
            runtime.state_manager.record_outcome(signal_id, "BREAKEVEN")

    report = resolve(outcomes, clock, UP, progress=close_first)
    assert (report.resolved, report.left_open) == (0, {CLOSED_MEANWHILE: 1})
    assert stored(runtime, signal_id)["outcome"] == "BREAKEVEN"


def test_the_report_says_why_signals_stayed_open(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    save(runtime, action="HOLD")
    save(runtime, entry_price=None)
    save(runtime, stop_loss=None, take_profit=None)
    save(runtime, stop_loss=101.0)
    save(runtime, take_profit=99.0)
    save(runtime, take_profit=200.0)
    save(runtime, timeframe="15m")
    closed = save(runtime)
    report = resolve(outcomes, clock, QUIET, UP)
    assert report.left_open == {
        "HOLD is no trade": 1,
        "there is no entry price": 1,
        "there is neither a stop loss nor a take profit": 1,
        "the stop loss is on the wrong side of the entry": 1,
        "the take profit is on the wrong side of the entry": 1,
        "the candles end before a barrier was reached": 1,
        NO_CANDLES: 1,
    }
    assert report.resolved == 1
    assert stored(runtime, closed)["outcome"] == "WIN"


def test_a_dry_run_reports_and_writes_nothing(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    signal_id = save(runtime)
    report = resolve(outcomes, clock, UP, dry_run=True)
    assert (report.dry_run, report.resolved, report.outcomes) == (True, 1, {"WIN": 1})
    assert stored(runtime, signal_id)["outcome"] == "PENDING"


def test_a_candle_that_is_still_running_does_not_count(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    signal_id = save(runtime)
    given = {("BTCUSDT", "1H"): candles(QUIET, UP)}
    clock.set(START + 2 * HOUR - timedelta(milliseconds=1))
    assert outcomes.resolve(given).resolved == 0
    clock.set(START + 2 * HOUR)
    assert outcomes.resolve(given).resolved == 1
    assert stored(runtime, signal_id)["exit_reason"] == "TP"


def test_a_candle_that_opened_before_the_signal_does_not_count(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    signal_id = save(runtime)
    clock.set(MOMENT + timedelta(days=2))
    outcomes.resolve({("BTCUSDT", "1H"): candles(UP, DOWN, start=START - HOUR)})
    assert stored(runtime, signal_id)["exit_reason"] == "SL"


def test_an_ambiguous_candle_is_settled_by_finer_candles_or_by_the_policy(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    save(runtime)
    coarse = {("BTCUSDT", "1H"): candles(BOTH)}
    quarter = timedelta(minutes=15)
    finer = {("BTCUSDT", "15m"): candles(QUIET, UP, DOWN, QUIET, step=quarter)}
    clock.set(MOMENT + timedelta(days=2))
    pessimistic = outcomes.resolve(coarse, dry_run=True)
    assert (pessimistic.outcomes, pessimistic.ambiguous) == ({"LOSS": 1}, 1)
    drilled = outcomes.resolve(coarse | finer, dry_run=True)
    assert (drilled.outcomes, drilled.ambiguous) == ({"WIN": 1}, 0)
    optimistic = outcomes.resolve(coarse, policy="optimistic", dry_run=True)
    assert (optimistic.outcomes, optimistic.ambiguous) == ({"WIN": 1}, 1)
    assert outcomes.resolve(coarse, policy="skip", dry_run=True).resolved == 0


def test_a_moved_stop_takes_effect_from_the_next_candle_and_r_keeps_the_first_stop(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    by_id, by_ticket, other = save(runtime), save(runtime), save(runtime)
    with runtime.database.transaction() as session:
        moved = {"event": "trailing_stop_adjusted", "sl": 99.5, "timestamp": START + timedelta(minutes=5)}
        journal.insert(session, moved | {"signal_id": by_id})
        journal.insert(session, moved | {"ticket": "7"})
        journal.insert(session, {"event": "trade_exec", "ticket": "7", "signal_id": by_ticket, "timestamp": START})
    resolve(outcomes, clock, QUIET, (100.0, 101.0, 99.0, 100.0), UP)
    for signal_id in (by_id, by_ticket):
        found = stored(runtime, signal_id)
        assert (found["exit_reason"], found["exit_price"]) == ("SL", 99.5)
        assert found["closed_at"] == (START + HOUR).isoformat()
        assert found["r_multiple"] == pytest.approx(-0.25)
    assert stored(runtime, other)["exit_reason"] == "TP"


def test_a_signal_expires_when_it_says_so_else_by_the_policy(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    says_so = save(runtime, expires_at=(START + HOUR).isoformat())
    silent = save(runtime)
    nonsense = save(runtime, valid_until="the cows come home")
    resolve(outcomes, clock, QUIET, QUIET, QUIET, QUIET, expiry="2h")
    assert stored(runtime, says_so)["closed_at"] == (START + HOUR).isoformat()
    for signal_id in (silent, nonsense):
        found = stored(runtime, signal_id)
        assert (found["exit_reason"], found["outcome"]) == ("EXPIRED", "BREAKEVEN")
        assert found["closed_at"] == (START + 2 * HOUR).isoformat()


def test_a_limit_that_was_never_reached_is_no_trade(runtime: Runtime, outcomes: Outcomes, clock: Any) -> None:
    signal_id = save(runtime, entry_price=99.0)
    bar = (100.0, 101.0, 99.5, 100.0)
    report = resolve(outcomes, clock, bar, bar, entry_mode="limit", limit_valid_candles=2)
    found = stored(runtime, signal_id)
    assert (found["outcome"], found["exit_reason"]) == ("UNFILLED", "EXPIRED_UNFILLED")
    assert (found["pnl_percentage"], found["r_multiple"]) == (None, None)
    assert report.outcomes == {"UNFILLED": 1}


def test_candles_that_come_piece_by_piece_give_what_they_give_at_once(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    bars = [QUIET, (100.0, 103.0, 98.5, 101.0), (101.0, 102.0, 100.0, 101.5), UP]
    in_pieces = save(runtime)
    clock.set(MOMENT + timedelta(days=2))
    for number, bar in enumerate(bars):
        outcomes.resolve({("BTCUSDT", "1H"): candles(bar, start=START + number * HOUR)}, signal_ids=[in_pieces])
    clock.set(MOMENT)
    at_once = save(runtime)
    resolve(outcomes, clock, *bars)
    assert result_of(runtime, in_pieces) == result_of(runtime, at_once)
    assert stored(runtime, in_pieces)["data_gap"] is False
    assert not (stored(runtime, in_pieces)["extra"] or {}).get("resolution")


def result_of(runtime: Runtime, signal_id: str) -> dict[str, Any]:
    found = stored(runtime, signal_id)
    return {name: found[name] for name in RESULT_COLUMNS}


def test_many_signals_at_once_end_as_one_by_one(
    runtime: Runtime, outcomes: Outcomes, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [save(runtime, take_profit=100.5 + number / 4, stop_loss=99.9 - number / 10) for number in range(40)]
    bars = [QUIET, (100.0, 103.0, 98.5, 101.0), UP, DOWN]
    found: list[dict[str, Any]] = []
    for is_installed in (True, False):
        if not is_installed:
            monkeypatch.setitem(sys.modules, "numpy", None)
        seen: dict[str, Any] = {}
        resolve(outcomes, clock, *bars, dry_run=True, on_closed=seen.__setitem__)
        found.append(seen)
    assert found[0] == found[1]
    assert 24 < len(found[0]) < len(ids)


def test_an_interrupted_run_is_taken_up_where_it_stopped(
    runtime: Runtime, outcomes: Outcomes, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateful_engine.services.outcomes.BATCH", 2)
    for _ in range(6):
        save(runtime)

    def stop_after_two(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve(outcomes, clock, UP, progress=stop_after_two)
    assert runtime.analytics.signals(days=30)["winning_signals"] == 2
    seen: list[tuple[int, int]] = []
    assert resolve(outcomes, clock, UP, progress=lambda *step: seen.append(step)).resolved == 4
    assert seen == [(0, 4), (2, 4), (4, 4)]
    assert runtime.analytics.signals(days=30)["winning_signals"] == 6


def test_the_survey_reads_in_batches_and_misses_nobody(
    runtime: Runtime, outcomes: Outcomes, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateful_engine.services.outcomes.SURVEY_BATCH", 3)
    for _ in range(7):
        save(runtime)
    assert resolve(outcomes, clock, UP).resolved == 7


def test_a_callable_is_asked_once_per_market_for_the_time_since_the_first_signal(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    save(runtime)
    clock.advance(hours=3)
    save(runtime)
    save(runtime, symbol="ETHUSDT")
    asked: list[tuple[str, str, datetime, datetime]] = []

    def exchange(symbol: str, timeframe: str, start: datetime, end: datetime) -> Any:
        asked.append((symbol, timeframe, start, end))
        return candles(*[QUIET] * 10, UP) if symbol == "BTCUSDT" else None

    now = clock.advance(days=1)
    report = outcomes.resolve(exchange)
    assert asked[0] == ("BTCUSDT", "1H", MOMENT, now)
    assert [symbol for symbol, *_ in asked] == ["BTCUSDT", "ETHUSDT"]
    assert (report.resolved, report.left_open) == (2, {NO_CANDLES: 1})


def test_candles_that_do_not_say_which_symbol_they_are_of_are_refused(outcomes: Outcomes) -> None:
    with pytest.raises(InvalidInputError, match="which symbol"):
        outcomes.resolve(candles(UP))


@pytest.mark.parametrize(
    "options", [{"policy": "hopeful"}, {"expiry": "soon"}, {"entry_mode": "x"}, {"limit_valid_candles": 0}]
)
def test_options_that_cannot_be_meant_are_refused_before_anything_is_read(
    outcomes: Outcomes, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        outcomes.resolve({"BTCUSDT": candles(UP)}, **options)


def test_the_current_app_is_resolved_and_its_reports_are_fresh(app: Flask, runtime: Runtime, clock: Any) -> None:
    save(runtime)
    clock.set(MOMENT + timedelta(days=2))
    assert runtime.analytics.signals(days=30)["winning_signals"] == 0
    with app.app_context():
        assert resolve_outcomes({("BTCUSDT", "1H"): candles(UP)}).resolved == 1
    assert runtime.analytics.signals(days=30)["winning_signals"] == 1
