"""A signal that is shown again keeps its first id and its one row."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stateful_engine.tracking.decorators import track_signal_generation
from tests.factories import FakeClock, short_signal_data, signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.conftest import AppMaker


def shown_id(client: FlaskClient, path: str = "/signal", **json: Any) -> str:
    """The id that the client is given for the signal `json`, which the view echoes."""
    return client.post(path, json=json or signal_data()).headers["X-Signal-ID"]


def serve(app: Flask) -> FlaskClient:
    """An echo of the signal sent, at two endpoints, each deduplicated for a minute."""
    from flask import request

    for path in ("/signal", "/other"):
        view = track_signal_generation(dedupe_seconds=60)(lambda: request.get_json())
        app.add_url_rule(path, path.strip("/"), view, methods=["POST"])
    return app.test_client()


def test_an_equal_signal_within_the_window_gets_the_earlier_id_and_no_second_row(app: Flask, clock: FakeClock) -> None:
    client = serve(app)
    first = client.post("/signal", json=signal_data())
    clock.advance(seconds=59)
    second = client.post("/signal", json=signal_data(confidence=84.0, ai_reasoning="Said differently"))
    stored = recorded(app)
    assert stored.counts == (1, 2, 1)
    assert first.get_json()["signal_id"] == second.get_json()["signal_id"] == stored.signals[0]["signal_id"]
    assert second.headers["X-Query-ID"] == stored.queries[1]["query_id"]


def test_after_the_window_it_is_a_new_signal(app: Flask, clock: FakeClock) -> None:
    client = serve(app)
    first = shown_id(client)
    clock.advance(seconds=60)
    second = shown_id(client)
    clock.advance(seconds=30)
    assert shown_id(client) == second != first
    assert len(recorded(app).signals) == 2


def test_a_clock_that_steps_back_makes_no_signal_immortal(app: Flask, clock: FakeClock) -> None:
    client = serve(app)
    first = shown_id(client)
    clock.advance(hours=-1)
    assert shown_id(client) != first


def test_what_differs_in_symbol_action_price_timeframe_or_endpoint_is_another_signal(app: Flask) -> None:
    client = serve(app)
    changed = [{}, {"symbol": "ETHUSDT"}, {"timeframe": "4H"}, {"entry_price": 45001.0}, {"take_profit": 46600.0}]
    ids = {shown_id(client, **signal_data(**change)) for change in changed}
    ids |= {shown_id(client, "/other"), shown_id(client, **signal_data(action="HOLD"))}
    assert len(ids) == 7


def test_of_several_signals_only_the_new_ones_are_stored(app: Flask) -> None:
    client = serve(app)
    first = shown_id(client)
    both = shown_id(client, signals=[signal_data(), short_signal_data()]).split(",")
    stored = recorded(app)
    assert both[0] == first
    assert [row["signal_id"] for row in stored.signals] == both
    assert stored.counts == (2, 2, 2)


def test_of_callers_at_the_same_moment_one_makes_the_row_and_all_get_its_id(app: Flask) -> None:
    serve(app)
    gate = threading.Barrier(4)
    ids: list[str] = []

    def show() -> None:
        client = app.test_client()
        gate.wait(10)
        ids.append(shown_id(client))

    threads = [threading.Thread(target=show) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded(app).counts == (1, 4, 1)
    assert len(set(ids)) == 1


def test_two_apps_keep_their_memories_apart(make_app: AppMaker) -> None:
    assert shown_id(serve(make_app())) != shown_id(serve(make_app()))


def test_with_redis_two_processes_share_the_memory(make_app: AppMaker, redis_url: str) -> None:
    first, second = (serve(make_app(STATEFUL_REDIS_URL=redis_url)) for _ in range(2))
    assert shown_id(first) == shown_id(second)
    assert shown_id(second, **short_signal_data()) == shown_id(first, **short_signal_data())


def test_a_dead_redis_remembers_nothing_and_breaks_nothing(make_app: AppMaker) -> None:
    client = serve(make_app(STATEFUL_REDIS_URL="redis://127.0.0.1:1/0"))
    assert shown_id(client) != shown_id(client)
