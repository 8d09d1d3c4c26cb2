"""What open signals are worth at their horizon: told by candles, never made up."""

from __future__ import annotations

import csv
import html
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stateful_engine import ConfigurationError, Experiments, JournalRepo
from stateful_engine.extension import Runtime
from stateful_engine.services.trial_marks import CandleMarks, OpenTrade
from tests.factories import FakeClock

START = datetime(2026, 3, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
FLAT = (100.0, 101.0, 99.0, 100.0)
Candles = list[tuple[datetime, tuple[float, float, float, float]]]


def hourly(*prices: tuple[float, float, float, float], start: datetime = START) -> Candles:
    return [(start + number * HOUR, each) for number, each in enumerate(prices)]


def write(folder: Path, candles: Candles, name: str = "BTCUSDT-1H.csv") -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("ts", "open", "high", "low", "close", "volume"))
        writer.writerows((int(at.timestamp() * 1000), *prices, 1.0) for at, prices in candles)
    return folder


def trade(due: datetime, **changes: Any) -> OpenTrade:
    plan = {"symbol": "BTCUSDT", "timeframe": "1H", "side": "BUY", "entry_price": 100.0, "stop_loss": 95.0}
    return OpenTrade(**{"signal_id": "sig", "take_profit": 110.0, "created_at": START, "due": due, **plan, **changes})


def price(candles: Any, asked: OpenTrade, moves: Any = None) -> float | None:
    [found] = CandleMarks(candles, lambda _: moves or {})([asked])
    return found


