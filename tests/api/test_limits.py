from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.api.limit_store import SWEEP_EVERY, InProcess
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import PREFIX, assert_refused

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

URL = f"{PREFIX}/signal-history"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


@pytest.fixture(params=["in process", "redis"])
def limited(request: pytest.FixtureRequest, make_app: Callable[..., Flask]) -> Flask:
    """An app that takes three calls an hour, counted here and in Redis."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return make_app(STATEFUL_RATE_LIMIT="3/hour", STATEFUL_REDIS_URL=url)


def statuses(client: FlaskClient, count: int, **headers: str) -> list[int]:
    return [client.get(URL, headers=headers).status_code for _ in range(count)]


def test_a_caller_is_told_what_is_left_and_stopped_when_nothing_is(limited: Flask) -> None:
    client = limited.test_client()

    answers = [client.get(URL) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
    assert_refused(answers[-1], 429, "RATE_LIMITED")
    wait = int(answers[-1].headers["Retry-After"])
    assert 3500 < wait <= 3600
    assert str(wait) == answers[-1].headers["RateLimit-Reset"]
    assert str(wait) in answers[-1].json["message"]


def test_preflights_and_health_are_never_limited(limited: Flask) -> None:
    client = limited.test_client()
    statuses(client, 4)

    preflight = {"Origin": "https://chatgpt.com", "Access-Control-Request-Method": "GET"}
    assert {client.options(URL, headers=preflight).status_code for _ in range(10)} == {204}
    assert {client.get(f"{PREFIX}/health").status_code for _ in range(10)} == {200}


def test_addresses_are_counted_apart(limited: Flask) -> None:
    client = limited.test_client()

    for address in ("10.0.0.1", "10.0.0.2"):
        answers = [client.get(URL, environ_base={"REMOTE_ADDR": address}).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429]


def test_a_forwarded_address_is_not_believed(limited: Flask) -> None:
    client = limited.test_client()

    answers = [client.get(URL, headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code for n in range(4)]

    assert answers == [200, 200, 200, 429]


def test_users_of_a_gpt_are_counted_apart_up_to_a_shared_limit(limited: Flask) -> None:
    client = limited.test_client()

    for user in ("anna", "ben"):
        headers = {"openai-gpt-id": "g-1", "openai-ephemeral-user-id": user}
        assert statuses(client, 4, **headers) == [200, 200, 200, 429]
    made_up = [
        client.get(URL, headers={"openai-ephemeral-user-id": f"user{number}"}).status_code for number in range(40)
    ]
    assert made_up.count(200) == 22
    assert made_up[-1] == 429


def test_every_key_has_a_limit_of_its_own(make_app: Callable[..., Flask]) -> None:
    app = make_app(TESTING=False, STATEFUL_RATE_LIMIT="2/hour")
    keys = ApiKeys(app.extensions["stateful_engine"].database)
    client = app.test_client()

    for name in ("one", "two"):
        text = keys.create(name).text
        assert statuses(client, 3, **{"X-API-Key": text}) == [200, 200, 429]
        assert statuses(client, 1, **{"X-API-Key": text, "openai-gpt-id": "g-other"}) == [429]


def test_guessing_keys_is_limited_by_address(make_app: Callable[..., Flask]) -> None:
    client = make_app(TESTING=False, STATEFUL_RATE_LIMIT="3/hour").test_client()

    answers = [client.get(URL, headers={"X-API-Key": f"se_{n}_x"}).status_code for n in range(5)]

    assert answers == [401, 401, 401, 429, 429]


def test_unknown_paths_and_bad_requests_count_too(limited: Flask) -> None:
    client = limited.test_client()

    assert client.get(f"{PREFIX}/nope").status_code == 404
    assert client.post(f"{PREFIX}/track-signal", data="{", content_type="application/json").status_code == 400
    assert client.get(f"{URL}?limit=x").status_code == 422
    assert client.get(URL).status_code == 429


def test_zero_means_no_limit(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_RATE_LIMIT="0/minute").test_client()

    assert "RateLimit-Limit" not in client.get(URL).headers


def test_the_default_limit_rests_in_tests_and_holds_in_production(make_app: Callable[..., Flask]) -> None:
    tested = make_app().test_client()
    real = make_app(TESTING=False, STATEFUL_AUTH="none").test_client()

    assert "RateLimit-Limit" not in tested.get(URL).headers
    assert real.get(URL).headers["RateLimit-Limit"] == "120"


def test_a_redis_that_is_away_costs_little_and_stops_nobody(make_app: Callable[..., Flask]) -> None:
    app = make_app(STATEFUL_RATE_LIMIT="3/hour", STATEFUL_REDIS_URL="redis://127.0.0.1:1/0")
    client = app.test_client()

    began = time.monotonic()
    answers = statuses(client, 4)

    assert answers == [200, 200, 200, 429]
    assert time.monotonic() - began < 2


def test_two_processes_share_a_limit_through_redis(make_app: Callable[..., Flask], redis_url: str) -> None:
    config: dict[str, Any] = {"STATEFUL_RATE_LIMIT": "3/hour", "STATEFUL_REDIS_URL": redis_url}
    one, other = make_app(**config).test_client(), make_app(**config).test_client()

    assert statuses(one, 2) + statuses(other, 2) == [200, 200, 200, 429]


class StandingTime:
    """A monotonic clock that moves when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr("stateful_engine.api.limit_store.time.monotonic", lambda: self.seconds)


def test_the_window_moves_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moment, store = StandingTime(monkeypatch), InProcess()

    assert [store.acquire_entry("a", 2, 60) for _ in range(3)] == [True, True, False]
    moment.seconds += 30
    assert not store.acquire_entry("a", 2, 60)
    moment.seconds += 30
    assert store.acquire_entry("a", 2, 60)
    assert store.get_moving_window("a", 2, 60)[1] == 1


def test_callers_that_went_silent_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    moment, store = StandingTime(monkeypatch), InProcess()
    for number in range(SWEEP_EVERY - 1):
        store.acquire_entry(f"caller{number}", 1, 60)
    moment.seconds += 61

    store.acquire_entry("new", 1, 60)

    assert list(store._calls) == ["new"]
    assert store.get("new") == 1
    assert store.get_expiry("new") > store.get_expiry("gone")
    assert store.check()
    assert store.incr("new", 60) == 2
    store.clear("new")
    assert store.reset() == 0


def test_a_forked_child_counts_on_although_its_parent_was_counting() -> None:
    store = InProcess()
    with store._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if store.acquire_entry("a", 1, 60) else 1)
    assert os.waitpid(child, 0)[1] == 0
