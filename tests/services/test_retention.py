"""Forgetting: what is old goes in batches that hold nobody up, and a person who asks for it leaves no trace."""

from __future__ import annotations

import base64
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, jsonify
from sqlalchemy import event, func, select, text, update

from stateful_engine import (
    AnalyticsLogger,
    ChatGPTLogger,
    Experiments,
    RecommendationLogger,
    log_user_interaction,
    track_signal_generation,
    track_telegram_click,
)
from stateful_engine.domain import clock as time_source
from stateful_engine.errors import InvalidInputError
from stateful_engine.recording import records
from stateful_engine.recording.records import Rows
from stateful_engine.recording.rejects import Reject, Rejects
from stateful_engine.services.retention import Retention
from stateful_engine.storage import intake, retention, rollup_upkeep, tables
from stateful_engine.storage.database import Database
from tests.api.calls import PREFIX, track
from tests.factories import signal_data
from tests.recording.conftest import signal
from tests.storage.conftest import interaction_row, store

if TYPE_CHECKING:
    from flask.testing import FlaskClient, FlaskCliRunner

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock

ANN = "telegram_123456"
NAME = "Ann Example"
ADDRESS = "203.0.113.77"


@pytest.fixture(params=[False, True], ids=["plain", "hashed"])
def app(make_app: Any, request: pytest.FixtureRequest) -> Flask:
    host: Flask = make_app(STATEFUL_HASH_USER_IDS=request.param)

    @host.get("/signal")
    @track_signal_generation
    def signal() -> Any:
        return jsonify(signal_data())

    return host


def live(app: Flask, person: str) -> str:
    """Everything that a person may do, once; the signal that the person asked for."""
    client = app.test_client()
    asked = {"headers": {"openai-ephemeral-user-id": person}, "environ_base": {"REMOTE_ADDR": ADDRESS}}
    signal_id: str = client.get("/signal", query_string={"user_id": person}, **asked).json["signal_id"]
    with app.app_context():
        track_telegram_click(signal_id, person, NAME)
        log_user_interaction(signal_id, "VIEW", "WEB", person)
        app.extensions["stateful_engine"].state_manager.execute(signal_id, 45100.0, user_id=person)
        AnalyticsLogger().log_action(person, person, "click", {"username": NAME})
        conversation = ChatGPTLogger().start_conversation(person)
        ChatGPTLogger().log_message(conversation, "user", f"I am {NAME}")
        RecommendationLogger().log_recommendation(
            person, "XAUUSD", "BUY", 2650.0, 2640.0, 2670.0, conversation_id=conversation
        )
        experiments = Experiments()
        assignment = experiments.assign("e", person)
        body = {"user_id": person, "client_ref": f"call {len(person)}"}
        assert client.post(f"{PREFIX}/experiments/e/assign", json=body).status_code == 200
        with experiments.exposed(assignment):
            app.extensions["stateful_engine"].state_manager.save_signal_history({**signal_data(), "user_id": person})
    return signal_id


@pytest.fixture
def lived(app: Flask) -> str:
    """Ann and Bob have used everything; the signal that Ann asked for."""
    with app.app_context():
        Experiments().create("e", {}, {})
        Experiments().start("e")
    live(app, "bob")
    return live(app, ANN)


def everything(runtime: Runtime) -> str:
    """The content of all tables as text."""
    runtime.flush()
    with runtime.database.connection() as connection:
        return repr([connection.execute(select(table)).all() for table in tables.metadata.sorted_tables])


def counts(runtime: Runtime) -> dict[str, int]:
    runtime.flush()
    with runtime.database.connection() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in tables.metadata.sorted_tables
            if not table.name.startswith("rollup")
        }


