"""A return value is looked at as Flask will look at it, and answers are read without being consumed."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.datastructures import Headers

from stateful_engine.tracking.responses import Answer, Ids, lowered, payload_of, read, with_ids, with_signal_ids
from tests.factories import signal_data

APP = Flask("host")
SIGNAL = signal_data()
TEXT = json.dumps(SIGNAL)
JSON = {"Content-Type": "application/json"}
ONE = ("sig_aaaaaaaaaaaa_1700000000",)


@pytest.mark.parametrize(
    ("rv", "status"),
    [
        (SIGNAL, 200),
        ((SIGNAL, 201), 201),
        ((SIGNAL, HTTPStatus.ACCEPTED), 202),
        ((SIGNAL, "203 As told"), 203),
        ((SIGNAL, {"X-Mine": "1"}), 200),
        ((SIGNAL, [("X-Mine", "1")]), 200),
        ((SIGNAL, 201, {"X-Mine": "1"}), 201),
        ((TEXT, 201, JSON), 201),
        ((TEXT, Headers(JSON)), 200),
        ((TEXT.encode(), JSON), 200),
        (Response(TEXT, mimetype="application/json"), 200),
        ((Response(TEXT, status=202, mimetype="application/json"), {"X-Mine": "1"}), 202),
        ((Response(TEXT, mimetype="application/json"), 201), 201),
    ],
)
def test_json_is_seen_in_every_form_that_a_view_may_give_it(rv: Any, status: int) -> None:
    answer = payload_of(rv, APP)
    assert (answer.status, answer.body) == (status, SIGNAL)
    assert json.loads(answer.data or b"null") == SIGNAL


@pytest.mark.parametrize(
    ("rv", "status"),
    [
        (TEXT, 200),
        ((TEXT, 201), 201),
        ((TEXT, {"Content-Type": "text/plain"}), 200),
        (None, 200),
        ((), 200),
        ((SIGNAL, 200, {}, "too much"), 200),
        (("", "nonsense"), 0),
        (("", " "), 0),
        (object(), 200),
        (iter([TEXT]), 200),
        (Response(iter([TEXT]), mimetype="application/json"), 200),
    ],
)
def test_what_is_no_json_has_no_body(rv: Any, status: int) -> None:
    answer = payload_of(rv, APP)
    assert (answer.status, answer.data, answer.body, answer.raw) == (status, None, None, None)


def test_the_value_itself_is_not_touched() -> None:
    chunks = iter([TEXT])
    response = Response(chunks, mimetype="application/json")
    read(response)
    payload_of(chunks, APP)
    assert list(chunks) == [TEXT]


def test_chunks_are_read_together_and_stay_chunks() -> None:
    response = Response([TEXT[:9], TEXT[9:]], mimetype="application/json")
    assert read(response).body == SIGNAL
    assert response.response == [TEXT[:9], TEXT[9:]]


@pytest.mark.parametrize("status", [199, 206, 301, 304, 404])
def test_only_a_whole_2xx_answer_takes_an_id(status: int) -> None:
    assert with_signal_ids(Answer(status, b"{}", {}, b"{}"), ONE) is None
    assert with_signal_ids(Answer(200, b"{}", {}, b"{}"), ONE) == b'{"signal_id":"%s"}' % ONE[0].encode()


def test_the_copy_has_headers_that_behave_as_the_hosts() -> None:
    response = Response(TEXT, mimetype="application/json")
    response.headers.add("Link", "<a>")
    response.headers.add("Link", "<b>")
    copied = with_ids(response, Ids("qry_x", ONE), lowered(response), read(response))
    copied.headers["X-Later"] = "1"
    copied.headers.add("Link", "<c>")
    assert copied.headers.getlist("Link") == ["<a>", "<b>", "<c>"]
    assert copied.headers == Headers(list(copied.headers))
    assert (response.headers.getlist("Link"), response.get_json()) == (["<a>", "<b>"], SIGNAL)
    assert copied.get_json() == {**SIGNAL, "signal_id": ONE[0]}
    assert copied.content_length == len(copied.data)


def test_the_copy_keeps_what_classes_of_the_host_hold() -> None:
    class Slotted(Response):
        __slots__ = ("mark",)

    class Named(Headers):
        name = ""

    response = Slotted(TEXT, mimetype="application/json")
    response.mark = "host"  # type: ignore[attr-defined]
    response.headers = headers = Named(response.headers)
    headers.name = "theirs"
    copied = with_ids(response, Ids("qry_x", ONE), lowered(response), read(response))
    assert (type(copied), copied.mark) == (Slotted, "host")  # type: ignore[attr-defined]
    assert isinstance(copied.headers, Named)
    assert copied.headers.name == "theirs"
    assert ("X-Query-ID" in copied.headers, "X-Query-ID" in headers) == (True, False)


def test_headers_that_the_host_gave_as_a_list_take_the_ids_too() -> None:
    response = Response(TEXT)
    response.headers = pairs = [("Content-Type", "application/json")]  # type: ignore[assignment]
    copied = with_ids(response, Ids("qry_x", ONE), lowered(response), read(response))
    assert copied.headers["X-Query-ID"] == "qry_x"
    assert pairs == [("Content-Type", "application/json")]
