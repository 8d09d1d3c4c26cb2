"""The whole life of an experiment, over REST and from the command line."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from stateful_engine.extension import Runtime

STATE = "/api/gpts/state"
LONG = {"symbol": "BTCUSDT", "timeframe": "1H", "action": "BUY", "entry_price": 100.0, "stop_loss": 98.0}


def call(client: FlaskClient, method: str, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
    answer = client.open(STATE + path, method=method, json=body)
    assert answer.status_code == status, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_life_from_plan_to_declaration(app: Flask, client: FlaskClient, runtime: Runtime) -> None:
    planned = call(client, "POST", "/experiments/plan", {"metric": "expectancy_r", "mde": 0.2, "sd": 1.2})["plan"]
    assert planned["n_total"] > 100
    body = {
        "name": "prompt-v2",
        "variant_a": {"prompt": "v1"},
        "variant_b": {"prompt": "v2"},
        "planned_n": planned["clusters_total"],
        "horizon_seconds": 3600,
    }
    assert call(client, "POST", "/experiments", body)["experiment"]["status"] == "draft"
    call(client, "POST", "/experiments", body, status=409)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["stateful", "ab", "start", "prompt-v2"]).exit_code == 0

    for user in range(20):
        served = call(client, "POST", "/experiments/prompt-v2/assign", {"user_id": user})
        by_command = runner.invoke(args=["stateful", "ab", "assign", "prompt-v2", str(user)]).output
        assert by_command.startswith(served["variant"])
        exposure = {"unit": served["unit"], "variant": served["variant"]}
        assert call(client, "POST", "/experiments/prompt-v2/exposures", exposure)["first"] is True
        assert call(client, "POST", "/experiments/prompt-v2/exposures", exposure)["first"] is False
        context = {"experiment": "prompt-v2", "variant": served["variant"]}
        signal_id = runtime.state_manager.save_signal_history(LONG, context)
        runtime.state_manager.record_outcome(signal_id, exit_price=104.0 if user % 2 else 98.0)

    results = call(client, "GET", "/experiments/prompt-v2/results")["results"]
    assert results["verdict"]["state"] == "COLLECTING"
    assert sum(arm["exposed_units"] for arm in results["arms"].values()) == 20
    assert call(client, "GET", "/analytics/experiments/prompt-v2")["results"]["arms"] == results["arms"]
    assert call(client, "GET", "/experiments/prompt-v2/health")["health"]["state"] == "COLLECTING"
    assert "COLLECTING" in runner.invoke(args=["stateful", "ab", "results", "prompt-v2"]).output

    call(client, "POST", "/experiments/prompt-v2/pause", {})
    assert call(client, "POST", "/experiments/prompt-v2/assign", {"user_id": 99})["reason"] == "paused"
    assert call(client, "PATCH", "/experiments/prompt-v2", {"weight_a": 0.9})["experiment"]["version"] == 2
    assert call(client, "POST", "/experiments/prompt-v2/stop", {})["experiment"]["status"] == "stopped"
    assert runner.invoke(args=["stateful", "ab", "declare", "prompt-v2", "B"]).exit_code == 0
    assert call(client, "POST", "/experiments/prompt-v2/assign", {"user_id": 1})["variant"] == "B"
    [listed] = call(client, "GET", "/experiments")["experiments"]
    assert (listed["name"], listed["winner"]) == ("prompt-v2", "B")
    assert "prompt-v2" in runner.invoke(args=["stateful", "ab", "list"]).output


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/experiments", {}, 400),
        ("POST", "/experiments", {"name": "x y"}, 422),
        ("POST", "/experiments", {"name": "x", "weight_a": 2}, 422),
        ("POST", "/experiments", {"name": "x", "primaries": ["happiness"]}, 422),
        ("POST", "/experiments", {"name": "x", "design": "astrology"}, 422),
        ("POST", "/experiments", {"name": "x", "layer": ["m", 0.5]}, 422),
        ("POST", "/experiments/plan", {"metric": "expectancy_r", "mde": 0}, 422),
        ("GET", "/experiments/none", None, 404),
        ("GET", "/experiments/none/results", None, 404),
        ("POST", "/experiments/none/start", {}, 404),
        ("POST", "/experiments/none/declare", {"variant": "B"}, 404),
        ("POST", "/experiments/none/exposures", {"unit": "1", "variant": "A"}, 404),
    ],
)
def test_what_cannot_be_meant_is_refused(client: FlaskClient, method: str, path: str, body: Any, status: int) -> None:
    refused = call(client, method, path, body, status=status)
    assert refused["success"] is False
    assert refused["message"]


def test_a_bot_that_speaks_http_only_says_what_it_made_under_which_variant(client: FlaskClient) -> None:
    call(client, "POST", "/experiments", {"name": "prompt-v2", "variant_a": "v1", "variant_b": "v2"})
    call(client, "POST", "/experiments/prompt-v2/start", {})
    served = call(client, "POST", "/experiments/prompt-v2/assign", {"user_id": 7})
    under = {"assignment": {"experiment": "prompt-v2", "variant": served["variant"], "unit": served["unit"]}}
    call(client, "POST", "/track-signal", {"signal_data": LONG, **under})
    flat = call(client, "POST", "/track-signal", {**LONG, **under})["signal_id"]
    call(client, "POST", "/log-query", {"query_data": {"endpoint": "/x"}, **under})
    talk = call(client, "POST", "/conversations", {"user_id": 7})["conversation_id"]
    call(client, "POST", f"/conversations/{talk}/messages", {"role": "user", "content": "Gold?", **under})
    call(client, "POST", "/recommendations", {"user_id": 7, "symbol": "XAUUSD", "direction": "BUY", **under})

    signal = call(client, "GET", f"/signal/{flat}")["signal"]
    assert (signal["experiment"], signal["variant"]) == ("prompt-v2", served["variant"])
    assert signal["extra"] == {"experiment_unit": "7"}
    [query] = call(client, "GET", "/query-history")["queries"]
    [advice] = call(client, "GET", "/recommendations")["recommendations"]
    assert {one["variant"] for one in (query, advice)} == {served["variant"]}
    arm = call(client, "GET", "/experiments/prompt-v2/results")["results"]["arms"][served["variant"]]
    assert (arm["signals"], arm["metrics"]["error_rate"]["n"]) == (2, 1)
    wrong = {"assignment": {"experiment": "prompt-v2", "variant": "C"}}
    refused = call(client, "POST", "/track-signal", {"signal_data": LONG, **wrong}, status=422)
    assert [fault["pointer"] for fault in refused["errors"]] == ["/assignment/variant"]


def test_results_are_kept_and_a_metric_is_tried_on_itself(client: FlaskClient) -> None:
    call(client, "POST", "/experiments", {"name": "prompt-v2"})
    call(client, "POST", "/experiments/prompt-v2/start", {})
    kept = call(client, "POST", "/experiments/prompt-v2/snapshots", {})["snapshot"]
    assert call(client, "GET", f"/experiments/prompt-v2/snapshots/{kept['snapshot_id']}")["snapshot"] == kept
    assert call(client, "GET", "/experiments/prompt-v2/snapshots?limit=1")["snapshots"] == [kept]
    tested = call(client, "POST", "/experiments/prompt-v2/aa-test", {"runs": 100, "metric": "click_rate"})["aa_test"]
    assert (tested["rate"], tested["trustworthy"]) == (0.0, False)
    assert "four clusters" in tested["reason"]
    for path, body, status in (
        ("/experiments/prompt-v2/snapshots/999", None, 404),
        ("/experiments/prompt-v2/snapshots/x", None, 404),
        (f"/experiments/{'x' * 80}/results", None, 404),
        ("/experiments/prompt-v2/aa-test", {"metric": "happiness"}, 422),
        ("/experiments/prompt-v2/aa-test", {"runs": 5}, 422),
    ):
        call(client, "GET" if body is None else "POST", path, body, status=status)


def test_an_unknown_experiment_serves_control_over_http_too(client: FlaskClient) -> None:
    served = call(client, "POST", "/experiments/none/assign", {"user_id": 1})
    assert (served["variant"], served["reason"]) == ("A", "unknown_experiment")


def test_commands_say_what_is_wrong(app: Flask) -> None:
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["stateful", "ab", "start", "none"])
    assert refused.exit_code == 1
    assert "no experiment is called 'none'" in refused.output
    planned = runner.invoke(args=["stateful", "ab", "plan", "expectancy_r", "0.2", "--sd", "1.2"])
    assert '"n_per_arm"' in planned.output