def test_a_forgotten_person_is_nowhere_and_the_reports_say_what_the_rows_say(
    lived: str, runtime: Runtime, client: FlaskClient
) -> None:
    names = {ANN, runtime.database.people.of(ANN)}
    before = client.get(f"{PREFIX}/analytics/signals").json["analytics"]
    expected = runtime.state_manager.forget_user(ANN, dry_run=True)
    assert any(name in everything(runtime) for name in names)

    done = runtime.state_manager.forget_user(ANN)

    assert done == expected
    assert done.deleted["user_interaction"] == 3
    assert done.deleted["chatgpt_conversations"] == 1
    assert done.deleted["gpt_query_log"] == 1
    assert done.deleted["ab_test_assignments"] == 1
    assert done.anonymised["signal_history"] >= 1
    kept = everything(runtime)
    assert not any(name in kept for name in names)
    assert runtime.database.people.of("bob") in kept
    assert rollup_upkeep.check(runtime.database) == []
    after = client.get(f"{PREFIX}/analytics/signals").json["analytics"]
    assert after["total_signals"] == before["total_signals"] == 4
    assert client.get(f"{PREFIX}/analytics/interactions").json["analytics"]["unique_users"] == 1
    signal = client.get(f"{PREFIX}/signal/{lived}").json["signal"]
    assert (signal["ip_address"], signal["user_agent"], signal["is_executed"]) == (None, None, True)


def test_forgetting_again_changes_nothing(lived: str, runtime: Runtime) -> None:
    runtime.state_manager.forget_user(ANN)
    before = counts(runtime)
    again = runtime.state_manager.forget_user(ANN)
    assert set(again.deleted.values()) == {0}
    assert again.anonymised == {}
    assert counts(runtime) == before


def test_messages_go_with_their_conversation_also_where_the_database_minds_no_foreign_keys(
    lived: str, runtime: Runtime
) -> None:
    if runtime.database.dialect == "sqlite":
        with runtime.database.engine.connect() as connection:
            connection.execute(text("PRAGMA foreign_keys=OFF"))
    runtime.state_manager.forget_user(ANN)
    left = counts(runtime)
    assert (left["chatgpt_conversations"], left["chatgpt_messages"], left["ai_recommendations"]) == (1, 1, 1)


def waiting(person: str, **changes: Any) -> Rows:
    """A record of a signal and what a person did, as another process may still hold it."""
    made = signal(ip_address=ADDRESS, extra={"user_id": person, "username": NAME}, **changes)
    act = interaction_row(user_id=person, signal_id=made["signal_id"], interaction_type="SIGNAL_GENERATED")
    return Rows({"signal_history": [made], "user_interaction": [act]})


def test_a_record_that_was_still_on_its_way_does_not_bring_the_person_back(runtime: Runtime) -> None:
    late = waiting(ANN)
    runtime.state_manager.forget_user(ANN)
    runtime.recorder.record(late)
    runtime.recorder.record(waiting("bob"))
    kept = everything(runtime)
    assert ANN not in kept
    assert runtime.database.people.of(ANN) not in kept
    assert kept.count(ADDRESS) == 1
    assert (counts(runtime)["signal_history"], counts(runtime)["user_interaction"]) == (2, 1)
    runtime.recorder.record(waiting(ANN))
    assert counts(runtime)["user_interaction"] == 2


