"""Attacks on the door: injection into every field, tricks with paths and headers, preflights, and comparing secrets."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from sqlalchemy import inspect

from stateful_engine.api.contract import Nothing, Operation
from stateful_engine.api.json_schemas import Components, inlined
from stateful_engine.api.operations import OPERATIONS, methods_at
from stateful_engine.services import api_keys
from stateful_engine.services.api_keys import ApiKeys
from tests.api.calls import GOOD_BODIES, PREFIX, good_body, place, track, url_of

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

INJECTIONS = [
    "'; DROP TABLE signal_history; --",
    '" OR "1"="1',
    "%' union select secret_hash from api_keys --",
    '{"$ne": null}',
    "{{7*7}}${7*7}%{7*7}",
    "<script>alert(1)</script>",
    "a\r\nSet-Cookie: stolen=1",
    "../../../../etc/passwd",
    "a\u202eb\ufeffc\U0001f4a9\u0301",
    "nul\u0000byte",
    "lone\ud800surrogate",
    "x" * 5000,
]
LEAKS = ("Traceback", "sqlalchemy", "psycopg2", "sqlite3", "SELECT ", "49$")


def these(*operations: Operation) -> pytest.MarkDecorator:
    """One test for each of the operations."""
    return pytest.mark.parametrize("operation", [pytest.param(one, id=one.name) for one in operations])


every_operation = these(*OPERATIONS)
every_body = these(*(one for one in OPERATIONS if one.body_model is not None))
every_query = these(*(one for one in OPERATIONS if one.query_model is not Nothing))
every_path = these(*(one for one in OPERATIONS if "<" in one.path))


def assert_harmless(answer: TestResponse, what: Any) -> None:
    """No failure, nothing of our inside, and nothing that the attacker wrote into the headers."""
    assert answer.status_code < 500, (what, answer.text)
    assert not [word for word in LEAKS if word in answer.text], (what, answer.text)
    assert "Set-Cookie" not in answer.headers, what
    assert not [value for value in answer.headers.values() if "\r" in value or "\n" in value], what
    if "json" in answer.content_type:
        json.loads(answer.text)


def fields_of(operation: Operation) -> list[str]:
    """The names of all fields of the body, those inside objects of known shape as dotted paths."""
    assert operation.body_model is not None
    known = Components([operation.body_model])
    return list(_names(inlined(known.reference(operation.body_model), known.schemas)))


def _names(schema: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, described in schema.get("properties", {}).items():
        yield f"{above}{name}"
        for branch in described.get("anyOf", [described]):
            yield from _names(branch, f"{above}{name}.")


def put(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The body with a value at a dotted path."""
    name, _, rest = path.partition(".")
    inner = body.get(name)
    return {**body, name: put(inner if isinstance(inner, dict) else {}, rest, value) if rest else value}


@pytest.fixture(scope="module", autouse=True)
def everything_is_still_there(shared_app: Flask, shared_signal: str) -> Iterator[None]:
    """Looked at once, after all the attacks of this file."""
    runtime = shared_app.extensions["stateful_engine"]
    key = ApiKeys(runtime.database).create("witness")

    def tables() -> list[str]:
        with runtime.database.connection() as connection:
            return sorted(inspect(connection).get_table_names(schema=runtime.database.schema))

    before = tables()
    yield
    assert tables() == before
    assert [one["key_id"] for one in ApiKeys(runtime.database).every()] == [key.key_id]
    assert shared_app.test_client().get(f"{PREFIX}/signal/{shared_signal}").status_code == 200


@every_body
def test_no_field_of_a_body_takes_an_injection(shared_client: FlaskClient, operation: Operation) -> None:
    url = place(shared_client, operation)
    for field in fields_of(operation):
        for text in INJECTIONS:
            body = put(good_body(operation), field, text)
            answer = shared_client.open(
                url, method=operation.method, data=json.dumps(body), content_type="application/json"
            )
            assert_harmless(answer, (field, text))


@every_body
def test_no_key_of_a_body_takes_an_injection(shared_client: FlaskClient, operation: Operation) -> None:
    url = place(shared_client, operation)
    for text in INJECTIONS:
        body = json.dumps({**good_body(operation), text: text})
        answer = shared_client.open(url, method=operation.method, data=body, content_type="application/json")
        assert_harmless(answer, text)


