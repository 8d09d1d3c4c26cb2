"""Whatever is sent to the MCP door: an answer of JSON-RPC, never a failure, and a document that keeps its word."""

from __future__ import annotations

import json
import os
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.api.calls import GOOD_BODIES, PREFIX
from tests.api.test_security import INJECTIONS, assert_harmless

if TYPE_CHECKING:
    from flask.testing import FlaskClient

URL = f"{PREFIX}/mcp"
WRONG: list[Any] = [*INJECTIONS, None, True, 5, -1, 1e308, 10**400, [], [[]], {}, {"a": {"b": []}}]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)
METHODS = st.sampled_from(["initialize", "ping", "tools/list", "tools/call", "server/discover", "notifications/x", ""])
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["search", "fetch", "trackSignal", "getHealth", "nope"]) | JSON,
        "arguments": st.dictionaries(st.sampled_from(["query", "id", "symbol", "limit", "x"]), JSON, max_size=3) | JSON,
        "_meta": JSON | st.fixed_dictionaries({"io.modelcontextprotocol/protocolVersion": JSON}),
        "protocolVersion": JSON,
        "cursor": JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | JSON, "method": METHODS | JSON},
    optional={"id": st.integers() | st.text(max_size=5) | JSON, "params": PARAMS | JSON, "result": JSON},
)
VERSIONS = st.sampled_from([None, "2024-11-05", "2025-03-26", "2025-11-25", "2026-07-28", "x", ""])


@given(body=MESSAGES | JSON | st.lists(MESSAGES, max_size=4), version=VERSIONS)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_json_gets_an_answer_of_json_rpc(shared_client: FlaskClient, body: Any, version: str | None) -> None:
    headers = {} if version is None else {"MCP-Protocol-Version": version}

    answer = shared_client.post(URL, data=json.dumps(body), content_type="application/json", headers=headers)

    assert answer.status_code in {200, 202, 400, 404}, (body, answer.text)
    if answer.status_code == 202:
        assert answer.data == b""
        return
    for one in answer.json if isinstance(answer.json, list) else [answer.json]:
        assert one["jsonrpc"] == "2.0"
        assert ("result" in one) != ("error" in one)
        assert "error" not in one or {"code", "message"} <= set(one["error"])


@pytest.fixture(scope="module")
def tools(shared_client: FlaskClient) -> list[dict[str, Any]]:
    answer = shared_client.post(URL, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    found: list[dict[str, Any]] = answer.json["result"]["tools"]
    return found


def test_no_argument_of_a_tool_takes_an_injection(shared_client: FlaskClient, tools: list[dict[str, Any]]) -> None:
    turn = cycle(WRONG)
    for tool in tools:
        good = dict.fromkeys(tool["inputSchema"]["required"], "1") | GOOD_BODIES.get(tool["name"], {})
        for name in tool["inputSchema"]["properties"]:
            for value in WRONG if os.environ.get("STATEFUL_TEST_LONG") else islice(turn, 2):
                params = {"name": tool["name"], "arguments": {**good, name: value}}
                message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                answer = shared_client.post(URL, data=json.dumps(message), content_type="application/json")
                assert_harmless(answer, (tool["name"], name, value))
                check(tool, answer.json)


def check(tool: dict[str, Any], answer: dict[str, Any]) -> None:
    """The result is what its schema says, or an error that a model can read."""
    result = answer["result"]
    said = json.loads(result["content"][0]["text"])
    if result["isError"]:
        assert {"error", "message"} <= set(said)
    else:
        assert said == result["structuredContent"]
        Draft202012Validator(tool["outputSchema"]).validate(said)
