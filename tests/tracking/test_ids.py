"""The ids reach the client, and nothing else about the answer changes."""

from __future__ import annotations

import gzip
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from flask import Response, jsonify, make_response, request, send_file

from stateful_engine.tracking.decorators import track_signal_generation
from tests.factories import short_signal_data, signal_data
from tests.recorded import failures, recorded

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask
    from werkzeug.test import TestResponse

    from tests.conftest import AppMaker

COMPACT = json.dumps(signal_data(), separators=(",", ":")).encode()
PRETTY = json.dumps(signal_data(), indent=2).encode()
LIST = json.dumps([signal_data()]).encode()


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """How an answer reaches the client does not depend on the kind of database: one is enough here."""
    return sqlite_url


def answered(app: Flask, make: Any, **options: Any) -> TestResponse:
    """The answer of one tracked view that returns `make()`."""
    app.add_url_rule("/signal", "signal", track_signal_generation(**options)(make))
    return app.test_client().get("/signal")


def json_response(body: bytes, **headers: str) -> Response:
    return Response(body, mimetype="application/json", headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize("body", [COMPACT, PRETTY, PRETTY + b"\r\n \t", b"\xef\xbb\xbf" + COMPACT])
def test_the_id_is_written_behind_the_last_member_and_every_other_byte_stays(app: Flask, body: bytes) -> None:
    answer = answered(app, lambda: json_response(body))
    signal_id = recorded(app).signals[0]["signal_id"]
    member = f',"signal_id":"{signal_id}"'.encode()
    assert answer.data.count(member) == 1
    assert answer.data.replace(member, b"") == body
    assert json.loads(answer.data.decode("utf-8-sig"))["signal_id"] == signal_id
    assert answer.headers["X-Signal-ID"] == signal_id
    assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_several_signals_give_several_ids(app: Flask) -> None:
    answer = answered(app, lambda: {"signals": [signal_data(), short_signal_data()]})
    ids = [row["signal_id"] for row in recorded(app).signals]
    assert answer.get_json()["signal_ids"] == ids
    assert "signal_id" not in answer.get_json()
    assert answer.headers["X-Signal-ID"] == ",".join(ids)


def test_a_list_gets_the_header_only(app: Flask) -> None:
    answer = answered(app, lambda: json_response(LIST))
    assert answer.data == LIST
    assert answer.headers["X-Signal-ID"] == recorded(app).signals[0]["signal_id"]


@pytest.mark.parametrize("key", ["signal_id", "signal_ids"])
def test_an_id_that_the_host_gave_stays_its_own(app: Flask, key: str) -> None:
    answer = answered(app, lambda: signal_data(**{key: "mine"}))
    assert answer.get_json() == signal_data(**{key: "mine"})
    assert answer.headers["X-Signal-ID"] == recorded(app).signals[0]["signal_id"]


def test_a_header_that_the_host_gave_stays_its_own(app: Flask) -> None:
    answer = answered(app, lambda: json_response(COMPACT, X_Signal_ID="mine", x_query_id="mine too"))
    assert answer.headers.getlist("X-Signal-ID") == ["mine"]
    assert answer.headers.getlist("X-Query-ID") == ["mine too"]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"abc"'},
        {"Digest": "sha-256=abc"},
        {"Content_Digest": "sha-256=:abc=:"},
        {"Repr_Digest": "sha-256=:abc=:"},
        {"Content_MD5": "abc"},
        {"Content_Range": "bytes 0-99/100"},
    ],
)
def test_a_body_whose_bytes_are_vouched_for_gets_the_header_only(app: Flask, headers: dict[str, str]) -> None:
    answer = answered(app, lambda: json_response(COMPACT, **headers))
    assert answer.data == COMPACT
    assert answer.headers["X-Signal-ID"] == recorded(app).signals[0]["signal_id"]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_an_encoded_body_is_understood_and_not_touched(app: Flask, encoding: str) -> None:
    body = gzip.compress(COMPACT) if encoding == "gzip" else COMPACT
    answer = answered(app, lambda: json_response(body, Content_Encoding=encoding))
    stored = recorded(app)
    assert answer.data == body
    assert answer.headers["X-Signal-ID"] == stored.signals[0]["signal_id"]
    assert stored.queries[0]["response_data"]["symbol"] == "BTCUSDT"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_an_encoded_body_that_cannot_be_read_is_only_a_query(app: Flask, encoding: str) -> None:
    answer = answered(app, lambda: json_response(b"\x1f\x8b??", Content_Encoding=encoding))
    assert answer.data == b"\x1f\x8b??"
    assert recorded(app).counts == (0, 1, 0)
    assert failures(app) == {}


def test_a_partial_answer_gets_the_header_only(app: Flask) -> None:
    answer = answered(app, lambda: (json_response(COMPACT), 206))
    assert answer.data == COMPACT
    assert "X-Signal-ID" in answer.headers


def test_a_304_stays_empty(app: Flask) -> None:
    answer = answered(app, lambda: ("", 304))
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["X-Query-ID"] == recorded(app).queries[0]["query_id"]


