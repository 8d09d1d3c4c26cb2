"""A plain host: one line registers the engine, one decorator per view, and nothing else about the app changes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from flask import Flask, jsonify

from stateful_engine import StatefulEngine, track_signal_generation
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import AppMaker


def with_view(app: Flask) -> Flask:
    """`app` with the signal view of the first example."""

    @app.get("/api/gpts/signal")
    @track_signal_generation(endpoint_name="/api/gpts/signal")
    def get_trading_signal() -> Any:
        return jsonify(signal_data())

    return app


def test_ten_lines_give_a_signal_an_id_that_the_state_api_knows(make_app: AppMaker) -> None:
    client = with_view(make_app()).test_client()
    signal_id = client.get("/api/gpts/signal").get_json()["signal_id"]
    known = client.get(f"/api/gpts/state/signal/{signal_id}").get_json()
    assert known["success"] is True
    assert client.get("/api/gpts/state/signal-history").get_json()["signals"][0]["signal_id"] == signal_id


def test_with_no_settings_at_all_it_keeps_its_memory_in_the_instance_folder(tmp_path: Path) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    app.testing = True
    engine = StatefulEngine(app)
    try:
        with_view(app).test_client().get("/api/gpts/signal")
        assert recorded(app).counts == (1, 1, 1)
    finally:
        engine.close()
    assert (tmp_path / "instance" / "stateful_engine.sqlite").is_file()


def test_registering_starts_nothing_and_touches_nothing_of_the_host(tmp_path: Path) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    before = (app.json, app.secret_key, app.session_interface, app.response_class)
    root = (logging.getLogger().handlers[:], logging.getLogger().level)
    threads = threading.enumerate()
    StatefulEngine(app)
    assert (app.json, app.secret_key, app.session_interface, app.response_class) == before
    assert not app.error_handler_spec.get(None)
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == root
    assert threading.enumerate() == threads
    assert not (tmp_path / "instance").exists()


def test_the_hosts_session_is_not_touched_and_its_answers_stay_cacheable(make_app: AppMaker) -> None:
    app = with_view(make_app(SECRET_KEY="k"))
    answer = app.test_client().get("/api/gpts/signal")
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert "Set-Cookie" not in answer.headers
