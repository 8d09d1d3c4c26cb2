from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.access import Principal
from stateful_engine.api.operations import OPERATIONS
from stateful_engine.domain.vocabulary import Scope
from tests.api.calls import GOOD_BODIES, PREFIX, assert_refused, url_of

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


GUARDED = [operation for operation in OPERATIONS if operation.scope is not None]


def call(client: FlaskClient, operation: Any) -> TestResponse:
    return client.open(url_of(operation), method=operation.method, json=GOOD_BODIES.get(operation.name))


@pytest.fixture
def outside(make_app: Callable[..., Flask]) -> FlaskClient:
    """An app as it runs in production: neither debug nor testing, and nothing configured."""
    return make_app(TESTING=False).test_client()


def test_nothing_but_health_answers_outside_debug_and_testing(outside: FlaskClient) -> None:
    for operation in GUARDED:
        answer = call(outside, operation)

        assert_refused(answer, 401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert outside.get(f"{PREFIX}/health").status_code == 200


def test_the_refusal_names_every_remedy(outside: FlaskClient) -> None:
    message = outside.get(f"{PREFIX}/signal-history").json["message"]

    for remedy in ("flask stateful keys create", "Authorization: Bearer", "STATEFUL_AUTH"):
        assert remedy in message


def test_a_stranger_learns_neither_paths_nor_figures(outside: FlaskClient) -> None:
    assert_refused(outside.get(f"{PREFIX}/nope"), 401, "UNAUTHORIZED")
    assert_refused(outside.put(f"{PREFIX}/signal-history"), 401, "UNAUTHORIZED")
    health = outside.get(f"{PREFIX}/health").json
    assert health["status"] == "ok"
    assert not {"recorder", "counters", "enabled"} & set(health)


def test_a_stranger_is_refused_before_the_body_is_read(outside: FlaskClient) -> None:
    answer = outside.post(f"{PREFIX}/track-signal", data=b"{" * 2**21, content_type="application/json")

    assert_refused(answer, 401, "UNAUTHORIZED")


def test_auth_none_opens_everything_outside_debug_too(make_app: Callable[..., Flask]) -> None:
    client = make_app(TESTING=False, STATEFUL_AUTH="none").test_client()

    assert client.get(f"{PREFIX}/signal-history").status_code == 200
    assert "recorder" in client.get(f"{PREFIX}/health").json


def test_auth_api_key_asks_for_a_key_in_testing_too(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_AUTH="api_key").test_client()

    assert_refused(client.get(f"{PREFIX}/signal-history"), 401, "UNAUTHORIZED")


def test_a_function_of_the_host_decides_by_the_request(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_AUTH=lambda request: request.headers.get("X-Desk") == "42").test_client()

    assert client.get(f"{PREFIX}/signal-history", headers={"X-Desk": "42"}).status_code == 200
    assert_refused(client.get(f"{PREFIX}/signal-history"), 401, "UNAUTHORIZED")


def test_an_async_function_of_the_host_decides_too(make_app: Callable[..., Flask]) -> None:
    async def decide(request: Any) -> bool:
        return "X-Desk" in request.headers

    client = make_app(STATEFUL_AUTH=decide).test_client()

    assert client.get(f"{PREFIX}/signal-history", headers={"X-Desk": "1"}).status_code == 200
    assert client.get(f"{PREFIX}/signal-history").status_code == 401


@pytest.mark.parametrize(
    "answer",
    [
        "alice",
        ["signals:read"],
        {"signals:read", "queries:read"},
        ("admin",),
        Principal("bob", frozenset({Scope.ADMIN})),
    ],
)
def test_a_function_of_the_host_may_name_the_caller_or_its_scopes(make_app: Callable[..., Flask], answer: Any) -> None:
    client = make_app(STATEFUL_AUTH=lambda request: answer).test_client()

    assert client.get(f"{PREFIX}/signal-history").status_code == 200


def test_a_caller_does_what_its_scopes_allow_and_nothing_else(make_app: Callable[..., Flask]) -> None:
    granted: list[str] = []
    client = make_app(STATEFUL_AUTH=lambda request: granted).test_client()

    for scope in Scope:
        granted[:] = [scope.value]
        for operation in GUARDED:
            answer = call(client, operation)
            if scope in {operation.scope, Scope.ADMIN}:
                assert answer.status_code not in {401, 403}, (scope, operation.name)
            else:
                assert_refused(answer, 403, "FORBIDDEN")
                assert str(operation.scope) in answer.json["message"]


@pytest.mark.parametrize("answer", [7, object(), ["signals:reed"], ""])
def test_an_answer_that_says_nothing_clear_lets_nobody_in(make_app: Callable[..., Flask], answer: Any) -> None:
    client = make_app(STATEFUL_AUTH=lambda request: answer).test_client()

    refused = client.get(f"{PREFIX}/signal-history")

    assert_refused(refused, 500, "CONFIGURATION_ERROR")
    assert "STATEFUL_AUTH returned" in refused.json["message"]


def test_a_host_that_aborts_is_answered_in_our_form_without_its_words(make_app: Callable[..., Flask]) -> None:
    def decide(request: Any) -> bool:
        from flask import abort

        abort(403, "internal detail")

    client = make_app(STATEFUL_AUTH=decide).test_client()

    answer = client.get(f"{PREFIX}/signal-history")

    assert_refused(answer, 403, "FORBIDDEN")
    assert "internal detail" not in answer.text