def test_a_conditional_request_finds_the_bytes_it_knows(app: Flask) -> None:
    @app.after_request
    def tag(response: Response) -> Response:
        response.add_etag()
        return response.make_conditional(request)

    app.add_url_rule("/signal", "signal", track_signal_generation(signal_data))
    client = app.test_client()
    tags = [None, "", ""]
    for n in (1, 2):
        tags[n] = client.get("/signal", headers={"If-None-Match": tags[n - 1] or '"none"'}).headers["ETag"]
    assert client.get("/signal", headers={"If-None-Match": str(tags[2])}).status_code == 304


def test_a_content_length_that_the_host_set_by_hand_fits_afterwards(app: Flask) -> None:
    def view() -> Response:
        response = json_response(COMPACT)
        response.headers["content-length"] = str(len(COMPACT))
        return response

    answer = answered(app, view)
    assert answer.headers.getlist("Content-Length") == [str(len(answer.data))]
    assert len(answer.data) > len(COMPACT)


@pytest.mark.parametrize(
    ("setting", "option", "injected"), [(True, False, False), (False, None, False), (False, True, True)]
)
def test_injection_is_switched_for_all_views_or_for_one(
    make_app: AppMaker, setting: bool, option: bool | None, injected: bool
) -> None:
    answer = answered(make_app(STATEFUL_INJECT_IDS=setting), signal_data, inject=option)
    assert ("signal_id" in answer.get_json()) is injected
    assert "X-Signal-ID" in answer.headers


def test_a_response_that_the_host_keeps_and_returns_again_is_never_written_to(app: Flask) -> None:
    kept = json_response(COMPACT)
    app.add_url_rule("/signal", "signal", track_signal_generation(lambda: kept))
    client = app.test_client()
    answers = [client.get("/signal") for _ in range(3)]
    ids = [row["signal_id"] for row in recorded(app).signals]
    assert [answer.get_json()["signal_id"] for answer in answers] == ids
    assert kept.data == COMPACT
    assert "X-Signal-ID" not in kept.headers


def test_a_response_class_of_the_host_stays_what_it_is(app: Flask) -> None:
    class Ours(Response):
        @property
        def marked(self) -> bool:
            return True

    seen: list[Any] = []
    app.response_class = Ours

    @app.after_request
    def look(response: Response) -> Response:
        seen.append(response)
        return response

    closed: list[bool] = []

    def view() -> Response:
        response = make_response(signal_data())
        response.call_on_close(lambda: closed.append(True))
        return response

    answered(app, view).close()
    assert [type(one) for one in seen] == [Ours]
    assert closed == [True]


def test_a_file_is_sent_and_not_read(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "signal.json"
    file.write_bytes(COMPACT)
    answer = answered(app, lambda: send_file(file))
    assert answer.data == COMPACT
    answer.close()
    assert recorded(app).counts == (0, 1, 0)


def test_not_a_number_in_a_body_costs_neither_the_signal_nor_the_id(app: Flask) -> None:
    answer = answered(app, lambda: jsonify(signal_data(rsi=math.nan, note="\ud800")))
    stored = recorded(app)
    assert stored.counts == (1, 1, 1)
    assert b"NaN" in answer.data
    assert json.loads(answer.data)["signal_id"] == stored.signals[0]["signal_id"]
    assert failures(app) == {}


def test_a_body_in_another_encoding_is_read_and_not_touched(app: Flask) -> None:
    body = COMPACT.decode().encode("utf-16")
    answer = answered(app, lambda: Response(body, content_type="application/json; charset=utf-16"))
    assert answer.data == body
    assert answer.headers["X-Signal-ID"] == recorded(app).signals[0]["signal_id"]


@pytest.mark.parametrize(
    "content_type", ["application/vnd.api+json", "application/problem+json; charset=utf-8", "APPLICATION/JSON"]
)
def test_every_json_type_is_json(app: Flask, content_type: str) -> None:
    answer = answered(app, lambda: Response(COMPACT, content_type=content_type))
    assert json.loads(answer.data)["signal_id"] == recorded(app).signals[0]["signal_id"]


@pytest.mark.parametrize("content_type", ["text/html", "text/json-ish", "application/jsonp", "application/x-ndjson"])
def test_no_other_type_is_json(app: Flask, content_type: str) -> None:
    answer = answered(app, lambda: Response(COMPACT, content_type=content_type))
    assert answer.data == COMPACT
    assert recorded(app).counts == (0, 1, 0)


@pytest.mark.parametrize("body", [b"", b"{", b")]}',\n{}", b"[" * 3000, b"\xff\xfe\x00"])
def test_json_that_is_none_is_passed_on_and_recorded_as_a_query(app: Flask, body: bytes) -> None:
    answer = answered(app, lambda: json_response(body))
    assert answer.data == body
    assert recorded(app).counts == (0, 1, 0)
    assert failures(app) == {}


def test_an_empty_object_that_a_host_finds_a_signal_in_gets_its_id_without_a_comma(app: Flask) -> None:
    answer = answered(app, lambda: json_response(b"{ }"), extractor=lambda body, request: signal_data())
    assert answer.get_json() == {"signal_id": recorded(app).signals[0]["signal_id"]}
