"""Known callers: their records say what those of strangers say, and nobody is taken for somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, request

from stateful_engine.config import Settings
from stateful_engine.installation import people_of
from stateful_engine.recording.records import Call, decode
from stateful_engine.request_info import RequestInfo, identity_of
from stateful_engine.tracking.callers import MAX_IDENTITY, Caller, Callers
from stateful_engine.tracking.decorators import track_gpt_query, track_signal_generation
from stateful_engine.tracking.options import Options
from tests.factories import signal_data
from tests.recorded import recorded

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = {
    "User-Agent": "ChatGPT-User/1.0",
    "Referer": "https://example.org/",
    "X-Session-Id": "ses-1",
    "Openai-Conversation-Id": "con-1",
    "Openai-Ephemeral-User-Id": "ann",
    "Openai-Gpt-Id": "g-1",
}


@pytest.fixture
def host() -> Flask:
    host = Flask("host")
    host.add_url_rule("/ai/<symbol>", "ai", lambda symbol: "", methods=["GET", "POST"])
    host.add_url_rule("/ai/<symbol>/<int:depth>", "deep", lambda symbol, depth: "")
    host.add_url_rule("/all", "all", lambda: "")
    return host


def identity(host: Flask, path: str = "/all", **given: Any) -> tuple[str | None, ...] | None:
    with host.test_request_context(path, **given):
        return identity_of(request._get_current_object())  # type: ignore[attr-defined]


def caller(host: Flask, callers: Callers, path: str = "/all", **given: Any) -> Caller:
    """Who makes a request, as a tracked view asks for it."""
    with host.test_request_context(path, **given):
        serving = request._get_current_object()  # type: ignore[attr-defined]
        identity = identity_of(serving)
        return callers.known.get(identity) or callers.met(serving, identity, may_read=True)


def test_the_same_caller_with_the_same_question_is_known(host: Flask) -> None:
    callers = Callers(Settings())
    first = caller(host, callers, "/ai/XAUUSD?tf=1H", headers=HEADERS)
    assert caller(host, callers, "/ai/XAUUSD?tf=1H", headers={**HEADERS, "X-Request-Id": "another"}) is first
    assert first.info.params == {"symbol": "XAUUSD", "tf": "1H"}


@pytest.mark.parametrize("name", HEADERS)
def test_whoever_differs_in_one_header_is_somebody_else(host: Flask, name: str) -> None:
    callers = Callers(Settings())
    first = caller(host, callers, headers=HEADERS)
    other = caller(host, callers, headers={**HEADERS, name: "other"})
    assert other.info != first.info
    assert caller(host, callers, headers=HEADERS) is first


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/ai/XAUUSD", {}),
        ("/all?tf=1H", {}),
        ("/all", {"method": "HEAD"}),
        ("/all", {"environ_overrides": {"REMOTE_ADDR": "10.0.0.9"}}),
    ],
)
def test_another_question_is_another_caller(host: Flask, path: str, given: dict[str, Any]) -> None:
    assert identity(host, path, **given) != identity(host)
    assert identity(host, path, **given) is not None


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/ai/XAUUSD", {"method": "POST", "json": {"tf": "1H"}}),
        ("/ai/XAUUSD/1", {}),
        ("/nowhere", {}),
    ],
)
def test_what_a_line_and_headers_do_not_tell_is_read_each_time(host: Flask, path: str, given: dict[str, Any]) -> None:
    callers = Callers(Settings())
    assert identity(host, path, **given) is None
    assert caller(host, callers, path, **given) is not caller(host, callers, path, **given)
    assert not callers.known


def test_the_same_value_under_another_name_is_another_caller() -> None:
    host = Flask("host", subdomain_matching=True)
    host.config["SERVER_NAME"] = "example.org"
    for name in ("person", "team"):
        host.add_url_rule("/", name, lambda **placed: "", subdomain=f"<{name}>.{name}")
    callers = Callers(Settings())
    asked = [caller(host, callers, "/", base_url=f"http://ann.{name}.example.org") for name in ("person", "team")]
    assert [each.info.params for each in asked] == [{"person": "ann"}, {"team": "ann"}]


@pytest.mark.parametrize("path", ["/all?api_key=hunter2hunter2", "/all?q=" + "x" * MAX_IDENTITY])
def test_who_tells_a_secret_or_a_novel_is_not_kept(host: Flask, path: str) -> None:
    callers = Callers(Settings())
    assert "hunter2" not in str(caller(host, callers, path).info.params)
    assert not callers.known


def test_a_known_person_goes_by_a_pseudonym_as_well(host: Flask, tmp_path: Path) -> None:
    settings = Settings(hash_user_ids=True, instance_path=tmp_path)
    callers = Callers(settings)
    refs = {caller(host, callers, headers=HEADERS).info.user_ref for _ in range(2)}
    assert refs == {people_of(settings).of("ann")}


@pytest.mark.parametrize("body", [b'{"action": "BUY"}', None])
@pytest.mark.parametrize(("status", "error"), [(200, None), (500, "KeyError"), (404, None), (302, "Ignored")])
def test_a_form_says_what_an_encoded_call_says(status: int, error: str | None, body: bytes | None) -> None:
    odd = '100 % "sure" \u00e9 %s \\ \U0001f600'
    info = RequestInfo.outside(odd)._replace(params={"q": odd}, user_ref=odd)
    form = Caller(info).form(Options(source_engine=odd))
    filled = form.filled(
        "_0a1b2c3d4e5f_1700000000",
        1_700_000_000_000_001,
        status=status,
        milliseconds=1.23456,
        request_id=odd,
        error=error,
        body=body,
        has_signal=True,
    )
    call = decode(filled)
    assert isinstance(call, Call)
    assert (call.created_us, call.query_id, call.body) == (1_700_000_000_000_001, "qry_0a1b2c3d4e5f_1700000000", body)
    assert call.query is not None and call.unfolded is not None
    assert call.query["request_params"] == {"q": odd}
    assert (call.query["endpoint"], call.query["user_ref"], call.query["request_id"]) == (odd, odd, odd)
    assert (call.query["response_status"], call.query["processing_time_ms"]) == (status, 1.235)
    assert call.query["is_successful"] is (status < 400)
    assert call.query["error_message"] == (error if status >= 400 else None)
    assert call.unfolded["signal_id"] == "sig_0a1b2c3d4e5f_1700000000"
    assert call.unfolded["interaction_id"] == "int_0a1b2c3d4e5f_1700000000"
    assert call.unfolded["source_engine"] == odd


def test_what_strangers_and_known_callers_record_is_the_same(app: Flask) -> None:
    app.add_url_rule("/signal", "signal", track_signal_generation(lambda: signal_data()))
    app.add_url_rule("/plain", "plain", track_gpt_query(lambda: {"pong": True}))
    client = app.test_client()
    for path in ("/signal?symbol=X", "/plain"):
        for _ in range(3):
            assert client.get(path, headers=HEADERS).status_code == 200
    found = recorded(app)
    assert found.counts == (3, 6, 3)
    new = {"id", "query_id", "signal_id", "interaction_id", "created_at", "updated_at", "processing_time_ms"}
    for rows, kinds in ((found.signals, 1), (found.queries, 2), (found.interactions, 1)):
        assert len({str({name: row[name] for name in row if name not in new}) for row in rows}) == kinds
    assert len({row["signal_id"] for row in found.signals}) == 3


def test_one_caller_at_two_views_keeps_the_options_of_each(app: Flask) -> None:
    view = lambda: signal_data()  # noqa: E731  one function under two decorators
    tracked = {name: track_signal_generation(endpoint_name=name, source_engine=name)(view) for name in ("one", "two")}

    @app.get("/both")
    def both() -> Any:
        return {name: each() for name, each in tracked.items()}

    client = app.test_client()
    for _ in range(2):
        client.get("/both", headers=HEADERS)
    assert [(row["endpoint"], row["source_engine"]) for row in recorded(app).signals] == [
        ("one",) * 2,
        ("two",) * 2,
    ] * 2
