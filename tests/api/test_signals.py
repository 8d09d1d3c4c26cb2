from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.domain.identifiers import signal_made_at
from tests.api.calls import PREFIX, UNKNOWN_ID, assert_refused, pointers, track
from tests.factories import short_signal_data, signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock


def interactions_of(client: FlaskClient, signal_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{PREFIX}/interactions?signal_id={signal_id}").json["interactions"]
    return found


def test_a_tracked_signal_is_answered_in_the_envelope_with_its_id(client: FlaskClient) -> None:
    answer = client.post(f"{PREFIX}/track-signal", json={"signal_data": signal_data(), "source": "ChatGPT"})

    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    body = answer.json
    assert body["success"] is True
    assert body["api_version"] == "1.0.0"
    assert body["server_time"].endswith("+00:00")
    assert body["processing_time_ms"] > 0
    assert signal_made_at(body["signal_id"]) is not None
    assert answer.headers["X-Signal-ID"] == body["signal_id"]
    assert answer.headers["X-Request-ID"] == body["request_id"]
    assert "pending" not in body


def test_a_tracked_signal_is_kept_as_it_was_given(client: FlaskClient) -> None:
    signal_id = track(client, strategy="breakout")

    kept = client.get(f"{PREFIX}/signal/{signal_id}").json["signal"]

    given = signal_data()
    assert {name: kept[name] for name in given} == given
    assert kept["extra"]["strategy"] == "breakout"
    assert kept["outcome"] == "PENDING"
    assert kept["is_executed"] is False


def test_a_flat_signal_is_the_same_as_a_nested_one(client: FlaskClient) -> None:
    nested = client.post(f"{PREFIX}/track-signal", json={"signal_data": signal_data(), "source": "Bot"}).json
    flat = client.post(f"{PREFIX}/track-signal", json={**signal_data(), "source": "Bot"}).json

    one, other = (
        client.get(f"{PREFIX}/signal/{id_}").json["signal"] for id_ in (nested["signal_id"], flat["signal_id"])
    )
    for name in ("signal_id", "created_at", "updated_at"):
        del one[name], other[name]
    assert one == other


def test_what_stands_beside_the_signal_is_kept_with_it(client: FlaskClient) -> None:
    body = {"signal_data": {"action": "long", "tp": 46500, "entry": 45000}, "pair": "BTC/USDT", "desk": "night"}

    signal_id = client.post(f"{PREFIX}/track-signal", json=body).json["signal_id"]

    kept = client.get(f"{PREFIX}/signal/{signal_id}").json["signal"]
    assert (kept["symbol"], kept["symbol_raw"], kept["action"]) == ("BTCUSDT", "BTC/USDT", "BUY")
    assert kept["take_profit"] == 46500
    assert kept["extra"]["desk"] == "night"


def test_tracking_a_signal_records_that_it_was_generated(client: FlaskClient) -> None:
    answer = client.post(f"{PREFIX}/track-signal", json={**signal_data(), "source": "ChatGPT", "user_id": 42})

    (generated,) = interactions_of(client, answer.json["signal_id"])
    assert generated["interaction_type"] == "SIGNAL_GENERATED"
    assert generated["interaction_source"] == "CHAT_GPT"
    assert generated["user_id"] == "42"


def test_the_source_is_read_off_the_agent_when_nobody_names_it(client: FlaskClient) -> None:
    agent = {"User-Agent": "Mozilla/5.0; compatible; ChatGPT-User/1.0"}
    answer = client.post(f"{PREFIX}/track-signal", json=signal_data(), headers=agent)

    assert client.get(f"{PREFIX}/signal/{answer.json['signal_id']}").json["signal"]["source"] == "CHAT_GPT"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/signal_data"),
        ({"signal_data": {}}, "/signal_data"),
        ({"source": "ChatGPT"}, "/signal_data"),
        ({"signal_data": None}, "/signal_data"),
        ({"signal_data": {"symbol": "BTCUSDT"}}, "/signal_data/action"),
        ({"symbol": "BTCUSDT"}, "/action"),
        ({"action": "BUY", "entry_price": 1}, "/symbol"),
    ],
)
def test_a_missing_signal_is_a_400_that_says_what_to_send(client: FlaskClient, body: Any, pointer: str) -> None:
    answer = client.post(f"{PREFIX}/track-signal", json=body)

    assert_refused(answer, 400, "MISSING_SIGNAL_DATA")
    assert pointers(answer) == [pointer]


