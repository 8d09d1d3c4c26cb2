"""What is recorded of a call: once, with its real end, in whatever way it ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from flask import (
    Response,
    abort,
    after_this_request,
    copy_current_request_context,
    jsonify,
    request,
    stream_with_context,
)
from werkzeug.exceptions import HTTPException, ImATeapot

from stateful_engine.recording.stamping import Stamp, stamped
from stateful_engine.tracking.decorators import track_gpt_query, track_signal_generation
from tests.factories import MOMENT, FakeClock, short_signal_data, signal_data
from tests.recorded import failures, recorded

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.test import TestResponse

    from tests.conftest import AppMaker

SIGNAL = signal_data()


def test_a_call_is_one_query_one_row_per_signal_and_one_interaction_for_each(app: Flask, clock: FakeClock) -> None:
    @app.get("/api/gpts/signals")
    @track_signal_generation(source_engine="sharp_signal")
    def view() -> dict[str, Any]:
        return {"signals": [signal_data(), short_signal_data()]}

    answer = app.test_client().get("/api/gpts/signals?symbol=BTCUSDT")
    stored = recorded(app)
    query_id = stored.queries[0]["query_id"]
    assert stored.counts == (2, 1, 2)
    assert [row["query_id"] for row in stored.signals] == [query_id, query_id]
    assert [(row["symbol"], row["action"]) for row in stored.signals] == [("BTCUSDT", "BUY"), ("ETHUSDT", "SELL")]
    assert {row["source_engine"] for row in stored.signals} == {"sharp_signal"}
    assert [row["signal_id"] for row in stored.interactions] == [row["signal_id"] for row in stored.signals]
    assert {row["interaction_type"] for row in stored.interactions} == {"SIGNAL_GENERATED"}
    assert {row["created_at"] for rows in stored for row in rows} == {MOMENT}
    assert answer.headers["X-Query-ID"] == query_id


def test_the_query_row_tells_what_was_asked_and_how_it_ended(app: Flask) -> None:
    @app.post("/api/gpts/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return SIGNAL

    app.test_client().post(
        "/api/gpts/signal?api_key=hunter2",
        json={"symbol": "BTCUSDT", "question": "Buy or sell?"},
        headers={
            "User-Agent": "Mozilla/5.0 ChatGPT-User/1.0",
            "openai-conversation-id": "conv-1",
            "openai-ephemeral-user-id": "user-1",
            "openai-gpt-id": "g-1",
            "X-Request-ID": "req-1",
        },
    )
    stored = recorded(app)
    query = stored.queries[0]
    assert query["request_params"] == {"api_key": "[redacted]", "symbol": "BTCUSDT", "question": "Buy or sell?"}
    wanted = {
        "endpoint": "/api/gpts/signal",
        "method": "POST",
        "user_query": "Buy or sell?",
        "response_status": 200,
        "response_data": SIGNAL,
        "is_successful": True,
        "error_message": None,
        "confidence_score": 85.5,
        "ai_model_used": None,
        "tokens_used": None,
        "conversation_ref": "conv-1",
        "user_ref": "user-1",
        "gpt_id": "g-1",
        "request_id": "req-1",
        "ip_address": "127.0.0.1",
    }
    assert {name: query[name] for name in wanted} == wanted
    assert 0 < query["processing_time_ms"] < 5000
    assert stored.signals[0]["source"] == "CHAT_GPT"
    assert stored.interactions[0]["interaction_source"] == "CHAT_GPT"


def test_the_source_that_a_view_names_wins_over_the_user_agent(app: Flask) -> None:
    @app.get("/signal")
    @track_signal_generation(source="TELEGRAM")
    def view() -> dict[str, Any]:
        return SIGNAL

    @app.get("/own")
    @track_signal_generation(source="night shift")
    def own() -> dict[str, Any]:
        return SIGNAL

    client = app.test_client()
    client.get("/signal", headers={"User-Agent": "ChatGPT-User"})
    client.get("/own")
    stored = recorded(app)
    assert [row["source"] for row in stored.signals] == ["TELEGRAM", "night shift"]
    assert [row["interaction_source"] for row in stored.interactions] == ["TELEGRAM", "UNKNOWN"]


def test_a_model_is_recorded_only_when_the_answer_names_it(app: Flask) -> None:
    @app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return signal_data(ai_model="gpt-4o-mini")

    app.test_client().get("/signal")
    stored = recorded(app)
    assert stored.signals[0]["ai_model"] == stored.queries[0]["ai_model_used"] == "gpt-4o-mini"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503, 301])
def test_a_status_other_than_2xx_yields_no_signal_but_a_query_with_that_status(app: Flask, status: int) -> None:
    @app.get("/signal")
    @track_signal_generation
    def view() -> tuple[dict[str, Any], int]:
        return SIGNAL, status

    answer = app.test_client().get("/signal")
    stored = recorded(app)
    assert stored.counts == (0, 1, 0)
    assert (stored.queries[0]["response_status"], stored.queries[0]["is_successful"]) == (status, status < 400)
    assert answer.headers["X-Query-ID"] == stored.queries[0]["query_id"]
    assert "X-Signal-ID" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_yield_no_signal(app: Flask, method: str) -> None:
    @app.route("/signal", methods=["GET", "HEAD", "OPTIONS"])
    @track_signal_generation
    def view() -> dict[str, Any]:
        return SIGNAL

    answer = app.test_client().open("/signal", method=method)
    stored = recorded(app)
    assert stored.counts == (0, 1, 0)
    assert stored.queries[0]["method"] == method
    assert "X-Signal-ID" not in answer.headers


# Exceptions


def test_abort_keeps_its_code_and_is_recorded_with_it(app: Flask) -> None:
    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        abort(429, "too fast, api_key=hunter2")

    answer = app.test_client().get("/signal")
    query = recorded(app).queries[0]
    assert answer.status_code == 429
    assert (query["response_status"], query["is_successful"]) == (429, False)
    assert query["error_message"] == "TooManyRequests"
    assert answer.headers["X-Query-ID"] == query["query_id"]


def test_abort_with_a_response_sends_that_response(app: Flask) -> None:
    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        abort(Response("closed", 418))

    answer = app.test_client().get("/signal")
    assert (answer.status_code, answer.data) == (418, b"closed")
    assert recorded(app).queries[0]["response_status"] == 418


def test_an_exception_reaches_the_hosts_handler_as_the_same_object(app: Flask) -> None:
    raised = ImATeapot()
    seen: list[BaseException] = []

    @app.errorhandler(ImATeapot)
    def handle(error: HTTPException) -> tuple[str, int]:
        seen.append(error)
        return "handled", 400

    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        raise raised

    assert app.test_client().get("/signal").data == b"handled"
    assert seen == [raised]
    query = recorded(app).queries[0]
    assert (query["response_status"], query["error_message"]) == (400, "ImATeapot")


def test_an_error_that_the_host_turns_into_a_good_answer_is_no_failure(app: Flask) -> None:
    @app.errorhandler(LookupError)
    def fallback(error: LookupError) -> dict[str, Any]:
        return SIGNAL

    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        raise LookupError("no fresh signal")

    assert app.test_client().get("/signal").get_json()["signal_id"]
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert (stored.queries[0]["is_successful"], stored.queries[0]["error_message"]) == (True, None)


def test_an_unhandled_exception_is_a_500_with_the_name_of_its_class_and_no_text(make_app: AppMaker) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)

    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        raise RuntimeError("password=hunter2")

    answer = app.test_client().get("/signal")
    query = recorded(app).queries[0]
    assert (answer.status_code, query["response_status"], query["error_message"]) == (500, 500, "RuntimeError")
    assert answer.headers["X-Query-ID"] == query["query_id"]
    assert "hunter2" not in repr(recorded(app))


def test_an_exception_that_propagates_past_flask_is_recorded_at_teardown(app: Flask) -> None:
    raised = RuntimeError("boom")

    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        raise raised

    with pytest.raises(RuntimeError) as caught:
        app.test_client().get("/signal")
    assert caught.value is raised
    query = recorded(app).queries[0]
    assert (query["response_status"], query["is_successful"], query["error_message"]) == (500, False, "RuntimeError")


def test_an_answer_that_a_broken_neighbour_turned_into_a_500_is_recorded_as_that(make_app: AppMaker) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)

    @app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        @after_this_request
        def broken(response: Response) -> Response:
            raise KeyError("the host's own bug")

        return SIGNAL

    assert app.test_client().get("/signal").status_code == 500
    stored = recorded(app)
    assert stored.counts == (0, 1, 0)
    assert (stored.queries[0]["response_status"], stored.queries[0]["error_message"]) == (500, "KeyError")


def test_a_host_that_fails_after_us_still_tells_the_client_which_query_it_was(make_app: AppMaker) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)
    broken: list[Exception] = [KeyError("the host's own bug")]

    @app.after_request
    def fail_once(response: Response) -> Response:
        if broken:
            raise broken.pop()
        return response

    @app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        return SIGNAL

    answer = app.test_client().get("/signal")
    stored = recorded(app)
    assert answer.status_code == 500
    assert answer.headers["X-Query-ID"] == stored.queries[0]["query_id"]
    assert "X-Signal-ID" in answer.headers
    assert stored.counts == (1, 1, 1)


def test_a_view_that_the_server_stops_is_recorded_and_the_stop_goes_on(app: Flask) -> None:
    @app.get("/signal")
    @track_signal_generation
    def view() -> NoReturn:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        app.test_client().get("/signal")
    assert recorded(app).queries[0]["error_message"] == "SystemExit"


# Calls within calls


def test_a_tracked_call_inside_a_tracked_view_is_part_of_it(app: Flask) -> None:
    @track_signal_generation("/inner", source_engine="inner")
    def engine() -> dict[str, Any]:
        return SIGNAL

    @app.get("/outer")
    @track_signal_generation("/outer")
    def view() -> Response:
        engine()
        return jsonify(engine())

    answer = app.test_client().get("/outer")
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert stored.queries[0]["endpoint"] == "/outer"
    assert answer.headers["X-Signal-ID"] == stored.signals[0]["signal_id"]


def test_a_tracked_engine_below_a_query_view_still_yields_its_signal(app: Flask) -> None:
    @track_signal_generation
    def engine() -> dict[str, Any]:
        return SIGNAL

    @app.get("/ask")
    @track_gpt_query
    def view() -> dict[str, Any]:
        return engine()

    app.test_client().get("/ask")
    assert recorded(app).counts == (1, 1, 1)


def test_several_tracked_calls_of_one_request_are_each_what_they_returned(app: Flask) -> None:
    @track_signal_generation("/engine")
    def engine(symbol: str) -> Any:
        return {"BTCUSDT": signal_data(), "ETHUSDT": (short_signal_data(), 200), "XAUUSD": jsonify(error="closed")}[
            symbol
        ]

    @app.get("/all")
    def view() -> dict[str, Any]:
        for symbol in ("BTCUSDT", "ETHUSDT", "XAUUSD"):
            engine(symbol)
        return {"done": True}

    answer = app.test_client().get("/all")
    stored = recorded(app)
    ids = [row["signal_id"] for row in stored.signals]
    assert stored.counts == (2, 3, 2)
    assert answer.get_json() == {"done": True, "signal_ids": ids}
    assert answer.headers["X-Signal-ID"].split(",") == ids
    assert answer.headers["X-Query-ID"].split(",") == [row["query_id"] for row in stored.queries]


def test_one_of_several_calls_may_fail_and_is_recorded_as_failed(app: Flask) -> None:
    @track_signal_generation("/engine")
    def engine(attempt: int) -> dict[str, Any]:
        if attempt == 1:
            raise TimeoutError("slow exchange")
        return SIGNAL

    @app.get("/retry")
    def view() -> dict[str, Any]:
        try:
            return engine(1)
        except TimeoutError:
            return engine(2)

    assert app.test_client().get("/retry").get_json()["signal_id"]
    stored = recorded(app)
    assert [(row["response_status"], row["error_message"]) for row in stored.queries] == [
        (500, "TimeoutError"),
        (200, None),
    ]
    assert len(stored.signals) == 1


def test_a_tracked_engine_whose_signal_ends_in_a_page_is_recorded_from_what_it_returned(app: Flask) -> None:
    @track_signal_generation("/engine")
    def engine() -> dict[str, Any]:
        return SIGNAL

    @app.get("/page")
    def page() -> str:
        return f"<p>{engine()['symbol']}</p>"

    answer = app.test_client().get("/page")
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert answer.data == b"<p>BTCUSDT</p>"
    assert answer.headers["X-Signal-ID"] == stored.signals[0]["signal_id"]


def test_a_view_that_asks_its_own_app_is_two_calls(app: Flask) -> None:
    @app.get("/inner")
    @track_signal_generation
    def inner() -> dict[str, Any]:
        return SIGNAL

    @app.get("/outer")
    @track_signal_generation
    def outer() -> Response:
        inner_answer: TestResponse = app.test_client().get("/inner")
        return Response(f"the inner status was {inner_answer.status_code}")

    assert app.test_client().get("/outer").data == b"the inner status was 200"
    stored = recorded(app)
    assert sorted(row["endpoint"] for row in stored.queries) == ["/inner", "/outer"]
    assert stored.counts == (1, 2, 1)


# Experiments

GOLD = Stamp("prompt-v2", "B", "user-7")


@pytest.mark.parametrize("body", [SIGNAL, {"signals": [signal_data(), short_signal_data()]}])
def test_what_a_view_answers_under_an_experiment_carries_the_variant(app: Flask, body: dict[str, Any]) -> None:
    @app.get("/signal")
    @track_signal_generation
    def view() -> dict[str, Any]:
        with stamped(GOLD):
            return body

    @app.get("/plain")
    @track_signal_generation
    def plain() -> dict[str, Any]:
        return SIGNAL

    client = app.test_client()
    client.get("/signal")
    client.get("/plain")
    stored = recorded(app)
    *under, outside = stored.signals
    assert {(row["experiment"], row["variant"], row["extra"]["experiment_unit"]) for row in under} == {
        ("prompt-v2", "B", "user-7")
    }
    assert [(row["experiment"], row["variant"]) for row in stored.queries] == [("prompt-v2", "B"), (None, None)]
    assert (outside["experiment"], outside["variant"]) == (None, None)


def test_a_job_that_runs_under_an_experiment_carries_the_variant(app: Flask) -> None:
    with app.app_context(), stamped(GOLD):
        track_signal_generation("/job")(lambda: SIGNAL)()
    assert recorded(app).signals[0]["variant"] == "B"


def test_in_an_async_view_the_variant_is_that_of_the_call(app: Flask) -> None:
    @app.get("/signal/<variant>")
    @track_signal_generation
    async def view(variant: str) -> dict[str, Any]:
        with stamped(Stamp("prompt-v2", variant, "user-7")):
            return SIGNAL

    for variant in "AB":
        app.test_client().get(f"/signal/{variant}")
    assert [row["variant"] for row in recorded(app).signals] == ["A", "B"]


def test_an_experiment_of_another_request_is_not_that_of_the_view_that_makes_it(app: Flask) -> None:
    @app.get("/inner")
    def inner() -> str:
        with stamped(GOLD):
            return "inner"

    @app.get("/outer")
    @track_signal_generation
    def outer() -> dict[str, Any]:
        app.test_client().get("/inner")
        return SIGNAL

    app.test_client().get("/outer")
    stored = recorded(app)
    assert (stored.signals[0]["variant"], stored.queries[0]["variant"]) == (None, None)


# Contexts


def test_outside_a_request_a_scheduled_job_is_recorded_from_its_return_value(app: Flask) -> None:
    @track_signal_generation("/jobs/hourly", source_engine="cron")
    def hourly() -> dict[str, Any]:
        return SIGNAL

    with app.app_context():
        assert hourly() is SIGNAL
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert (stored.signals[0]["source"], stored.signals[0]["source_engine"]) == ("API", "cron")
    assert (stored.queries[0]["endpoint"], stored.queries[0]["ip_address"]) == ("/jobs/hourly", None)


def test_a_job_without_a_name_is_filed_under_its_function_and_may_fail(app: Flask) -> None:
    @track_signal_generation
    def job() -> NoReturn:
        raise OSError("disk")

    with app.app_context(), pytest.raises(OSError, match="disk"):
        job()
    query = recorded(app).queries[0]
    assert query["endpoint"].endswith("job")
    assert (query["response_status"], query["error_message"]) == (500, "OSError")


def test_a_view_called_directly_in_a_test_request_is_recorded_at_the_end_of_it(app: Flask) -> None:
    @track_signal_generation
    def view() -> tuple[dict[str, Any], str]:
        return SIGNAL, "201 Created"

    with app.test_request_context("/direct?tf=1H"):
        assert view() == (SIGNAL, "201 Created")
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert stored.queries[0]["response_status"] == 201


def test_a_view_that_aborts_when_called_directly_keeps_its_code(app: Flask) -> None:
    @track_signal_generation
    def view(answer: Any) -> NoReturn:
        abort(answer)

    for answer in (404, Response("gone", 410)):
        with app.test_request_context("/direct"), pytest.raises(HTTPException):
            view(answer)
    assert [row["response_status"] for row in recorded(app).queries] == [404, 410]


def test_a_held_app_context_mixes_no_requests(app: Flask) -> None:
    @app.get("/signal/<symbol>")
    @track_signal_generation
    def view(symbol: str) -> dict[str, Any]:
        return signal_data(symbol=symbol)

    with app.app_context():
        answers = [app.test_client().get(f"/signal/{symbol}") for symbol in ("BTCUSDT", "ETHUSDT")]
    stored = recorded(app)
    assert stored.counts == (2, 2, 2)
    assert [answer.headers["X-Signal-ID"] for answer in answers] == [row["signal_id"] for row in stored.signals]


def test_a_host_whose_g_holds_nothing_by_name_is_served_and_recorded(app: Flask) -> None:
    class Slotted:
        __slots__ = ("person",)

    app.app_ctx_globals_class = Slotted  # type: ignore[assignment]
    app.add_url_rule("/signal", "signal", track_signal_generation(lambda: SIGNAL))
    app.add_url_rule("/plain", "plain", lambda: "plain")
    client = app.test_client()
    assert client.get("/plain").text == "plain"
    answer = client.get("/signal")
    assert answer.headers["X-Signal-ID"] == recorded(app).signals[0]["signal_id"]


def test_a_copied_context_that_ends_early_settles_nothing_twice(app: Flask) -> None:
    @track_signal_generation("/engine")
    def engine() -> dict[str, Any]:
        return SIGNAL

    @app.get("/signal")
    def view() -> dict[str, Any]:
        signal = engine()
        copy_current_request_context(lambda: None)()
        thread = threading.Thread(target=copy_current_request_context(lambda: None))
        thread.start()
        thread.join()
        return signal

    answer = app.test_client().get("/signal")
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert answer.get_json()["signal_id"] == stored.signals[0]["signal_id"]


def test_a_tracked_call_inside_a_stream_is_recorded_when_the_stream_ends(app: Flask) -> None:
    @track_signal_generation("/engine")
    def engine() -> dict[str, Any]:
        return SIGNAL

    @app.get("/stream")
    def view() -> Response:
        def lines() -> Iterator[str]:
            yield f"data: {engine()['symbol']}\n\n"

        return Response(stream_with_context(lines()), mimetype="text/event-stream")

    assert app.test_client().get("/stream").data == b"data: BTCUSDT\n\n"
    assert recorded(app).counts == (1, 1, 1)


def test_threads_of_one_app_keep_their_calls_apart(app: Flask) -> None:
    gate = threading.Barrier(4)

    @app.get("/signal/<symbol>")
    @track_signal_generation
    def view(symbol: str) -> dict[str, Any]:
        gate.wait(10)
        return signal_data(symbol=symbol)

    answers: dict[str, str] = {}

    def ask(symbol: str) -> None:
        answers[symbol] = app.test_client().get(f"/signal/{symbol}").headers["X-Signal-ID"]

    threads = [threading.Thread(target=ask, args=(f"COIN{n}USDT",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["symbol"]: row["signal_id"] for row in recorded(app).signals} == answers
    assert failures(app) == {}


def test_a_stream_that_reads_the_request_while_it_is_sent_has_all_of_it(app: Flask) -> None:
    @app.post("/held")
    @track_gpt_query
    def held() -> Response:
        body = request.stream
        return Response(iter(body.readline, b""))

    @app.post("/later")
    @track_gpt_query
    def later() -> Response:
        def lines() -> Iterator[bytes]:
            yield request.stream.read()

        return Response(stream_with_context(lines()))

    client = app.test_client()
    for path in ("/held", "/later"):
        assert client.post(path, json={"symbol": "BTCUSDT"}).data == b'{"symbol": "BTCUSDT"}'
    assert [row["endpoint"] for row in recorded(app).queries] == ["/held", "/later"]


def test_an_extractor_that_changes_what_it_is_given_changes_no_record(app: Flask) -> None:
    def extractor(body: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        body.clear()
        asked["tag"].append("more")
        return SIGNAL

    @app.get("/signal")
    @track_signal_generation(extractor=extractor)
    def view() -> dict[str, Any]:
        return SIGNAL

    for _ in range(3):
        app.test_client().get("/signal?tag=a&tag=b")
    assert [row["request_params"] for row in recorded(app).queries] == [{"tag": ["a", "b"]}] * 3


def test_a_coroutine_that_ends_in_another_context_is_recorded_too(app: Flask) -> None:
    """As the garbage collector or a closing loop ends one."""

    @track_signal_generation
    async def view() -> dict[str, Any]:
        await asyncio.sleep(0)
        return SIGNAL

    with app.test_request_context("/signal"):
        running = view()
        copy_context().run(running.send, None)
        copy_context().run(running.close)
    assert [(row["endpoint"], row["error_message"]) for row in recorded(app).queries] == [("/signal", "GeneratorExit")]
    assert failures(app) == {}


@pytest.mark.parametrize("dedupe_seconds", [0, 60])
def test_people_are_hidden_in_what_a_signal_says_whoever_reads_it(make_app: AppMaker, dedupe_seconds: float) -> None:
    app = make_app(STATEFUL_HASH_USER_IDS=True)

    @app.get("/signal")
    @track_signal_generation(dedupe_seconds=dedupe_seconds)
    def view() -> dict[str, Any]:
        return signal_data(ai_reasoning={"user_id": 4242, "email": "jo@example.com", "why": "trend"})

    app.test_client().get("/signal")
    [signal] = recorded(app).signals
    assert "trend" in signal["ai_reasoning"]
    assert "4242" not in repr(signal)
    assert "jo@example.com" not in repr(signal)


@pytest.mark.parametrize("dedupe_seconds", [0, 60])
def test_a_signal_under_the_key_of_a_person_is_recorded_where_people_are_hidden(
    make_app: AppMaker, dedupe_seconds: float
) -> None:
    app = make_app(STATEFUL_HASH_USER_IDS=True)

    @app.get("/signal")
    @track_signal_generation(mapping={"symbol": "of.pair", "action": "of.phone"}, dedupe_seconds=dedupe_seconds)
    def view() -> dict[str, Any]:
        return {"of": {"pair": "BTCUSDT", "phone": "BUY"}}

    app.test_client().get("/signal")
    stored = recorded(app)
    assert [(row["symbol"], row["action"]) for row in stored.signals] == [("BTCUSDT", "BUY")]
    assert len(stored.queries) == 1
