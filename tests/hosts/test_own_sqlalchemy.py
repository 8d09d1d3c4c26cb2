"""A host with its own Flask-SQLAlchemy and Flask-Migrate: its transactions, tables and migrations stay its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from stateful_engine import track_signal, track_signal_generation
from stateful_engine.errors import StatefulEngineError
from tests.factories import ROOT, signal_data
from tests.recorded import failures, recorded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import AppMaker


class Host(NamedTuple):
    """An app, its own Flask-SQLAlchemy, and its one model."""

    app: Flask
    db: SQLAlchemy
    order: Any


@pytest.fixture
def host_url(database_url: str, tmp_path: Path) -> str:
    """The host's database: the one that holds our schema on PostgreSQL, a file of its own on SQLite."""
    return database_url if database_url.startswith("postgresql") else f"sqlite:///{tmp_path / 'host.sqlite'}"


@pytest.fixture
def host(make_app: AppMaker, host_url: str, tmp_path: Path) -> Host:
    """The host hands its `db` to the engine and says nothing else."""

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Order(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str]

    app = make_app(db=db, STATEFUL_DATABASE_URL=None, SQLALCHEMY_DATABASE_URI=host_url)
    db.init_app(app)
    with app.app_context():
        db.create_all()
    return Host(app, db, Order)


def orders(host: Host) -> list[str]:
    """What the host has committed, read by a connection of its own."""
    with host.app.app_context(), host.db.engine.connect() as connection:
        return [row.note for row in connection.execute(text('SELECT note FROM "order" ORDER BY id'))]


def test_a_rollback_of_the_host_stays_a_rollback_and_the_signal_stays(host: Host) -> None:
    @host.app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        host.db.session.add(host.order(note="half done"))
        host.db.session.flush()
        track_signal(signal_data(symbol="ETHUSDT"))
        host.db.session.rollback()
        return signal_data()

    host.app.test_client().get("/signal")
    assert sorted(row["symbol"] for row in recorded(host.app).signals) == ["BTCUSDT", "ETHUSDT"]
    assert orders(host) == []


def test_what_the_host_did_not_commit_is_not_committed_by_us(host: Host) -> None:
    @host.app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        host.db.session.add(host.order(note="never committed"))
        host.db.session.flush()
        return signal_data()

    host.app.test_client().get("/signal")
    assert recorded(host.app).counts == (1, 1, 1)
    assert orders(host) == []


def test_what_the_host_commits_is_committed_also_when_recording_fails(host: Host) -> None:
    @host.app.get("/signal")
    @track_signal_generation(extractor=lambda body, request: 1 / 0)  # type: ignore[arg-type,return-value]
    def view() -> dict[str, Any]:
        host.db.session.add(host.order(note="paid"))
        host.db.session.commit()
        return signal_data()

    assert host.app.test_client().get("/signal").status_code == 200
    assert orders(host) == ["paid"]
    assert failures(host.app) == {"failed_extract_signals": 1}


def test_the_hosts_session_is_never_used(host: Host) -> None:
    seen: list[str] = []
    with host.app.app_context():
        for name in ("after_begin", "before_flush", "after_commit", "after_rollback"):
            event.listen(host.db.session, name, lambda *_: seen.append("used"))

    @host.app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return signal_data()

    host.app.test_client().get("/signal")
    assert recorded(host.app).counts == (1, 1, 1)
    assert seen == []


def test_an_open_transaction_of_the_host_does_not_delay_the_answer(host: Host) -> None:
    @host.app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return signal_data()

    with host.app.app_context():
        host.db.session.add(host.order(note="open"))
        host.db.session.flush()
        answer = host.app.test_client().get("/signal")
        assert answer.headers["X-Signal-ID"]
        host.db.session.rollback()
    assert recorded(host.app).counts == (1, 1, 1)


def test_a_signal_may_join_the_hosts_transaction_where_both_are_in_one_database(host: Host) -> None:
    with host.app.app_context():
        if host.db.engine.dialect.name == "sqlite":
            with pytest.raises(StatefulEngineError):
                track_signal(signal_data(), session=host.db.session())
            return
        host.db.session.add(host.order(note="with signal"))
        track_signal(signal_data(), session=host.db.session())
        host.db.session.rollback()
        kept = track_signal(signal_data(), session=host.db.session())
        host.db.session.commit()
    assert [row["signal_id"] for row in recorded(host.app).signals] == [kept]
    assert orders(host) == []


def test_our_tables_are_not_among_the_hosts(host: Host) -> None:
    with host.app.app_context():
        assert set(host.db.metadata.tables) == {"order"}
        assert inspect(host.db.engine).get_table_names() == ["order"]


MIGRATED_HOST = """
import sys
from flask import Flask, jsonify
from flask_migrate import Migrate, downgrade, init, migrate, upgrade
from flask_sqlalchemy import SQLAlchemy
from stateful_engine import StatefulEngine, track_signal_generation

url, folder = sys.argv[1:]
app = Flask("host", instance_path=folder + "/instance")
app.config.update(SQLALCHEMY_DATABASE_URI=url, TESTING=True)
db = SQLAlchemy(app)
Migrate(app, db, directory=folder + "/host_migrations")
engine = StatefulEngine(app, db=db)

class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)

@app.get("/signal")
@track_signal_generation
def view():
    return {"symbol": "BTCUSDT", "action": "BUY", "confidence": 80, "entry_price": 45000.0}

def remember():
    assert app.test_client().get("/signal").get_json()["signal_id"]
    assert engine.flush(10.0)
    return app.test_client().get("/api/gpts/state/signal-history").get_json()["total_returned"]

remember()
with app.app_context():
    init()
    migrate(message="orders")
    upgrade()
    db.session.execute(db.text('SELECT id FROM "order"'))
remember()
with app.app_context():
    migrate(message="nothing")
    downgrade(revision="base")
print("remembered", remember())
engine.close()
"""


def test_the_hosts_autogenerate_sees_its_own_table_and_none_of_ours(host_url: str, tmp_path: Path) -> None:
    script = tmp_path / "host.py"
    script.write_text(MIGRATED_HOST)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, str(script), host_url, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "remembered 3"
    scripts = sorted((tmp_path / "host_migrations" / "versions").glob("*.py"))
    texts = [script.read_text() for script in scripts]
    assert len(texts) == 1, "the second autogenerate found something to do"
    assert "create_table('order'" in texts[0]
    assert not [name for name in ("signal_history", "gpt_query_log", "stateful") if name in texts[0]]