def test_a_batch_that_another_process_had_in_hand_is_found_by_a_second_look(postgresql_url: str) -> None:
    """The other process stores it when the forgetting has passed its table already."""
    database, other = Database(postgresql_url), Database(postgresql_url)
    late = [interaction_row(user_id=ANN)]

    def store_late(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "trade_events" in statement and late:
            store(other, "user_interaction", late.pop())

    engine = database.ready_engine()
    event.listen(engine, "before_cursor_execute", store_late)
    done = Retention(database, on_change=lambda _: None).forget_user(ANN)
    assert late == []
    assert done.deleted["user_interaction"] == 1
    other.dispose()
    database.dispose()


def test_records_that_were_set_aside_forget_the_person_too(runtime: Runtime) -> None:
    rejects = Rejects(runtime.settings.spool_dir)
    payloads = [records.encode(waiting(ANN)), records.encode(waiting("bob")), b"broken " + ANN.encode(), b"broken"]
    rejects.add([Reject(payload, "DataError") for payload in payloads])
    runtime.state_manager.forget_user(ANN)
    [file] = rejects.folder.glob("*.jsonl")
    payload_texts = [base64.b64decode(line.split('"payload":"')[1][:-2]) for line in file.read_text().splitlines()]
    assert len(payload_texts) == 3
    assert not any(ANN.encode() in payload or NAME.encode() in payload for payload in payload_texts[:1])
    runtime.recorder.retry_rejected()
    kept = everything(runtime)
    assert ANN not in kept
    assert (counts(runtime)["signal_history"], counts(runtime)["user_interaction"]) == (2, 1)


def test_the_files_of_the_spool_do_not_name_the_person_either(
    lived: str, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.recorder.record(waiting(ANN))
    runtime.state_manager.forget_user(ANN)
    assert runtime.recorder.drain()
    left = [
        file for file in runtime.settings.spool_dir.rglob("*") if file.is_file() and ANN.encode() in file.read_bytes()
    ]
    assert left == []
    assert ANN not in caplog.text


def test_nobody_cannot_be_forgotten(runtime: Runtime) -> None:
    with pytest.raises(InvalidInputError, match="name the person"):
        runtime.state_manager.forget_user("")


def test_a_person_is_forgotten_over_http(lived: str, client: FlaskClient, runtime: Runtime) -> None:
    url = f"{PREFIX}/maintenance/forget-user"
    counted = client.post(url, json={"user_id": ANN, "dry_run": True}).json
    done = client.post(url, json={"user_id": ANN}).json
    assert counted["dry_run"]
    assert not done["dry_run"]
    assert counted["deleted"] == done["deleted"]
    assert runtime.database.people.of(ANN) not in everything(runtime)


# By age


def test_writers_go_on_while_old_rows_are_deleted(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One old row is held by somebody, so that the cleanup is certainly under way while the writer writes."""
    monkeypatch.setattr(retention, "BATCH", 10)
    database = Database(postgresql_url)
    old = time_source.to_epoch_us(time_source.now() - timedelta(days=100))
    store(database, "user_interaction", *(interaction_row(created_at=old + number) for number in range(55)))
    table = tables.table("user_interaction")
    cleanup = threading.Thread(
        target=lambda: Retention(database, on_change=lambda _: None).cleanup_tables({"user_interaction": 90})
    )
    with database.engine.connect() as busy:
        held = busy.scalar(select(func.min(table.c.id)))
        busy.execute(update(table).where(table.c.id == held).values(user_agent="x"))
        cleanup.start()
        watcher = Database(postgresql_url)
        while True:
            with watcher.connection() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '2s'"))
                intake.insert(connection, {"user_interaction": [interaction_row(created_at=time_source.epoch_us())]})
                left = connection.scalar(select(func.count()).select_from(table).where(table.c.id <= 55))
            if left == 1:
                break
        assert cleanup.is_alive()
        busy.rollback()
    cleanup.join(timeout=20)
    with watcher.connection() as connection:
        assert connection.scalar(select(func.count()).select_from(table).where(table.c.id <= 55)) == 0
        assert (connection.scalar(select(func.count()).select_from(table)) or 0) >= 1
    watcher.dispose()
    database.dispose()


def run(app: Flask, *arguments: str, code: int = 0) -> str:
    runner: FlaskCliRunner = app.test_cli_runner()
    result = runner.invoke(args=["stateful", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_deletes_by_table_and_age(make_app: Any, clock: FakeClock) -> None:
    app = make_app(STATEFUL_RETENTION_DAYS={"user_interaction": 30})
    track(app.test_client())
    clock.advance(days=40)
    assert "user_interaction                 1 would go" in run(app, "cleanup", "--dry-run")
    assert "user_interaction                 1 deleted" in run(app, "cleanup")
    runtime = app.extensions["stateful_engine"]
    assert (counts(runtime)["signal_history"], counts(runtime)["user_interaction"]) == (1, 0)
    assert "gpt_query_log                    0 deleted" in run(
        app, "cleanup", "--days", "30", "--table", "gpt_query_log"
    )
    run(app, "cleanup", "--days", "30", "--rollups")
    assert counts(runtime)["signal_history"] == 0
    assert rollup_upkeep.check(runtime.database) == []


def test_the_command_wants_to_know_how_old(make_app: Any) -> None:
    assert "STATEFUL_RETENTION_DAYS" in run(make_app(), "cleanup", code=2)


def test_the_command_forgets_a_person(app: Flask, lived: str, runtime: Runtime) -> None:
    assert "would go" in run(app, "forget-user", ANN, "--dry-run")
    assert "user_interaction                 3 deleted" in run(app, "forget-user", ANN)
    assert runtime.database.people.of(ANN) not in everything(runtime)
    assert "name the person" in run(app, "forget-user", "", code=1)
