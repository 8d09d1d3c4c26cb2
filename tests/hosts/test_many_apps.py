"""Another prefix, two apps in one process, an app inside an app: what belongs to one app never meets another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from stateful_engine import StatefulEngine, get_state_manager, track_signal, track_signal_generation
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from tests.conftest import AppMaker


@track_signal_generation
def shared_view() -> dict[str, Any]:
    """One decorated function that several apps serve."""
    return signal_data()


def test_the_routes_move_with_the_prefix(make_app: AppMaker) -> None:
    client = make_app(STATEFUL_URL_PREFIX="memory/").test_client()
    assert client.get("/memory/health").status_code == 200
    assert client.get("/api/gpts/state/health").status_code == 404


def test_two_apps_of_one_engine_keep_to_themselves(make_app: AppMaker, empty_sqlite_url: str) -> None:
    engine = StatefulEngine()
    first = make_app(engine=engine)
    second = make_app(engine=engine, STATEFUL_DATABASE_URL=empty_sqlite_url, STATEFUL_URL_PREFIX="/second")
    for app in (first, second):
        app.add_url_rule("/signal", "signal", shared_view)
    for app, times in ((first, 1), (second, 2)):
        for _ in range(times):
            app.test_client().get("/signal")
    assert engine.flush(10.0)
    assert recorded(first).counts == (1, 1, 1)
    assert recorded(second).counts == (2, 2, 2)
    assert second.test_client().get("/second/signal-history").get_json()["total_returned"] == 2
    with first.app_context():
        assert get_state_manager() is first.extensions["stateful_engine"].state_manager


def test_an_app_that_asks_another_while_it_serves_mixes_nothing(make_app: AppMaker, empty_sqlite_url: str) -> None:
    inner = make_app(STATEFUL_DATABASE_URL=empty_sqlite_url)
    inner.add_url_rule("/signal", "signal", shared_view)
    outer = make_app()

    @outer.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        inner_id = inner.test_client().get("/signal").headers["X-Signal-ID"]
        track_signal(signal_data(symbol="ETHUSDT"))
        return signal_data(note=inner_id)

    answer = outer.test_client().get("/signal").get_json()
    assert [row["signal_id"] for row in recorded(inner).signals] == [answer["note"]]
    assert [row["symbol"] for row in recorded(outer).signals] == ["ETHUSDT", "BTCUSDT"]


def test_a_factory_inside_a_factory_gives_each_app_its_own_memory(make_app: AppMaker, empty_sqlite_url: str) -> None:
    def create_inner() -> Flask:
        inner = make_app(STATEFUL_DATABASE_URL=empty_sqlite_url)
        inner.add_url_rule("/signal", "signal", shared_view)
        return inner

    def create_outer() -> tuple[Flask, Flask]:
        outer = make_app()
        with outer.app_context():
            inner = create_inner()
        outer.add_url_rule("/signal", "signal", shared_view)
        outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
        return outer, inner

    outer, inner = create_outer()
    client = Client(outer)
    for path in ("/signal", "/inner/signal", "/inner/signal"):
        assert client.get(path).status_code == 200
    assert recorded(outer).counts == (1, 1, 1)
    assert recorded(inner).counts == (2, 2, 2)
