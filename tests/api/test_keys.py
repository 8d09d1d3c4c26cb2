from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.errors import InvalidInputError, NotFoundError, StorageUnavailableError
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import GOOD_BODIES, PREFIX, assert_refused

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.factories import FakeClock

URL = f"{PREFIX}/signal-history"


@pytest.fixture
def closed(make_app: Callable[..., Flask]) -> Flask:
    """An app as it runs in production."""
    return make_app(TESTING=False)


@pytest.fixture
def keys(closed: Flask) -> ApiKeys:
    return ApiKeys(closed.extensions["stateful_engine"].database)


@pytest.fixture
def visitor(closed: Flask) -> FlaskClient:
    return closed.test_client()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_key_opens_the_door_in_every_way_it_can_be_sent(visitor: FlaskClient, keys: ApiKeys) -> None:
    text = keys.create("desk").text

    for headers in (bearer(text), {"X-API-Key": text}, basic("", text), basic("anybody", text), basic(text, "")):
        assert visitor.get(URL, headers=headers).status_code == 200, headers
    assert_refused(visitor.get(URL, query_string={"api_key": text}), 401, "UNAUTHORIZED")


def test_a_key_that_is_almost_right_opens_nothing(visitor: FlaskClient, keys: ApiKeys) -> None:
    text = keys.create("desk").text
    other = keys.create("other").text
    prefix, key_id, secret = text.split("_", 2)
    mixed = f"{prefix}_{key_id}_{other.split('_', 2)[2]}"

    wrong = [text[:-1], text + "x", mixed, f"se__{secret}", f"se_{key_id}_", "se_", "x", text.upper(), "se_" + "é" * 40]
    for given in wrong:
        assert_refused(visitor.get(URL, headers={"X-API-Key": given}), 401, "INVALID_KEY")
    assert_refused(visitor.get(URL, headers=bearer(mixed)), 401, "INVALID_KEY")
    assert_refused(visitor.get(URL, headers=bearer("a-token-of-the-host")), 401, "UNAUTHORIZED")
    assert_refused(visitor.get(URL, headers={"Authorization": "Basic !!!"}), 401, "UNAUTHORIZED")


def test_no_secret_is_stored_or_listed(keys: ApiKeys) -> None:
    from sqlalchemy import text as sql

    made = keys.create("desk")
    secret = made.text.split("_", 2)[2]

    (listed,) = keys.every()
    with keys._database.connection() as connection:
        stored = connection.execute(sql(f"SELECT * FROM {keys._database.qualified('api_keys')}")).one()

    assert len(secret) >= 32
    assert secret not in str(stored)
    assert "secret_hash" not in listed
    assert (listed["key_id"], listed["name"], listed["expires_at"]) == (made.key_id, "desk", None)


def test_a_key_without_named_scopes_serves_a_custom_gpt_but_does_not_run_the_app(
    visitor: FlaskClient, keys: ApiKeys
) -> None:
    headers = bearer(keys.create("gpt").text)

    assert visitor.post(f"{PREFIX}/track-signal", json=GOOD_BODIES["trackSignal"], headers=headers).status_code == 200
    assert visitor.get(f"{PREFIX}/analytics/summary", headers=headers).status_code == 200
    answer = visitor.post(f"{PREFIX}/maintenance/cleanup", json={}, headers=headers)
    assert_refused(answer, 403, "FORBIDDEN")


def test_a_key_ends_when_it_expires(visitor: FlaskClient, keys: ApiKeys, clock: FakeClock) -> None:
    from datetime import timedelta

    headers = bearer(keys.create("desk", expires_in=timedelta(days=2)).text)

    assert visitor.get(URL, headers=headers).status_code == 200
    clock.advance(days=2)
    assert_refused(visitor.get(URL, headers=headers), 401, "INVALID_KEY")


def test_a_revoked_key_ends_at_once(visitor: FlaskClient, keys: ApiKeys) -> None:
    made = keys.create("desk")
    assert visitor.get(URL, headers=bearer(made.text)).status_code == 200

    keys.revoke(made.key_id)

    assert_refused(visitor.get(URL, headers=bearer(made.text)), 401, "INVALID_KEY")


def test_a_rotated_key_works_beside_its_successor_for_a_while(
    visitor: FlaskClient, keys: ApiKeys, clock: FakeClock
) -> None:
    from datetime import timedelta

    old = keys.create("desk", ["signals:read"])
    new = keys.rotate(old.key_id, overlap=timedelta(hours=1))

    def status(text: str) -> int:
        return visitor.get(URL, headers=bearer(text)).status_code

    assert (status(old.text), status(new.text)) == (200, 200)
    clock.advance(hours=1)
    assert (status(old.text), status(new.text)) == (401, 200)
    assert new.scopes == old.scopes


