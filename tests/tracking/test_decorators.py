"""The decorators: every kind of view keeps its value, its colour, its name and its exceptions."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, jsonify, make_response
from flask.views import MethodView, View

from stateful_engine.errors import ConfigurationError
from stateful_engine.tracking.decorators import is_tracked, track_gpt_query, track_signal_generation
from tests.factories import signal_data
from tests.recorded import failures, recorded

if TYPE_CHECKING:
    from tests.conftest import AppMaker

SIGNAL = signal_data()


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """How an answer reaches the client does not depend on the kind of database: one is enough here."""
    return sqlite_url


def pages() -> Iterator[str]:
    yield from ("one", "two")


RETURN_VALUES: dict[str, tuple[Callable[[], Any], int]] = {
    "dict": (lambda: SIGNAL, 1),
    "list": (lambda: [SIGNAL], 1),
    "response": (lambda: jsonify(SIGNAL), 1),
    "response with cookies": (lambda: _with_cookie(jsonify(SIGNAL)), 1),
    "tuple with status": (lambda: (SIGNAL, 201), 1),
    "tuple with headers": (lambda: (SIGNAL, {"X-Mine": "1"}), 1),
    "tuple of three": (lambda: (jsonify(SIGNAL), 202, {"X-Mine": "1"}), 1),
    "text": (lambda: "plain words", 0),
    "bytes": (lambda: b"plain bytes", 0),
    "markup": (lambda: ("<p>hello</p>", {"Content-Type": "text/html"}), 0),
    "generator": (pages, 0),
    "streamed JSON": (lambda: Response(iter(['{"action":"BUY",', '"symbol":"X"}']), mimetype="application/json"), 0),
    "WSGI application": (lambda: make_response(("", 204)), 0),
    "refusal": (lambda: ({**SIGNAL, "status": "error"}, 503), 0),
}


def _with_cookie(response: Response) -> Response:
    response.set_cookie("theme", "dark")
    response.headers.add("Link", "<a>; rel=next")
    response.headers.add("Link", "<b>; rel=prev")
    return response


@pytest.mark.parametrize("kind", RETURN_VALUES)
def test_every_kind_of_return_value_is_recorded_and_reaches_the_client_unchanged(app: Flask, kind: str) -> None:
    view, signals = RETURN_VALUES[kind]
    app.add_url_rule("/bare", "bare", view)
    app.add_url_rule("/tracked", "tracked", track_signal_generation(inject=False)(view))
    client = app.test_client()
    bare, tracked = client.get("/bare"), client.get("/tracked")
    ours = {"x-signal-id", "x-query-id"}
    assert (tracked.status, tracked.data) == (bare.status, bare.data)
    assert [pair for pair in tracked.headers if pair[0].lower() not in ours] == list(bare.headers)
    assert recorded(app).counts == (signals, 1, signals)
    assert failures(app) == {}


def test_it_works_bare_with_a_name_and_without_one(app: Flask) -> None:
    @app.get("/bare/<symbol>")
    @track_signal_generation
    def bare(symbol: str) -> dict[str, Any]:
        return signal_data(symbol=symbol)

    @app.get("/called")
    @track_signal_generation()
    def called() -> dict[str, Any]:
        return SIGNAL

    @app.get("/named")
    @track_signal_generation("/api/gpts/signal")
    def named() -> dict[str, Any]:
        return SIGNAL

    client = app.test_client()
    for path in ("/bare/ETHUSDT", "/called", "/named"):
        client.get(path)
    endpoints = ["/bare/<symbol>", "/called", "/api/gpts/signal"]
    stored = recorded(app)
    assert [row["endpoint"] for row in stored.queries] == endpoints
    assert [row["endpoint"] for row in stored.signals] == endpoints


def test_two_tracked_views_of_one_app_do_not_overwrite_each_other(app: Flask) -> None:
    @app.get("/a")
    @track_signal_generation
    def first() -> dict[str, Any]:
        """What the first does."""
        return SIGNAL

    @app.get("/b")
    @track_gpt_query
    def second() -> dict[str, Any]:
        return SIGNAL

    assert {"first", "second"} <= set(app.view_functions)
    assert first.__name__ == "first"
    assert first.__doc__ == "What the first does."


def test_an_async_view_stays_async(app: Flask) -> None:
    @track_signal_generation(endpoint_name="/async")
    async def view() -> dict[str, Any]:
        await asyncio.sleep(0)
        return SIGNAL

    app.add_url_rule("/async", "async", view)
    assert inspect.iscoroutinefunction(view)
    answer = app.test_client().get("/async")
    assert answer.headers["X-Signal-ID"] == recorded(app).signals[0]["signal_id"]


def test_an_async_view_that_raises_is_recorded_as_the_failure_it_is(app: Flask) -> None:
    @track_signal_generation
    async def view() -> dict[str, Any]:
        raise ValueError("the exchange is away, key=hunter2")

    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/async", "async", view)
    assert app.test_client().get("/async").status_code == 500
    query = recorded(app).queries[0]
    assert (query["response_status"], query["is_successful"], query["error_message"]) == (500, False, "ValueError")


def test_tracked_calls_that_run_side_by_side_in_an_async_view_are_recorded_each(app: Flask) -> None:
    @track_signal_generation("/engine")
    async def engine(symbol: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return signal_data(symbol=symbol)

    @app.get("/both")
    async def both() -> list[dict[str, Any]]:
        return await asyncio.gather(engine("BTCUSDT"), engine("ETHUSDT"))

    answer = app.test_client().get("/both")
    stored = recorded(app)
    assert sorted(row["symbol"] for row in stored.signals) == ["BTCUSDT", "ETHUSDT"]
    assert set(answer.headers["X-Signal-ID"].split(",")) == {row["signal_id"] for row in stored.signals}


def test_an_async_generator_is_handed_on_as_it_is(app: Flask) -> None:
    @track_signal_generation
    async def ticks() -> AsyncIterator[int]:
        yield 1

    with app.test_request_context("/"):
        assert inspect.isasyncgen(ticks())


def test_a_generator_view_streams_on_and_is_consumed_by_the_client_alone(app: Flask) -> None:
    steps: list[str] = []

    @app.get("/stream")
    @track_signal_generation
    def stream() -> Iterator[str]:
        for word in ("a", "b"):
            steps.append(word)
            yield word

    answer = app.test_client().get("/stream", buffered=False)
    assert steps in ([], ["a"])
    assert answer.get_data() == b"ab"
    assert steps == ["a", "b"]
    assert answer.headers["X-Query-ID"] == recorded(app).queries[0]["query_id"]


def test_a_class_based_view_is_tracked_by_its_decorators(app: Flask) -> None:
    class Latest(View):
        decorators = (track_signal_generation(source_engine="sharp"),)

        def dispatch_request(self) -> dict[str, Any]:
            return SIGNAL

    app.add_url_rule("/latest", view_func=Latest.as_view("latest"))
    assert app.test_client().get("/latest").get_json()["signal_id"]
    assert recorded(app).signals[0]["source_engine"] == "sharp"


def test_a_method_of_a_class_based_view_is_tracked_alone(app: Flask) -> None:
    class Signals(MethodView):
        @track_signal_generation
        def get(self, symbol: str) -> dict[str, Any]:
            return signal_data(symbol=symbol)

        def post(self, symbol: str) -> dict[str, Any]:
            return signal_data(symbol=symbol)

    app.add_url_rule("/signals/<symbol>", view_func=Signals.as_view("signals"))
    client = app.test_client()
    assert "X-Query-ID" in client.get("/signals/BTCUSDT").headers
    assert "X-Query-ID" not in client.post("/signals/BTCUSDT").headers
    assert recorded(app).queries[0]["endpoint"] == "/signals/<symbol>"


def test_decorating_a_class_is_refused_with_the_way_to_do_it() -> None:
    with pytest.raises(ConfigurationError, match=r"decorators = \[track_signal_generation"):
        track_signal_generation(View)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint_name": 7},
        {"extractor": "not callable"},
        {"dedupe_seconds": -1},
        {"extractor": lambda body, request: None, "mapping": {"symbol": "a.b"}},
    ],
)
def test_options_that_cannot_be_meant_are_refused_where_they_are_written(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        track_signal_generation(**options)


def test_a_decorator_above_that_keeps_the_name_keeps_the_mark() -> None:
    @track_signal_generation
    def view() -> None: ...

    @functools.wraps(view)
    def above() -> None: ...

    def other() -> None: ...

    assert is_tracked(view)
    assert is_tracked(above)
    assert not is_tracked(other)


def test_a_partial_and_a_callable_object_can_be_views(app: Flask) -> None:
    class Engine:
        def __call__(self) -> dict[str, Any]:
            return SIGNAL

    class AsyncEngine:
        async def __call__(self) -> dict[str, Any]:
            return SIGNAL

    app.add_url_rule("/partial", "partial", track_signal_generation(functools.partial(signal_data, symbol="ETHUSDT")))
    app.add_url_rule("/object", "object", track_signal_generation(Engine()))
    assert inspect.iscoroutinefunction(track_signal_generation(AsyncEngine()))
    client = app.test_client()
    assert client.get("/partial").get_json()["signal_id"]
    assert client.get("/object").get_json()["signal_id"]


def test_with_the_kill_switch_the_view_runs_as_if_we_were_not_there(make_app: AppMaker) -> None:
    app = make_app(STATEFUL_ENABLED=False)

    @app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return SIGNAL

    answer = app.test_client().get("/signal")
    assert answer.get_json() == SIGNAL
    assert not {"X-Query-ID", "X-Signal-ID"} & set(answer.headers.keys())
    assert recorded(app).counts == (0, 0, 0)


def test_with_the_kill_switch_an_async_view_runs_as_well(make_app: AppMaker) -> None:
    app = make_app(STATEFUL_ENABLED=False)

    @app.get("/signal")
    @track_signal_generation
    async def view() -> dict[str, Any]:
        return SIGNAL

    assert app.test_client().get("/signal").get_json() == SIGNAL


def test_an_app_without_the_engine_serves_its_tracked_views() -> None:
    app = Flask("without")

    @app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return SIGNAL

    assert app.test_client().get("/signal").get_json() == SIGNAL


def test_outside_every_app_a_tracked_function_just_runs() -> None:
    assert track_signal_generation(lambda: SIGNAL)() == SIGNAL


def test_track_false_leaves_a_listing_alone(app: Flask) -> None:
    @app.get("/history")
    @track_signal_generation(track=False)
    def history() -> dict[str, Any]:
        return {"signals": [SIGNAL]}

    assert app.test_client().get("/history").get_json() == {"signals": [SIGNAL]}
    assert recorded(app).counts == (0, 0, 0)


def test_log_query_false_records_the_signal_without_its_query(app: Flask) -> None:
    @app.get("/signal")
    @track_signal_generation(log_query=False)
    def view() -> dict[str, Any]:
        return SIGNAL

    answer = app.test_client().get("/signal")
    stored = recorded(app)
    assert stored.counts == (1, 0, 1)
    assert stored.signals[0]["query_id"] is None
    assert "X-Query-ID" not in answer.headers
    assert answer.headers["X-Signal-ID"] == stored.signals[0]["signal_id"]


def test_log_query_false_on_a_view_without_a_signal_records_nothing(app: Flask) -> None:
    @app.get("/news")
    @track_signal_generation(log_query=False)
    def view() -> dict[str, Any]:
        return {"headlines": []}

    assert app.test_client().get("/news").get_json() == {"headlines": []}
    assert recorded(app).counts == (0, 0, 0)


def test_track_gpt_query_records_the_query_and_looks_for_no_signal(app: Flask) -> None:
    @app.route("/market", methods=["GET", "POST"])
    @track_gpt_query("/api/gpts/market", "ASK")
    def market() -> dict[str, Any]:
        return SIGNAL

    answer = app.test_client().post("/market")
    stored = recorded(app)
    assert stored.counts == (0, 1, 0)
    assert (stored.queries[0]["endpoint"], stored.queries[0]["method"]) == ("/api/gpts/market", "ASK")
    assert answer.get_json() == SIGNAL
    assert answer.headers["X-Query-ID"] == stored.queries[0]["query_id"]


def test_both_decorators_on_one_view_make_one_record_of_both(app: Flask) -> None:
    @app.get("/over")
    @track_gpt_query("/api/over")
    @track_signal_generation(source_engine="sharp")
    def over() -> dict[str, Any]:
        return SIGNAL

    @app.get("/under")
    @track_signal_generation("/api/under", log_query=False)
    @track_gpt_query
    def under() -> dict[str, Any]:
        return SIGNAL

    client = app.test_client()
    client.get("/over")
    client.get("/under")
    stored = recorded(app)
    assert stored.counts == (2, 2, 2)
    assert [row["endpoint"] for row in stored.queries] == ["/api/over", "/api/under"]
    assert stored.signals[0]["source_engine"] == "sharp"
