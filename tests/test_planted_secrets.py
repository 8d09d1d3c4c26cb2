"""Secrets planted wherever a host could leave them: afterwards none is in database, spool, stream or log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, jsonify, request
from sqlalchemy import inspect, text

from stateful_engine import StatefulEngine, setup_file_logging, track_signal, track_signal_generation
from stateful_engine.api.contract import Operation
from stateful_engine.api.json_schemas import Components, inlined
from stateful_engine.api.operations import OPERATIONS
from stateful_engine.recording.records import Rows
from stateful_engine.recording.rejects import Rejects
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import GOOD_BODIES, PREFIX, good_body, place
from tests.factories import signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime

RECOGNISED = {
    "a key of OpenAI": "sk-proj-Planted1xxxxxxxxxxxxxxxxxxxxxx",
    "a token of a Telegram bot": "7123456789:AAPlanted2xxxxxxxxxxxxxxxxxxxxxxxxxx",
    "a bearer token": "Bearer Planted3xxxxxxxxxxxxxxxx",
    "a password in a URL": "postgres://app:Planted4pw@db.example/x",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJQbGFudGVkNSI6MX0.Planted5sig",
    "a key of AWS": "AKIAPLANTED6XXXXXXXX",
    "an assignment": "password=Planted7pw",
    "a key of ours": "se_0123456789ab_Planted8xxxxxxxxxxxxxxxx",
}
"""Texts that betray themselves wherever they stand."""

NAMED = {"api_key": "Planted9", "password": "PlantedA", "bot_token": "PlantedB", "X-Api-Key": "PlantedC"}
"""Values that are secrets by their name only."""

SENTENCE = " and ".join(RECOGNISED.values())
HALVES = [" and ".join(list(RECOGNISED.values())[start::2]) for start in (0, 1)]
"""Each short enough for any field of text."""

MARKS = [f"Planted{mark}".encode() for mark in "12345789ABCDEFG"] + [b"PLANTED6", b"eyJQbGFudGVkNSI6MX0"]
BOT_URL = f"https://api.telegram.org/bot{RECOGNISED['a token of a Telegram bot']}/getMe"


def evidence(root: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of every file below `root`: databases with their write-ahead logs, the spool, logs."""
    for file in sorted(root.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(root)), file.read_bytes()


def rows_of(runtime: Runtime) -> Iterator[tuple[str, bytes]]:
    """Every row of every table of ours as its text."""
    database = runtime.database
    with database.connection() as connection:
        for table in inspect(connection).get_table_names(schema=database.schema):
            for row in connection.execute(text(f"SELECT * FROM {database.qualified(table)}")):
                yield from ((f"{table}.{name}", repr(value).encode()) for name, value in row._mapping.items())


