"""With `STATEFUL_HASH_USER_IDS` a person has one pseudonym: in every table, through every door, for every question."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, jsonify
from sqlalchemy import select

from stateful_engine import (
    AnalyticsLogger,
    ChatGPTLogger,
    Experiments,
    RecommendationLogger,
    log_user_interaction,
    track_signal_generation,
    track_telegram_click,
)
from stateful_engine.services.import_journal import import_journal
from stateful_engine.storage import tables
from tests.api.calls import PREFIX, track
from tests.factories import signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime

PERSON = "telegram_123456"
NAME = "Ann Example"


@pytest.fixture
def app(make_app: Any) -> Flask:
    host: Flask = make_app(STATEFUL_HASH_USER_IDS=True)

    @host.get("/signal")
    @track_signal_generation
    def signal() -> Any:
        return jsonify({**signal_data(), "user_id": PERSON, "username": NAME})

    return host


@pytest.fixture
def anon(runtime: Runtime) -> str:
    return runtime.database.people.of(PERSON)


def everything(runtime: Runtime) -> str:
    """The content of all tables as text."""
    runtime.flush()
    with runtime.database.connection() as connection:
        rows = [connection.execute(select(table)).all() for table in tables.metadata.sorted_tables]
    return repr(rows)


def test_a_person_has_one_name_in_all_tables_and_no_other(
    app: Flask, client: FlaskClient, runtime: Runtime, anon: str
) -> None:
    headers = {"openai-ephemeral-user-id": PERSON}
    client.get("/signal", query_string={"user_id": PERSON}, headers=headers)
    signal_id = track(client, username=NAME, user_id=PERSON)
    client.post(f"{PREFIX}/signal/{signal_id}/execute", json={"execution_price": 1.0, "user_id": PERSON})
    client.post(f"{PREFIX}/conversations", json={"user_id": PERSON, "chat_id": PERSON})
    client.post(f"{PREFIX}/log-query", json={"query_data": {"endpoint": "/x", "user_ref": PERSON}, "response_data": {}})
    with app.app_context():
        track_telegram_click(signal_id, PERSON, NAME)
        log_user_interaction(signal_id, "VIEW", "WEB", PERSON, {"chat_id": PERSON})
        AnalyticsLogger().log_action(PERSON, PERSON, "click", {"user_id": PERSON, "first_name": NAME})
        RecommendationLogger().log_recommendation(PERSON, "XAUUSD", "BUY", 2650.0, 2640.0, 2670.0)
        experiments = Experiments()
        experiments.create("e", {}, {})
        experiments.start("e")
        experiments.note_exposure(experiments.assign("e", PERSON))
        ChatGPTLogger().start_conversation(PERSON)
    stored = everything(runtime)
    assert PERSON not in stored
    assert NAME not in stored
    with runtime.database.reading() as session:
        for table in tables.metadata.sorted_tables:
            for column in ("user_id", "user_ref"):
                if column in table.c and table.name not in {"signal_funnel", "webhook_deliveries"}:
                    found = {value for value in session.scalars(select(table.c[column])) if value is not None}
                    assert found == {anon}, (table.name, column)


def test_questions_about_a_person_take_the_plain_id_and_the_pseudonym(
    app: Flask, client: FlaskClient, anon: str
) -> None:
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/interaction", json={"interaction_type": "CLICK", "user_id": PERSON})
    for asked in (PERSON, anon):
        found = client.get(f"{PREFIX}/interactions", query_string={"user_id": asked}).json["interactions"]
        assert [one["user_id"] for one in found] == [anon]
    with app.app_context():
        conversation = ChatGPTLogger().start_conversation(PERSON)
        AnalyticsLogger().log_action(PERSON, None, "click")
        assert [one["id"] for one in ChatGPTLogger().get_user_conversations(PERSON)] == [conversation]
        assert ChatGPTLogger().open_conversation(anon) == conversation
        assert AnalyticsLogger().get_user_stats(PERSON) == {"click": 1}


def test_a_forced_variant_reaches_the_person_although_the_id_is_hidden(app: Flask) -> None:
    with app.app_context():
        experiments = Experiments()
        experiments.create("e", {}, {}, forced={PERSON: "B", "other": "A"})
        experiments.start("e")
        assert (experiments.assign("e", PERSON).variant, experiments.assign("e", PERSON).reason) == ("B", "forced")
        assert experiments.assign("e", "other").variant == "A"


def test_an_imported_journal_names_nobody_either(runtime: Runtime, tmp_path: Path, anon: str) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as journal:
        journal.execute("CREATE TABLE user_actions (id, user_id, chat_id, action_type, action_data, timestamp)")
        journal.execute("INSERT INTO user_actions VALUES (1, ?, ?, 'click', '{}', 1700000000)", (PERSON, PERSON))
    journal.close()
    assert import_journal(path, runtime.database).imported["user_actions"] == 1
    stored = everything(runtime)
    assert PERSON not in stored
    assert anon in stored
