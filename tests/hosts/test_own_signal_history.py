"""A host that owns a table `signal_history` with other columns keeps it, and we keep ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from stateful_engine import track_signal_generation
from stateful_engine.errors import ConfigurationError
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    from tests.conftest import AppMaker

TABLE = "CREATE TABLE signal_history (ticker VARCHAR(10), verdict VARCHAR(10))"


def host_of(make_app: AppMaker, url: str, **config: Any) -> tuple[Flask, SQLAlchemy]:
    """A host whose database at `url` has its own `signal_history`, with one row."""
    db = SQLAlchemy()
    app = make_app(db=db, STATEFUL_DATABASE_URL=None, SQLALCHEMY_DATABASE_URI=url, **config)
    db.init_app(app)
    with app.app_context():
        db.session.execute(text(TABLE))
        db.session.execute(text("INSERT INTO signal_history VALUES ('GOLD', 'up')"))
        db.session.commit()
    return app, db


def test_both_tables_live_side_by_side(make_app: AppMaker, database_url: str, tmp_path: Path) -> None:
    url = database_url if database_url.startswith("postgresql") else f"sqlite:///{tmp_path / 'host.sqlite'}"
    app, db = host_of(make_app, url)

    @app.get("/signal")
    @track_signal_generation
    def view() -> list[Any]:
        db.session.execute(text("INSERT INTO signal_history VALUES ('SILVER', 'down')"))
        db.session.commit()
        return [signal_data()]

    app.test_client().get("/signal")
    assert [row["symbol"] for row in recorded(app).signals] == ["BTCUSDT"]
    with app.app_context():
        theirs = db.session.execute(text("SELECT ticker, verdict FROM signal_history ORDER BY ticker")).all()
    assert [tuple(row) for row in theirs] == [("GOLD", "up"), ("SILVER", "down")]


def test_sharing_its_sqlite_file_is_refused_with_the_way_out(make_app: AppMaker, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'host.sqlite'}"
    app, _ = host_of(make_app, url, SQLALCHEMY_BINDS={"state": url}, STATEFUL_BIND_KEY="state")
    runtime = app.extensions["stateful_engine"]
    with app.app_context(), pytest.raises(ConfigurationError, match="STATEFUL_"), runtime.database.reading():
        pass
