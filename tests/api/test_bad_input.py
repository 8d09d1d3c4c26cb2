"""Whatever is sent to whichever route: a 4xx that names the fault, and nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.api.contract import Operation
from stateful_engine.api.operations import OPERATIONS
from tests.api.calls import GOOD_BODIES, PREFIX, UNKNOWN_ID, assert_refused, good_body, place, pointers, url_of

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

WRITES = [pytest.param(operation, id=operation.name) for operation in OPERATIONS if not operation.read_only]
PAGES = ["/signal-history", "/query-history", "/interactions"]
WINDOWS = [*PAGES, "/analytics/signals", "/analytics/queries", "/analytics/interactions"]
WITH_ID = [
    pytest.param(operation, id=operation.name)
    for operation in OPERATIONS
    # Whoever is assigned by an experiment that is gone gets the first variant, so that no host breaks.
    if "<" in operation.path and operation.name != "assignVariant"
]
CHUNKED: dict[str, Any] = {
    "headers": {"Transfer-Encoding": "chunked"},
    "environ_overrides": {"wsgi.input_terminated": True},
}
"""What a server says of a body whose length nobody declared."""

FREE = frozenset({"variant_a", "variant_b"})
"""Fields that take any JSON value."""

every_write = pytest.mark.parametrize("operation", WRITES)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_behind(shared_client: FlaskClient, shared_signal: str) -> Iterator[None]:
    """Looked at once, after all the bad input of this file."""
    yield
    signals = shared_client.get(f"{PREFIX}/signal-history?days=0").json["signals"]
    assert [(s["signal_id"], s["is_executed"], s["outcome"]) for s in signals] == [(shared_signal, False, "PENDING")]
    assert len(shared_client.get(f"{PREFIX}/interactions?days=0").json["interactions"]) == 1
    assert shared_client.get(f"{PREFIX}/query-history?days=0").json["queries"] == []


class Writer:
    """Sends bodies to the operations that write, on things that exist."""

    def __init__(self, client: FlaskClient, signal_id: str) -> None:
        self._client = client
        self._signal_id = signal_id
        self._places: dict[str, str] = {}

    def __call__(self, operation: Operation, body: Any, **more: Any) -> TestResponse:
        more.setdefault("content_type", "application/json")
        return self._client.open(self._place(operation), method=operation.method, data=body, **more)

    def _place(self, operation: Operation) -> str:
        if "<signal_id>" in operation.path:
            return url_of(operation, self._signal_id)
        if operation.name not in self._places:
            self._places[operation.name] = place(self._client, operation)
        return self._places[operation.name]


@pytest.fixture(scope="module")
def write(shared_client: FlaskClient, shared_signal: str) -> Writer:
    return Writer(shared_client, shared_signal)


BROKEN = [
    "{",
    "{'a': 1}",
    '{"a": 1}}',
    "\xff\xfe",
    '{"a": 01}',
    "a=b",
    "[" * 100_000,
    '{"a":' * 2000 + "1" + "}" * 2000,
    '{"a":' * 65 + "1" + "}" * 65,
]
OTHER_KINDS = ["[]", '"text"', "null", "3", "true", '[{"symbol": "BTCUSDT"}]']
FOREIGN = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]


@every_write
def test_what_is_not_json_is_malformed(write: Writer, operation: Operation) -> None:
    for body in BROKEN:
        answer = write(operation, body.encode("latin-1"))
        assert_refused(answer, 400, "MALFORMED_REQUEST")
        assert pointers(answer) == [""]


@every_write
def test_json_of_another_kind_is_malformed(write: Writer, operation: Operation) -> None:
    for body in OTHER_KINDS:
        answer = write(operation, body)
        assert_refused(answer, 400, "MALFORMED_REQUEST")
        assert "object" in answer.json["message"]


@every_write
def test_no_body_is_missing_data(write: Writer, operation: Operation) -> None:
    for body in (b"", b"  \n"):
        assert_refused(write(operation, body), 400, operation.missing_code)


@every_write
def test_a_body_that_a_foreign_page_could_send_is_not_read(write: Writer, operation: Operation) -> None:
    for kind in FOREIGN:
        answer = write(operation, json.dumps(good_body(operation)), content_type=kind)
        assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert "application/json" in answer.json["message"]


@every_write
def test_a_number_that_is_not_finite_is_named_by_its_pointer(write: Writer, operation: Operation) -> None:
    body = json.dumps({**good_body(operation), "data": {"deep": [float("nan"), 1.0, float("inf")]}})

    answer = write(operation, body)

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert {"/data/deep/0", "/data/deep/2"} <= set(pointers(answer))


@pytest.mark.parametrize("operation", [one for one in WRITES if one.id != "trackSignal"])
def test_an_unknown_field_is_refused_with_a_guess_at_what_was_meant(write: Writer, operation: Operation) -> None:
    body = {**good_body(operation), "client_reff": "x", "zzz": 1}

    answer = write(operation, json.dumps(body))

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == ["/client_reff", "/zzz"]
    assert "did you mean client_ref?" in answer.json["errors"][0]["detail"]


@every_write
def test_every_field_of_the_wrong_type_is_named(write: Writer, operation: Operation) -> None:
    names = {"client_ref", *good_body(operation)} - FREE
    body = {name: [[]] for name in names}

    answer = write(operation, json.dumps(body))

    assert answer.status_code in {400, 422}
    for name in names:
        assert any(pointer.startswith(f"/{name}") for pointer in pointers(answer)), name


@every_write
def test_a_body_beyond_the_limit_is_too_large_however_it_is_sent(write: Writer, operation: Operation) -> None:
    body = json.dumps({**good_body(operation), "padding": "x" * 2**20}).encode()
    chunked = {"input_stream": BytesIO(body), **CHUNKED}

    for answer in (write(operation, body), write(operation, None, **chunked)):
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
        assert "1048576" in answer.json["message"]


def test_a_chunked_body_within_the_limit_is_read(shared_client: FlaskClient, shared_signal: str) -> None:
    answer = shared_client.post(
        f"{PREFIX}/maintenance/cleanup",
        input_stream=BytesIO(b'{"days_to_keep": 1, "dry_run": true}'),
        content_type="application/json",
        **CHUNKED,
    )

    assert answer.status_code == 200
    assert answer.json["dry_run"] is True


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("limit", ["abc", "-1", "0", "101", "1e9", "1.5", "", " 5", "1_0", "٥", "9" * 400, "%00"])
def test_a_limit_that_is_no_number_from_1_to_100_is_refused(shared_client: FlaskClient, path: str, limit: str) -> None:
    answer = shared_client.get(f"{PREFIX}{path}?limit={limit}")

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == ["/query/limit"]
    assert "from 1 to 100" in answer.json["errors"][0]["detail"]


@pytest.mark.parametrize("path", WINDOWS)
@pytest.mark.parametrize("days", ["-5", "99999999999", "abc", "1e3", "NaN", "36501", ""])
def test_a_window_that_nobody_can_mean_is_refused(shared_client: FlaskClient, path: str, days: str) -> None:
    answer = shared_client.get(f"{PREFIX}{path}?days={days}")

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == ["/query/days"]


@pytest.mark.parametrize("path", WINDOWS)
@pytest.mark.parametrize("days", ["0", "1", "36500"])
def test_the_ends_of_the_window_are_answered(shared_client: FlaskClient, path: str, days: str) -> None:
    assert shared_client.get(f"{PREFIX}{path}?days={days}").status_code == 200


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "' OR 1=1 --",
        "AAAA",
        "%00",
        "A" * 5000,
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "%ED%A0%80",
        "\U0001f4a9",
        "e30=",
    ],
)
def test_a_cursor_that_is_garbage_is_refused(shared_client: FlaskClient, path: str, cursor: str) -> None:
    answer = shared_client.get(f"{PREFIX}{path}", query_string={"cursor": cursor})

    assert_refused(answer, 422, "INVALID_CURSOR")
    assert pointers(answer) == ["/query/cursor"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/signal-history", "symbol"),
        ("/signal-history", "source_engine"),
        ("/query-history", "endpoint"),
        ("/query-history", "session_id"),
        ("/interactions", "signal_id"),
        ("/interactions", "user_id"),
    ],
)
def test_a_filter_finds_nothing_or_is_refused_but_never_breaks(
    shared_client: FlaskClient, path: str, name: str
) -> None:
    for harmless in ("'; DROP TABLE signal_history; --", "%", "\U0001f4a9", "a" * 255, "[[]]", "{}"):
        answer = shared_client.get(f"{PREFIX}{path}", query_string={name: harmless})
        assert (answer.status_code, answer.json["total_returned"]) == (200, 0), harmless
    for refused in ("a\0b", "", "a" * 256):
        answer = shared_client.get(f"{PREFIX}{path}", query_string={name: refused})
        assert_refused(answer, 422, "VALIDATION_ERROR")
        assert pointers(answer) == [f"/query/{name}"]


@pytest.mark.parametrize(
    "query",
    [
        "successful=maybe",
        "timeframe=soon",
        "action=MAYBE",
        "outcome=won't",
        "timeframe=%00",
        "action=",
        "interaction_type=DANCE",
    ],
)
def test_a_word_that_is_not_in_the_vocabulary_is_refused(shared_client: FlaskClient, query: str) -> None:
    paths = {"interaction_type": "/interactions", "successful": "/query-history"}
    path = paths.get(query.partition("=")[0], "/signal-history")

    answer = shared_client.get(f"{PREFIX}{path}?{query}")

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == [f"/query/{query.partition('=')[0]}"]


def test_a_query_string_says_everything_that_is_wrong_with_it_at_once(shared_client: FlaskClient) -> None:
    answer = shared_client.get(
        f"{PREFIX}/signal-history?limit=0&days=-1&cursor=x&simbol=BTC&action=a&outcome=b&outcome=c"
    )

    assert_refused(answer, 422, "VALIDATION_ERROR")
    names = "limit days cursor simbol action outcome".split()
    assert set(pointers(answer)) == {f"/query/{name}" for name in names}
    assert "(and 5 more)" in answer.json["message"]
    assert "did you mean symbol?" in answer.text


STRANGE_IDS = ["nope", "sig_1' OR '1'='1", "a%00b", "%ED%A0%80", "\U0001f4a9", "x" * 300, UNKNOWN_ID, "%20", "-1"]


@pytest.mark.parametrize("operation", WITH_ID)
def test_an_id_that_nothing_has_is_not_found(shared_client: FlaskClient, operation: Operation) -> None:
    for thing in [*STRANGE_IDS, "9" * 30, "..%2f.."]:
        url, body = url_of(operation, thing), GOOD_BODIES.get(operation.name)
        answer = shared_client.open(url, method=operation.method, json=body)
        assert answer.status_code == 404, (thing, answer.text)
        assert answer.json["error"].endswith("NOT_FOUND")


@pytest.mark.parametrize(
    ("effect", "body", "wrong"),
    [
        ("execute", {"execution_price": 0}, ["/execution_price"]),
        ("execute", {"execution_price": -1, "source": "MOON"}, ["/execution_price", "/source"]),
        ("execute", {"execution_price": 1e300}, ["/execution_price"]),
        ("execute", {"execution_price": "45000"}, ["/execution_price"]),
        ("execute", {"execution_price": True, "user_id": {}}, ["/execution_price", "/user_id"]),
        ("execute", {"execution_price": 1, "user_id": "x" * 256}, ["/user_id"]),
        ("outcome", {"outcome": "MAYBE"}, ["/outcome"]),
        ("outcome", {"outcome": "WIN", "pnl_percentage": -3}, ["/pnl_percentage"]),
        ("outcome", {"outcome": "WIN", "pnl_percentage": 1e9, "exit_price": 0}, ["/pnl_percentage", "/exit_price"]),
        ("outcome", {"outcome": "WIN", "correct": "yes"}, ["/correct"]),
        ("outcome", {"outcome": "WIN", "closed_at": "soon"}, ["/closed_at"]),
        ("outcome", {"outcome": "WIN", "closed_at": "2026-13-45T00:00:00Z"}, ["/closed_at"]),
        ("outcome", {"outcome": "WIN", "closed_at": 1600000000}, ["/closed_at"]),
        ("outcome", {"outcome": "WIN", "closed_at": "2999-01-01T00:00:00Z"}, ["/closed_at"]),
        ("outcome", {"outcome": "WIN", "closed_at": "0001-01-01T00:00:00+14:00"}, ["/closed_at"]),
        ("outcome", {"outcome": "WIN", "closed_at": "9999-12-31T23:59:59-12:00"}, ["/closed_at"]),
        (
            "interaction",
            {"interaction_type": "DANCE", "source": 5, "data": []},
            ["/interaction_type", "/source", "/data"],
        ),
        ("interaction", {"interaction_type": None}, ["/interaction_type"]),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(
    shared_client: FlaskClient, shared_signal: str, effect: str, body: Any, wrong: list[str]
) -> None:
    answer = shared_client.post(f"{PREFIX}/signal/{shared_signal}/{effect}", json=body)

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert sorted(pointers(answer)) == sorted(wrong)


@pytest.mark.parametrize(
    ("effect", "pointer"),
    [("execute", "/execution_price"), ("interaction", "/interaction_type"), ("outcome", "/outcome")],
)
def test_an_empty_object_is_missing_what_is_required(
    shared_client: FlaskClient, shared_signal: str, effect: str, pointer: str
) -> None:
    answer = shared_client.post(f"{PREFIX}/signal/{shared_signal}/{effect}", json={})

    assert_refused(answer, 400, "MISSING_DATA")
    assert pointers(answer) == [pointer]


@pytest.mark.parametrize("days", [0, -1, 36501, "90", 1.5, True, None, 10**30])
def test_cleanup_deletes_nothing_unless_the_days_make_sense(shared_client: FlaskClient, days: Any) -> None:
    answer = shared_client.post(f"{PREFIX}/maintenance/cleanup", json={"days_to_keep": days})

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == ["/days_to_keep"]


def test_a_name_that_no_text_can_hold_is_named_all_the_same(shared_client: FlaskClient, shared_signal: str) -> None:
    body = '{"execution_price": 1, "\\ud800/~": 2}'

    answer = shared_client.post(f"{PREFIX}/signal/{shared_signal}/execute", data=body, content_type="application/json")

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert pointers(answer) == ["/\ufffd~1~0"]


def test_no_more_than_fifty_faults_are_listed(shared_client: FlaskClient) -> None:
    query = "&".join(f"wrong{number}=1" for number in range(200))

    answer = shared_client.get(f"{PREFIX}/signal-history?{query}")

    assert_refused(answer, 422, "VALIDATION_ERROR")
    assert len(answer.json["errors"]) == 50
    assert "(and 199 more)" in answer.json["message"]
