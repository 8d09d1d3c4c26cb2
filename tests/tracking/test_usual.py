"""The usual call is served in fewer steps, and neither the client nor the tables can tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, after_this_request, jsonify, make_response, request
from werkzeug.datastructures import Headers

from stateful_engine import track_signal_generation
from stateful_engine.recording.stamping import Stamp, stamped
from stateful_engine.tracking import usual
from tests.factories import signal_data
from tests.recorded import recorded

TIMES = 3
NEW = re.compile(r"(qry|sig|int)_[0-9a-f]{12}_[0-9]+")
OWN = {"id", "query_id", "signal_id", "interaction_id", "created_at", "updated_at", "processing_time_ms", "episode_key"}

SHARED = Response('{"action": "BUY", "symbol": "BTCUSDT", "confidence": 80}', mimetype="application/json")


class OwnHeaders(Headers):
    """As a host may have them."""


class OwnResponse(Response):
    """As a host may have them."""


def plain() -> Any:
    return signal_data()


def with_header() -> Any:
    return signal_data(), {"Cache-Control": "no-store"}


def with_etag() -> Any:
    response = jsonify(signal_data())
    response.set_etag("fixed")
    return response


def with_own_id() -> Any:
    return signal_data(signal_id="sig_theirs")


def of_own_class() -> Any:
    return OwnResponse(b'{"action": "SELL", "symbol": "X", "confidence": 1}', mimetype="application/json")


def with_own_headers() -> Any:
    response = jsonify(signal_data())
    response.headers = OwnHeaders(response.headers)
    return response


def without_length() -> Any:
    response = jsonify(signal_data())
    del response.headers["Content-Length"]
    return response


def passed_through() -> Any:
    response = jsonify(signal_data())
    response.direct_passthrough = True
    return response


def stamped_view() -> Any:
    with stamped(Stamp("trial", "b", "u1")):
        return signal_data()


def altered() -> Any:
    @after_this_request
    def later(response: Response) -> Response:
        response.headers["X-Later"] = "1"
        return response

    return signal_data()


def by_status() -> Any:
    return signal_data(), int(request.args.get("status", "200"))


CALLS: list[tuple[Callable[[], Any], str, dict[str, Any]]] = [
    (plain, "", {}),
    (plain, "", {"method": "HEAD"}),
    (plain, "?symbol=ETHUSDT", {"headers": {"X-Request-ID": 'odd "id" %s'}}),
    (plain, "", {"headers": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}),
    (plain, "", {"headers": {"If-None-Match": '"x"'}}),
    (plain, "", {"headers": {"Range": "bytes=0-3"}}),
    (plain, "", {"headers": {"User-Agent": "50 % off"}}),
    (plain, "", {"headers": {"User-Agent": '"response_status":%d,"is_successful":%b,"error_message":%b'}}),
    (plain, "", {"headers": {"User-Agent": "curl", "X-Request-ID": '","session_id":"stolen'}}),
    (plain, "?token=secretsecretsecret", {}),
    (plain, "", {"method": "POST", "json": {"symbol": "XAUUSD"}}),
    (lambda: SHARED, "", {}),
    (lambda: [signal_data()], "", {}),
    (lambda: [signal_data(), signal_data(symbol="ETHUSDT")], "", {}),
    (lambda: {"pong": True}, "", {}),
    (lambda: "no JSON", "", {}),
    (lambda: make_response(b"{broken", {"Content-Type": "application/json"}), "", {}),
    (by_status, "?status=201", {}),
    (by_status, "?status=206", {}),
    (by_status, "?status=404", {}),
    (with_header, "", {}),
    (with_etag, "", {}),
    (with_own_id, "", {}),
    (of_own_class, "", {}),
    (with_own_headers, "", {}),
    (without_length, "", {}),
    (passed_through, "", {}),
    (stamped_view, "", {}),
    (altered, "", {}),
]


def served(app: Flask, view: Callable[[], Any], query: str, given: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What the client gets and what is stored of some equal calls, without what is new in each."""
    app.add_url_rule("/signal", "signal", track_signal_generation(view), methods=["GET", "POST"])
    client, told = app.test_client(), []
    for _ in range(TIMES):
        answer = client.open("/signal" + query, **given)
        told.append((answer.status, NEW.sub("new", str(answer.headers)), NEW.sub("new", answer.get_data(as_text=True))))
    found = recorded(app)
    rows = [
        sorted(str({name: row[name] for name in row if name not in OWN}) for row in rows)
        for rows in (found.queries, found.signals, found.interactions)
    ]
    assert len({row["signal_id"] for row in found.signals}) == len(found.signals)
    return told, rows


