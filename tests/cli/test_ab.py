"""`flask stateful ab …`: an operator runs experiments from the command line and is told what is wrong."""

from __future__ import annotations

import json

import pytest
from flask import Flask


def run(app: Flask, *arguments: str, code: int = 0) -> str:
    result = app.test_cli_runner().invoke(args=["stateful", "ab", *arguments])
    assert result.exit_code == code, result.output
    return str(result.output)


def test_an_experiment_is_written_down_with_any_setting_and_listed(app: Flask) -> None:
    made = run(
        app, "create", "prompt-v2", "--a", '{"prompt": "v1"}', "--b", "plain words", "--weight-a", "0.25",
        "--set", "horizon_seconds=3600", "--set", 'guardrails=["error_rate"]', "--set", "design=signal",
    )  # fmt: skip
    found = json.loads(made)
    assert (found["variant_a"], found["variant_b"], found["weight_a"]) == ({"prompt": "v1"}, "plain words", 0.25)
    assert (found["horizon_seconds"], found["guardrails"], found["design"]) == (3600, ["error_rate"], "signal")
    assert run(app, "list").split() == ["prompt-v2", "v1", "draft", "winner", "-"]


def test_its_life_is_steered_and_a_declaration_can_be_taken_back(app: Flask) -> None:
    run(app, "create", "prompt-v2")
    assert json.loads(run(app, "start", "prompt-v2"))["status"] == "running"
    assert json.loads(run(app, "pause", "prompt-v2"))["status"] == "paused"
    assert run(app, "assign", "prompt-v2", "7001") == "A (paused)\n"
    assert json.loads(run(app, "stop", "prompt-v2"))["status"] == "stopped"
    assert json.loads(run(app, "declare", "prompt-v2", "B"))["winner"] == "B"
    assert run(app, "assign", "prompt-v2", "7001").startswith("B (winner")
    assert json.loads(run(app, "declare", "prompt-v2", "none"))["winner"] is None
    assert run(app, "snapshots", "prompt-v2").count("COLLECTING") == 1


def test_where_nothing_is_known_it_says_so_and_what_to_do(app: Flask) -> None:
    assert "flask stateful ab create NAME" in run(app, "list")
    run(app, "create", "prompt-v2")
    assert "flask stateful ab keep prompt-v2" in run(app, "snapshots", "prompt-v2")
    assert "A: 0 signals, expectancy unknown (n 0)" in run(app, "results", "prompt-v2")
    assert "`flask stateful ab list`" in run(app, "start", "none", code=1)


def test_the_false_positive_rate_of_a_metric_is_printed(app: Flask) -> None:
    run(app, "create", "prompt-v2")
    run(app, "start", "prompt-v2")
    tested = json.loads(run(app, "aa-test", "prompt-v2", "--metric", "execution_rate", "--runs", "100"))
    assert (tested["runs"], tested["rate"], tested["trustworthy"]) == (100, 0.0, False)
    planned = json.loads(run(app, "plan", "win_rate", "0.1", "--baseline", "0.4", "--signals-per-week", "100"))
    assert planned["weeks"] == pytest.approx(planned["n_total"] / 100)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "x y"), 1, "a name is 1 to 64"),
        (("create", "x", "--set", "coverage"), 2, "write it as KEY=JSON"),
        (("create", "x", "--set", "colour=1"), 1, "unknown settings 'colour'; use alpha"),
        (("create", "x", "--weight-a", "2"), 1, "a weight is not within 0..1"),
        (("start", "none"), 1, "no experiment is called 'none'"),
        (("snapshot", "none", "1"), 1, "no experiment is called 'none'"),
        (("snapshot", "none", "0"), 2, "0 is not in the range"),
        (("declare", "none", "C"), 2, "'C' is not one of"),
        (("aa-test", "none", "--runs", "5"), 2, "5 is not in the range"),
        (("plan", "win_rate", "0.1"), 1, "--sd or --baseline"),
        (("plan", "happiness", "0.1"), 1, "unknown metric"),
        (("plan", "expectancy_r", "nan", "--sd", "1"), 1, "mde must be a finite number"),
        (("results", "none"), 1, "no experiment is called 'none'"),
    ],
)
def test_what_cannot_be_meant_ends_with_the_remedy(
    app: Flask, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert said in run(app, *arguments, code=code)