def test_a_trade_is_worth_the_last_close_before_it_was_due(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", hourly(FLAT, (100, 103, 99, 102), (102, 105, 101, 104)))
    assert price(folder, trade(START + 2 * HOUR)) == 102
    assert price(folder, trade(START + 2.5 * HOUR)) == 102
    assert price(folder, trade(START + 3 * HOUR)) == 104


def test_a_stop_that_was_touched_before_counts_and_one_after_the_horizon_does_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", hourly(FLAT, (100, 101, 94, 99), (99, 111, 98, 109), FLAT))
    assert price(folder, trade(START + 4 * HOUR)) == 95
    assert price(folder, trade(START + 1 * HOUR)) == 100
    assert price(folder, trade(START + 4 * HOUR, stop_loss=90.0)) == 110
    assert price(folder, trade(START + 1.5 * HOUR)) == 100


def test_a_stop_that_was_moved_counts_where_it_had_been_moved_to(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", hourly(FLAT, FLAT, (100, 101, 97, 99), FLAT))
    assert price(folder, trade(START + 4 * HOUR)) == 100
    assert price(folder, trade(START + 4 * HOUR), {"sig": [(START + HOUR, 98.0)]}) == 98


def test_after_the_end_of_the_candles_nothing_is_made_up_but_a_weekend_is_bridged(tmp_path: Path) -> None:
    friday = write(tmp_path / "ends", hourly(FLAT))
    assert price(friday, trade(START + 1.5 * HOUR)) == 100
    assert price(friday, trade(START + 3 * HOUR)) is None
    weekend = write(tmp_path / "weekend", hourly(FLAT) + hourly(FLAT, start=START + timedelta(days=2)))
    assert price(weekend, trade(START + timedelta(days=1))) == 100
    hole = write(tmp_path / "hole", hourly(FLAT) + hourly(FLAT, start=START + timedelta(days=30)))
    assert price(hole, trade(START + timedelta(days=20))) is None


def test_candles_that_begin_after_the_signal_do_not_tell_what_became_of_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "late", hourly(FLAT, FLAT, (100, 101, 94, 99), FLAT, start=START + timedelta(days=1)))
    assert price(folder, trade(START + timedelta(days=1, hours=4))) is None
    assert price(folder, trade(START + timedelta(days=1, hours=4), created_at=START + timedelta(hours=23.5))) == 95


@pytest.mark.parametrize("changes", [{"symbol": "ETHUSDT"}, {"symbol": None}, {"created_at": START - 9 * HOUR}])
def test_what_no_candle_tells_stays_unknown(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write(tmp_path / "c", hourly(FLAT))
    assert price(folder, trade(START - HOUR, **changes)) is None


def test_a_broken_file_is_told_and_its_market_left_unknown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "c", hourly(FLAT))
    (folder / "ETHUSDT-1H.csv").write_text("ts,open,high,low,close\n1,yes,no,maybe,1\n")
    trades = [trade(START + HOUR, symbol="ETHUSDT"), trade(START + HOUR)]
    with caplog.at_level(logging.WARNING, "stateful_engine"):
        assert CandleMarks(folder, lambda _: {})(trades) == [None, 100.0]
    assert "ETHUSDT" in caplog.text


def test_candles_may_come_from_a_callable_that_needs_a_timeframe() -> None:
    def fetch(symbol: str, timeframe: str, start: datetime, end: datetime) -> Any:
        assert (symbol, timeframe, start, end) == ("BTCUSDT", "1H", START, START + HOUR)
        return [(int(START.timestamp() * 1000), *FLAT)]

    assert price(fetch, trade(START + HOUR)) == 100


# In the results


LONG = {"symbol": "BTCUSDT", "timeframe": "1H", "action": "BUY", "entry_price": 100.0}
PRICES = [FLAT, (100, 101, 94, 99), (99, 106, 98, 105)]


def expose(runtime: Runtime, experiments: Experiments) -> list[str]:
    """A signal that loses at its stop, one that is up at the horizon, and one whose stop was moved and touched."""
    experiments.create("marks", "a", "b", horizon_seconds=3 * 3600)
    experiments.start("marks")
    made = []
    for user, stop in enumerate((95.0, 90.0, 50.0)):
        with experiments.exposed(experiments.assign("marks", user)):
            made.append(runtime.state_manager.save_signal_history({**LONG, "stop_loss": stop, "take_profit": 200.0}))
    runtime.flush()
    JournalRepo(runtime.database).log_event("trailing_stop_adjusted", signal_id=made[2], sl=97.0, symbol="BTCUSDT")
    return made


def total_r(results: dict[str, Any]) -> tuple[int, float]:
    """How many signals have a result, and the sum of their R."""
    found = [arm["metrics"]["expectancy_r"] for arm in results["arms"].values()]
    return sum(one["n"] for one in found), sum((one["mean"] or 0) * one["n"] for one in found)


def test_results_mark_open_signals_by_the_configured_candles(
    make_app: Callable[..., Flask], tmp_path: Path, clock: FakeClock
) -> None:
    clock.set(START)
    app = make_app(STATEFUL_CANDLES=str(write(tmp_path / "candles", hourly(*PRICES))))
    with app.app_context():
        expose(app.extensions["stateful_engine"], Experiments())
        clock.advance(hours=4)
        n, r = total_r(Experiments().results("marks"))
        assert Experiments().stop("marks")["status"] == "stopped"
        [kept] = Experiments().snapshots("marks")
    assert n == 3
    assert r == pytest.approx(-1.0 + 0.5 - 3 / 50, abs=1e-4)
    assert total_r(kept["results"]) == pytest.approx((n, r))
    state = f"{app.extensions['stateful_engine'].settings.url_prefix}/experiments/marks"
    assert total_r(app.test_client().get(f"{state}/results").get_json()["results"]) == pytest.approx((n, r))


def test_the_pages_judge_by_the_same_candles_as_the_api(
    make_app: Callable[..., Flask], tmp_path: Path, clock: FakeClock
) -> None:
    clock.set(START)
    candles = str(write(tmp_path / "candles", hourly(*PRICES)))
    app = make_app(STATEFUL_CANDLES=candles, STATEFUL_DASHBOARD=True)
    with app.app_context():
        expose(app.extensions["stateful_engine"], Experiments())
        clock.advance(hours=4)
        reason = html.escape(Experiments().results("marks")["verdict"]["reason"])
    assert "give candles" not in reason
    for page in ("experiments", "experiments/marks"):
        assert reason in app.test_client().get(f"/state/{page}").text


def test_a_configured_folder_that_is_not_there_leaves_signals_unmarked_and_a_named_one_is_refused(
    make_app: Callable[..., Flask], tmp_path: Path, clock: FakeClock
) -> None:
    app = make_app(STATEFUL_CANDLES=str(tmp_path / "nowhere"))
    with app.app_context():
        expose(app.extensions["stateful_engine"], Experiments())
        clock.advance(hours=4)
        results = Experiments().results("marks")
        with pytest.raises(ConfigurationError, match="no folder"):
            Experiments(candles=tmp_path / "nowhere").results("marks")
    assert sum(arm["unmarked"] for arm in results["maturity"]["arms"].values()) == 3


def test_a_configured_function_that_fails_leaves_signals_unmarked(
    make_app: Callable[..., Flask], clock: FakeClock
) -> None:
    def fetch(*_: Any) -> None:
        raise RuntimeError("the exchange is away")

    app = make_app(STATEFUL_CANDLES=fetch)
    with app.app_context():
        expose(app.extensions["stateful_engine"], Experiments())
        clock.advance(hours=4)
        results = Experiments().results("marks")
    assert sum(arm["unmarked"] for arm in results["maturity"]["arms"].values()) == 3
    assert app.extensions["stateful_engine"].guard.snapshot()["failed_value_open_signals"] == 1


def test_the_command_marks_by_the_folder_that_it_is_given(
    app: Flask, runtime: Runtime, tmp_path: Path, clock: FakeClock
) -> None:
    clock.set(START)
    folder = write(tmp_path / "candles", hourly(*PRICES))
    with app.app_context():
        expose(runtime, Experiments())
    clock.advance(hours=4)

    def run(*arguments: str, code: int = 0) -> str:
        done = app.test_cli_runner().invoke(args=["stateful", "ab", *arguments])
        assert done.exit_code == code, done.output
        return str(done.output)

    assert run("results", "marks").count("expectancy unknown (n 0)") == 2
    marked = json.loads(run("results", "marks", "--json", "--candles", str(folder)))
    assert total_r(marked)[0] == 3
    kept = json.loads(run("keep", "marks", "--candles", str(folder)))
    assert total_r(kept["results"]) == total_r(marked)
    assert "no folder" in run("results", "marks", "--candles", str(tmp_path / "nowhere"), code=1)