def test_a_signal_says_everything_that_is_wrong_with_it_at_once(client: FlaskClient) -> None:
    wrong = signal_data(confidence=140, action="MAYBE", entry_price=-5, source_engine=["x"], market_conditions=7)
    del wrong["symbol"]

    answer = client.post(f"{PREFIX}/track-signal", json={"signal_data": wrong, "source": 5, "stop_loss": "soon"})

    assert_refused(answer, 422, "VALIDATION_ERROR")
    names = "action confidence entry_price market_conditions source_engine symbol".split()
    assert {f"/signal_data/{name}" for name in names} | {"/source"} == set(pointers(answer))
    assert client.get(f"{PREFIX}/signal-history?days=0").json["signals"] == []


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN"])
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(client: FlaskClient, number: str) -> None:
    body = f'{{"symbol": "BTCUSDT", "action": "BUY", "confidence": {number}, "desk": {{"a/b": [1, {number}]}}}}'

    answer = client.post(f"{PREFIX}/track-signal", data=body, content_type="application/json")

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert set(pointers(answer)) == {"/confidence", "/desk/a~1b/1"}
    assert {fault["code"] for fault in answer.json["errors"]} == {"NOT_FINITE"}


def test_text_that_no_database_holds_is_cleaned_and_the_signal_kept(client: FlaskClient) -> None:
    body = '{"symbol": "BTCUSDT", "action": "BUY", "ai_reasoning": "a\\u0000b\\ud800c"}'

    answer = client.post(f"{PREFIX}/track-signal", data=body, content_type="application/json")

    assert answer.status_code == 200
    kept = client.get(f"{PREFIX}/signal/{answer.json['signal_id']}").json["signal"]
    assert kept["ai_reasoning"] == "a\ufffdb\ufffdc"


def test_history_shows_the_newest_first_and_says_how_it_was_asked(client: FlaskClient) -> None:
    first, second = track(client), track(client, symbol="ETHUSDT")

    body = client.get(f"{PREFIX}/signal-history").json

    assert [signal["signal_id"] for signal in body["signals"]] == [second, first]
    assert body["total_returned"] == 2
    assert {"limit": 50, "symbol": None, "timeframe": None, "days": 7}.items() <= body["filters"].items()
    assert body["next_cursor"] is None
    assert body["has_more"] is False


@pytest.mark.parametrize(
    "asked",
    ["symbol=BTCUSDT", "symbol=BTC/USDT", "timeframe=1h", "timeframe=60", "action=buy", "source_engine=sharp"],
)
def test_history_filters_by_every_field_in_any_spelling(client: FlaskClient, asked: str) -> None:
    wanted = track(client, source_engine="sharp")
    client.post(f"{PREFIX}/track-signal", json=short_signal_data())

    body = client.get(f"{PREFIX}/signal-history?{asked}&days=0").json

    assert [signal["signal_id"] for signal in body["signals"]] == [wanted]


def test_history_filters_by_how_signals_ended(client: FlaskClient) -> None:
    won = track(client)
    track(client)
    client.post(f"{PREFIX}/signal/{won}/outcome", json={"outcome": "WIN"})

    body = client.get(f"{PREFIX}/signal-history?outcome=WIN").json

    assert [signal["signal_id"] for signal in body["signals"]] == [won]


def test_history_looks_back_as_many_days_as_it_is_told(client: FlaskClient, clock: FakeClock) -> None:
    old = track(client)
    clock.advance(days=10)
    new = track(client)

    def seen(query: str) -> list[str]:
        answer = client.get(f"{PREFIX}/signal-history{query}").json
        return [signal["signal_id"] for signal in answer["signals"]]

    assert seen("") == [new]
    assert seen("?days=11") == [new, old]
    assert seen("?days=0") == [new, old]


def test_cursors_lead_through_all_signals_once(client: FlaskClient) -> None:
    ids = [track(client) for _ in range(5)]

    seen, cursor, pages = [], "", 0
    while cursor is not None:
        body = client.get(f"{PREFIX}/signal-history?limit=2{cursor and f'&cursor={cursor}'}").json
        seen += [signal["signal_id"] for signal in body["signals"]]
        assert body["has_more"] is (body["next_cursor"] is not None)
        cursor, pages = body["next_cursor"], pages + 1

    assert seen == ids[::-1]
    assert pages == 3


