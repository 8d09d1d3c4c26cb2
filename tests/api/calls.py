"""How the tests of the JSON door call it: the prefix, a signal to work on, and one good call per operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.factories import query_data, response_data, signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PREFIX = "/api/gpts/state"
UNKNOWN_ID = "sig_000000000000_1600000000"

GOOD_BODIES: dict[str, dict[str, Any]] = {
    "trackSignal": {"signal_data": signal_data(), "source": "ChatGPT"},
    "executeSignal": {"execution_price": 45100.0, "source": "TELEGRAM", "user_id": "telegram_123456"},
    "recordOutcome": {"outcome": "WIN", "pnl_percentage": 3.3},
    "recordInteraction": {"interaction_type": "CLICK", "source": "TELEGRAM", "user_id": "u1"},
    "logQuery": {"query_data": query_data(), "response_data": response_data()},
    "cleanup": {"days_to_keep": 90},
    "resolveOutcomes": {
        "candles": [{"symbol": "BTCUSDT", "timeframe": "1H", "rows": [[1600000000000, 1.0, 2.0, 0.5, 1.5]]}]
    },
}


def track(client: FlaskClient, **changes: Any) -> str:
    """Record a signal over HTTP; its id."""
    answer = client.post(f"{PREFIX}/track-signal", json={"signal_data": signal_data(**changes)})
    assert answer.status_code == 200, answer.text
    signal_id: str = answer.json["signal_id"]
    return signal_id


def url_of(path: str, signal_id: str = UNKNOWN_ID) -> str:
    """The URL of an operation."""
    return PREFIX + path.replace("<signal_id>", signal_id)


def pointers(answer: Any) -> list[str]:
    """The pointers of all faults in an error."""
    return [fault["pointer"] for fault in answer.json["errors"]]


def assert_refused(answer: Any, status: int, error: str) -> None:
    """The answer is an error of the promised form, and says nothing that it should not."""
    assert answer.status_code == status, answer.text
    body = answer.json
    assert body["success"] is False
    assert body["error"] == error
    assert body["message"] == body["detail"]
    assert body["status"] == status
    assert {"type", "title", "instance", "errors", "api_version", "server_time", "request_id"} <= set(body)
    assert all(set(fault) == {"pointer", "detail", "code"} for fault in body["errors"])
    for word in ("Traceback", "sqlalchemy", "psycopg2", "pydantic", "SELECT ", "Error:"):
        assert word not in answer.text
