"""Whatever a view does, the client receives the same with and without tracking, apart from our ids."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask, Response, abort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

from stateful_engine import StatefulEngine
from stateful_engine.tracking.decorators import track_signal_generation
from tests.factories import signal_data

OURS = {"x-signal-id", "x-query-id"}
ONE = rb'"sig_[0-9a-f]{12}_[0-9]+"'
INJECTED = re.compile(rb',?"signal_ids?":(?:%b|\[%b(?:,%b)+\])(?=\s*}\s*$)' % (ONE, ONE, ONE))

View = Callable[[], Any]


class Hosts(NamedTuple):
    """The same app twice: one with the engine, one without; `view` is what both answer with."""

    bare: Flask
    tracked: Flask
    view: list[View]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("transparency")
    view: list[View] = []
    bare, tracked = Flask("bare"), Flask("tracked", instance_path=str(folder))
    engine = StatefulEngine(tracked)
    bare.add_url_rule("/", "view", lambda: view[0](), methods=["GET", "POST", "PUT"])
    tracked.add_url_rule(
        "/", "view", track_signal_generation(dedupe_seconds=0)(lambda: view[0]()), methods=["GET", "POST", "PUT"]
    )
    for host in (bare, tracked):
        host.logger.disabled = True
    yield Hosts(bare, tracked, view)
    guard = tracked.extensions["stateful_engine"].guard
    engine.close(timeout=2.0)
    assert [name for name in guard.snapshot() if name.startswith("failed_")] == []


class Received(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


def received(host: Flask, view: list[View], answer: View, method: str) -> Received:
    """What the client of `host` gets for `answer`."""
    view[:] = [answer]
    response = host.test_client().open("/", method=method)
    headers = [pair for pair in response.headers if pair[0].lower() not in OURS]
    body = response.data
    length = response.headers.get("Content-Length")
    if length is not None and method != "HEAD":
        assert int(length) == len(body)
    without = INJECTED.sub(b"", body) if "X-Signal-ID" in response.headers else body
    if without != body:
        headers = [(name, str(len(without))) if name.lower() == "content-length" else (name, v) for name, v in headers]
    return Received(response.status, headers, without)


# What views return

names = st.sampled_from(
    ["symbol", "action", "signal", "data", "signals", "confidence", "tp", "signal_id", "x", "é", ""]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=12),
    st.sampled_from(["BUY", "sell", "BTCUSDT", "85%", "\ud800", "\x00", "error"]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)
signals = st.builds(
    signal_data,
    symbol=st.sampled_from(["BTCUSDT", "XAU/USD", None, 7]),
    action=st.sampled_from(["BUY", "STRONG_SELL", "moon", None]),
    note=values,
)
objects = st.one_of(
    st.dictionaries(names, values, max_size=5),
    signals,
    st.builds(lambda one: {"signal": one}, signals),
    st.builds(lambda many: {"signals": many}, st.lists(signals, max_size=3)),
)
json_texts = st.builds(
    lambda value, indent, end: json.dumps(value, indent=indent, ensure_ascii=indent is None) + end,
    objects | st.lists(objects, max_size=2) | scalars,
    st.sampled_from([None, 2]),
    st.sampled_from(["", "\n", " \r\n\t"]),
).map(lambda text: text.encode("utf-8", "replace"))
bodies = (
    json_texts
    | st.binary(max_size=40)
    | st.sampled_from([b"", b"{", b"}", b"{}", b" { } ", b"null", b"[]", b"\xef\xbb\xbf{}"])
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
headers = st.lists(
    st.tuples(
        st.sampled_from(["X-Mine", "Link", "Cache-Control", "ETag", "Content-Encoding", "Digest", "Vary", "X-Frame"]),
        header_values,
    ),
    max_size=4,
)
types = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/html",
        "application/problem+json",
        "text/event-stream",
    ]
)
statuses = st.sampled_from([200, 200, 200, 201, 202, 206, 301, 400, 404, 409, 418, 500, 503])
cookies = st.lists(st.sampled_from(["a", "b"]), max_size=2)


@st.composite
def responses(draw: st.DrawFn) -> View:
    """A view that builds a response by hand: whole, in chunks or as a stream, with whatever headers."""
    body, kind, code, pairs = draw(bodies), draw(types), draw(statuses), draw(headers)
    form, wanted = draw(st.sampled_from(["whole", "chunks", "stream", "passthrough"])), draw(cookies)

    def view() -> Response:
        half = len(body) // 2
        parts = [body[:half], body[half:]]
        content: Any = {"whole": body, "chunks": parts, "stream": iter(parts), "passthrough": iter(parts)}[form]
        response = Response(content, status=code, content_type=kind, direct_passthrough=form == "passthrough")
        for name, value in pairs:
            response.headers.add(name, value)
        for name in wanted:
            response.set_cookie(name, "1")
        return response

    return view


def plain(value: Any) -> View:
    return lambda: value


def streamed(parts: list[str]) -> View:
    return lambda: (part for part in parts)


def raising(error: type[Exception]) -> View:
    def view() -> None:
        raise error("what the view says")

    return view


def aborting(code: int) -> View:
    return lambda: abort(code)


header_dicts = st.dictionaries(st.sampled_from(["X-Mine", "Content-Type", "ETag"]), types | header_values, max_size=2)
texts = st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace").decode())
values_of_views = st.one_of(
    objects,
    st.lists(objects, max_size=2),
    texts,
    bodies,
    st.tuples(objects | bodies, statuses),
    st.tuples(objects, header_dicts),
    st.tuples(objects | texts, statuses, header_dicts),
    st.tuples(objects, st.sampled_from([HTTPStatus.CREATED, "201 Made", "202", "250 odd", "nonsense"])),
    st.sampled_from([None, 7, (), ({},), (None, 200), ({}, 200, {}, 1), object(), 3.5, ("", 204), ("", 304)]),
)
views: st.SearchStrategy[View] = st.one_of(
    values_of_views.map(plain),
    responses(),
    st.lists(texts, max_size=3).map(streamed),
    st.sampled_from([ValueError, KeyError, RuntimeError, HTTPException]).map(raising),
    st.sampled_from([400, 401, 404, 405, 429, 500, 503]).map(aborting),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(view=views, method=st.sampled_from(["GET", "GET", "POST", "PUT", "HEAD"]))
def test_the_client_receives_the_same_with_and_without_tracking(hosts: Hosts, view: View, method: str) -> None:
    assert received(hosts.tracked, hosts.view, view, method) == received(hosts.bare, hosts.view, view, method)


def test_the_property_would_notice_a_byte(hosts: Hosts) -> None:
    body = json.dumps(signal_data()).encode()
    answer = received(hosts.tracked, hosts.view, lambda: Response(body, mimetype="application/json"), "GET")
    assert answer.body == body
    hosts.view[:] = [lambda: Response(body, mimetype="application/json")]
    assert b'"signal_id":"sig_' in hosts.tracked.test_client().get("/").data


def test_a_page_of_the_package_itself_is_sent_as_it_is(hosts: Hosts) -> None:
    text = Path(__file__).read_bytes()
    assert received(hosts.tracked, hosts.view, lambda: Response(text, mimetype="text/plain"), "GET").body == text
