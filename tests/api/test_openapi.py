from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, jsonify
from openapi_spec_validator import validate

from stateful_engine import track_signal_generation
from stateful_engine.api.operations import OPERATIONS, braced
from stateful_engine.errors import ConfigurationError
from stateful_engine.testing import assert_actions_schema
from tests.api.calls import PREFIX, place, track, url_of
from tests.factories import query_data, response_data, signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PUBLIC = "https://signals.example"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


@pytest.fixture
def published(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app(STATEFUL_PUBLIC_URL=PUBLIC).test_client()


def document(client: FlaskClient, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{PREFIX}/openapi.json{query}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def operations_of(found: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in found["paths"].items()
        for method, operation in item.items()
    }


def walk(value: Any) -> Iterator[Any]:
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(part)


def test_the_full_document_is_valid_and_holds_every_operation(published: FlaskClient) -> None:
    found = document(published)

    validate(found)
    assert found["openapi"] == "3.1.0"
    assert found["servers"] == [{"url": PUBLIC}]
    assert len(operations_of(found)) == len(OPERATIONS)
    listed = published.get(f"{PREFIX}/nope").json["available_endpoints"]
    assert sorted(listed) == sorted(operations_of(found))


def test_without_a_public_address_the_document_is_relative(client: FlaskClient) -> None:
    found = document(client)

    validate(found)
    assert found["servers"] == [{"url": "/"}]


def test_the_actions_profile_can_be_imported(published: FlaskClient) -> None:
    found = document(published, "?profile=actions")

    validate(found)
    assert_actions_schema(found)
    assert found["servers"] == [{"url": PUBLIC}]
    assert not any(isinstance(part, dict) and "$ref" in part for part in walk(found))
    assert len(json.dumps(found)) < 100_000


def test_the_actions_profile_offers_no_way_to_delete(published: FlaskClient) -> None:
    offered = operations_of(document(published, "?profile=actions"))

    assert f"POST {PREFIX}/track-signal" in offered
    assert not [name for name in offered if "maintenance" in name]


def test_only_what_has_consequences_asks_the_user_first(published: FlaskClient) -> None:
    offered = operations_of(document(published, "?profile=actions")).values()

    asked = {operation["operationId"]: operation["x-openai-isConsequential"] for operation in offered}
    assert asked["executeSignal"] is True
    assert not any(asked[name] for name in ("trackSignal", "logQuery", "recordInteraction", "getSignalHistory"))


def test_what_the_actions_profile_declares_flat_is_understood(published: FlaskClient) -> None:
    offered = operations_of(document(published, "?profile=actions"))

    def declared(path: str) -> dict[str, Any]:
        body = offered[f"POST {PREFIX}{path}"]["requestBody"]["content"]["application/json"]["schema"]
        found: dict[str, Any] = body["properties"]
        return found

    signal = {name: value for name, value in signal_data().items() if name in declared("/track-signal")}
    query = {
        name: value for name, value in {**query_data(), **response_data()}.items() if name in declared("/log-query")
    }
    assert signal == signal_data()
    assert query == {**query_data(), **response_data()}
    assert "signal_data" not in declared("/track-signal")
    assert published.post(f"{PREFIX}/track-signal", json=signal).status_code == 200
    assert published.post(f"{PREFIX}/log-query", json=query).status_code == 200


def test_an_app_without_public_address_is_described_under_the_one_it_was_asked_at(client: FlaskClient) -> None:
    answer = client.get(f"{PREFIX}/openapi.json?profile=actions", headers={"Host": "desk.example"})

    assert answer.json["servers"] == [{"url": "https://desk.example"}]


def test_a_key_is_asked_for_only_where_one_is_needed(make_app: Callable[..., Flask]) -> None:
    open_, closed = make_app(), make_app(STATEFUL_AUTH=lambda request: True)

    assert "security" not in document(open_.test_client(), "?profile=actions")
    found = document(closed.test_client(), "?profile=actions")
    assert found["security"] == [{"bearer": []}]
    assert found["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    health = operations_of(document(closed.test_client()))[f"GET {PREFIX}/health"]
    assert health["security"] == []


def test_every_answer_fits_the_schema_that_describes_it(client: FlaskClient) -> None:
    from jsonschema import Draft202012Validator

    found = document(client)
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/execute", json={"execution_price": 45100})
    client.post(f"{PREFIX}/signal/{signal_id}/outcome", json={"exit_price": 46500})
    client.post(f"{PREFIX}/log-query", json={"query_data": query_data(), "response_data": response_data()})

    for operation in OPERATIONS:
        if not operation.read_only or operation.response_model is None or operation.name == "getOpenApi":
            continue
        is_signal = "<signal_id>" in operation.path
        answer = client.get(url_of(operation, signal_id) if is_signal else place(client, operation))
        described = found["paths"][PREFIX + braced(operation.path)]["get"]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": found["components"]}).validate(answer.json)


@pytest.fixture
def host(make_app: Callable[..., Flask]) -> Flask:
    app = make_app(STATEFUL_PUBLIC_URL=PUBLIC)

    @app.route("/signal/<symbol>", methods=["GET", "POST"])
    @track_signal_generation
    def tracked(symbol: str) -> Any:
        """Give the signal of the hour.

        More about it.
        """
        return jsonify(signal_data(symbol=symbol))

    app.add_url_rule("/plain", "plain", lambda: "not tracked")
    return app


def test_tracked_views_of_the_host_join_the_document(host: Flask) -> None:
    found = document(host.test_client(), "?profile=actions&include_views=true")

    validate(found)
    assert_actions_schema(found)
    offered = operations_of(found)
    assert offered["GET /signal/{symbol}"]["summary"] == "Give the signal of the hour."
    assert offered["GET /signal/{symbol}"]["operationId"] != offered["POST /signal/{symbol}"]["operationId"]
    assert "GET /plain" not in offered
    assert "GET /signal/{symbol}" not in operations_of(document(host.test_client()))


def test_a_host_may_name_its_views_and_say_more_about_them(host: Flask) -> None:
    door = host.extensions["stateful_engine_api"]

    found = door.openapi("actions", include_views={"tracked": {"summary": "Ask for advice"}})

    assert found["paths"]["/signal/{symbol}"]["get"]["summary"] == "Ask for advice"
    with pytest.raises(ConfigurationError, match="'plain' is no tracked view"):
        door.openapi(include_views=["plain"])


def test_the_command_prints_the_document(host: Flask) -> None:
    run = host.test_cli_runner().invoke(args=["stateful", "openapi", "--profile", "actions", "--include-views"])

    assert run.exit_code == 0, run.output
    assert_actions_schema(run.output)
    assert "/signal/{symbol}" in json.loads(run.output)["paths"]


def test_the_command_asks_for_an_address_when_there_is_none(app: Flask) -> None:
    run = app.test_cli_runner().invoke(args=["stateful", "openapi", "--profile", "actions"])

    assert run.exit_code == 1
    assert "STATEFUL_PUBLIC_URL" in run.output
    assert app.test_cli_runner().invoke(args=["stateful", "openapi"]).exit_code == 0


def test_the_command_checks_any_document(host: Flask, tmp_path: Any) -> None:
    good, bad, broken = (tmp_path / name for name in ("good.json", "bad.json", "broken.json"))
    good.write_text(json.dumps(document(host.test_client(), "?profile=actions")))
    bad.write_text(json.dumps({"openapi": "3.0.0", "paths": {}}))
    broken.write_text("{")

    def check(file: Any) -> Any:
        return host.test_cli_runner().invoke(args=["stateful", "openapi", "--check", str(file)])

    assert (check(good).exit_code, check(good).output.startswith("ok")) == (0, True)
    assert check(bad).exit_code == 1
    assert "/openapi: must be exactly" in check(bad).output
    assert "is not JSON" in check(broken).output