def test_the_last_use_is_remembered_to_the_minute(visitor: FlaskClient, keys: ApiKeys, clock: FakeClock) -> None:
    headers = bearer(keys.create("desk").text)

    def last_use() -> Any:
        visitor.get(URL, headers=headers)
        return keys.every()[0]["last_used_at"]

    first = last_use()
    assert first == clock.now().isoformat()
    clock.advance(seconds=30)
    assert last_use() == first
    clock.advance(seconds=31)
    assert last_use() == clock.now().isoformat()


def test_a_key_seen_lately_is_trusted_while_the_database_is_away(
    closed: Flask, visitor: FlaskClient, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, unseen = keys.create("seen").text, keys.create("unseen").text
    assert visitor.get(URL, headers=bearer(seen)).status_code == 200
    runtime = closed.extensions["stateful_engine"]

    def away(*_: Any) -> Any:
        raise StorageUnavailableError("the database is away; send it again later")

    monkeypatch.setattr(type(runtime.database), "reading", away)
    monkeypatch.setattr(runtime.recorder, "record_durably", lambda *_, **__: False)

    taken = visitor.post(f"{PREFIX}/track-signal", json=GOOD_BODIES["trackSignal"], headers=bearer(seen))
    refused = visitor.post(f"{PREFIX}/track-signal", json=GOOD_BODIES["trackSignal"], headers=bearer(unseen))

    assert taken.status_code == 202
    assert_refused(refused, 503, "STORAGE_UNAVAILABLE")
    assert visitor.get(f"{PREFIX}/health").status_code == 200


def test_a_key_binds_its_scopes_also_where_the_door_is_open(make_app: Callable[..., Flask]) -> None:
    app = make_app(STATEFUL_AUTH="none")
    text = ApiKeys(app.extensions["stateful_engine"].database).create("reader", ["signals:read"]).text

    assert_refused(app.test_client().get(f"{PREFIX}/interactions", headers=bearer(text)), 403, "FORBIDDEN")
    assert app.test_client().get(f"{PREFIX}/interactions").status_code == 200


def test_a_key_is_made_for_scopes_that_exist_only(keys: ApiKeys) -> None:
    with pytest.raises(InvalidInputError, match="'everything' is no scope; use signals:read"):
        keys.create("x", ["signals:read", "everything"])
    assert keys.every() == []


def test_a_key_that_ended_has_no_successor(keys: ApiKeys) -> None:
    made = keys.create("desk")
    keys.revoke(made.key_id)

    with pytest.raises(NotFoundError, match="create a new one"):
        keys.rotate(made.key_id)


def test_only_so_many_keys_are_trusted_and_the_latest(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateful_engine.services.api_keys.TRUSTED_KEYS", 2)
    texts = [keys.create(str(number)).text for number in range(3)]
    for text in texts:
        assert keys.recognise(text) is not None

    assert len(keys._trusted) == 2


class Operator:
    """Somebody at the command line."""

    def __init__(self, app: Flask) -> None:
        self._runner = app.test_cli_runner()

    def run(self, *words: str) -> Any:
        return self._runner.invoke(args=["stateful", "keys", *words])


def test_the_commands_make_list_rotate_and_revoke_keys(closed: Flask, visitor: FlaskClient) -> None:
    operator = Operator(closed)
    made = operator.run("create", "desk", "--scope", "signals:read", "--expires-days", "30")
    text = made.stdout.strip()
    key_id = text.split("_")[1]

    assert made.exit_code == 0, made.output
    assert "not shown again" in made.stderr
    assert visitor.get(URL, headers=bearer(text)).status_code == 200
    listing = operator.run("list").stdout
    assert key_id in listing
    assert "signals:read" in listing
    assert text not in listing

    rotated = operator.run("rotate", key_id, "--overlap-hours", "0")
    successor = rotated.stdout.strip()
    assert f"{key_id} works for 0 hours more" in rotated.stderr
    assert visitor.get(URL, headers=bearer(text)).status_code == 401
    assert visitor.get(URL, headers=bearer(successor)).status_code == 200

    assert operator.run("revoke", successor.split("_")[1]).exit_code == 0
    assert visitor.get(URL, headers=bearer(successor)).status_code == 401
    assert "revoked" in operator.run("list").stdout


def test_the_commands_say_what_is_wrong(closed: Flask) -> None:
    operator = Operator(closed)

    assert "create one with" in operator.run("list").stderr
    assert "no key has the id 'nope'" in operator.run("revoke", "nope").stderr
    assert "no key has the id 'nope'" in operator.run("rotate", "nope").stderr
    for name in ("", " ", "x" * 101):
        assert "give 1 to 100 characters" in operator.run("create", name).stderr
    assert operator.run("create", "x", "--scope", "everything").exit_code == 2


def test_a_closed_app_says_at_start_up_how_to_get_in(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stateful_engine")
    make_app()
    make_app(STATEFUL_AUTH="none", TESTING=False)
    make_app(STATEFUL_AUTH=lambda request: True, TESTING=False)
    assert "asks for a key" not in caplog.text

    make_app(TESTING=False)

    assert "asks for a key; create one with `flask stateful keys create NAME`" in caplog.text
