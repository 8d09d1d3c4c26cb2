"""How the tests of the JSON door call it: the prefix, a signal to work on, and one good call per operation."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any

from stateful_engine.api.contract import Operation
from stateful_engine.api.operations import OPERATIONS
from tests.factories import query_data, response_data, signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PREFIX = "/api/gpts/state"
UNKNOWN_ID = "sig_000000000000_1600000000"

_CANDLES = {"symbol": "BTCUSDT", "timeframe": "1H", "rows": [[1600000000000, 1.0, 2.0, 0.5, 1.5]]}
_IDEA = {"user_id": "u1", "symbol": "XAUUSD", "direction": "BUY", "entry_price": 2650.0, "stop_loss": 2640.0}

GOOD_BODIES: dict[str, dict[str, Any]] = {
    "trackSignal": {"signal_data": signal_data(), "source": "ChatGPT"},
    "executeSignal": {"execution_price": 45100.0, "source": "TELEGRAM", "user_id": "telegram_123456"},
    "recordOutcome": {"outcome": "WIN", "pnl_percentage": 3.3},
    "recordInteraction": {"interaction_type": "CLICK", "source": "TELEGRAM", "user_id": "u1"},
    "logQuery": {"query_data": query_data(), "response_data": response_data()},
    "resolveOutcomes": {"candles": [_CANDLES]},
    "cleanup": {"days_to_keep": 90},
    "createWebhook": {"url": "https://example.com/hook", "events": ["signal.created"]},
    "enableWebhook": {},
    "removeWebhook": {},
    "forgetUser": {"user_id": "nobody"},
    "startConversation": {"user_id": "u1", "chat_id": "c1"},
    "addMessage": {"role": "user", "content": "Gold?"},
    "endConversation": {},
    "createRecommendation": _IDEA,
    "markRecommendationExecuted": {"ticket": "555"},
    "setRecommendationResult": {"pnl": 20.0, "r_multiple": 2.0},
    "createScannerResult": {"symbol": "XAUUSD", "timeframe": "15m", "direction": "BUY", "confidence": 75.0},
    "markScannerResultNotified": {},
    "createAction": {"user_id": "u1", "chat_id": "c1", "action_type": "button_click"},
    "createJournalEvent": {"event": "oco_triggered", "ticket": "42", "symbol": "XAUUSD"},
    "createExperiment": {"name": "prompt-v2", "variant_a": {"prompt": "v1"}, "variant_b": {"prompt": "v2"}},
    "planExperiment": {"metric": "expectancy_r", "mde": 0.2, "sd": 1.2},
    "changeExperiment": {"weight_a": 0.7},
    "startExperiment": {},
    "pauseExperiment": {},
    "stopExperiment": {},
    "declareWinner": {"variant": "B"},
    "assignVariant": {"user_id": "u1"},
    "reportExposure": {"unit": "u1", "variant": "A"},
    "keepExperimentResults": {},
    "runExperimentSelfTest": {"runs": 100},
}
"""One good body per operation that takes one; every operation must be here."""

NEEDED_STATE = {"pauseExperiment": ["start"], "stopExperiment": ["start"], "assignVariant": ["start"]} | {
    "declareWinner": ["start", "stop"],
    "reportExposure": ["start"],
    "markRecommendationExecuted": [],
    "setRecommendationResult": ["executed"],
}
"""What has to be done with a thing before the operation makes sense."""

_numbers = count(1)


def good_body(operation: Operation) -> dict[str, Any]:
    """A body that the operation takes; names that must be new are new."""
    body = GOOD_BODIES[operation.name]
    return {**body, "name": f"experiment-{next(_numbers)}"} if operation.name == "createExperiment" else dict(body)


def place(client: FlaskClient, operation: Operation) -> str:
    """The URL of an operation on something that exists, made for it."""
    url = PREFIX + operation.path
    if "<" not in operation.path:
        return url
    folder = operation.path.partition("/<")[0].rpartition("/")[2]
    thing = track(client) if folder == "signal" else _made(client, folder)
    for step in NEEDED_STATE.get(operation.name, []):
        body = {"ticket": "1"} if step == "executed" else {}
        answer = client.post(f"{PREFIX}/{folder}/{thing}/{step}", json=body)
        assert answer.status_code == 200, answer.text
    if "<snapshot_id>" in url:
        kept = client.post(f"{PREFIX}/{folder}/{thing}/snapshots", json={}).json["snapshot"]
        url = url.replace("<snapshot_id>", str(kept["snapshot_id"]))
    return _filled(url, thing)


def _made(client: FlaskClient, folder: str) -> str:
    creator = next(one for one in OPERATIONS if (one.method, one.path) == ("POST", f"/{folder}"))
    body = good_body(creator)
    answer = client.post(f"{PREFIX}/{folder}", json=body)
    assert answer.status_code == 200, answer.text
    ids = [value for name, value in answer.json.items() if name.endswith("_id") and name != "request_id"]
    return str(body["name"] if folder == "experiments" else ids[0])


def track(client: FlaskClient, **changes: Any) -> str:
    """Record a signal over HTTP; its id."""
    answer = client.post(f"{PREFIX}/track-signal", json={"signal_data": signal_data(**changes)})
    assert answer.status_code == 200, answer.text
    signal_id: str = answer.json["signal_id"]
    return signal_id


def url_of(operation: Operation, thing: str | None = None) -> str:
    """The URL of an operation on `thing`, or on something that does not exist."""
    unknown = UNKNOWN_ID if "<signal_id>" in operation.path else "999999999"
    return _filled(PREFIX + operation.path, unknown if thing is None else thing)


def _filled(path: str, thing: str) -> str:
    return re.sub(r"<[^>]*>", lambda _: thing, path)


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
