"""What a request says, as plain values: nothing guessed, nothing secret, nothing endless."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import create_environ

from stateful_engine.config import Settings
from stateful_engine.installation import people_of
from stateful_engine.request_info import RequestInfo, shortened, source_of

SETTINGS = Settings()


@pytest.fixture
def host() -> Flask:
    host = Flask("host")
    host.add_url_rule("/ai/<symbol>", "ai", lambda symbol: "", methods=["GET", "POST"])
    return host


def info(host: Flask, path: str = "/ai/XAUUSD", settings: Settings = SETTINGS, **given: Any) -> RequestInfo:
    """What is read of a request to `path`."""
    with host.test_request_context(path, **given):
        return RequestInfo.from_request(request._get_current_object(), settings)  # type: ignore[attr-defined]


def test_the_endpoint_is_the_rule_and_not_the_url(host: Flask) -> None:
    assert info(host).endpoint == "/ai/<symbol>"
    assert info(host, "/unknown").endpoint == "/unknown"


def test_path_query_and_json_parameters_come_together(host: Flask) -> None:
    seen = info(host, "/ai/XAUUSD?tf=1H&tag=a&tag=b", method="POST", json={"tf": "4H", "risk": 1})
    assert seen.params == {"symbol": "XAUUSD", "tf": "4H", "tag": ["a", "b"], "risk": 1}
    assert seen.method == "POST"


@given(st.text(st.sampled_from("ab=&+%2é1;"), max_size=12))
def test_a_query_string_is_read_as_the_host_reads_it(query: str) -> None:
    environ = {"QUERY_STRING": query.encode().decode("latin-1"), "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    with Flask("host").request_context({**create_environ(), **environ}):
        seen = RequestInfo.from_request(request._get_current_object(), SETTINGS).lookup  # type: ignore[attr-defined]
        assert seen == {name: values if len(values) > 1 else values[0] for name, values in request.args.lists()}


def test_a_query_that_is_no_text_costs_nothing_but_itself(host: Flask) -> None:
    odd = {"QUERY_STRING": "tf=\xff"}
    seen = info(host, environ_overrides=odd, headers={"User-Agent": "ChatGPT-User/1.0"})
    assert (seen.endpoint, seen.user_agent) == ("/ai/<symbol>", "ChatGPT-User/1.0")
    assert seen.params == {"symbol": "XAUUSD"}


def test_a_json_body_that_is_no_object_is_kept_whole(host: Flask) -> None:
    assert info(host, method="POST", json=["BTCUSDT"]).params == {"symbol": "XAUUSD", "body": ["BTCUSDT"]}


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": ' + b"[" * 2000])
def test_a_body_that_is_no_json_is_no_parameter(host: Flask, body: bytes) -> None:
    assert info(host, method="POST", data=body, content_type="application/json").params == {"symbol": "XAUUSD"}


def test_a_body_of_another_type_or_beyond_64_kib_is_not_read(host: Flask) -> None:
    class Untouchable(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

        readline = readinto = read  # type: ignore[assignment]

    for content_type, length in (("text/plain", 10), ("application/json", 2**16 + 1), ("application/json", None)):
        seen = info(host, method="POST", input_stream=Untouchable(), content_type=content_type, content_length=length)
        assert seen.params == {"symbol": "XAUUSD"}


def test_a_body_beyond_the_hosts_own_limit_is_the_hosts_affair(host: Flask) -> None:
    host.config["MAX_CONTENT_LENGTH"] = 5
    assert info(host, method="POST", json={"symbol": "BTCUSDT"}).params == {"symbol": "XAUUSD"}


def test_the_host_can_still_read_the_body_that_was_looked_at(host: Flask) -> None:
    with host.test_request_context("/ai/X", method="POST", json={"a": 1}):
        RequestInfo.from_request(request._get_current_object(), SETTINGS)  # type: ignore[attr-defined]
        assert request.get_json() == {"a": 1}


def test_a_view_that_changes_its_copy_changes_no_record(host: Flask) -> None:
    with host.test_request_context("/ai/X", method="POST", json={"a": 1}):
        request.get_json().clear()
        seen = RequestInfo.from_request(request._get_current_object(), SETTINGS)  # type: ignore[attr-defined]
        assert seen.params["a"] == 1


def test_secrets_are_replaced_where_they_are_stored_and_nowhere_else(host: Flask) -> None:
    seen = info(host, "/ai/X?api_key=hunter2", method="POST", json={"deep": [{"password": "hunter2"}], "tf": "1H"})
    assert seen.params == {"symbol": "X", "api_key": "[redacted]", "deep": [{"password": "[redacted]"}], "tf": "1H"}
    assert "hunter2" not in repr(seen._replace(lookup={}))


def test_long_lists_are_named_by_their_length(host: Flask) -> None:
    seen = info(host, method="POST", json={"candles": [[1, 2]] * 120, "few": [1] * 20, "in": {"deep": [0] * 21}})
    assert seen.params == {"symbol": "XAUUSD", "candles": "[120 items]", "few": [1] * 20, "in": {"deep": "[21 items]"}}
    assert seen.lookup["candles"] == [[1, 2]] * 120


def test_what_is_nested_without_end_has_one() -> None:
    value: Any = "bottom"
    for _ in range(500):
        value = [value]
    assert "bottom" not in repr(shortened(value))


def test_what_a_converter_loaded_is_left_alone(host: Flask) -> None:
    class Row:
        def __str__(self) -> str:
            raise AssertionError("a row was asked for its text")

    with host.test_request_context("/ai/X"):
        serving = request._get_current_object()  # type: ignore[attr-defined]
        serving.view_args = {"row": Row(), "id": UUID(int=7), "n": 3}
        assert RequestInfo.from_request(serving, SETTINGS).params == {"id": str(UUID(int=7)), "n": 3}


@pytest.mark.parametrize("name", ["user_query", "query", "prompt", "question", "message"])
def test_the_users_sentence_is_recorded_where_a_parameter_holds_it(host: Flask, name: str) -> None:
    assert info(host, method="POST", json={name: "Buy gold?"}).user_query == "Buy gold?"
    assert info(host, method="POST", json={name: {"not": "text"}}).user_query is None


def test_headers_tell_the_conversation_the_user_and_the_gpt(host: Flask) -> None:
    headers = {
        "openai-conversation-id": "c",
        "openai-ephemeral-user-id": "u",
        "openai-gpt-id": "g",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "X-Session-ID": "s",
        "Referer": "https://shop.example/?token=hunter2",
    }
    seen = info(host, headers=headers)
    assert (seen.conversation_ref, seen.user_ref, seen.gpt_id, seen.session_id) == ("c", "u", "g", "s")
    assert seen.request_id == headers["traceparent"]
    assert "hunter2" not in str(seen.referer)
    assert info(host, headers={**headers, "X-Request-ID": "r"}).request_id == "r"


def test_nobody_is_made_up(host: Flask) -> None:
    seen = info(host)
    assert {seen.conversation_ref, seen.user_ref, seen.gpt_id, seen.session_id, seen.request_id, seen.user_query} == {
        None
    }


def test_a_long_agent_is_cut(host: Flask) -> None:
    assert len(info(host, headers={"User-Agent": "x" * 9000}).user_agent or "") == 512


def test_users_are_hashed_and_addresses_left_out_where_the_host_says_so(host: Flask) -> None:
    private = Settings(hash_user_ids=True, hash_key="k" * 32, store_ip=False)
    given: dict[str, Any] = {"headers": {"openai-ephemeral-user-id": "u"}, "environ_base": {"REMOTE_ADDR": "10.0.0.7"}}
    assert info(host, **given).remote_addr == "10.0.0.7"
    seen = info(host, settings=private, **given)
    assert (seen.user_ref, seen.remote_addr) == (people_of(private).of("u"), None)
    assert str(seen.user_ref).startswith("anon-")


def test_a_forwarded_address_counts_only_when_the_host_trusts_it(host: Flask) -> None:
    given: dict[str, Any] = {
        "headers": {"X-Forwarded-For": "6.6.6.6"},
        "environ_base": {"REMOTE_ADDR": "10.0.0.7"},
    }
    assert info(host, **given).remote_addr == "10.0.0.7"


@pytest.mark.parametrize(
    ("agent", "source"),
    [
        ("Mozilla/5.0 AppleWebKit/537.36; compatible; ChatGPT-User/1.0; +https://openai.com/bot", "CHAT_GPT"),
        ("TelegramBot (like TwitterBot)", "TELEGRAM"),
        ("openai-mcp/1.0.0", "MCP"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "WEB"),
        ("curl/8.5.0", "API"),
        ("", "API"),
        (None, "API"),
    ],
)
def test_the_source_is_derived_from_the_agent(agent: str | None, source: str) -> None:
    assert source_of(agent) == source
