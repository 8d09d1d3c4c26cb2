"""The OpenAI SDK: answers are remembered, and the host gets what the SDK gave."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from stateful_engine import ChatGPTLogger, StatefulEngine
from stateful_engine.errors import InvalidInputError
from stateful_engine.extension import Runtime
from stateful_engine.storage.gpt_queries import QueryFilters
from stateful_engine.tracking.openai import track_openai

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def stub() -> Flask:
    """As much of OpenAI's API as the tests call."""
    app = Flask("stub")

    @app.post("/v1/chat/completions")
    def chat() -> Any:
        body = request.get_json()
        if body["model"] == "broken":
            return jsonify(error={"message": "secret details", "type": "server_error"}), 400
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
        if body.get("stream"):
            return Response(streamed(head), mimetype="text/event-stream")
        message = {"role": "assistant", "content": "Buy."}
        return jsonify(head | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": USAGE})

    @app.post("/v1/responses")
    def responses() -> Any:
        content = [{"type": "output_text", "text": "Sell.", "annotations": []}]
        output = [{"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content}]
        usage = {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        return jsonify(
            id="r1", object="response", created_at=1, model="gpt-5-mini", output=output, usage=usage, status="completed"
        )

    return app


def streamed(head: dict[str, Any]) -> Iterator[str]:
    for text in ("Bu", "y."):
        chunk = head | {
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        }
        yield f"data: {json.dumps(chunk)}\n\n"
    yield f"data: {json.dumps(head | {'object': 'chat.completion.chunk', 'choices': [], 'usage': USAGE})}\n\n"
    yield "data: [DONE]\n\n"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, stub(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def openai_client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test", base_url=address, max_retries=0) as client:
        yield client


ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Gold?"}]}


def logged(runtime: Runtime) -> list[dict[str, Any]]:
    return list(runtime.state_manager.query_page(QueryFilters(), None, 10).items)


def test_an_answer_outside_a_conversation_is_a_row_of_the_query_log(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    assert engine.track_openai(engine.track_openai(openai_client)) is openai_client
    with app.app_context():
        answer = openai_client.chat.completions.create(**ASK)
    assert type(answer).__name__ == "ChatCompletion"
    [query] = logged(runtime)
    assert (query["endpoint"], query["user_query"]) == ("openai:chat.completions", "Gold?")
    assert (query["ai_model_used"], query["tokens_used"]) == ("gpt-4o-mini-2024-07-18", 120)


def test_what_an_answer_cost_is_logged_by_the_hosts_prices_before_the_listed_ones(
    make_app: Any, openai_client: openai.OpenAI
) -> None:
    StatefulEngine().track_openai(openai_client)
    for prices, cost in (
        ({}, (60 * 0.15 + 40 * 0.075 + 20 * 0.6) / 1e6),
        ({"gpt-4o-mini": {"prompt": 1, "completion": "2.5"}}, (100 * 1 + 20 * 2.5) / 1e6),
    ):
        app = make_app(STATEFUL_PRICES=prices)
        runtime = app.extensions["stateful_engine"]
        with app.app_context():
            openai_client.chat.completions.create(**ASK)
        assert logged(runtime)[0]["cost_usd"] == pytest.approx(cost)


def test_an_answer_that_the_sdk_parses_is_remembered_once(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    engine.track_openai(openai_client)
    with app.app_context():
        assert openai_client.chat.completions.parse(**ASK).choices[0].message.content == "Buy."
    assert [query["tokens_used"] for query in logged(runtime)] == [120]


def test_a_client_of_an_older_sdk_is_tracked_as_far_as_it_goes_and_no_client_is_refused(runtime: Runtime) -> None:
    def create(**_request: Any) -> Any:
        return {"model": "m", "usage": {"total_tokens": 3}, "choices": [{"message": {"content": "Buy."}}]}

    older = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    track_openai(older, runtime).chat.completions.create(model="m", messages=[])
    assert [query["tokens_used"] for query in logged(runtime)] == [3]
    with pytest.raises(InvalidInputError, match="no OpenAI client"):
        track_openai(object(), runtime)


def test_inside_a_conversation_question_and_answer_are_its_messages(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    engine.track_openai(openai_client)
    with app.app_context(), engine.conversation(7001, -1) as conversation_id:
        openai_client.chat.completions.create(**ASK)
    history = ChatGPTLogger(runtime.database).get_conversation_history(conversation_id)
    assert [(one["role"], one["content"], one["tokens_used"]) for one in history] == [
        ("user", "Gold?", None),
        ("assistant", "Buy.", 120),
    ]
    assert (history[1]["cached_tokens"], history[1]["reasoning_tokens"]) == (40, 5)
    assert history[1]["cost_usd"] == pytest.approx((60 * 0.15 + 40 * 0.075 + 20 * 0.6) / 1e6)
    assert history[1]["latency_ms"] > 0
    assert logged(runtime) == []


def test_a_stream_is_remembered_when_it_has_been_read(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    engine.track_openai(openai_client)
    with app.app_context(), engine.conversation(7001) as conversation_id:
        stream = openai_client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        assert isinstance(stream, openai.Stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "Buy."
    answer = ChatGPTLogger(runtime.database).get_conversation_history(conversation_id)[-1]
    assert (answer["content"], answer["tokens_used"]) == ("Buy.", 120)


def test_raw_responses_copies_and_the_responses_api_are_remembered_too(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    engine.track_openai(openai_client)
    with app.app_context():
        raw = openai_client.chat.completions.with_raw_response.create(**ASK)
        assert raw.headers["content-type"] == "application/json"
        openai_client.with_options(timeout=5).chat.completions.create(**ASK)
        openai_client.responses.create(model="gpt-5-mini", input="Gold?")
    rows = logged(runtime)
    assert [one["endpoint"] for one in rows] == [
        "openai:responses",
        "openai:chat.completions",
        "openai:chat.completions",
    ]
    assert [one["tokens_used"] for one in rows] == [15, 120, 120]


def test_an_async_client_is_remembered(app: Flask, engine: StatefulEngine, runtime: Runtime, address: str) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=address, max_retries=0) as client:
            engine.track_openai(client)
            stream = await client.chat.completions.create(**ASK, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    with app.app_context():
        assert asyncio.run(ask()) == "Buy."
    assert [one["tokens_used"] for one in logged(runtime)] == [120]


def test_a_failure_reaches_the_host_as_it_was_and_is_logged_without_its_text(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    engine.track_openai(openai_client)
    with app.app_context(), pytest.raises(openai.BadRequestError, match="secret details"):
        openai_client.chat.completions.create(**{**ASK, "model": "broken"})
    [query] = logged(runtime)
    assert (query["is_successful"], query["error_message"]) == (False, "BadRequestError")


def test_without_an_engine_in_reach_the_client_works_as_before(openai_client: openai.OpenAI) -> None:
    StatefulEngine().track_openai(openai_client)
    assert openai_client.chat.completions.create(**ASK).choices[0].message.content == "Buy."


def test_an_answer_that_the_host_got_by_itself_can_be_recorded(
    app: Flask, engine: StatefulEngine, runtime: Runtime, openai_client: openai.OpenAI
) -> None:
    answer = openai_client.chat.completions.create(**ASK)
    with app.app_context():
        engine.record_openai(answer)
    assert [one["tokens_used"] for one in logged(runtime)] == [120]
