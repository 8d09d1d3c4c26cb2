"""The extension: one line, one Runtime per app, nothing started before it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from stateful_engine import ConfigurationError, NotInitializedError, StatefulEngine, track_signal
from stateful_engine.globals import current_runtime, find_runtime

SIGNAL = {"symbol": "BTCUSDT", "action": "BUY"}


def test_init_app_opens_nothing_starts_nothing_and_writes_nothing(tmp_path: Path) -> None:
    threads = threading.active_count()
    app = Flask("quiet", instance_path=str(tmp_path / "instance"))
    app.config["STATEFUL_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nowhere"
    app.config["STATEFUL_REDIS_URL"] = "redis://127.0.0.1:1/0"
    StatefulEngine(app)
    assert threading.active_count() == threads
    assert not (tmp_path / "instance").exists()


def test_a_second_init_is_refused_with_the_remedy(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match="call init_app once per app"):
        StatefulEngine(app)


def test_without_an_engine_or_a_context_the_remedy_is_named() -> None:
    assert find_runtime() is None
    with pytest.raises(NotInitializedError, match=r"app\.app_context"):
        current_runtime()
    bare = Flask("bare")
    with bare.app_context(), pytest.raises(NotInitializedError, match="init_app"):
        current_runtime()


def test_outside_an_app_the_engine_reaches_every_app_it_served(make_app: Callable[..., Flask]) -> None:
    engine = StatefulEngine()
    apps = [make_app(engine=engine), make_app(engine=engine)]
    for app in apps:
        with app.app_context():
            track_signal(SIGNAL)
    assert engine.flush(timeout=5.0)
    for app in apps:
        assert app.extensions["stateful_engine"].recorder.status().pending_records == 0
    assert engine.close(timeout=5.0)


def test_the_kill_switch_records_nothing_and_breaks_nothing(make_app: Callable[..., Flask]) -> None:
    app = make_app(STATEFUL_ENABLED=False)
    with app.app_context():
        assert track_signal(SIGNAL).startswith("sig_")
        runtime = current_runtime()
        assert runtime.flush()
        assert runtime.state_manager.get_signal_history() == []
    assert not app.extensions["stateful_engine"].settings.spool_dir.exists()


def test_the_runtime_of_an_app_is_found_where_only_one_can_be_meant(make_app: Callable[..., Flask]) -> None:
    engine = StatefulEngine()
    first = make_app(engine=engine)
    assert engine.runtime_for() is engine.runtime_for(first) is first.extensions["stateful_engine"]
    second = make_app(engine=engine)
    with second.app_context():
        assert engine.runtime_for() is second.extensions["stateful_engine"]
        assert engine.runtime_for(first) is first.extensions["stateful_engine"]
    for unclear in (None, Flask("bare")):
        with pytest.raises(ConfigurationError, match="init_app"):
            engine.runtime_for(unclear)
