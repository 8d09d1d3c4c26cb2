"""Resolving over HTTP: candles come with the request, and the answer says what was closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.calls import PREFIX, assert_refused, pointers, track
from tests.factories import MOMENT, FakeClock

if TYPE_CHECKING:
    from flask.testing import FlaskClient

HOUR_MS = 3_600_000
NEXT_HOUR = (int(MOMENT.timestamp()) // 3600 + 1) * HOUR_MS
URL = f"{PREFIX}/outcomes/resolve"


def body(*bars: list[float], **more: Any) -> dict[str, Any]:
    rows = [[NEXT_HOUR + number * HOUR_MS, *bar] for number, bar in enumerate(bars)]
    return {"candles": [{"symbol": "BTC/USDT", "timeframe": "1h", "rows": rows}], **more}


QUIET = [45_000.0, 45_500.0, 44_500.0, 45_000.0]
UP = [45_000.0, 46_600.0, 44_900.0, 46_400.0]


def test_signals_are_closed_by_the_candles_sent(client: FlaskClient, clock: FakeClock) -> None:
    signal_id, other = track(client), track(client, symbol="ETHUSDT")
    hold = track(client, action="HOLD")
    clock.advance(days=1)

    answer = client.post(URL, json=body(QUIET, UP))

    assert answer.status_code == 200, answer.text
    assert (answer.json["total_resolved"], answer.json["dry_run"]) == (1, False)
    closed = answer.json["resolved"][0]
    assert (closed["signal_id"], closed["outcome"], closed["exit_reason"]) == (signal_id, "WIN", "TP")
    assert closed["r_multiple"] == pytest.approx(1500 / 800)
    assert answer.json["left_open"] == {"HOLD is no trade": 1}
    found = client.get(f"{PREFIX}/signal/{signal_id}").json
    assert found["signal"]["outcome"] == "WIN"
    assert found["timeline"][-1]["kind"] == "outcome"
    assert found["timeline"][-1]["data"]["candle_source"] == "request:BTCUSDT-1H"
    for still_open in (other, hold):
        assert client.get(f"{PREFIX}/signal/{still_open}").json["signal"]["outcome"] == "PENDING"


def test_candles_may_come_piece_by_piece(client: FlaskClient, clock: FakeClock) -> None:
    signal_id = track(client)
    clock.advance(days=1)
    first = client.post(URL, json=body([45_000.0, 46_000.0, 44_300.0, 45_000.0]))
    assert first.json["left_open"] == {"the candles end before a barrier was reached": 1}
    rows = [[NEXT_HOUR + HOUR_MS, *QUIET], [NEXT_HOUR + 2 * HOUR_MS, *UP]]
    later = client.post(URL, json={"candles": [{"symbol": "BTCUSDT", "timeframe": "1H", "rows": rows}]})
    assert later.json["total_resolved"] == 1
    found = client.get(f"{PREFIX}/signal/{signal_id}").json
    result = found["timeline"][-1]["data"]
    assert result["data_gap"] is False
    assert result["mae_pct"] == pytest.approx((44_300 - 45_000) / 450)
    assert "resolution" not in (found["signal"]["extra"] or {})


def test_a_dry_run_writes_nothing_and_named_signals_are_the_only_ones_looked_at(
    client: FlaskClient, clock: FakeClock
) -> None:
    first, second = track(client), track(client)
    clock.advance(days=1)

    shown = client.post(URL, json=body(UP, dry_run=True)).json
    assert (shown["total_resolved"], shown["dry_run"]) == (2, True)

    named = client.post(URL, json=body(UP, signal_ids=[second])).json
    assert [one["signal_id"] for one in named["resolved"]] == [second]
    assert client.get(f"{PREFIX}/signal/{first}").json["signal"]["outcome"] == "PENDING"


def test_the_rules_can_be_chosen(client: FlaskClient, clock: FakeClock) -> None:
    track(client)
    clock.advance(days=1)
    both = [45_000.0, 47_000.0, 44_000.0, 46_000.0]

    skipped = client.post(URL, json=body(both, policy="skip")).json
    assert skipped["total_resolved"] == 0
    expired = client.post(URL, json=body(QUIET, QUIET, expiry="1h", dry_run=True)).json["resolved"]
    assert [one["exit_reason"] for one in expired] == ["EXPIRED"]
    chosen = client.post(URL, json=body(both, policy="optimistic")).json["resolved"]
    assert [(one["outcome"], one["ambiguous"]) for one in chosen] == [("WIN", True)]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"policy": "hopeful"}, ["/policy"]),
        ({"expiry": "soon"}, ["/expiry"]),
        ({"limit_valid_candles": 0}, ["/limit_valid_candles"]),
        ({"candles": []}, ["/candles"]),
        (
            {"candles": [{"symbol": "unknown", "timeframe": "never", "rows": []}]},
            ["/candles/0/symbol", "/candles/0/timeframe", "/candles/0/rows"],
        ),
        ({"candles": [{"symbol": "BTCUSDT", "timeframe": "1H", "rows": [[1, 2, 3]]}]}, ["/candles/0/rows/0"]),
        ({"candles": [{"symbol": "BTCUSDT", "timeframe": "1H", "rows": [[1, "2", 3, 4, 5]]}]}, ["/candles/0/rows/0/1"]),
    ],
)
def test_what_cannot_be_meant_is_named(client: FlaskClient, changes: dict[str, Any], wrong: list[str]) -> None:
    answer = client.post(URL, json=body(UP) | changes)
    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == wrong


def test_a_market_or_a_time_that_is_sent_twice_is_refused(client: FlaskClient) -> None:
    once = body(UP)
    answer = client.post(URL, json={"candles": once["candles"] * 2})
    assert_refused(answer, 422, "VALIDATION_ERROR")
    rows = once["candles"][0]["rows"] * 2
    answer = client.post(URL, json={"candles": [{"symbol": "BTCUSDT", "timeframe": "1H", "rows": rows}]})
    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert "twice" in answer.json["message"]