def found(pieces: Iterator[tuple[str, bytes]]) -> set[tuple[str, str]]:
    """The planted marks by place, with what stands around the first of each."""
    return {
        (place, content[max(0, (start := content.index(mark)) - 80) : start + 40].decode("utf-8", "replace"))
        for place, content in pieces
        for mark in MARKS
        if mark in content
    }


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """The log files of a host that logs everything."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    setup_file_logging(tmp_path / "logs")
    root.setLevel(logging.DEBUG)
    for handler in root.handlers:
        if handler not in handlers:
            handler.setLevel(logging.DEBUG)
    yield tmp_path / "logs"
    root.setLevel(level)
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
        handler.close()


def host_of(app: Flask) -> Flask:
    """The app with views as careless hosts write them."""

    @app.route("/signal", methods=["GET", "POST"])
    @track_signal_generation
    def answering() -> Any:
        body = signal_data(ai_reasoning=SENTENCE, debug={"headers": dict(NAMED), "url": BOT_URL})
        return jsonify(body)

    @app.route("/repeating")
    @track_signal_generation
    def repeating() -> Any:
        once = '{"debug": {"bot_token": "PlantedB"}, "debug": 1, '
        return Response(once + json.dumps(signal_data())[1:], content_type="application/json")

    @app.route("/broken")
    @track_signal_generation
    def broken() -> Any:
        raise RuntimeError(f"cannot reach {BOT_URL} with {SENTENCE}")

    @app.route("/refusing")
    @track_signal_generation
    def refusing() -> Any:
        return {"error": f"bad key in {SENTENCE}", "api_key": request.args.get("api_key")}, 400

    return app


def ask_the_host(client: FlaskClient) -> None:
    headers = {
        "Authorization": RECOGNISED["a bearer token"],
        "X-Api-Key": "PlantedE",
        "Cookie": "session=PlantedF",
        "Referer": f"https://x.example/?token=PlantedG&q={RECOGNISED['a key of OpenAI']}",
        "User-Agent": f"client {RECOGNISED['a key of OpenAI']}",
    }
    for path in ("/signal", "/repeating", "/refusing", "/broken"):
        client.get(path, query_string={**NAMED, "q": SENTENCE, "user_query": SENTENCE, "url": BOT_URL}, headers=headers)
    client.post("/signal", json={**NAMED, "prompt": SENTENCE, "nested": [{"deep": dict(NAMED)}]}, headers=headers)
    client.get(f"/signal?{RECOGNISED['a key of OpenAI']}=1", headers=headers)


def free_fields(operation: Operation) -> Iterator[tuple[str, Any]]:
    """A planted value for every field of a body that takes any text or any object."""
    assert operation.body_model is not None
    known = Components([operation.body_model])
    schema = inlined(known.reference(operation.body_model), known.schemas)
    for name, described in schema["properties"].items():
        given = [branch.get("type") for branch in described.get("anyOf", [described])]
        kinds = {kind for one in given for kind in (one if isinstance(one, list) else [one])}
        if "object" in kinds or kinds == {None}:
            yield name, {**NAMED, "note": SENTENCE, "list": [SENTENCE, {"secret": "PlantedD"}]}
        if "string" in kinds:
            yield from ((name, some) for some in HALVES)


def call_every_operation(client: FlaskClient) -> None:
    for operation in OPERATIONS:
        if operation.body_model is None or operation.tag == "maintenance":
            continue
        for name, value in free_fields(operation):
            client.open(place(client, operation), method=operation.method, json={**good_body(operation), name: value})
    for operation in OPERATIONS:
        if operation.read_only and "<" not in operation.path:
            client.get(PREFIX + operation.path, query_string={**NAMED, "symbol": SENTENCE, "endpoint": SENTENCE})


def call_tools(client: FlaskClient) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("search", {"query": SENTENCE}),
        ("search", {"query": "x", **NAMED}),
        ("getSignal", {"signal_id": SENTENCE[:60]}),
        (SENTENCE, NAMED),
    ]
    for name, arguments in calls:
        params = {"name": name, "arguments": arguments, "_meta": {"openai/session": SENTENCE, "openai/subject": "u"}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        client.post(f"{PREFIX}/mcp", json=message, headers={"X-Api-Key": ""})


def record_by_tools(client: FlaskClient) -> None:
    calls = [
        ("trackSignal", {**signal_data(), "ai_reasoning": SENTENCE, "extra_url": BOT_URL, **NAMED}),
        ("logQuery", {**GOOD_BODIES["logQuery"]["query_data"], "params": NAMED, "error_message": SENTENCE}),
    ]
    for name, arguments in calls:
        params = {"name": name, "arguments": arguments}
        client.post(f"{PREFIX}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def call_directly(app: Flask) -> None:
    with app.app_context():
        track_signal(
            {**signal_data(), "smc_analysis": {**NAMED, "url": BOT_URL}}, {"source": "x", "user_agent": SENTENCE}
        )


def test_no_planted_secret_is_found_anywhere_afterwards(
    make_app: Callable[..., Flask], tmp_path: Path, logs: Path
) -> None:
    app = host_of(make_app(PROPAGATE_EXCEPTIONS=False))
    app.logger.setLevel(logging.DEBUG)
    runtime: Runtime = app.extensions["stateful_engine"]
    client = app.test_client()
    key = ApiKeys(runtime.database).create("desk").text

    ask_the_host(client)
    client.get(f"{PREFIX}/signal-history", headers={"X-API-Key": key})
    client.get(f"{PREFIX}/signal-history", headers={"X-API-Key": key + "x"})
    call_every_operation(client)
    call_tools(client)
    record_by_tools(client)
    call_directly(app)
    app.logger.error("a host logs what it should not: %s", SENTENCE)

    assert runtime.flush(10.0)
    assert found(rows_of(runtime)) == set()
    assert runtime.close(10.0)
    assert found(evidence(tmp_path)) == set()
    assert key.encode() not in b"".join(content for _, content in evidence(tmp_path))
    names = {name for name, _ in evidence(tmp_path)}
    assert any(name.startswith("logs/") for name in names)


def test_parameters_and_headers_do_not_even_reach_the_spool(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False, STATEFUL_FLUSH_INTERVAL=60)

    @app.route("/signal", methods=["GET", "POST"])
    @track_signal_generation
    def answering() -> Any:
        return signal_data()

    client = app.test_client()
    ask_the_host(client)
    call_tools(client)

    spool = tmp_path / "instance0" / "stateful_spool"
    held = b"".join(content for _, content in evidence(spool))
    assert b"BTCUSDT" in held
    assert found(evidence(spool)) == set()


def test_no_secret_reaches_a_stream(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    from redis import Redis

    from stateful_engine.recording.stream import STREAM

    app = Flask("tests.host", instance_path=str(tmp_path / "instance"))
    app.config.update(TESTING=True, PROPAGATE_EXCEPTIONS=False)
    app.config.update(STATEFUL_DATABASE_URL=sqlite_url, STATEFUL_STREAM_URL=redis_url)
    engine = StatefulEngine(app)

    ask_the_host(host_of(app).test_client())
    call_directly(app)
    assert engine.flush(10.0)

    with Redis.from_url(redis_url) as redis:
        entries = redis.xrange(STREAM)
    assert len(entries) >= 5
    assert found(iter([("stream", repr(entries).encode())])) == set()
    assert engine.close(10.0)


def test_a_record_that_the_database_refuses_is_set_aside_without_its_secrets(app: Flask) -> None:
    runtime: Runtime = app.extensions["stateful_engine"]
    row = {"signal_id": "sig_bad", "action": None, "ai_reasoning": SENTENCE, "smc_analysis": dict(NAMED)}

    runtime.recorder.record(Rows({"signal_history": [row]}))
    runtime.flush(10.0)

    (payload,) = [payload for _, payloads in Rejects(runtime.settings.spool_dir).take() for payload in payloads]
    assert b"sig_bad" in payload
    assert found(iter([("rejected", payload)])) == set()
