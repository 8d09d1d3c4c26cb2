from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, abort, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import Forbidden

from stateful_engine import StatefulEngine
from stateful_engine.api.operations import OPERATIONS, methods_at
from stateful_engine.errors import ConfigurationError, SchemaError, SpoolFullError, StorageUnavailableError
from tests.api.calls import PREFIX, assert_refused, good_body, track, url_of
from tests.factories import signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


@pytest.mark.parametrize("path", ["", "/", "/nope", "/signal", "/signal/x/nope", "/a/b/c", "/signal-history/", "/%00"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_answers_with_every_endpoint_there_is(
    shared_client: FlaskClient, path: str, method: str
) -> None:
    answer = shared_client.open(PREFIX + path, method=method)

    assert_refused(answer, 404, "ENDPOINT_NOT_FOUND")
    endpoints = answer.json["available_endpoints"]
    assert len(endpoints) == len(OPERATIONS)
    assert f"POST {PREFIX}/signal/{{signal_id}}/execute" in endpoints


@pytest.mark.parametrize("operation", [pytest.param(operation, id=operation.name) for operation in OPERATIONS])
def test_a_method_that_a_path_does_not_take_is_405_with_allow(shared_client: FlaskClient, operation: Any) -> None:
    url = url_of(operation)
    taken = set(methods_at(operation.path.replace("<", "").replace(">", "")))

    for method in {"PUT", "PATCH", "DELETE", "TRACE", "POST", "GET"} - taken:
        answer = shared_client.open(url, method=method)
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert operation.method in answer.headers["Allow"].split(", ")
        assert method not in answer.headers["Allow"].split(", ")


def test_head_is_answered_like_get_without_a_body(shared_client: FlaskClient) -> None:
    answer = shared_client.head(f"{PREFIX}/signal-history")

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.content_type == "application/json"


def test_options_say_what_a_path_takes_without_asking_who_is_calling(make_app: Callable[..., Flask]) -> None:
    client = make_app(TESTING=False).test_client()

    assert client.options(f"{PREFIX}/track-signal").headers["Allow"] == "POST, OPTIONS"
    assert client.options(f"{PREFIX}/health").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_request_id_of_the_caller_is_kept_when_it_is_harmless(shared_client: FlaskClient) -> None:
    kept = shared_client.get(f"{PREFIX}/health", headers={"X-Request-ID": "abc-123"})
    replaced = shared_client.get(f"{PREFIX}/health", headers={"X-Request-ID": "<script>"})

    assert kept.json["request_id"] == kept.headers["X-Request-ID"] == "abc-123"
    assert "script" not in replaced.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageUnavailableError("the database is away; send it again later"), "STORAGE_UNAVAILABLE"),
        (SpoolFullError("the spool is full; bring the database back", retry_after=30), "SPOOL_FULL"),
        (SchemaError("the tables are missing; run `flask stateful db upgrade`"), "SCHEMA_NOT_READY"),
    ],
)
def test_storage_that_is_away_is_503_with_retry_after(
    client: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    for name in ("save_extracted", "signal_page", "timeline"):
        monkeypatch.setattr(runtime.state_manager, name, fail)

    for answer in (
        client.post(f"{PREFIX}/track-signal", json=signal_data()),
        client.get(f"{PREFIX}/signal-history"),
        client.get(f"{PREFIX}/signal/sig_0"),
    ):
        assert_refused(answer, 503, code)
        assert int(answer.headers["Retry-After"]) == (30 if code == "SPOOL_FULL" else 5)


def test_a_bug_is_a_500_without_a_word_of_the_exception(
    shared_app: Flask, shared_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr(shared_app.extensions["stateful_engine"].analytics, "signals", fail)

    answer = shared_client.get(f"{PREFIX}/analytics/signals")

    assert_refused(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


def test_the_switched_off_engine_reads_but_records_nothing(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_ENABLED=False).test_client()

    for operation in OPERATIONS:
        if not operation.read_only:
            answer = client.open(url_of(operation), method=operation.method, json=good_body(operation))
            assert_refused(answer, 503, "DISABLED")
    assert client.get(f"{PREFIX}/signal-history").json["signals"] == []
    assert client.get(f"{PREFIX}/health").json["enabled"] is False


class StrictHost:
    """A host with handlers, hooks and a JSON provider of its own, which must neither break nor be broken."""

    def __init__(self, make_app: Callable[..., Flask]) -> None:
        self.app = make_app(PROPAGATE_EXCEPTIONS=False)
        self.app.json = _NoJson(self.app)
        for code in (400, 404, 405, 413, 422, 500):
            self.app.register_error_handler(code, lambda error: ("host page", error.code))
        self.app.register_error_handler(Exception, lambda error: ("host catches all", 500))
        self.app.before_request(self._hook)

    @staticmethod
    def _hook() -> Response | None:
        if "X-Stop" in request.headers:
            abort(int(request.headers["X-Stop"]), "words of the host")
        if "X-Own" in request.headers:
            abort(Response("own answer", status=418))
        if "X-Forbidden" in request.headers:
            raise Forbidden(response=Response("own page", status=403))
        return None


class _NoJson(JSONProvider):
    def dumps(self, obj: Any, **_: Any) -> str:
        raise AssertionError("the host's JSON provider was used")

    def loads(self, s: str | bytes, **_: Any) -> Any:
        raise AssertionError("the host's JSON provider was used")


@pytest.fixture
def strict_client(make_app: Callable[..., Flask]) -> FlaskClient:
    return StrictHost(make_app).app.test_client()


def test_our_errors_are_ours_and_the_hosts_are_the_hosts(strict_client: FlaskClient) -> None:
    import orjson

    ours = strict_client.get(f"{PREFIX}/nope")
    bad = strict_client.post(f"{PREFIX}/track-signal", data="{", content_type="application/json")
    theirs = strict_client.get("/nope")

    assert orjson.loads(ours.data)["error"] == "ENDPOINT_NOT_FOUND"
    assert orjson.loads(bad.data)["error"] == "MALFORMED_REQUEST"
    assert (theirs.status_code, theirs.text) == (404, "host page")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 422, 429, 503])
def test_a_hook_of_the_host_that_aborts_our_route_is_answered_as_json(strict_client: FlaskClient, status: int) -> None:
    import orjson

    answer = strict_client.get(f"{PREFIX}/health", headers={"X-Stop": str(status)})

    assert answer.status_code == status
    assert orjson.loads(answer.data)["status"] == status
    assert b"words of the host" not in answer.data


def test_a_response_that_the_host_chose_itself_stays(strict_client: FlaskClient) -> None:
    answer = strict_client.get(f"{PREFIX}/health", headers={"X-Own": "1"})

    assert (answer.status_code, answer.text) == (418, "own answer")
    answer = strict_client.get(f"{PREFIX}/health", headers={"X-Forbidden": "1"})
    assert (answer.status_code, answer.text) == (403, "own page")


def test_a_body_that_a_hook_of_the_host_has_read_is_still_there(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    app.before_request(lambda: request.get_data() and None)
    client = app.test_client()

    assert track(client)


def test_another_prefix_moves_everything(make_app: Callable[..., Flask]) -> None:
    client = make_app(STATEFUL_URL_PREFIX="memory/").test_client()

    assert client.get("/memory/health").status_code == 200
    assert client.get(f"{PREFIX}/health").status_code == 404
    assert client.get("/memory/nope").json["available_endpoints"][0] == "POST /memory/track-signal"


def test_a_host_with_a_route_of_ours_is_told_what_to_do() -> None:
    app = Flask("host")
    app.add_url_rule(f"{PREFIX}/signal/<id_>", "mine", lambda id_: "")

    with pytest.raises(ConfigurationError, match="STATEFUL_URL_PREFIX") as raised:
        StatefulEngine(app)
    assert "'mine'" in str(raised.value)


def test_a_host_with_a_blueprint_of_our_name_is_told_what_to_do() -> None:
    from flask import Blueprint

    app = Flask("host")
    app.register_blueprint(Blueprint("stateful_engine", __name__))

    with pytest.raises(ConfigurationError, match="rename that blueprint"):
        StatefulEngine(app)


def test_a_host_with_other_routes_below_the_prefix_keeps_them(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    app.add_url_rule(f"{PREFIX}/mine", "mine", lambda: "host")

    assert app.test_client().get(f"{PREFIX}/mine").text == "host"
