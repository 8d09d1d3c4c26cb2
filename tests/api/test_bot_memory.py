"""The bot's memory over HTTP: every record can be made, found and reported on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

STATE = "/api/gpts/state"


def post(client: FlaskClient, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = client.post(STATE + path, json=body)
    assert answer.status_code == status, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    answer = client.get(STATE + path)
    assert answer.status_code == 200, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_conversation_is_begun_continued_read_and_ended(client: FlaskClient) -> None:
    conversation = post(client, "/conversations", {"user_id": 7_000_000_000, "chat_id": -100})["conversation_id"]
    post(client, f"/conversations/{conversation}/messages", {"role": "user", "content": "Gold?"})
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    post(
        client,
        f"/conversations/{conversation}/messages",
        {"role": "assistant", "content": "Buy.", "model": "gpt-4o-mini", "usage": usage},
    )
    post(client, f"/conversations/{conversation}/end", {})
    messages = get(client, f"/conversations/{conversation}/messages")["messages"]
    assert [(one["role"], one["tokens_used"]) for one in messages] == [("user", None), ("assistant", 120)]
    assert messages[0]["timestamp"].endswith("+00:00")
    [listed] = get(client, "/conversations?user_id=7000000000")["conversations"]
    assert (listed["id"], listed["message_count"], listed["total_tokens"]) == (conversation, 2, 120)


def test_a_recommendation_is_made_followed_and_measured(client: FlaskClient) -> None:
    made = post(
        client,
        "/recommendations",
        {
            "user_id": "u1",
            "symbol": "XAUUSD",
            "direction": "buy",
            "entry_price": 2650.0,
            "stop_loss": 2640.0,
            "take_profit": 2670.0,
            "confidence": 85,
        },
    )["recommendation_id"]
    post(client, f"/recommendations/{made}/executed", {"ticket": 555})
    post(client, f"/recommendations/{made}/executed", {"ticket": 556}, status=409)
    post(client, f"/recommendations/{made}/result", {"pnl": 20.0, "r_multiple": 2.0})
    [listed] = get(client, "/recommendations?symbol=XAUUSD")["recommendations"]
    assert (listed["execution_ticket"], listed["risk_reward"], listed["result_pnl"]) == ("555", 2.0, 20.0)
    report = get(client, "/analytics/recommendations")["analytics"]
    assert (report["total_recommendations"], report["execution_rate"], report["win_rate"]) == (1, 100.0, 100.0)


def test_a_scanner_result_is_told_once(client: FlaskClient) -> None:
    body = {"symbol": "XAUUSD", "direction": "BUY", "confidence": 80, "bar_time": "2026-01-31T12:00:00Z"}
    first = post(client, "/scanner", body)["result_id"]
    assert post(client, "/scanner", body)["result_id"] == first
    assert post(client, f"/scanner/{first}/notified", {})["first"] is True
    assert post(client, f"/scanner/{first}/notified", {})["first"] is False
    [listed] = get(client, "/scanner")["results"]
    assert listed["notified"] is True
    assert get(client, "/analytics/scanner")["analytics"]["signals"][0]["notified_count"] == 1


def test_actions_are_recorded_and_counted(client: FlaskClient) -> None:
    for _ in range(3):
        post(client, "/actions", {"user_id": 1, "chat_id": 2, "action_type": "button_click", "action_data": {"b": 1}})
    assert get(client, "/actions?action_type=button_click")["total_returned"] == 3
    assert get(client, "/analytics/engagement")["analytics"]["popular_actions"] == {"button_click": 3}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (2**63 - 1, 200),
        (-(2**63), 200),
        (-(2**63) - 1, 422),
        (2**63, 422),
        (10**37, 422),
        (7e9, 200),
        (1e17, 422),
        (1.5, 422),
    ],
)
def test_a_person_is_never_named_by_a_number_that_was_only_roughly_understood(
    client: FlaskClient, given: float, status: int
) -> None:
    post(client, "/actions", {"user_id": given, "action_type": "x"}, status)
    known = [one["user_id"] for one in get(client, "/actions")["actions"]]
    assert known == ([str(int(given))] if status == 200 else [])


def test_an_action_is_safe_on_the_disk_while_the_database_is_away(make_app: Callable[..., Flask]) -> None:
    app = make_app(STATEFUL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", STATEFUL_AUTH="none")
    answer = post(app.test_client(), "/actions", {"user_id": 1, "action_type": "button_click"}, status=202)
    assert answer["pending"] is True
    assert answer["action_id"].startswith("act_")


def test_journal_events_are_recorded_and_found(client: FlaskClient) -> None:
    post(client, "/journal", {"event": "trailing_stop_adjusted", "ticket": 7, "symbol": "XAUUSD", "sl": 2652.0})
    [event] = get(client, "/journal?ticket=7")["events"]
    assert (event["event"], event["sl"]) == ("trailing_stop_adjusted", 2652.0)


def test_lists_turn_their_pages(client: FlaskClient) -> None:
    for number in range(5):
        post(client, "/actions", {"user_id": number, "action_type": "x"})
    first = get(client, "/actions?limit=3")
    second = get(client, f"/actions?limit=3&cursor={first['next_cursor']}")
    users = [one["user_id"] for one in first["actions"] + second["actions"]]
    assert users == ["4", "3", "2", "1", "0"]
    assert second["has_more"] is False


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/conversations", {}, 400),
        ("/conversations", {"user_id": [1]}, 422),
        ("/conversations/404/messages", {"role": "user", "content": "x"}, 404),
        ("/conversations/x/messages", {"role": "user", "content": "x"}, 404),
        ("/conversations/99999999999999999999/end", {}, 404),
        ("/recommendations", {"user_id": 1, "symbol": "XAUUSD", "direction": "sideways"}, 422),
        ("/recommendations", {"user_id": 1, "symbol": "XAUUSD", "direction": "BUY", "conversation_id": 404}, 404),
        ("/recommendations/404/result", {"pnl": 1.0}, 404),
        ("/scanner", {"symbol": "XAUUSD", "confidence": 150}, 422),
        ("/scanner/404/notified", {}, 404),
        ("/actions", {"user_id": 1}, 400),
        ("/journal", {"event": "x", "price": "much"}, 422),
        ("/journal", {"event": "x", "colour": "red"}, 422),
    ],
)
def test_what_cannot_be_meant_is_refused(client: FlaskClient, path: str, body: dict[str, Any], status: int) -> None:
    refused = post(client, path, body, status)
    assert refused["success"] is False
    assert refused["message"]


@pytest.mark.parametrize("path", ["/conversations", "/recommendations", "/scanner", "/actions", "/journal"])
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=abc", "days=-1", "cursor=garbage", "colour=red"])
def test_queries_that_cannot_be_meant_are_refused(client: FlaskClient, path: str, query: str) -> None:
    answer = client.get(f"{STATE}{path}?{query}")
    assert answer.status_code == 422
    assert answer.get_json()["errors"]