def test_a_signal_comes_with_what_happened_to_it(client: FlaskClient) -> None:
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/execute", json={"execution_price": 45100})
    client.post(f"{PREFIX}/signal/{signal_id}/outcome", json={"exit_price": 46500})

    body = client.get(f"{PREFIX}/signal/{signal_id}").json

    assert body["signal"]["signal_id"] == signal_id
    assert [entry["kind"] for entry in body["timeline"]].count("interaction") == 2
    assert {"signal", "outcome"} <= {entry["kind"] for entry in body["timeline"]}


def test_an_execution_is_recorded_once_however_often_it_is_reported(client: FlaskClient) -> None:
    signal_id = track(client)
    body = {"execution_price": 45100.0, "source": "TELEGRAM", "user_id": "telegram_123456"}

    first = client.post(f"{PREFIX}/signal/{signal_id}/execute", json=body).json
    again = client.post(f"{PREFIX}/signal/{signal_id}/execute", json={**body, "execution_price": 9.0}).json

    assert first["signal_id"] == signal_id
    assert first["interaction_id"] == again["interaction_id"]
    kept = client.get(f"{PREFIX}/signal/{signal_id}").json["signal"]
    assert (kept["is_executed"], kept["execution_price"], kept["execution_source"]) == (True, 45100.0, "TELEGRAM")
    executed = [row for row in interactions_of(client, signal_id) if row["interaction_type"] == "EXECUTE"]
    assert [row["user_id"] for row in executed] == ["telegram_123456"]


def test_an_outcome_derives_profit_and_r_from_the_exit_price(client: FlaskClient) -> None:
    signal_id = track(client, entry_price=100, stop_loss=90, take_profit=130)

    answer = client.post(
        f"{PREFIX}/signal/{signal_id}/outcome", json={"exit_price": 120, "closed_at": "2026-03-14T10:00:00"}
    ).json

    closed = answer["signal"]
    assert (closed["outcome"], closed["pnl_percentage"], closed["r_multiple"]) == ("WIN", 20.0, 2.0)
    assert closed["closed_at"] == "2026-03-14T10:00:00+00:00"


def test_closing_again_with_another_result_needs_to_be_meant(client: FlaskClient) -> None:
    signal_id = track(client)
    url = f"{PREFIX}/signal/{signal_id}/outcome"
    assert client.post(url, json={"outcome": "win", "pnl_percentage": 3}).status_code == 200
    assert client.post(url, json={"outcome": "WIN", "pnl_percentage": 3}).status_code == 200

    refused = client.post(url, json={"outcome": "LOSS", "pnl_percentage": -1})
    corrected = client.post(url, json={"outcome": "LOSS", "pnl_percentage": -1, "correct": True})

    assert_refused(refused, 409, "CONFLICT")
    assert "correct: true" in refused.json["message"]
    assert corrected.json["signal"]["outcome"] == "LOSS"


def test_an_interaction_is_recorded_with_its_data(client: FlaskClient) -> None:
    signal_id = track(client)
    body = {"interaction_type": "feedback", "source": "ChatGPT", "user_id": 7, "data": {"stars": 5}}

    answer = client.post(f"{PREFIX}/signal/{signal_id}/interaction", json=body).json

    kept = {row["interaction_id"]: row for row in interactions_of(client, signal_id)}[answer["interaction_id"]]
    assert kept["interaction_type"] == "FEEDBACK"
    assert kept["interaction_source"] == "CHAT_GPT"
    assert kept["interaction_data"] == {"stars": 5}
    assert kept["user_id"] == "7"
    assert kept["user_agent"].startswith("Werkzeug")


@pytest.mark.parametrize("effect", ["execute", "outcome", "interaction"])
def test_an_effect_on_an_unknown_signal_leaves_nothing_behind(client: FlaskClient, effect: str) -> None:
    bodies = {
        "execute": {"execution_price": 1},
        "outcome": {"outcome": "WIN"},
        "interaction": {"interaction_type": "VIEW"},
    }

    answer = client.post(f"{PREFIX}/signal/{UNKNOWN_ID}/{effect}", json=bodies[effect])

    assert_refused(answer, 404, "SIGNAL_NOT_FOUND")
    assert client.get(f"{PREFIX}/interactions?days=0").json["interactions"] == []


def test_a_signal_is_safe_in_the_spool_while_the_database_is_away(
    client: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.recorder, "record_durably", lambda *_, **__: False)

    answer = client.post(f"{PREFIX}/track-signal", json=signal_data())

    assert answer.status_code == 202
    assert answer.json["pending"] is True
    assert answer.json["signal_id"] == answer.headers["X-Signal-ID"]
