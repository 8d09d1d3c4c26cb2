"""Reports asked for directly: filters in the words of a developer, and answers that other processes make old."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from stateful_engine.domain.clock import epoch_us
from stateful_engine.errors import InvalidInputError
from stateful_engine.extension import Runtime
from stateful_engine.services import analytics as service
from stateful_engine.storage import intake
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_reading import Answer, View
from tests.factories import FakeClock, signal_data
from tests.storage.conftest import signal_row

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"moon": "full"}, "/moon", "use action, "),
    ({"symbol": ""}, "/symbol", "leave it out or name one"),
    ({"weekday": 7}, "/weekday", "whole number from 0 to 6"),
    ({"hour": 3.5}, "/hour", "whole number from 0 to 23"),
    ({"confidence": -1}, "/confidence", "whole number from 0 to 100"),
    ({"min_confidence": 101}, "/min_confidence", "from 0 to 100"),
    ({"executed": "maybe"}, "/executed", "true or false"),
    ({"by": "moon"}, "/by", "use one of symbol, "),
]


@pytest.mark.parametrize(("asked", "pointer", "remedy"), REFUSED)
def test_a_filter_that_cannot_be_meant_is_refused_with_what_can(
    runtime: Runtime, asked: dict[str, Any], pointer: str, remedy: str
) -> None:
    with pytest.raises(InvalidInputError, match=remedy) as caught:
        runtime.analytics.signals(**asked)
    assert [fault.pointer for fault in caught.value.errors] == [pointer]


def test_filters_are_understood_in_many_spellings(runtime: Runtime, clock: FakeClock) -> None:
    day = clock.now().weekday()
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    runtime.state_manager.save_signal_history(signal_data(confidence=100.0, source_engine="sharp"), durable=True)
    for asked in (
        {"weekday": day},
        {"weekday": names[day].upper()},
        {"engine": "sharp"},
        {"source_engine": "sharp"},
        {"regime": "BULLISH"},
        {"symbol": "BTC/USDT"},
        {"timeframe": 60},
        {"action": "buy"},
        {"executed": False},
        {"executed": "no"},
        {"confidence": 91},
        {"min_confidence": 99.5},
    ):
        assert runtime.analytics.signals(**asked)["total_signals"] == 1, asked
    for asked in ({"weekday": (day + 1) % 7}, {"engine": "smc"}, {"executed": "1"}, {"confidence": 89}):
        assert runtime.analytics.signals(**asked)["total_signals"] == 0, asked


def test_a_report_that_is_overtaken_by_a_write_is_made_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """After what was foreseen was read, and before its trades are read one by one, another process stores a signal."""
    result = {"outcome": "WIN", "r_multiple": 2.0}
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    runtime.analytics.signals()
    put_together, other = View.put_together, Database(database_url)

    def writes_meanwhile(view: View, sums: Any) -> Answer:
        monkeypatch.undo()
        with other.connection() as connection:
            intake.insert(connection, {"signal_history": [signal_row(created_at=epoch_us(), **result)]})
        return put_together(view, sums)

    monkeypatch.setattr(View, "put_together", writes_meanwhile)
    runtime.analytics.invalidate({"signal_history": 1})
    report = runtime.analytics.signals()
    monkeypatch.undo()
    other.dispose()
    is_made_again = runtime.database.dialect == "postgresql"
    assert (report["total_signals"], report["total_r"]) == ((2, 2.0) if is_made_again else (1, None))


def test_what_another_process_writes_makes_a_kept_report_old(
    runtime: Runtime, make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_AGAIN_SECONDS", 0.0)
    other: Runtime = make_app().extensions["stateful_engine"]
    assert runtime.analytics.signals()["total_signals"] == 0
    assert runtime.analytics.funnel()["stages"][0]["count"] == 0
    other.state_manager.save_signal_history(signal_data(), durable=True)
    assert runtime.analytics.signals()["total_signals"] == 1
    assert runtime.analytics.funnel()["stages"][0]["count"] == 1


def test_a_report_that_nothing_changed_is_not_made_again(runtime: Runtime, clock: FakeClock) -> None:
    first = runtime.analytics.signals()
    clock.advance(seconds=5)
    assert runtime.analytics.signals()["as_of"] == first["as_of"]
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    assert runtime.analytics.signals()["as_of"] != first["as_of"]


def test_of_very_many_values_a_breakdown_names_the_most_frequent(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.report_signals, "MOST_VALUES", 2)
    for symbol in ("BTCUSDT", "ETHUSDT", "ETHUSDT", "XAUUSD", "XAUUSD"):
        runtime.state_manager.save_signal_history(signal_data(symbol=symbol), durable=True)
    cells = runtime.analytics.signals(by="symbol")["breakdown"]
    assert {cell["value"] for cell in cells} == {"ETHUSDT", "XAUUSD"}
