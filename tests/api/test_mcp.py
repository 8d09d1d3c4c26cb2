"""MCP by raw messages: both eras of the protocol, who may call what, and what is logged of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.api import connector
from stateful_engine.api.fitting import MOST
from stateful_engine.api.operations import OPERATIONS
from stateful_engine.cli.mcp import EVERYDAY, READS
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import GOOD_BODIES, PREFIX, assert_refused, track

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

URL = f"{PREFIX}/mcp"
STATELESS = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}


def legacy(
    client: FlaskClient, method: str, params: Any = None, *, version: str | None = "2025-11-25", **more: Any
) -> Any:
    """The JSON-RPC answer to one request of the era with a handshake."""
    headers = {**more.pop("headers", {}), **({"MCP-Protocol-Version": version} if version else {})}
    body = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is None else {"params": params})}
    return client.post(URL, json=body, headers=headers, **more)


def stateless(client: FlaskClient, method: str, params: dict[str, Any] | None = None, **headers: str) -> TestResponse:
    """The answer to one request of the era without."""
    given = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": method, **headers}
    if method == "tools/call" and params is not None:
        given.setdefault("Mcp-Name", params["name"])
    params = {**(params or {}), "_meta": META}
    return client.post(URL, json={"jsonrpc": "2.0", "id": "a", "method": method, "params": params}, headers=given)


def call(client: FlaskClient, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> Any:
    """The result of a tool."""
    meta = more.pop("meta", {})
    answer = legacy(client, "tools/call", {"name": tool, "arguments": arguments or {}, "_meta": meta}, **more)
    assert answer.status_code == 200, answer.text
    return answer.json["result"]


def listed(client: FlaskClient, **more: Any) -> dict[str, Any]:
    """The tools that the caller is offered, by name."""
    return {tool["name"]: tool for tool in legacy(client, "tools/list", **more).json["result"]["tools"]}


def queries(client: FlaskClient) -> list[dict[str, Any]]:
    answer = client.get(f"{PREFIX}/query-history")
    found: list[dict[str, Any]] = answer.json["queries"]
    return found


# The two eras


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_handshake_agrees_on_the_version_that_is_asked_for(client: FlaskClient, version: str) -> None:
    asked = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}

    answer = legacy(client, "initialize", asked, version=None)

    assert answer.json["id"] == 7
    result = answer.json["result"]
    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"tools": {}}
    assert result["serverInfo"]["name"] == "stateful_engine"
    assert "Mcp-Session-Id" not in answer.headers


def test_a_handshake_for_an_unknown_version_is_offered_the_latest(client: FlaskClient) -> None:
    for wanted in ("1999-01-01", STATELESS, 5, None):
        result = legacy(client, "initialize", {"protocolVersion": wanted}, version=None).json["result"]
        assert result["protocolVersion"] == "2025-11-25"


def test_ping_is_answered_in_the_older_era_only(client: FlaskClient) -> None:
    assert legacy(client, "ping").json["result"] == {}
    answer = stateless(client, "ping")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, -32601)


def test_an_unknown_method_is_an_answer_in_the_older_era_and_a_404_in_the_newer(client: FlaskClient) -> None:
    old, new = legacy(client, "resources/list"), stateless(client, "resources/list")

    assert (old.status_code, old.json["error"]["code"]) == (200, -32601)
    assert (new.status_code, new.json["error"]["code"]) == (404, -32601)
    assert stateless(client, "initialize").status_code == 404


def test_discovery_names_the_versions_of_both_eras(client: FlaskClient) -> None:
    result = stateless(client, "server/discover").json["result"]

    assert result["resultType"] == "complete"
    assert result["supportedVersions"] == [STATELESS, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
    assert result["cacheScope"] == "private"
    assert result["ttlMs"] >= 0
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "stateful_engine"


def test_a_stateless_result_says_that_it_is_complete_and_an_older_one_does_not(client: FlaskClient) -> None:
    assert stateless(client, "tools/list").json["result"]["resultType"] == "complete"
    assert "resultType" not in legacy(client, "tools/list").json["result"]


@pytest.mark.parametrize("wrong", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
@pytest.mark.parametrize("value", ["", "2025-11-25", "getHealth", "=?base64?!?="])
def test_headers_that_contradict_the_body_are_refused(client: FlaskClient, wrong: str, value: str) -> None:
    answer = stateless(client, "tools/call", {"name": "search", "arguments": {"query": "x"}}, **{wrong: value})

    assert (answer.status_code, answer.json["error"]["code"]) == (400, -32020)
    assert wrong in answer.json["error"]["message"]


def test_a_name_may_be_encoded_in_its_header(client: FlaskClient) -> None:
    encoded = "=?base64?c2VhcmNo?="

    answer = stateless(client, "tools/call", {"name": "search", "arguments": {"query": "x"}}, **{"Mcp-Name": encoded})

    assert answer.json["result"]["structuredContent"] == {"results": []}


def test_a_version_that_nobody_speaks_is_refused_with_those_there_are(client: FlaskClient) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {**META}}}
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "1900-01-01"  # type: ignore[index]
    headers = {"MCP-Protocol-Version": "1900-01-01", "Mcp-Method": "tools/list"}

    for answer in (client.post(URL, json=body, headers=headers), legacy(client, "tools/list", version="1900-01-01")):
        assert (answer.status_code, answer.json["error"]["code"]) == (400, -32022)
        assert STATELESS in answer.json["error"]["data"]["supported"]


@pytest.mark.parametrize("meta", [{}, {"io.modelcontextprotocol/protocolVersion": STATELESS}, [], None])
def test_a_stateless_request_without_its_envelope_is_refused(client: FlaskClient, meta: Any) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}

    answer = client.post(URL, json=body, headers={"MCP-Protocol-Version": STATELESS, "Mcp-Method": "tools/list"})

    assert (answer.status_code, answer.json["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize("version", [None, "2025-11-25", STATELESS])
def test_a_notification_is_accepted_without_an_answer(client: FlaskClient, version: str | None) -> None:
    headers = {} if version is None else {"MCP-Protocol-Version": version}
    body = {"jsonrpc": "2.0", "method": "notifications/initialized"}

    answer = client.post(URL, json=body, headers=headers)

    assert (answer.status_code, answer.data) == (202, b"")


def test_a_response_is_accepted_where_servers_could_have_asked(client: FlaskClient) -> None:
    body = {"jsonrpc": "2.0", "id": 3, "result": {}}

    assert client.post(URL, json=body).status_code == 202
    refused = client.post(URL, json=body, headers={"MCP-Protocol-Version": STATELESS})
    assert (refused.status_code, refused.json["error"]["code"]) == (400, -32600)


def test_batches_are_answered_in_the_one_revision_that_has_them(client: FlaskClient) -> None:
    ping = {"jsonrpc": "2.0", "method": "ping"}
    batch = [
        {**ping, "id": 1},
        {"jsonrpc": "2.0", "method": "notifications/x"},
        {"jsonrpc": "2.0", "id": 2},
        {**ping, "id": 3},
    ]

    for headers in ({}, {"MCP-Protocol-Version": "2025-03-26"}):
        answers = client.post(URL, json=batch, headers=headers).json
        assert [(one["id"], "result" in one) for one in answers] == [(1, True), (2, False), (3, True)]
    assert client.post(URL, json=batch[1:2]).status_code == 202
    for version in ("2025-06-18", "2025-11-25", STATELESS):
        answer = client.post(URL, json=batch, headers={"MCP-Protocol-Version": version})
        assert (answer.status_code, answer.json["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [{"jsonrpc": "2.0", "id": 1, "method": "ping"}] * 21,
        [{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}],
    ],
)
def test_a_batch_that_cannot_be_meant_is_refused(client: FlaskClient, batch: list[Any]) -> None:
    answer = client.post(URL, json=batch)

    assert (answer.status_code, answer.json["error"]["code"], answer.json["id"]) == (400, -32600, None)


# What is no message


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 5000, -32700),
        (b'{"a":' * 70 + b"1" + b"}" * 70, -32700),
        (b"3", -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600),
    ],
)
def test_what_is_no_message_is_an_error_of_json_rpc(client: FlaskClient, raw: bytes, code: int) -> None:
    answer = client.post(URL, data=raw, content_type="application/json")

    assert answer.json["error"]["code"] == code
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.status_code == (200 if answer.json["id"] is not None else 400)


def test_parameters_that_are_no_object_are_invalid(client: FlaskClient) -> None:
    assert legacy(client, "tools/list", [1]).json["error"]["code"] == -32602
    assert legacy(client, "tools/list", {"cursor": "x"}).json["error"]["code"] == -32602
    for params in ({}, {"name": 3}, {"name": "nope"}, {"name": "search", "arguments": [1]}):
        assert legacy(client, "tools/call", params).json["error"]["code"] == -32602


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
def test_other_methods_than_post_are_refused_with_the_one_there_is(client: FlaskClient, method: str) -> None:
    answer = client.open(URL, method=method)

    assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_a_body_that_is_too_large_or_not_json_is_refused(client: FlaskClient) -> None:
    large = client.post(URL, data=b" " * (2**20 + 1), content_type="application/json")
    other = client.post(URL, data=b"{}", content_type="text/plain")
    stream = client.post(URL, json={}, headers={"Accept": "text/event-stream"})

    assert (large.status_code, large.json["error"]["code"]) == (413, 413)
    assert (other.status_code, other.json["error"]["code"]) == (415, 415)
    assert stream.status_code == 406


# Who may call


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"])
def test_a_page_of_another_origin_is_refused(client: FlaskClient, origin: str) -> None:
    answer = legacy(client, "ping", headers={"Origin": origin})

    assert answer.status_code == 403
    assert "STATEFUL_CORS_ORIGINS" in answer.json["error"]["message"]


def test_pages_of_known_origins_and_of_this_machine_may_call(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_PUBLIC_URL="https://desk.example/app").test_client()

    for origin in ("https://chatgpt.com", "https://desk.example", "http://localhost:6274", "http://127.0.0.1:5000"):
        assert legacy(client, "ping", headers={"Origin": origin}).status_code == 200
    preflight = client.options(
        URL,
        headers={
            "Origin": "https://chatgpt.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, mcp-protocol-version, mcp-method, mcp-name",
        },
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://chatgpt.com"
    assert "Mcp-Method".lower() in preflight.headers["Access-Control-Allow-Headers"].lower()


@pytest.fixture
def closed(make_app: Callable[..., Flask]) -> Flask:
    """An app as it runs in production."""
    return make_app(TESTING=False)


def key_of(app: Flask, *scopes: str) -> dict[str, str]:
    made = ApiKeys(app.extensions["stateful_engine"].database).create("mcp", scopes)
    return {"Authorization": f"Bearer {made.text}"}


def test_without_a_key_nothing_answers(closed: Flask) -> None:
    for method in ("initialize", "tools/list", "ping"):
        answer = legacy(closed.test_client(), method, version=None)
        assert (answer.status_code, answer.json["error"]["code"]) == (401, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json["error"]["data"] == {"error": "UNAUTHORIZED"}


@pytest.mark.parametrize("scope", list(Scope))
def test_a_caller_sees_and_calls_what_its_scopes_allow(closed: Flask, scope: Scope) -> None:
    client, headers = closed.test_client(), key_of(closed, scope.value)
    offered = set(listed(client, headers=headers))

    for operation in [*connector.OPERATIONS, *OPERATIONS]:
        if not operation.in_mcp:
            assert operation.name not in offered
            continue
        may = operation.scope in {None, scope} or scope is Scope.ADMIN
        assert (operation.name in offered) is may
        if not may:
            answer = legacy(client, "tools/call", {"name": operation.name}, headers=headers)
            assert (answer.status_code, answer.json["error"]["code"]) == (403, 403)
            assert "insufficient_scope" in answer.headers["WWW-Authenticate"]


def test_every_message_counts_for_the_rate_limit_also_in_a_batch(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_RATE_LIMIT="3/minute").test_client()
    batch = [{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in range(3)]

    assert client.post(URL, json=batch).status_code == 200
    refused = legacy(client, "ping")

    assert (refused.status_code, refused.json["error"]["code"]) == (429, 429)
    assert int(refused.headers["Retry-After"]) >= 1


# Tools


def test_every_operation_is_a_tool_with_its_schemas_and_hints(client: FlaskClient) -> None:
    from jsonschema import Draft202012Validator

    tools = listed(client)

    assert set(tools) == {one.name for one in (*connector.OPERATIONS, *OPERATIONS) if one.in_mcp}
    by_name = {operation.name: operation for operation in (*connector.OPERATIONS, *OPERATIONS)}
    for name, tool in tools.items():
        Draft202012Validator.check_schema(tool["inputSchema"])
        Draft202012Validator.check_schema(tool["outputSchema"])
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
        assert "$ref" not in json.dumps(tool)
        assert set(tool["inputSchema"]["required"]) <= set(tool["inputSchema"]["properties"])
        operation = by_name[name]
        parts = [{one.name for one in operation.path_parameters}, set(operation.query_model.model_fields)]
        parts += [set(operation.body_model.model_fields) - set(operation.nested)] if operation.body_model else []
        assert set().union(*parts) == set(tool["inputSchema"]["properties"])
        assert sum(map(len, parts)) == len(tool["inputSchema"]["properties"]), "two arguments of one name"
        assert tool["annotations"]["readOnlyHint"] is operation.read_only
        assert tool["annotations"]["destructiveHint"] is operation.consequential
    assert len(legacy(client, "tools/list").text) < 100_000
    assert tools["executeSignal"]["inputSchema"]["properties"]["source"]["default"] == "MCP"
    assert tools["executeSignal"]["annotations"]["idempotentHint"] is True
    assert tools["cleanup"]["annotations"]["destructiveHint"] is True


def test_a_signal_is_tracked_followed_and_reported_by_tools(client: FlaskClient) -> None:
    made = call(client, "trackSignal", {"symbol": "BTCUSDT", "action": "BUY", "entry_price": 100.0, "stop_loss": 90.0})
    signal_id = made["structuredContent"]["signal_id"]
    executed = call(client, "executeSignal", {"signal_id": signal_id, "execution_price": 101.0})
    ended = call(client, "recordOutcome", {"signal_id": signal_id, "outcome": "WIN", "pnl_percentage": 2.5})
    shown = call(client, "getSignal", {"signal_id": signal_id})
    acts = call(client, "getInteractions", {"signal_id": signal_id})["structuredContent"]["interactions"]
    listing = call(client, "getSignalHistory", {"symbol": "BTC/USDT", "limit": 5, "days": "0"})
    report = call(client, "getSignalAnalytics", {"days": 7})

    for result in (made, executed, ended, shown, listing, report):
        assert result["isError"] is False
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        assert not {"api_version", "processing_time_ms"} & set(result["structuredContent"])
    assert shown["structuredContent"]["signal"]["outcome"] == "WIN"
    assert shown["structuredContent"]["signal"]["source"] == "MCP"
    assert {act["interaction_source"] for act in acts} == {"MCP"}
    assert listing["structuredContent"]["total_returned"] == 1
    assert report["structuredContent"]["analytics"]["winning_signals"] == 1


def test_a_mistake_is_told_to_the_model_with_everything_that_is_wrong(client: FlaskClient) -> None:
    missing = call(client, "executeSignal", {})
    wrong = call(client, "getSignalHistory", {"limit": 0, "symboll": "x", "days": [1]})
    unknown = call(client, "getSignal", {"signal_id": "sig_000000000000_1600000000"})
    beyond = call(client, "getHealth", {"x": 1})
    strange = call(client, "getSignal", {"signal_id": ["x"]})

    def told(result: Any) -> Any:
        assert result["isError"] is True
        assert "structuredContent" not in result
        return json.loads(result["content"][0]["text"])

    assert [fault["pointer"] for fault in told(missing)["errors"]] == ["/signal_id", "/execution_price"]
    assert told(missing)["error"] == "MISSING_DATA"
    assert {fault["pointer"] for fault in told(wrong)["errors"]} == {"/limit", "/symboll", "/days"}
    assert told(unknown)["error"] == "SIGNAL_NOT_FOUND"
    assert told(beyond)["errors"][0]["pointer"] == "/x"
    assert told(strange)["errors"][0] == {"pointer": "/signal_id", "detail": "must be text", "code": "WRONG_TYPE"}


def test_a_number_that_is_not_finite_is_refused(client: FlaskClient) -> None:
    raw = (
        '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "trackSignal", "arguments": '
        '{"symbol": "BTCUSDT", "action": "BUY", "entry_price": NaN}}}'
    )
    result = client.post(URL, data=raw, content_type="application/json").json["result"]

    assert result["isError"] is True
    assert "/entry_price" in result["content"][0]["text"]


def test_a_call_with_a_client_ref_acts_once(client: FlaskClient) -> None:
    arguments = {"symbol": "BTCUSDT", "action": "BUY", "client_ref": "one"}

    first, again = (call(client, "trackSignal", arguments)["structuredContent"] for _ in range(2))

    assert first == again


def test_nothing_is_written_while_the_engine_is_switched_off(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_ENABLED=False).test_client()

    assert "STATEFUL_ENABLED" in call(client, "trackSignal", GOOD_BODIES["trackSignal"])["content"][0]["text"]


def test_an_answer_stays_below_what_a_model_takes(client: FlaskClient) -> None:
    for number in range(12):
        track(client, ai_reasoning=f'{number} "why" \\ € ' * 800)

    answer = legacy(client, "tools/call", {"name": "getSignalHistory", "arguments": {}})
    page = answer.json["result"]["structuredContent"]
    track(client, ai_reasoning='"' * 90_000)
    one = legacy(client, "tools/call", {"name": "getSignalHistory", "arguments": {"limit": 1}})

    assert len(answer.text) <= MOST
    assert page["truncated"] is True
    assert 0 < page["total_returned"] < 12
    rest = call(client, "getSignalHistory", {"cursor": page["next_cursor"]})["structuredContent"]
    assert rest["signals"][0]["signal_id"] not in {signal["signal_id"] for signal in page["signals"]}
    assert len(one.text) <= MOST
    assert one.json["result"]["structuredContent"]["signals"][0]["ai_reasoning"].endswith("…")


# ChatGPT's connectors


def test_search_and_fetch_answer_in_exactly_the_shape_of_connectors(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_PUBLIC_URL="https://desk.example").test_client()
    signal_id = track(client, symbol="BTCUSDT", action="BUY", ai_reasoning="Breakout above the range")
    track(client, symbol="ETHUSDT", action="SELL")

    found = call(client, "search", {"query": "btc/usdt buy"})
    fetched = call(client, "fetch", {"id": signal_id})

    for result in (found, fetched):
        assert len(result["content"]) == 1
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    (hit,) = found["structuredContent"]["results"]
    assert set(hit) == {"id", "title", "url"}
    assert hit["id"] == signal_id
    assert hit["url"] == f"https://desk.example{PREFIX}/signal/{signal_id}"
    document = fetched["structuredContent"]
    assert set(document) == {"id", "title", "text", "url", "metadata"}
    assert "Breakout above the range" in document["text"]
    assert document["metadata"]["symbol"] == "BTCUSDT"
    assert call(client, "fetch", {"id": "nope"})["isError"] is True


def test_search_finds_by_names_reasons_and_ids_and_the_newest_by_general_words(client: FlaskClient) -> None:
    gold = track(
        client, symbol="XAUUSD", action="SELL", timeframe="4H", ai_reasoning="double top", source_engine="atlas"
    )
    bitcoin = track(
        client, symbol="BTCUSDT", action="BUY", timeframe="1H", ai_reasoning="momentum", source_engine="rules"
    )
    client.post(f"{PREFIX}/signal/{bitcoin}/outcome", json={"outcome": "WIN"})

    def ids(query: str) -> list[str]:
        return [hit["id"] for hit in call(client, "search", {"query": query})["structuredContent"]["results"]]

    assert ids("XAU/USD") == ids("atlas") == ids("double tops or a top?") == ids("sell 4h") == [gold]
    assert ids("win") == ids("momentum") == ids(f"what became of {bitcoin}?") == [bitcoin]
    assert ids("show me the latest signals") == [bitcoin, gold]
    assert ids("sell btcusdt 1h rules")[0] == bitcoin
    assert ids("zzz") == []


# The log


def test_every_call_is_a_query_of_the_log_with_who_asked(client: FlaskClient) -> None:
    meta = {"openai/subject": "user-1", "openai/session": "conv-1"}
    call(client, "search", {"query": "gold"}, meta=meta, headers={"User-Agent": "openai-mcp/1.0"})
    call(client, "executeSignal", {"api_key": "abc"})

    failed, asked = queries(client)[:2]

    assert asked["endpoint"] == "mcp:search"
    assert asked["method"] == "MCP"
    assert asked["user_query"] == "gold"
    assert asked["request_params"] == {"query": "gold"}
    assert asked["response_data"] == {"results": []}
    assert (asked["response_status"], asked["is_successful"]) == (200, True)
    assert (failed["endpoint"], failed["response_status"], failed["is_successful"]) == ("mcp:executeSignal", 422, False)
    assert failed["request_params"] == {"api_key": "[redacted]"}


def test_who_asked_is_kept_as_the_caller_said_or_as_a_pseudonym(make_app: Callable[..., Flask]) -> None:
    from sqlalchemy import text

    def stored(app: Flask) -> Any:
        call(app.test_client(), "search", {"query": "x"}, meta={"openai/subject": "user-1", "openai/session": "c-1"})
        runtime = app.extensions["stateful_engine"]
        assert runtime.flush()
        table = runtime.database.qualified("gpt_query_log")
        with runtime.database.connection() as connection:
            sql = f"SELECT user_ref, conversation_ref FROM {table} ORDER BY id DESC LIMIT 1"
            return tuple(connection.execute(text(sql)).one())

    assert stored(make_app()) == ("user-1", "c-1")
    user, conversation = stored(make_app(STATEFUL_HASH_USER_IDS=True))
    assert "user-1" not in user
    assert conversation == "c-1"


# Lines


def test_a_conversation_by_lines_goes_on_whatever_a_line_is(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    mcp = app.extensions["stateful_engine_api"].mcp
    runtime = app.extensions["stateful_engine"]
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    reading = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "getAnalyticsSummary"}}

    def fail() -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(runtime.analytics, "summary", fail)
    said = [json.dumps(one).encode() for one in ([ping], hello, [ping], {**ping, "id": "x"}, reading, ping)]
    answers = [json.loads(line) for line in mcp.converse([*said, b" \n", b"{"], [Scope.ANALYTICS_READ])]

    batch, welcome, refused, pong, broken, again, no_json = answers
    assert batch == [{"jsonrpc": "2.0", "id": 2, "result": {}}]
    assert welcome["result"]["protocolVersion"] == "2025-06-18"
    assert refused["error"]["code"] == -32600, "the revision that was agreed on has no batches"
    assert (pong["id"], again["id"]) == ("x", 2)
    assert (broken["id"], broken["error"]["code"]) == (3, -32603)
    assert "a fault of ours" not in json.dumps(broken)
    assert no_json["error"]["code"] == -32700
    assert runtime.guard.snapshot()["failed_answer_mcp"] == 1


def test_the_command_offers_reading_or_what_it_is_told(app: Flask) -> None:
    hello = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    mcp = app.extensions["stateful_engine_api"].mcp

    def offered(*scopes: Scope) -> set[str]:
        (answer,) = mcp.converse([hello], scopes)
        return {tool["name"] for tool in json.loads(answer)["result"]["tools"]}

    assert "trackSignal" not in offered(*READS)
    assert "trackSignal" in offered(*EVERYDAY)
    assert "cleanup" not in offered(*EVERYDAY)
    assert "cleanup" in offered(Scope.ADMIN)