@every_query
def test_no_field_of_a_query_string_takes_an_injection(shared_client: FlaskClient, operation: Operation) -> None:
    for name in (*operation.query_model.model_fields, "unknown"):
        for text in INJECTIONS:
            value = quote(text.encode("utf-8", "surrogatepass"))
            answer = shared_client.get(f"{url_of(operation, '1')}?{name}={value}")
            assert_harmless(answer, (name, text))


@every_path
def test_no_part_of_a_path_takes_an_injection(shared_client: FlaskClient, operation: Operation) -> None:
    for text in INJECTIONS:
        url = url_of(operation, quote(text.encode("utf-8", "surrogatepass"), safe=""))
        answer = shared_client.open(url, method=operation.method, json=GOOD_BODIES.get(operation.name))
        assert_harmless(answer, text)
        # Whoever asks an experiment that does not exist for a variant gets the first one, so that no host breaks.
        assert answer.status_code in {404, 422} or operation.name == "assignVariant", text


def test_what_looks_like_an_attack_is_kept_as_the_text_that_it_is(shared_client: FlaskClient) -> None:
    for text in INJECTIONS:
        data = json.dumps({"symbol": "BTCUSDT", "action": "HOLD", "ai_reasoning": text})
        made = shared_client.post(f"{PREFIX}/track-signal", data=data, content_type="application/json")
        shown = shared_client.get(f"{PREFIX}/signal/{made.json['signal_id']}").json["signal"]
        assert shown["ai_reasoning"] == re.sub("[\0\ud800]", "\ufffd", text)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/signal/../health",
        "/signal/..%2fhealth",
        "//health",
        "/health/",
        "/health%00",
        "/health;x=1",
        "/health/..;/signal-history",
        "/%68ealth",
        "/HEALTH",
        "/signal//execute",
        "/signal/%2F/execute",
        "/%ff%fe",
        "/" + "a" * 5000,
        "/" + "a/" * 500,
        "/mcp/..",
        "/r/../health",
    ],
)
def test_a_trick_with_a_path_leads_nowhere(shared_client: FlaskClient, path: str) -> None:
    for method in ("GET", "POST"):
        answer = shared_client.open(PREFIX + path, method=method)
        assert_harmless(answer, path)
        assert "root:" not in answer.text
        if answer.status_code == 200:
            assert answer.json["status"] == "ok", "only another spelling of a public path is answered"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Request-ID": "a\r\nSet-Cookie: x=1"},
        {"X-Request-ID": "x" * 10_000},
        {"X-Request-ID": "<script>"},
        {"traceparent": "a\r\nb: c"},
        {"Origin": "https://chatgpt.com\r\nX-Evil: 1"},
        {"Origin": "https://chatgpt.com.evil.example"},
        {"X-Forwarded-For": "1.1.1.1\r\nX-Evil: 1", "X-Forwarded-Host": "evil.example"},
        {"Idempotency-Key": "a\r\nX-Evil: 1"},
        {"User-Agent": "\x00\x1b[31m" + "x" * 20_000},
        {"openai-conversation-id": "'; DROP TABLE gpt_query_log; --"},
        {"Authorization": "Bearer \r\nX-Evil: 1"},
        {"X-API-Key": "' OR 1=1 --"},
        {"Content-Type": "application/json; charset=\r\nX-Evil: 1"},
        {"Content-Length": "-1"},
        {"Content-Length": "abc"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_a_header_injects_nothing(shared_client: FlaskClient, headers: dict[str, str]) -> None:
    environ = {
        name.upper().replace("-", "_")
        if name.startswith("Content-")
        else f"HTTP_{name.upper().replace('-', '_')}": text
        for name, text in headers.items()
    }
    body = json.dumps(GOOD_BODIES["trackSignal"]).encode()
    for method, path in (("GET", "/health"), ("GET", "/signal-history"), ("POST", "/track-signal"), ("GET", "/nope")):
        answer = shared_client.open(
            PREFIX + path,
            method=method,
            data=body if method == "POST" else None,
            content_type="application/json",
            environ_overrides=environ,
        )
        assert_harmless(answer, headers)
        assert "X-Evil" not in answer.headers
        assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", answer.headers["X-Request-ID"])
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_host_header_does_not_decide_what_a_document_says_where_the_app_knows_its_address(
    make_app: Callable[..., Flask],
) -> None:
    client = make_app(STATEFUL_PUBLIC_URL="https://desk.example").test_client()

    for profile in ("full", "actions"):
        answer = client.get(f"{PREFIX}/openapi.json?profile={profile}", headers={"Host": "evil.example"})
        assert answer.json["servers"] == [{"url": "https://desk.example"}]


@every_operation
def test_a_preflight_is_answered_to_known_origins_only(shared_client: FlaskClient, operation: Operation) -> None:
    asked = {"Access-Control-Request-Method": operation.method, "Access-Control-Request-Headers": "authorization"}
    url = url_of(operation)

    known = shared_client.options(url, headers={"Origin": "https://chatgpt.com", **asked})

    assert known.status_code == 204
    assert known.headers["Access-Control-Allow-Origin"] == "https://chatgpt.com"
    assert operation.method in known.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in known.headers
    for origin in ("https://evil.example", "null", "http://chatgpt.com", "https://chatgpt.com.evil.example"):
        other = shared_client.options(url, headers={"Origin": origin, **asked})
        assert not [name for name in other.headers.keys() if name.startswith("Access-Control-Allow")], origin
    assert methods_at(url.removeprefix(PREFIX))


@pytest.mark.parametrize(
    "body",
    [
        {f"key{number}": number for number in range(20_000)},
        {"signal_data": {"symbol": "BTCUSDT", "action": "BUY", "smc_analysis": [[]] * 50_000}},
        {"signal_data": {"symbol": "BTCUSDT", "action": "BUY", "entry_price": 10**400}},
        {"signal_data": {"symbol": "B" * 900_000, "action": "BUY"}},
        {"x" * 900_000: 1},
    ],
    ids=["keys", "lists", "number", "text", "key"],
)
def test_a_body_that_is_large_in_an_unusual_way_is_answered_quickly(shared_client: FlaskClient, body: Any) -> None:
    answer = shared_client.post(f"{PREFIX}/track-signal", json=body)

    assert_harmless(answer, "large")
    assert len(answer.text) < 100_000


def test_a_query_string_of_thousands_of_names_is_answered_with_a_bounded_error(shared_client: FlaskClient) -> None:
    answer = shared_client.get(f"{PREFIX}/signal-history?" + "&".join(f"a{number}=1" for number in range(5000)))

    assert answer.status_code == 422
    assert len(answer.text) < 100_000


def test_secrets_are_compared_in_constant_time_and_for_unknown_keys_too(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(TESTING=False)
    key = ApiKeys(app.extensions["stateful_engine"].database).create("desk").text
    compared: list[tuple[int, int]] = []

    def watched(kept: str, offered: str) -> bool:
        compared.append((len(kept), len(offered)))
        return hmac.compare_digest(kept, offered)

    class Watched:
        compare_digest = staticmethod(watched)

    monkeypatch.setattr(api_keys, "hmac", Watched)
    client = app.test_client()
    offers = [key, key[:-1] + ("A" if key[-1] != "A" else "B"), "se_000000000000_" + "A" * 43, "nothing"]
    statuses = [client.get(f"{PREFIX}/signal-history", headers={"X-API-Key": one}).status_code for one in offers]

    assert statuses == [200, 401, 401, 401]
    assert compared == [(64, 64)] * 4


def test_a_stranger_learns_nothing_from_what_exists(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    signal_id = track(app.test_client())
    app.testing = False
    client = app.test_client()

    known, unknown = (client.get(f"{PREFIX}/signal/{one}") for one in (signal_id, "sig_000000000000_1600000000"))

    def said(answer: TestResponse) -> dict[str, Any]:
        varying = {"request_id", "server_time", "processing_time_ms", "instance"}
        return {name: value for name, value in answer.json.items() if name not in varying}

    assert (known.status_code, said(known)) == (unknown.status_code, said(unknown))