@pytest.mark.parametrize(("view", "query", "given"), CALLS)
def test_nobody_can_tell_that_a_call_was_usual(
    make_app: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    view: Callable[[], Any],
    query: str,
    given: dict[str, Any],
) -> None:
    told, rows = served(make_app(), view, query, given)
    monkeypatch.setattr(usual, "answered", lambda call, response: None)
    told_again, all_rows = served(make_app(), view, query, given)
    assert told_again == told
    assert all_rows == [sorted(2 * table) for table in rows]


def test_from_the_second_time_on_a_call_is_usual(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    answered = usual.answered

    def noted(*given: Any) -> Response | None:
        response = answered(*given)
        found.append(response is not None)
        return response

    monkeypatch.setattr(usual, "answered", noted)
    app.add_url_rule("/signal", "signal", track_signal_generation(plain))
    client = app.test_client()
    for agent in ("one", "one", "other", "one", "other"):
        client.get("/signal", headers={"User-Agent": agent})
    assert found == [False, True, False, True, True]


def test_each_client_gets_the_id_under_which_its_call_is_stored(app: Flask) -> None:
    app.add_url_rule("/signal", "signal", track_signal_generation(plain))
    client = app.test_client()
    answers = [client.get("/signal") for _ in range(5)]
    found = recorded(app)
    stored = {row["query_id"]: row["signal_id"] for row in found.signals}
    assert len(stored) == 5
    assert {answer.headers["X-Query-ID"]: answer.headers["X-Signal-ID"] for answer in answers} == stored
    assert {answer.get_json()["signal_id"] for answer in answers} == set(stored.values())
    assert {int(answer.headers["Content-Length"]) for answer in answers} == {len(answers[0].get_data())}


def test_a_response_that_the_host_keeps_is_never_changed(app: Flask) -> None:
    before = (list(SHARED.headers), SHARED.get_data())
    app.add_url_rule("/signal", "signal", track_signal_generation(lambda: SHARED))
    for _ in range(TIMES):
        assert "X-Signal-ID" in app.test_client().get("/signal").headers
    assert (list(SHARED.headers), SHARED.get_data()) == before


def test_where_there_is_no_room_the_client_is_told_no_id(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    app.add_url_rule("/signal", "signal", track_signal_generation(plain))
    client, runtime = app.test_client(), app.extensions["stateful_engine"]
    for _ in range(2):
        assert "X-Query-ID" in client.get("/signal").headers
    runtime.recorder._spool.max_bytes = 0
    answer = client.get("/signal")
    assert answer.get_json() == plain()
    assert "X-Query-ID" not in answer.headers
    assert runtime.guard.snapshot()["dropped"] == 1
    assert len(recorded(app).queries) == 2


def test_a_fault_costs_the_ids_and_neither_the_answer_nor_the_record(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add_url_rule("/signal", "signal", track_signal_generation(plain))
    client = app.test_client()
    client.get("/signal")
    monkeypatch.setattr(usual, "_with_ids", lambda *given: 1 / 0)
    answer = client.get("/signal")
    assert answer.get_json() == plain()
    assert len(recorded(app).queries) == 2
