from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.calls import PREFIX, assert_refused, pointers, track
from tests.factories import query_data, response_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient


def log(client: FlaskClient, **changes: Any) -> str:
    body = {"query_data": query_data(**changes), "response_data": response_data()}
    query_id: str = client.post(f"{PREFIX}/log-query", json=body).json["query_id"]
    return query_id


def test_a_logged_query_is_kept_with_its_answer(client: FlaskClient) -> None:
    body = {
        "query_data": query_data(),
        "response_data": response_data(ai_model="gpt-x", tokens_used=120, prompt_tokens=100, feedback_rating=4),
    }

    answer = client.post(f"{PREFIX}/log-query", json=body)

    assert answer.status_code == 200
    assert answer.headers["X-Query-ID"] == answer.json["query_id"]
    (kept,) = client.get(f"{PREFIX}/query-history").json["queries"]
    assert kept["query_id"] == answer.json["query_id"]
    assert (kept["endpoint"], kept["method"], kept["user_query"]) == tuple(
        query_data()[name] for name in ("endpoint", "method", "user_query")
    )
    assert kept["request_params"] == {"symbol": "BTCUSDT"}
    assert kept["response_data"] == {"confidence": 85.5}
    assert (kept["response_status"], kept["processing_time_ms"], kept["is_successful"]) == (200, 1250, True)
    assert (kept["ai_model_used"], kept["tokens_used"], kept["feedback_rating"]) == ("gpt-x", 120, 4)
    assert kept["completion_tokens"] is None


def test_a_query_may_be_logged_flat(client: FlaskClient) -> None:
    client.post(f"{PREFIX}/log-query", json={**query_data(), **response_data(status_code=500)})

    (kept,) = client.get(f"{PREFIX}/query-history").json["queries"]
    assert kept["endpoint"] == "/api/gpts/signal"
    assert (kept["response_status"], kept["is_successful"]) == (500, False)


def test_the_headers_of_chatgpt_attribute_the_query_and_nothing_is_made_up(client: FlaskClient) -> None:
    headers = {
        "User-Agent": "Mozilla/5.0 (compatible; ChatGPT-User/1.0)",
        "openai-conversation-id": "conv-1",
        "openai-ephemeral-user-id": "user-1",
        "openai-gpt-id": "g-1",
    }
    client.post(f"{PREFIX}/log-query", json={"query_data": {"endpoint": "/x"}}, headers=headers)

    (kept,) = client.get(f"{PREFIX}/query-history").json["queries"]
    assert (kept["conversation_ref"], kept["user_ref"], kept["gpt_id"]) == ("conv-1", "user-1", "g-1")
    assert kept["user_agent"] == headers["User-Agent"]
    assert kept["ai_model_used"] is None
    assert kept["tokens_used"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/query_data/endpoint"),
        ({"query_data": {}}, "/query_data/endpoint"),
        ({"response_data": {}}, "/query_data/endpoint"),
        ({"user_query": "hello"}, "/endpoint"),
    ],
)
def test_a_query_without_endpoint_is_missing_data(client: FlaskClient, body: Any, pointer: str) -> None:
    answer = client.post(f"{PREFIX}/log-query", json=body)

    assert_refused(answer, 400, "MISSING_DATA")
    assert pointers(answer) == [pointer]


def test_a_query_says_everything_that_is_wrong_with_it_at_once(client: FlaskClient) -> None:
    body = {
        "query_data": {"endpoint": "/x", "params": [1], "user_qwery": "?"},
        "response_data": {"status_code": 99, "tokens_used": -1, "cost_usd": "much", "feedback_rating": 6},
    }

    answer = client.post(f"{PREFIX}/log-query", json=body)

    assert_refused(answer, 422, "VALIDATION_ERROR")
    response = {f"/response_data/{name}" for name in ("status_code", "tokens_used", "cost_usd", "feedback_rating")}
    assert set(pointers(answer)) == {"/query_data/params", "/query_data/user_qwery", *response}
    hint = next(fault for fault in answer.json["errors"] if fault["pointer"] == "/query_data/user_qwery")
    assert "did you mean user_query?" in hint["detail"]
    assert client.get(f"{PREFIX}/query-history?days=0").json["queries"] == []


def test_queries_are_found_by_endpoint_session_and_success(client: FlaskClient) -> None:
    wanted = log(client, endpoint="/wanted", session_id="s1")
    failed = client.post(
        f"{PREFIX}/log-query", json={"query_data": {"endpoint": "/other"}, "response_data": {"status_code": 500}}
    ).json["query_id"]

    def found(query: str) -> list[str]:
        rows = client.get(f"{PREFIX}/query-history?{query}").json["queries"]
        return [row["query_id"] for row in rows]

    assert found("endpoint=/wanted") == [wanted]
    assert found("session_id=s1") == [wanted]
    assert found("successful=true") == [wanted]
    assert found("successful=false") == [failed]
    assert found("") == [failed, wanted]


def test_interactions_are_found_by_signal_person_type_and_source(client: FlaskClient) -> None:
    signal_id = track(client)
    body = {"interaction_type": "CLICK", "source": "TELEGRAM", "user_id": "u1"}
    wanted = client.post(f"{PREFIX}/signal/{signal_id}/interaction", json=body).json["interaction_id"]
    track(client)

    for query in ("user_id=u1", "interaction_type=click", "source=TELEGRAM", f"signal_id={signal_id}&user_id=u1"):
        rows = client.get(f"{PREFIX}/interactions?{query}").json["interactions"]
        assert [row["interaction_id"] for row in rows] == [wanted], query


def test_queries_and_interactions_have_cursors_of_their_own(client: FlaskClient) -> None:
    ids = [log(client) for _ in range(3)]
    track(client)
    track(client)

    first = client.get(f"{PREFIX}/query-history?limit=2").json
    rest = client.get(f"{PREFIX}/query-history?limit=2&cursor={first['next_cursor']}").json
    strange = client.get(f"{PREFIX}/interactions?cursor={first['next_cursor']}")

    assert [row["query_id"] for row in first["queries"] + rest["queries"]] == ids[::-1]
    assert_refused(strange, 422, "INVALID_CURSOR")
