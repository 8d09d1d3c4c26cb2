"""Webhooks: what happened is told to who wants to know, once each, signed, and whoever fails is left alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, func, select
from standardwebhooks import Webhook

from stateful_engine.domain.webhooks import MOST_ATTEMPTS, MOST_FAILURES
from stateful_engine.errors import InvalidInputError, NotFoundError
from stateful_engine.services.webhooks import Webhooks
from stateful_engine.storage import tables
from stateful_engine.storage import webhooks as stored_webhooks
from tests.api.calls import PREFIX, track
from tests.factories import signal_data
from tests.webhook_receiver import Receiver, receiving

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock


@pytest.fixture
def app(make_app: Any) -> Flask:
    made: Flask = make_app(STATEFUL_WEBHOOK_ALLOW_PRIVATE=True)
    return made


@pytest.fixture
def hooks(runtime: Runtime) -> Webhooks:
    return Webhooks(runtime.database, runtime.settings)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def deliveries(runtime: Runtime) -> list[dict[str, Any]]:
    table = tables.table("webhook_deliveries")
    with runtime.database.connection() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()]


def test_every_event_is_told_with_a_signature_that_the_reference_library_accepts(
    client: FlaskClient, runtime: Runtime, hooks: Webhooks, receiver: Receiver
) -> None:
    made = hooks.add(receiver.url)
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/execute", json={"execution_price": 45100.0, "user_id": "ann"})
    client.post(f"{PREFIX}/signal/{signal_id}/outcome", json={"outcome": "WIN", "pnl_percentage": 3.3})
    client.post(f"{PREFIX}/signal/{signal_id}/interaction", json={"interaction_type": "CLICK", "user_id": "ann"})

    done = hooks.deliver()

    assert (done.delivered, done.failed) == (5, 0)
    assert receiver.events == [
        *("interaction.created", "interaction.created", "signal.closed", "signal.created", "signal.executed")
    ]
    for body, headers in zip(receiver.bodies, receiver.headers, strict=True):
        Webhook(made.secret).verify(body, headers)
    said = {message["type"]: message["data"] for message in receiver.said}
    assert said["signal.created"]["symbol"] == "BTCUSDT"
    assert said["signal.executed"]["execution_price"] == 45100.0
    assert (said["signal.closed"]["outcome"], said["signal.closed"]["pnl_percentage"]) == ("WIN", 3.3)
    assert {message["data"]["signal_id"] for message in receiver.said} == {signal_id}
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 5
    assert hooks.deliver().delivered == 0


def test_only_what_an_endpoint_asked_for_is_told_to_it(
    client: FlaskClient, hooks: Webhooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url, ["signal.executed"])
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/execute", json={"execution_price": 1.0})
    hooks.deliver()
    assert receiver.events == ["signal.executed"]


def test_a_repeated_or_unchanged_result_is_told_once(client: FlaskClient, hooks: Webhooks, receiver: Receiver) -> None:
    hooks.add(receiver.url, ["signal.closed", "signal.executed"])
    url = f"{PREFIX}/signal/{track(client)}"
    for _ in range(2):
        client.post(f"{url}/execute", json={"execution_price": 1.0})
        client.post(f"{url}/outcome", json={"outcome": "WIN"})
    client.post(f"{url}/outcome", json={"outcome": "LOSS", "correct": True})
    client.post(f"{url}/outcome", json={"outcome": "PENDING", "correct": True})
    hooks.deliver()
    assert receiver.events == ["signal.closed", "signal.closed", "signal.executed"]


def test_what_was_rolled_back_is_never_told(app: Flask, runtime: Runtime, hooks: Webhooks, receiver: Receiver) -> None:
    from sqlalchemy.orm import Session

    hooks.add(receiver.url)
    with Session(runtime.database.ready_engine()) as session:
        if runtime.database.dialect == "sqlite":
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
        runtime.state_manager.save_signal_history(signal_data(), session=session)
        session.rollback()
    assert hooks.deliver().delivered == 0
    assert deliveries(runtime) == []


def test_where_nobody_listens_writing_asks_once_and_writes_nothing(runtime: Runtime) -> None:
    asked: list[str] = []
    stored_webhooks.forget_listeners()

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "webhook" in statement:
            asked.append(statement)

    engine = runtime.database.ready_engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        for _ in range(20):
            runtime.state_manager.save_signal_history(signal_data(), durable=True)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 1
    assert deliveries(runtime) == []


def test_another_process_learns_of_an_endpoint_after_a_moment(
    make_app: Any, hooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_app().extensions["stateful_engine"]
    other.state_manager.save_signal_history(signal_data(), durable=True)
    known = dict(stored_webhooks._known)
    hooks.add(receiver.url, ["signal.created"])
    stored_webhooks._known.update(known)
    monkeypatch.setattr(stored_webhooks, "KNOWN_SECONDS", 0.0)
    other.state_manager.save_signal_history(signal_data(), durable=True)
    assert hooks.deliver().delivered == 1


def test_several_deliverers_send_each_message_once(
    runtime: Runtime, make_app: Any, hooks: Webhooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url, ["signal.created"])
    ids = {runtime.state_manager.save_signal_history(signal_data(), durable=True) for _ in range(30)}
    here = runtime.settings
    others = [make_app(instance_path=here.instance_path).extensions["stateful_engine"] for _ in range(3)]
    threads = [threading.Thread(target=Webhooks(one.database, here).deliver) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(message["data"]["signal_id"] for message in receiver.said) == sorted(ids)


def test_a_message_whose_sender_died_is_sent_again_under_the_same_id(
    runtime: Runtime, hooks: Webhooks, receiver: Receiver, clock: FakeClock
) -> None:
    hooks.add(receiver.url, ["signal.created"])
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    with runtime.database.transaction() as session:
        taken = stored_webhooks.claim(session, now=clock.now(), until=clock.now() + timedelta(seconds=60))
    assert taken is not None
    assert hooks.deliver().delivered == 0
    clock.advance(seconds=61)
    assert hooks.deliver().delivered == 1
    assert receiver.headers[0]["webhook-id"] == taken.message_id
    with runtime.database.transaction() as session:
        assert not stored_webhooks.delivered(session, taken, status=200, at=clock.now())


def test_a_failing_endpoint_is_tried_again_later_and_does_not_hold_up_others(
    runtime: Runtime, hooks: Webhooks, receiver: Receiver, clock: FakeClock
) -> None:
    with receiving() as broken:
        broken.status = 500
        hooks.add(broken.url, ["signal.created"])
        hooks.add(receiver.url, ["signal.created"])
        for _ in range(3):
            runtime.state_manager.save_signal_history(signal_data(), durable=True)
        done = hooks.deliver()
        assert (done.delivered, done.failed) == (3, 1)
        assert len(broken.bodies) == 1
        broken.status = 200
        assert hooks.deliver().delivered == 0
        clock.advance(seconds=6)
        assert hooks.deliver().delivered == 3
    assert [row["failures"] for row in hooks.every()] == [0, 0]
    assert {row["state"] for row in deliveries(runtime)} == {"delivered"}


def test_an_endpoint_that_fails_too_often_is_no_longer_called_until_it_is_enabled(
    runtime: Runtime, hooks: Webhooks, receiver: Receiver, clock: FakeClock
) -> None:
    receiver.status = 503
    made = hooks.add(receiver.url, ["signal.created"])
    for _ in range(3):
        runtime.state_manager.save_signal_history(signal_data(), durable=True)
    for _ in range(MOST_FAILURES + 3):
        hooks.deliver()
        clock.advance(hours=7)
    [row] = hooks.every()
    assert len(receiver.bodies) == MOST_FAILURES
    assert row["disabled_at"] is not None
    assert row["last_error"] == "answered with status 503"
    assert row["failed"] <= MOST_FAILURES // MOST_ATTEMPTS
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    assert len(deliveries(runtime)) == 3

    receiver.status = 200
    hooks.enable(made.endpoint_id)
    assert hooks.deliver().delivered == row["pending"]


def test_a_message_that_is_never_taken_is_given_up(
    runtime: Runtime, hooks: Webhooks, receiver: Receiver, clock: FakeClock
) -> None:
    receiver.status = 400
    hooks.add(receiver.url, ["signal.created"])
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    for _ in range(MOST_ATTEMPTS + 2):
        hooks.deliver()
        clock.advance(hours=7)
    assert len(receiver.bodies) == MOST_ATTEMPTS
    [message] = deliveries(runtime)
    assert (message["state"], message["last_status"]) == ("failed", 400)
    clock.advance(days=31)
    hooks.deliver()
    assert deliveries(runtime) == []


def test_an_endpoint_that_says_it_is_gone_is_believed(runtime: Runtime, hooks: Webhooks, receiver: Receiver) -> None:
    receiver.status = 410
    hooks.add(receiver.url)
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    hooks.deliver()
    assert hooks.every()[0]["disabled_at"] is not None


def test_a_redirect_is_a_failure(runtime: Runtime, hooks: Webhooks, receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, "http://127.0.0.1:1/"
    hooks.add(receiver.url, ["signal.created"])
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    assert hooks.deliver().failed == 1


def test_a_private_address_that_is_no_longer_allowed_is_not_called(
    make_app: Any, runtime: Runtime, hooks: Webhooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url, ["signal.created"])
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    strict = make_app(instance_path=runtime.settings.instance_path).extensions["stateful_engine"]
    assert Webhooks(strict.database, strict.settings).deliver().failed == 1
    assert receiver.bodies == []
    assert "private address" in hooks.every()[0]["last_error"]


def test_the_secret_is_nowhere_stored_and_a_lost_key_is_noticed(
    make_app: Any, runtime: Runtime, hooks: Webhooks, receiver: Receiver
) -> None:
    made = hooks.add(receiver.url, ["signal.created"])
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    with runtime.database.connection() as connection:
        rows = [connection.execute(select(table)).all() for table in tables.metadata.sorted_tables]
    assert made.secret.removeprefix("whsec_") not in repr(rows)
    assert "secret" not in json.dumps(hooks.every())
    elsewhere = make_app(STATEFUL_WEBHOOK_ALLOW_PRIVATE=True).extensions["stateful_engine"]
    assert Webhooks(elsewhere.database, elsewhere.settings).deliver().failed == 1
    assert receiver.bodies == []
    assert "key of this installation" in hooks.every()[0]["last_error"]


def test_messages_name_people_as_the_tables_do_and_go_when_the_person_goes(make_app: Any, receiver: Receiver) -> None:
    app = make_app(STATEFUL_WEBHOOK_ALLOW_PRIVATE=True, STATEFUL_HASH_USER_IDS=True)
    runtime = app.extensions["stateful_engine"]
    Webhooks(runtime.database, runtime.settings).add(receiver.url, ["interaction.created"])
    for person in ("ann", "bob"):
        runtime.state_manager.track_user_interaction(None, {"type": "CLICK", "user_id": person})
    runtime.flush()
    assert {row["user_id"] for row in deliveries(runtime)} == {runtime.database.people.of(p) for p in ("ann", "bob")}
    assert runtime.state_manager.forget_user("ann").deleted["webhook_deliveries"] == 1
    [left] = deliveries(runtime)
    assert json.loads(left["payload"])["data"]["user_id"] == runtime.database.people.of("bob")


def test_what_no_endpoint_can_be_is_refused(hooks: Webhooks, receiver: Receiver) -> None:
    with pytest.raises(InvalidInputError, match="no event"):
        hooks.add(receiver.url, ["signal.exploded"])
    with pytest.raises(InvalidInputError, match="https"):
        hooks.add("ftp://example.com")
    for change in (hooks.remove, hooks.enable):
        with pytest.raises(NotFoundError, match="webhooks list"):
            change("whe_0")


def test_a_removed_endpoint_takes_its_messages_along(runtime: Runtime, hooks: Webhooks, receiver: Receiver) -> None:
    made = hooks.add(receiver.url)
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    hooks.remove(made.endpoint_id)
    assert hooks.every() == []
    assert deliveries(runtime) == []
    runtime.state_manager.save_signal_history(signal_data(), durable=True)
    with runtime.database.connection() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.table("webhook_deliveries"))) == 0
